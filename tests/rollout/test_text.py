"""From sampled tokens to program text and masks: extraction, offsets, and the FGO rules, with worked examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.executor.spans import executed_spans
from stepcoder.rollout.text.extract import extract
from stepcoder.rollout.text.mask import token_masks
from stepcoder.rollout.text.offsets import TokenSpans, _spans_by_decoding, spans_of_bytes
from stepcoder.rollout.worker import sample_seed
from tests.tools.tiny_model import build_tiny_tokenizer

TOKENIZER = build_tiny_tokenizer()


def check_positions(given_text: str, response: str, form: str) -> str:
    extracted = extract(given_text, response, form)  # type: ignore[arg-type]
    assert len(extracted.positions) == len(response)
    for index, position in enumerate(extracted.positions):
        if position >= 0:
            assert extracted.program[position] == response[index]
    return extracted.program


def test_prefill_continues_the_prefix_up_to_the_closing_fence() -> None:
    given_text = "def f(x):\n    if x:"
    response = "\n        return 1\n    return 0\n```"
    assert check_positions(given_text, response, "prefill") == given_text + "\n        return 1\n    return 0\n"
    assert extract(given_text, response).fence == (len(response) - 3, len(response))


@pytest.mark.parametrize("response", ["\nprint(1)", "\nprint('```')\n    ```\nx", "", "\n"])
def test_without_a_closing_fence_everything_is_program(response: str) -> None:
    assert check_positions("", response, "prefill") == response
    assert extract("", response).fence is None


def test_prose_after_the_fence_is_outside() -> None:
    assert check_positions("", "\nx = 1\n```\nThis sets x.", "prefill") == "\nx = 1\n"


@pytest.mark.parametrize(
    ("given_text", "reply", "program"),
    [
        ("", "```python\nx = 1\n```", "x = 1\n"),
        ("", "Sure:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("", "x = 1\n", "x = 1\n"),
        ("a = 1\nif a:", "```python\n    b = 2\n```", "a = 1\nif a:\n    b = 2\n"),
        ("a = 1\nif a:", "```python\na = 1  \nif a:\n    b = 2\n```", "a = 1  \nif a:\n    b = 2\n"),
        ("a = 1\nif a:", "```python\na = 1\nif not a:\n    b = 2\n```", "a = 1\nif a:\na = 1\nif not a:\n    b = 2\n"),
        ("", "First:\n```\nx = 1\n```\nNo:\n```python\nx = 2\n```\nDone.", "x = 2\n"),
        ("", "```\nx = 1\n```\nNo:\n```python\nx = 2", "x = 2"),
        ("", "```python\n```", ""),
        ("", "```python", ""),
    ],
)
def test_a_reply_opens_its_own_fence_and_a_repeated_prefix_is_not_doubled(
    given_text: str, reply: str, program: str
) -> None:
    assert check_positions(given_text, reply, "instruct") == program


@given(st.text(alphabet="ab \n`", max_size=40), st.text(alphabet="ab \n`", max_size=20), st.booleans())
def test_every_character_knows_its_place(response: str, given_text: str, prefill: bool) -> None:
    program = check_positions(given_text, response, "prefill" if prefill else "instruct")
    assert not prefill or program.startswith(given_text)


@given(st.text(max_size=40), st.randoms())
def test_spans_cover_the_text_whatever_the_tokens(text: str, random: object) -> None:
    data = text.encode("utf-8", "replace")
    cuts = sorted(random.randint(0, len(data)) for _ in range(6))  # type: ignore[attr-defined]
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    decoded, spans = spans_of_bytes(pieces)
    assert decoded == data.decode()
    check_cover(decoded, spans)
    for piece, (start, end) in zip(pieces, spans, strict=True):
        assert piece in decoded[start:end].encode()


@given(st.lists(st.binary(max_size=5), max_size=12))
def test_spans_cover_broken_utf8_too(pieces: list[bytes]) -> None:
    text, spans = spans_of_bytes(pieces)
    assert text == b"".join(pieces).decode("utf-8", "replace")
    check_cover(text, spans)


def check_cover(text: str, spans: list[tuple[int, int]]) -> None:
    covered = [False] * len(text)
    for (start, end), (following, _) in zip(spans, [*spans[1:], (len(text), 0)][: len(spans)], strict=True):
        assert 0 <= start <= end <= len(text) and start <= following
        covered[start:end] = [True] * (end - start)
    assert all(covered)


def test_parts_of_a_character_take_its_span() -> None:
    text, spans = spans_of_bytes([b"a", "✓".encode()[:1], "✓".encode()[1:], b"b"])
    assert (text, spans) == ("a✓b", [(0, 1), (1, 2), (1, 2), (2, 3)])


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_the_tokenizers_own_decoding_gives_the_same_text(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    by_bytes, spans = TokenSpans(TOKENIZER)(ids)
    assert by_bytes == text == TOKENIZER.decode(ids)
    check_cover(text, spans)
    by_decoding, slow_spans = _spans_by_decoding(TOKENIZER, ids, ())
    assert by_decoding == text
    check_cover(text, slow_spans)


def masks_of(given_text: str, pieces: list[str], lines: list[int], ended_itself: bool = False, form: str = "prefill"):
    """Masks of a response whose tokens wrote `pieces`, when the program's `lines` were executed."""
    text, spans = spans_of_bytes([piece.encode() for piece in pieces])
    extracted = extract(given_text, text, form)  # type: ignore[arg-type]
    return token_masks(extracted, spans, executed_spans(extracted.program, lines), ended_itself)


def test_tokens_of_a_branch_not_taken_are_masked() -> None:
    pieces = ["\n   ", " if", " x:", "\n       ", " return", " 1", "\n   ", " return", " 0", "\n", "```"]
    masks = masks_of("def f(x):", pieces, [1, 2, 4])
    #            the header ran, its body did not, the last line did, and the fence is the decision to stop
    assert masks.executed.tolist() == [True] * 3 + [False] * 3 + [True] * 5
    assert masks.code.all()
    assert masks.token_lines.tolist() == [2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 0]


def test_each_token_knows_the_characters_that_it_wrote() -> None:
    pieces = ["Here:\n", "```", "\n", "y", " = x", "\n", "```", " bye"]
    masks = masks_of("x = 1", pieces, [1, 2], form="instruct")
    text = extract("x = 1", "".join(pieces), "instruct").program
    written = [text[start:end] for start, end in zip(masks.token_starts, masks.token_ends, strict=True)]
    assert written == ["", "", "", "y", " = x", "\n", "", ""]


def test_a_newline_takes_the_value_of_the_code_after_it() -> None:
    pieces = ["\n", "    ", "return", " 0", "\n\n", "    ", "x = 1"]
    masks = masks_of("def f():", pieces, [1, 2])
    assert masks.executed.tolist() == [True, True, True, True, False, False, False]
    assert masks.token_lines.tolist() == [2, 2, 2, 2, 4, 4, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_those_that_python_counts(end: str) -> None:
    masks = masks_of("def f(x):", [f"{end}    if x:", f"{end}        return 1", f"{end}    return 0"], [1, 2, 4])
    assert masks.executed.tolist() == [True, False, True]
    assert masks.token_lines.tolist() == [2, 3, 4]


def test_the_end_token_counts_and_white_space_before_it_is_part_of_the_end() -> None:
    masks = masks_of("def f():", ["\n    ", "return 0", "\n"], [1, 2], ended_itself=True)
    assert masks.executed.tolist() == [True] * 4 and masks.code.tolist() == [True] * 4


def test_white_space_where_the_length_ran_out_takes_the_value_before_it() -> None:
    never = masks_of("def f():\n    return 0", ["\n   ", " x = 1", "\n", "   "], [1, 2])
    assert never.executed.tolist() == [False] * 4
    ran = masks_of("def f():", ["\n   ", " return 0", "\n", "   "], [1, 2])
    assert ran.executed.tolist() == [True] * 4


def test_prose_after_the_fence_is_neither_code_nor_executed() -> None:
    masks = masks_of("", ["\nx", " = 1", "\n``", "`\n", "Done"], [2])
    assert masks.code.tolist() == [True, True, True, True, False]
    assert masks.executed.tolist() == [True, True, True, True, False]


def test_the_opening_fence_of_a_reply_counts_as_the_closing_one_does() -> None:
    masks = masks_of("", ["Sure:\n", "```python", "\n", "x = 1", "\n```"], [1], ended_itself=True, form="instruct")
    assert masks.code.tolist() == masks.executed.tolist() == [False, True, True, True, True, True]
    assert masks.token_lines.tolist() == [0, 0, 0, 1, 1, 0]


def test_a_program_that_does_not_compile_executed_nothing_but_its_end() -> None:
    masks = masks_of("", ["\nx", " = (", "\n", "```"], [])
    assert masks.executed.tolist() == [False, False, True, True] and masks.code.all()


def test_an_empty_response_that_ended_by_itself_is_one_end_token() -> None:
    masks = masks_of("x = 1", [], [1], ended_itself=True)
    assert masks.executed.tolist() == [True] and masks.token_lines.dtype == np.int32


@given(st.lists(st.text(alphabet="a=1 \n`:", max_size=4), max_size=12), st.booleans(), st.lists(st.integers(1, 6)))
def test_executed_implies_code(pieces: list[str], ended_itself: bool, lines: list[int]) -> None:
    masks = masks_of("a = 1", pieces, lines, ended_itself)
    assert len(masks.executed) == len(pieces) + ended_itself
    assert not (masks.executed & ~masks.code).any()
    assert ((masks.token_lines > 0) <= masks.code).all()


def test_seeds_depend_on_the_run_the_ticket_and_the_sample_alone() -> None:
    seeds = {sample_seed(run, ticket, sample) for run in range(3) for ticket in range(20) for sample in range(16)}
    assert len(seeds) == 3 * 20 * 16 and all(0 <= seed < 2**62 for seed in seeds)
    assert sample_seed(1, 2, 3) == sample_seed(1, 2, 3)
