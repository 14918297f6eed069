"""Where a failing program first does something else than the reference solution, by their executed lines alone.

In the spirit of EGCA (arXiv 2603.16158), without its second model: the executed lines of both programs on the test that
failed are laid side by side in the order of the source, and the first pair that differs counts. Lines are compared by
their tokens, with names in the order in which a program first uses them: comments, blanks and the choice of names do
not count, so a program that shares a prefix with the solution, or restates it, diverges where it does.
"""

import builtins
import io
import keyword
import tokenize
from collections.abc import Iterable
from itertools import zip_longest

from stepcoder.executor.spans import NEWLINE

_SILENT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


def first_divergence(
    program: str, executed: Iterable[int], reference: str, reference_executed: Iterable[int]
) -> int | None:
    """1-based line of `program`; the last executed one where all of them are the reference's; None without any.

    None too for a program that cannot be tokenised.
    """
    try:
        own, other = _normal_lines(program), _normal_lines(reference)
    except (tokenize.TokenError, SyntaxError):
        return None
    lines = [line for line in sorted(executed) if line in own]
    wanted = [other[line] for line in sorted(reference_executed) if line in other]
    for line, text in zip_longest(lines, wanted[: len(lines)]):
        if own[line] != text:
            return line
    return lines[-1] if lines else None


def _normal_lines(program: str) -> dict[int, tuple[str, ...]]:
    """Line -> its tokens, for lines that have any; a name that the program chose is its number."""
    names: dict[str, str] = {}
    found: dict[int, tuple[str, ...]] = {}
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(NEWLINE.sub("\n", program)).readline):
        if token.type in _SILENT:
            continue
        text = token.string
        chosen = token.type == tokenize.NAME and before != "." and not _given(text)
        word = names.setdefault(text, f"${len(names)}") if chosen else text
        found[token.start[0]] = (*found.get(token.start[0], ()), word)
        before = text
    return found


def _given(name: str) -> bool:
    """Whether a name means the same in every program."""
    return keyword.iskeyword(name) or hasattr(builtins, name)
