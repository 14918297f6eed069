"""The program in a completion, and the place of each of its characters there."""

import re

import numpy as np

from stepcoder.rollout.text.extract import Extracted, extract

_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)


def program_in(completion: str) -> Extracted:
    """The last complete fenced block; else what follows an open fence; else the whole text."""
    blocks = list(_FENCED.finditer(completion))
    if not blocks:
        return extract("", completion, "instruct")
    start, end = blocks[-1].span(1)
    positions = np.full(len(completion), -1, dtype=np.int32)
    positions[start:end] = np.arange(end - start, dtype=np.int32)
    closing = completion.index("```", end)
    return Extracted(completion[start:end], positions, (closing, closing + 3), 0)


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
