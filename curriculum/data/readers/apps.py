"""APPS (arXiv 2105.09938): a folder a problem, or the same fields as rows of the hub's version.

Folder: `question.txt`, `solutions.json`, `input_output.json`, `metadata.json`, `starter_code.py`. Row: `question`,
`solutions` and `input_output` as JSON texts, `difficulty`, `starter_code`, `problem_id`.
"""

from collections.abc import Iterator
from pathlib import Path

from stepcoder.curriculum.data.readers.build import (
    Entry,
    collect,
    graded,
    name_of,
    read_entries,
    record,
    solutions,
    text,
)
from stepcoder.curriculum.data.readers.files import decoded_list, loads, structured
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.data.readers.suites import paired_suite
from stepcoder.executor.suite import Compare


def read_apps(path: Location) -> Iterator[Record | Rejected]:
    """Of a folder: every folder in it, at any depth, that has a question, by path. Of a file, or tables: their rows."""
    folders = sorted(file.parent for file in path.rglob("question.txt")) if isinstance(path, Path) else []
    if not isinstance(path, Path) or not folders:
        yield from read_entries(path, _problem)
        return
    found = ((str(folder), _entry(folder, str(folder.relative_to(path).as_posix()))) for folder in folders)
    yield from collect(found, _problem)


def _entry(folder: Path, name: str) -> Entry | Refuse:
    """The folder as a row."""
    try:
        metadata = loads(_file(folder / "metadata.json") or "null")
        return {
            "problem_id": name if name != "." else folder.name,
            "question": _file(folder / "question.txt"),
            "solutions": _file(folder / "solutions.json"),
            "input_output": _file(folder / "input_output.json"),
            "starter_code": _file(folder / "starter_code.py"),
            "difficulty": metadata.get("difficulty") if isinstance(metadata, dict) else None,
        }
    except Refuse as refusal:
        return refusal


def _file(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Refuse(Reason.MISSING_FIELD, f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refuse(Reason.NON_UTF8, path.name) from error


def _problem(entry: Entry, number: int) -> Record:
    found = solutions(decoded_list(entry.get("solutions")))
    starter_code = text(entry, "starter_code", default="")
    suite = paired_suite(structured(entry.get("input_output")), starter_code, found, Compare())
    return record(
        id=f"apps/{name_of(entry, number, 'problem_id')}",
        source="apps",
        level=graded(entry.get("difficulty")),
        statement=text(entry, "question", default=""),
        starter_code=starter_code,
        solutions=found,
        suite=suite,
        wrapped=suite.style == "call",
    )
