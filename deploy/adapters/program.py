"""The program in a completion, and the place of each of its characters there."""

from stepcoder.executor.grading.fences import answer_begins
from stepcoder.rollout.text.extract import Extracted, extract


def program_in(completion: str) -> Extracted:
    """The program in the last fenced block of the answer, as in training; without one the text after the thoughts."""
    return extract("", completion, "instruct", answer_begins(completion))


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
