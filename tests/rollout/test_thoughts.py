"""Reasoning models: three chat templates that come with packages, and which tokens of a reply are what."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistral_common.integrations.chat_templates.chat_templates import generate_chat_template
from mistral_common.tokens.tokenizers.base import TokenizerVersion

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter, TemplateError
from stepcoder.curriculum.thoughts import marks_of, thoughts
from stepcoder.executor.report import Verdict
from stepcoder.executor.spans import executed_spans
from stepcoder.executor.suite import Case, Suite
from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import FGO, AllCredit, RandomCredit
from stepcoder.learner.masks import credit_mask
from stepcoder.learner.targets import by_program
from stepcoder.rollout.text.extract import extract
from stepcoder.rollout.text.mask import TokenMasks, token_masks
from stepcoder.rollout.text.offsets import spans_of_bytes
from stepcoder.rollout.trajectory import Trajectory, Turn
from tests.tools.tiny_model import build_tiny_tokenizer

PROBLEM = Problem("p", "test", "introductory", "Print 1.", "", "print(1)\n", Suite("stdin", (Case("", "1\n"),)))


def minicpm() -> str:
    """As vLLM brings it; Qwen3's has the same marks."""
    spec = find_spec("vllm")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "transformers_utils" / "chat_templates"
    return (folder / "template_minicpmv45.jinja").read_text()


def mistral(version: TokenizerVersion, plain: bool) -> str:
    """As mistral_common makes it."""
    return generate_chat_template(
        spm=False, tokenizer_version=version, image_support=False, audio_support=False, thinking_support=not plain,
        default_system_prompt=None, plain_thinking_support=plain, use_special_token_variables=True,
        model_settings_fields=None, reasoning_effort_values=None, reasoning_effort_default=None,
    )  # fmt: skip


TEMPLATES = {
    "minicpm": (minicpm, ("<think>", "</think>"), {"enable_thinking": True}),
    "mistral 11": (lambda: mistral(TokenizerVersion.v11, True), ("<think>", "</think>"), {}),
    "mistral 13": (lambda: mistral(TokenizerVersion.v13, False), ("[THINK]", "[/THINK]"), {}),
}


@pytest.fixture(params=TEMPLATES)
def named(request: pytest.FixtureRequest) -> tuple[Prompter, tuple[str, str]]:
    make, marks, arguments = TEMPLATES[request.param]
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = make()
    return Prompter(tokenizer, PromptConfig(form="instruct", template_arguments=arguments)), marks


def test_a_template_names_its_marks_and_a_reply_falls_into_thoughts_drafts_and_answer(
    named: tuple[Prompter, tuple[str, str]],
) -> None:
    prompter, (begin, end) = named
    assert prompter.marks is not None and (prompter.marks.begin, prompter.marks.end) == (begin, end)
    prompt = prompter.text(PROBLEM, "")
    begun = prompter.begins_a_thought(prompt)
    assert begun == (begin in prompt)
    reply = ("" if begun else f"{begin}\n") + (
        f"Perhaps\n```python\nprint(2)\n```\nor so.\n{end}\nA draft:\n```python\nprint(3)\n```\nBetter:\n"
        "```python\nprint(1)\n```\nDone."
    )
    (thought,) = thoughts(reply, prompter.marks, begun)
    assert reply[slice(*thought)].endswith(f"or so.\n{end}") and thought[0] == 0
    assert extract("", reply, "instruct", thought[1]).program == "print(1)\n"
    # a thought that never ends has no answer, whatever is drafted in it
    endless = reply.split(end)[0]
    (thought,) = thoughts(endless, prompter.marks, begun)
    assert thought == (0, len(endless)) and extract("", endless, "instruct", thought[1]).program == ""


def test_a_turn_that_opens_with_a_thought_cannot_open_with_a_program() -> None:
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = minicpm()
    with pytest.raises(TemplateError, match="set prompt.form to instruct"):
        Prompter(tokenizer, PromptConfig(template_arguments={"enable_thinking": True})).text(PROBLEM, "")
    assert Prompter(tokenizer, PromptConfig()).text(PROBLEM, "").endswith("```python")


def test_a_template_without_thoughts_has_no_marks() -> None:
    tokenizer = build_tiny_tokenizer()
    assert marks_of(tokenizer.chat_template) is None and marks_of(None) is None
    assert thoughts("<think>no</think>", None) == []


# Tokens of a reply, and its one program's lines: `if 0:` and `print(1)` ran, `print(2)` did not.
PIECES = ["<think>", "hm", "```python", "\n", "x = 5", "\n```", "</think>", "\nSo:\n", "```python", "\n",
          "if 0:", "\n    print(2)", "\nprint(1)", "\n```"]  # fmt: skip
THINKING = [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
# the opening fence, the lines that ran, the closing fence, the end token
EXECUTED = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1]


def masks() -> TokenMasks:
    text, spans = spans_of_bytes([piece.encode() for piece in PIECES])
    marks = marks_of("</think>")
    found = thoughts(text, marks)
    extracted = extract("", text, "instruct", found[-1][1])
    assert extracted.program == "if 0:\n    print(2)\nprint(1)\n"
    return token_masks(extracted, spans, executed_spans(extracted.program, [1, 3]), ended_itself=True, thoughts=found)


def trajectory(**changes: Any) -> Trajectory:
    found, count = masks(), len(PIECES) + 1
    fields: dict[str, Any] = dict(
        ticket=0, sample=0, problem_id="p", level="introductory", stage=0, prompt_ids=np.array([1], np.int32),
        response_ids=np.arange(count, dtype=np.int32), logprobs=np.zeros(count, np.float32), executed=found.executed,
        code=found.code, token_lines=found.token_lines, error_line=None, reward=1.0, verdict=Verdict.PASSED,
        finish_reason="eos", weight_version=0, program="", thoughts=found.thoughts,
    )  # fmt: skip
    return Trajectory(**(fields | changes))


def test_thoughts_drafts_and_answer_of_a_reply_by_hand() -> None:
    found = masks()
    assert found.thoughts is not None and found.thoughts.astype(int).tolist() == THINKING
    assert found.executed.astype(int).tolist() == EXECUTED
    assert found.code.astype(int).tolist() == [0] * 8 + [1] * 7
    assert found.token_lines.tolist() == [0] * 10 + [1, 2, 3, 3, 0]


@pytest.mark.parametrize("rule", [FGO, AllCredit, RandomCredit])
def test_credit_of_thoughts_by_choice(rule: type[FGO | AllCredit | RandomCredit]) -> None:
    t = trajectory()

    def credit(thinking: Any) -> np.ndarray:
        return credit_mask(t, rule(thinking=thinking), step=1, seed=0).astype(int)

    assert (credit("code")[:7] == 1).all() and (credit("program") == credit("code")).all()
    assert (credit("none")[:7] == 0).all()
    answer = credit("none")[7:]
    assert (credit("code")[7:] == answer).all()
    if rule is FGO:
        assert answer.tolist() == EXECUTED[7:]
    elif rule is RandomCredit:
        assert answer.sum() == sum(EXECUTED)  # none of the draws is a thought
    else:
        assert answer.all()


def test_thoughts_get_the_mean_advantage_of_the_programs_tokens() -> None:
    advantages = np.arange(15, dtype=np.float32)
    # of the executed ones: (8 + 9 + 10 + 12 + 13 + 14) / 6 = 11
    batch = build_batch([trajectory()], FGO(thinking="program"), step=1, seed=0)
    found = by_program(batch, torch.from_numpy(advantages)).tolist()
    assert found == [11.0] * 7 + advantages[7:].tolist()
    # where no token of the program is in the mask, of all that is no thought: (7 + ... + 14) / 8 = 10.5
    nothing = trajectory(executed=np.zeros(15, bool))
    batch = build_batch([nothing], FGO(thinking="program"), step=1, seed=0)
    assert by_program(batch, torch.from_numpy(advantages)).tolist()[:7] == [10.5] * 7


def test_thoughts_of_each_turn_get_the_mean_of_its_own_program() -> None:
    # a thought and a token of a program, what was told, and the same again
    one, verdict = np.array([1, 0, 0, 1, 0], bool), Verdict.WRONG_ANSWER
    turns = tuple(Turn(at, at + 2, verdict, None, "eos", True, None, worth) for at, worth in ((0, -0.3), (3, 1.0)))
    both = trajectory(
        response_ids=np.arange(5, dtype=np.int32), logprobs=np.zeros(5, np.float32), executed=~one, code=~one,
        token_lines=np.ones(5, np.int32), thoughts=one, between=np.array([0, 0, 1, 0, 0], bool), turns=turns,
    )  # fmt: skip
    batch = build_batch([both], FGO(thinking="program"), step=1, seed=0)
    found = by_program(batch, torch.tensor([0.5, -2.0, 0.0, 0.5, 3.0]))
    assert found.tolist() == [-2, -2, 0, 3, 3]
