"""The program in a completion, and the place of each of its characters there."""

import numpy as np

from stepcoder.executor.grading.fences import blocks
from stepcoder.rollout.text.extract import Extracted, extract


def program_in(completion: str) -> Extracted:
    """The last complete fenced block; else what follows an open fence; else the whole text."""
    whole = [block for block in blocks(completion) if block.closing]
    if not whole:
        return extract("", completion, "instruct")
    last = whole[-1]
    written = np.zeros(len(completion), dtype=bool)
    written[last.start : last.end] = True
    for start, end in last.margins(completion):
        written[start:end] = False
    positions = np.where(written, np.cumsum(written) - 1, -1).astype(np.int32)
    return Extracted(last.program(completion), positions, last.closing, 0)


def text_of(completion: object) -> str:
    """A completion as text: it is one, or a list of chat messages, of which the last one counts, also in parts."""
    content = completion
    if isinstance(completion, list) and completion and isinstance(completion[-1], dict):
        content = completion[-1].get("content") or ""
    if isinstance(content, str):
        return content
    if content is not completion and isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "".join(str(part.get("text") or "") for part in content)
    raise ValueError(f"a completion is a text or a list of messages, not {completion!r:.100}")
