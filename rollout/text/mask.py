"""From executed characters of a program to masks over the tokens that were sampled (FGO).

Pure. The executor says which characters of the program ran; extraction says where each
character of the response is in the program; offsets say which characters a token wrote.
Invariants: `executed` implies `code`; prose outside the program is in neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from stepcoder.executor.spans import NEWLINE
from stepcoder.rollout.text.extract import Extracted
from stepcoder.rollout.text.offsets import Span


@dataclass(frozen=True, slots=True, eq=False)
class TokenMasks:
    """Over the R tokens of a response; see `rollout.trajectory.Trajectory` for what each means."""

    executed: Bool[np.ndarray, " R"]
    code: Bool[np.ndarray, " R"]
    token_lines: Int32[np.ndarray, " R"]
    token_starts: Int32[np.ndarray, " R"]
    token_ends: Int32[np.ndarray, " R"]
    thoughts: Bool[np.ndarray, " R"] | None = None


def token_masks(
    extracted: Extracted,
    spans: Sequence[Span],
    executed_spans: Sequence[Span],
    ended_itself: bool,
    thoughts: Sequence[Span] = (),
) -> TokenMasks:
    """`spans`: characters of the response of every token but the end token, which `ended_itself` appends.

    A token is executed when any non-space character of it is. One of white space only takes the value
    of the code character after it; at the program's end that is the decision to stop, which counts
    when there was one. The closing fence and the end token count: they are that decision. So does the line that opens
    the program's fence, without which there is no program. `thoughts`: characters of the response, any of which makes a
    token a thought.
    """
    program = extracted.program
    ran = np.zeros(len(program) + 1, dtype=bool)
    for start, end in executed_spans:
        ran[start:end] = True
    stopped = ended_itself or extracted.fence is not None
    leader = _next_code(program)
    last = _last_code(program)
    ran[len(program)] = stopped or (last >= 0 and bool(ran[last]))
    line = _lines(program)

    count = len(spans) + ended_itself
    executed = np.zeros(count, dtype=bool)
    code = np.zeros(count, dtype=bool)
    lines, starts, ends = (np.zeros(count, dtype=np.int32) for _ in range(3))
    for token, (start, end) in enumerate(spans):
        places = extracted.positions[start:end]
        places = places[places >= 0]
        if places.size:
            code[token] = True
            starts[token], ends[token] = places[0], places[-1] + 1
            visible = places[leader[places] == places]
            executed[token] = bool(ran[visible].any()) if visible.size else bool(ran[leader[places[-1]]])
            lines[token] = line[leader[places[0]]] if leader[places[0]] < len(program) else line[places[0]]
        fences = (extracted.opening, extracted.fence or (0, 0))
        if any(_overlap((start, end), fence) for fence in fences):
            code[token] = executed[token] = True
    if ended_itself:
        code[-1] = executed[-1] = True
    if not thoughts:
        return TokenMasks(executed, code, lines, starts, ends)
    thinking = np.zeros(count, dtype=bool)
    thinking[: len(spans)] = [any(_overlap(span, thought) for thought in thoughts) for span in spans]
    lines = np.where(thinking, 0, lines).astype(np.int32)
    return TokenMasks(executed & ~thinking, code & ~thinking, lines, starts, ends, thinking)


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and one[1] > other[0]


def _last_code(program: str) -> int:
    """Index of the last character that is not white space; -1 without one."""
    return len(program.rstrip()) - 1


def _next_code(program: str) -> Int32[np.ndarray, " C"]:
    """For each character itself or, for white space, the next other character; the length where there is none."""
    following = np.empty(len(program), dtype=np.int32)
    nearest = len(program)
    for at in range(len(program) - 1, -1, -1):
        if not program[at].isspace():
            nearest = at
        following[at] = nearest
    return following


def _lines(program: str) -> Int32[np.ndarray, " C"]:
    """1-based line of each character, as Python counts lines; a line's end belongs to it."""
    ends = np.zeros(len(program), dtype=np.int32)
    ends[[match.end() - 1 for match in NEWLINE.finditer(program)]] = 1
    return (1 + np.cumsum(ends) - ends).astype(np.int32)
