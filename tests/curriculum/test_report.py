"""The report of a refinement: whatever a data set holds is text on it."""

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from stepcoder.curriculum.data.examine import Finding
from stepcoder.curriculum.data.files import Rejection
from stepcoder.curriculum.data.judge import Effort, Source
from stepcoder.curriculum.data.keep import Choices, Kept, Outcome
from stepcoder.curriculum.data.readers.record import Reason
from stepcoder.curriculum.data.report.page import Settings, page

HOSTILE = "</code></td><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7 * 7 }}\"&amp;"


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def made(name: str) -> str:
    weak = Finding(
        name, "interview", "entry 1", tests=2, lines=(1, 3), missed=(2, 3), mutants=2, survivors=((1, name),)
    )
    outcome = Outcome(2, [Kept(weak, True, 3)], [Rejection(Reason.WRONG_OUTPUT, name, name, name, "interview")])
    source = Source("native", Path("folder") / name.replace("/", "|"), 2, "0" * 64)
    return page(outcome, Settings(source, Choices(held_out=0.5), "strict", 4.0, 1024, Effort("first", 2), [name]))


def test_what_a_data_set_holds_is_text_and_no_markup() -> None:
    hostile, harmless = _Page(made(HOSTILE)), _Page(made("NAME/"))
    assert hostile.tags == harmless.tags and hostile.attributes == harmless.attributes
    assert hostile.tags["script"] == 1  # the page's own
    assert hostile.text.count(HOSTILE) == harmless.text.count("NAME/") > 4
    assert made(HOSTILE) == made(HOSTILE)
