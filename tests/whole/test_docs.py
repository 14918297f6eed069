"""README and docs/: their links lead somewhere, their commands are understood, their examples run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stepcoder.deploy.cli import TAKES_SETTINGS, parser
from stepcoder.deploy.config.fields import flatten
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.deploy.config.sources import read_arguments
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", ROOT / "curriculum" / "starter" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"# (\w+)\.py\n")
FOLDERS = "executor|curriculum|rollout|learner|deploy|stepcoder|benchmarks|configs|tests|docs|requirements"


def each(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


each_page = each(DOCS)


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every `stepcoder ...` of an indented block, and of a table's or a sentence's code that has an option."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^    (?:\S+=\S+ )*(?:\.venv/bin/)?(stepcoder .*)", text, re.MULTILINE)
    return found + re.findall(r"`(stepcoder train --config [^`]*)`", text)


def write_examples(page: Path, folder: Path) -> list[str]:
    """Each block of Python that begins with `# NAME.py` as that file; their names. The other blocks use them."""
    files = {name[1]: block for block in fenced(page, "python") if (name := NAMED.match(block))}
    for name, block in files.items():
        (folder / f"{name}.py").write_text(block, encoding="utf-8")
    return list(files)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_no_line_is_longer_than_120_characters(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            lost.append(link)
    assert lost == []


@each_page
def test_every_named_file_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./*-]*(?:\.\w+|/))`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not any(ROOT.glob(name.rstrip("/")))] == []


def spelt_out(name: str) -> list[str]:
    """`{a,b}.py` is `a.py` and `b.py`."""
    if (found := re.search(r"\{([^{}]*)\}", name)) is None:
        return [name]
    before, after = name[: found.start()], name[found.end() :]
    return [file for part in found[1].split(",") for file in spelt_out(before + part + after)]


def test_every_file_to_touch_is_named_from_the_root_or_a_folder_of_its_row() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("\n| change | touch |\n")[2]
    rows = [re.findall(r"`([^`]+)`", row.partition(" | ")[2]) for row in table.partition("\n\n")[0].splitlines()[1:]]
    assert len(rows) > 20
    lost = []
    for words in rows:
        folders = [folder for word in words if word.endswith("/") and (folder := ROOT / word).is_dir()]
        named = [file for word in words if re.fullmatch(r"[a-z_/.,{}]+\.py", word) for file in spelt_out(word)]
        clear = [file for file in named if folders or "/" in file]  # else of the folder that the row is about
        lost += [file for file in clear if not any((folder / file).is_file() for folder in (ROOT, *folders))]
    assert lost == []


@each_page
def test_every_name_that_is_said_to_be_in_a_file_is_there(page: Path) -> None:
    pairs = re.findall(r"`(\w+)`,? (?:in|of) `(\S+\.py)`", page.read_text(encoding="utf-8"))
    assert [pair for pair in pairs if not re.search(rf"\b{pair[0]}\b", (ROOT / pair[1]).read_text("utf-8"))] == []


@pytest.mark.parametrize("line", [line for page in DOCS for line in commands(page)])
def test_every_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options, settings = parser().parse_known_args(shlex.split(line, comments=True)[1:])
    assert not settings or options.command in TAKES_SETTINGS
    if options.command in ("train", "sft"):
        load_config(options.config, settings, {}, root=SFTRunConfig if options.command == "sft" else Config)
    else:
        read_arguments(settings, flatten(Config))


@each([page for page in DOCS if fenced(page, "python")])
def test_every_example_runs(page: Path, tmp_path: Path) -> None:
    named = write_examples(page, tmp_path)
    script = [f"import {name}" for name in named] + [b for b in fenced(page, "python") if not NAMED.match(b)]
    (tmp_path / "main.py").write_text("\n".join(script), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@each([page for page in DOCS if fenced(page, "yaml")])
def test_every_configuration_is_understood(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in write_examples(page, tmp_path):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for block in fenced(page, "yaml"):
        (tmp_path / "config.yaml").write_text(block, encoding="utf-8")
        load_config(tmp_path / "config.yaml", [], {})
