"""From a response's text to the program that is graded, with the place of every character.

The program is the given part of the solution followed by what the policy wrote, up to the
closing fence. Invariant: wherever `positions[i] >= 0`, `program[positions[i]] == response[i]`;
nothing is trimmed or reindented but the margin of an indented fence, so that a line of the program
maps back to sampled tokens.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from stepcoder.curriculum.config import PromptForm
from stepcoder.executor.grading.fences import Block, answer_blocks

_CLOSING = "\n```"


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """`positions`: for each of the C characters of the response its place in `program`, -1 outside it.

    `fence`: half-open character span of the closing fence in the response; None when there is none. `opening`: the same
    of the line that opens the program's fence; empty where there is none. `prefix_chars`: characters of the program
    that the prompt gave.
    """

    program: str
    positions: Int32[np.ndarray, " C"]
    fence: tuple[int, int] | None
    prefix_chars: int
    opening: tuple[int, int] = (0, 0)


def extract(given: str, response: str, form: PromptForm = "prefill", answer: int = 0) -> Extracted:
    """`given`: the part of the program that the prompt showed (`curriculum.prompts.given`).

    prefill: the response goes on where `given` ends. instruct: it is a reply whose answer, from the character `answer`
    on, opens its own fences, after prose or not. The last of them holds the program, which either goes on below `given`
    or repeats it; without a fence the answer is the program.
    """
    block = _block(response, form, answer)
    body, head = block.program(response), given
    if form == "instruct":
        head = "" if _repeats(body, given) else f"{given}\n" if given and not body.startswith("\n") else given
    written = np.zeros(len(response), dtype=bool)
    written[block.start : block.end] = True
    for start, end in block.margins(response):
        written[start:end] = False
    positions = np.where(written, len(head) + np.cumsum(written) - 1, -1).astype(np.int32)
    return Extracted(head + body, positions, block.closing, len(head), (block.opening, block.start))


def _block(response: str, form: PromptForm, answer: int) -> Block:
    """Where the program stands; `opening` is `start` where the response opens no fence."""
    if form == "instruct":
        return [Block("", 0, answer, answer, len(response), None), *answer_blocks(response, answer)][-1]
    end = response.find(_CLOSING)
    closing = None if end < 0 else (end + 1, end + len(_CLOSING))
    return Block("", 0, 0, 0, end + 1 if closing else len(response), closing)


def _repeats(body: str, given: str) -> bool:
    """Whether the reply starts with all lines of `given` again; leading blank lines and trailing blanks aside."""
    shown = [line.rstrip() for line in given.strip("\n").split("\n")]
    written = [line.rstrip() for line in body.lstrip("\n").split("\n")]
    return bool(given.strip()) and written[: len(shown)] == shown
