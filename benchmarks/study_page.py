"""Put a study's tables and picture into the pages that show them.

    python -m benchmarks.study_page runs/study

Rewrites what stands between `<!-- study -->` and `<!-- /study -->` in `docs/study.md` (all tables and notes) and in
`README.md` (the first table), and draws `docs/study.png`. The same reports give the same pages.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from stepcoder.deploy.study.comparison import rows
from stepcoder.deploy.study.picture import draw
from stepcoder.deploy.study.results import Results, read
from stepcoder.deploy.study.text import as_markdown
from stepcoder.errors import UserError
from stepcoder.files import write_whole
from stepcoder.words import plural

ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"(<!-- study -->\n).*?(<!-- /study -->)", re.DOTALL)
WIDTH = 120


def replaced(page: str, text: str) -> str:
    """The page with `text` in its marked place; UserError where there is not one such place."""
    if len(MARKED.findall(page)) != 1:
        raise UserError("the page has not one place between <!-- study --> and <!-- /study -->")
    return MARKED.sub(lambda found: f"{found[1]}{text}{found[2]}", page)


def how_far(results: Results) -> str:
    done, planned = (sum(count) for count in zip(*((len(r.seeds), r.planned) for r in rows(results)), strict=True))
    single = " One seed says nothing of others." if any(len(row.seeds) == 1 for row in rows(results)) else ""
    return f"{done} of {plural(planned, 'run')} done.{single}" if done < planned else f"All {planned} runs are done."


def whole(results: Results) -> str:
    """For the page of the study: from the first arm, then from `both` where there is such an arm."""
    parts = [how_far(results), as_markdown(results)]
    if any(arm.name == "both" and arm.done for arm in results.arms):
        parts.append(one_table(results.against("both")))
    picture = "![Learning curves and differences of the arms](study.png)\n"
    return wrapped("\n\n".join(part.rstrip("\n") for part in [*parts, picture]) + "\n")


def first_table(results: Results) -> str:
    return wrapped(f"{one_table(results)}\n\n{how_far(results)} More: [study](docs/study.md).\n")


def one_table(results: Results) -> str:
    """That of all held-out problems."""
    return "\n\n".join(as_markdown(results).split("\n\n")[:2])


def wrapped(text: str) -> str:
    """Sentences at most WIDTH characters wide; tables as they are."""
    import textwrap

    lines = []
    for line in text.splitlines():
        lines += [line] if line.startswith("|") or len(line) <= WIDTH else textwrap.wrap(line, WIDTH)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", metavar="DIR", type=Path)
    results = read(parser.parse_args(arguments).study)
    draw(results, ROOT / "docs" / "study.png")
    for page, text in ((ROOT / "docs" / "study.md", whole(results)), (ROOT / "README.md", first_table(results))):
        write_whole(page, replaced(page.read_text(encoding="utf-8"), text))
        print(page)


if __name__ == "__main__":
    main()
