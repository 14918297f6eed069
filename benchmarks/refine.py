"""Does refinement find faults and spare sound problems? Plants faults in two data sets and refines the result.

    python -m benchmarks.refine [--data ../shared/data] [--each 10] [--limit N] [--workers N] [--kills N] [--keep DIR]

The LeetCode and CodeContests problems, with `--each` faults of every kind planted in them. Prints a table of what was
planted against the reason it was dropped under, then whatever else was dropped. Exit code 1 if a planted fault was
missed or named wrongly, if a sound problem was dropped, or if a run that was killed `--kills` times ends otherwise.
References that are known to be bad (benchmarks.references) and problems that the data sets hold twice (DUPLICATES
below, each looked at) are rightly dropped.
"""

import argparse
import ast
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.references import DATA, DATA_SETS
from stepcoder.curriculum.data.readers import reader
from stepcoder.curriculum.data.readers.record import Cause, Reason, Record
from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.deploy.cli import main as stepcoder
from stepcoder.executor.report import Verdict

Entry = dict[str, Any]
SETS = {data_set.reader: data_set for data_set in DATA_SETS if data_set.reader in ("leetcode", "codecontests")}
BAD_REFERENCES = {name for data_set in SETS.values() for name, _ in data_set.faults}
HUGE = "7" * 5000
LIMITS = ["--executor.cpu_s=10", "--executor.wall_s=60"]

# The later of two that ask for the same; each pair was read.
DUPLICATES: dict[str, str] = {
    "leetcode/complement-of-base-10-integer": "the same question as number-complement, as LeetCode itself says",
    "leetcode/bold-words-in-string": "the same question as add-bold-tag-in-string, as LeetCode itself says",
    "leetcode/eight-queens-lcci": "n-queens in other words",
    "codecontests/1084_d_the_fair_nut_and_the_best_path_3448": "the same problem in both divisions of a contest",
    "codecontests/886_f_symmetric_projections_6728": "the same problem in two contests",
    "codecontests/816_d_karen_and_test_5164": "the same problem in both divisions of a contest",
    "codecontests/1163_c2_power_transmission_hard_edition_12093": "the easy edition with larger limits",
    "codecontests/95_c_volleyball_8708": "the same problem in both divisions of a contest",
    "codecontests/1242_b_01_mst_10223": "the same problem in both divisions of a contest",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. `plant` changes a problem's entry, or gives None where it has no place for such a fault."""

    name: str
    reason: Cause
    plant: Callable[[Entry, random.Random], Entry | bytes | None]
    extra: bool = False  # added to the file instead of put in a problem's place


def faults() -> list[Fault]:
    return [
        Fault("missing output", Reason.MISSING_OUTPUT, _missing("output")),
        Fault("wrong output", Reason.WRONG_OUTPUT, _wrong_output),
        Fault("syntax error", Reason.DOES_NOT_COMPILE, _syntax_error),
        Fault("endless loop", Verdict.TIMEOUT, _endless_loop),
        Fault("missing import", Reason.MISSING_IMPORT, _missing_import),
        Fault("duplicate", Reason.DUPLICATE, _duplicate, extra=True),
        Fault("Python 2", Reason.PYTHON2, _python2),
        Fault("empty tests", Reason.NO_TESTS, lambda entry, _: entry | {"tests": []}),
        Fault("not UTF-8", Reason.NON_UTF8, _not_utf8),
        # And what else a raw file may hold.
        Fault("missing input", Reason.MISSING_INPUT, _missing("input")),
        Fault("no solution", Reason.NO_SOLUTION, lambda entry, _: entry | {"solution": " \n"}),
        Fault("cut line", Reason.BAD_JSON, lambda entry, _: _line(entry)[:-20]),
        Fault("same id", Reason.DUPLICATE_ID, lambda entry, _: entry, extra=True),
        Fault("unknown level", Reason.MISSING_FIELD, lambda entry, _: entry | {"level": "hard"}),
        Fault("exception", Reason.RUNTIME_ERROR, lambda entry, _: _inside(entry, "[][0]")),
        Fault("too much memory", Verdict.MEMORY_LIMIT, lambda entry, _: _inside(entry, "held = [0] * 10**10")),
    ]


def plant(entries: list[Entry], each: int, seed: int = 0) -> tuple[list[bytes], dict[int, Fault]]:
    """The lines of a raw file, and by their number from 1 what was planted there. A problem has one fault at most."""
    chooser = random.Random(seed)
    places = chooser.sample(range(len(entries)), len(entries))
    free = [place for place in places if entries[place]["id"] not in BAD_REFERENCES | DUPLICATES.keys()]
    lines = [_line(entry) for entry in entries]
    planted: dict[int, Fault] = {}
    for fault in faults():
        count = 0
        for place in list(free):
            made = fault.plant(dict(entries[place]), chooser) if count < each else None
            if made is None:
                continue
            count += 1
            free.remove(place)
            line = made if isinstance(made, bytes) else _line(made)
            if fault.extra:
                lines.append(line)
                planted[len(lines)] = fault
            else:
                lines[place] = line
                planted[place + 1] = fault
        if count < each:
            raise ValueError(f"only {count} places for {fault.name}")
    return lines, planted


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode()


def _changed(entry: Entry, place: int, change: Callable[[Entry], Entry]) -> Entry:
    tests = [change(dict(test)) if n == place else test for n, test in enumerate(entry["tests"])]
    return entry | {"tests": tests}


def _missing(key: str) -> Callable[[Entry, random.Random], Entry]:
    def plant_it(entry: Entry, chooser: random.Random) -> Entry:
        place = chooser.randrange(len(entry["tests"]))
        return _changed(entry, place, lambda test: {name: value for name, value in test.items() if name != key})

    return plant_it


def _wrong_output(entry: Entry, chooser: random.Random) -> Entry | None:
    place = chooser.randrange(len(entry["tests"]))
    value = entry["tests"][place]["output"]
    if entry["style"] == "stdin":
        first, *others = value.split()
        value = " ".join([str(int(first) + 1) if first.isdecimal() else first + "x", *others])
    elif isinstance(value, bool):
        value = not value
    elif isinstance(value, int):
        value += 1
    elif isinstance(value, str):
        value += "x"
    elif isinstance(value, list):
        value = [*value, 0]
    else:
        return None
    return _changed(entry, place, lambda test: test | {"output": value})


def _syntax_error(entry: Entry, chooser: random.Random) -> Entry | None:
    places = [match.start() for match in re.finditer(r":[ \t]*$", entry["solution"], re.MULTILINE)]
    if not places:
        return None
    place = chooser.choice(places)
    return entry | {"solution": entry["solution"][:place] + entry["solution"][place + 1 :]}


def _inside(entry: Entry, statement: str) -> Entry | None:
    """The entry with a statement before the first one of the function that is called, or of the program."""
    solution = entry["solution"]
    if entry["style"] == "stdin":
        return entry | {"solution": f"{statement}\n{solution}"}
    name = entry["entry_point"].rpartition(".")[2]
    found = [n for n in ast.walk(ast.parse(solution)) if isinstance(n, ast.FunctionDef) and n.name == name]
    if not found or found[0].body[0].lineno == found[0].lineno:
        return None
    body = found[0].body[0]
    lines = solution.splitlines(keepends=True)
    lines.insert(body.lineno - 1, " " * body.col_offset + statement + "\n")
    return entry | {"solution": "".join(lines)}


def _endless_loop(entry: Entry, chooser: random.Random) -> Entry | None:
    return _inside(entry, "while True: pass")


def _missing_import(entry: Entry, chooser: random.Random) -> Entry | None:
    solution = entry["solution"]
    if entry["style"] != "stdin":
        return entry | {"solution": f"from sortedcontainers import SortedList\n{solution}"}
    found = re.search(r"^import (sys|math|heapq|bisect)\n", solution, re.MULTILINE)
    if not found or f"{found[1]}." not in solution or solution.count(f"import {found[1]}") > 1:
        return None
    return entry | {"solution": solution[: found.start()] + solution[found.end() :]}


def _duplicate(entry: Entry, chooser: random.Random) -> Entry | None:
    """A copy under another id: as it is, with other blanks and a comment, with a few other words, or renamed."""
    words = entry["statement"].split(" ")
    if len(words) < 60:
        return None
    copy = entry | {"id": f"{entry['id']}/again"}
    kind = chooser.randrange(4)
    if kind == 1:
        return copy | {"statement": "  ".join(words).upper(), "solution": f"# Another copy.\n{entry['solution']}"}
    if kind == 2:
        for place in chooser.sample(range(len(words)), 3):
            words[place] = "something"
        return copy | {"statement": " ".join(words)}
    if kind == 3 and entry["style"] == "call":
        name = entry["entry_point"].rpartition(".")[2]
        renamed = {key: re.sub(rf"\b{name}\b", "answer", entry[key]) for key in ("starter_code", "solution")}
        return copy | renamed | {"entry_point": re.sub(rf"\b{name}\b", "answer", entry["entry_point"])}
    return copy


def _python2(entry: Entry, chooser: random.Random) -> Entry | None:
    solution = entry["solution"]
    if (
        entry["style"] == "stdin"
        and "input()" in solution
        and "def input" not in solution
        and "input =" not in solution
    ):
        return entry | {"solution": solution.replace("input()", "raw_input()")}
    return entry | {"solution": f'{solution}\nif __name__ == "__main__":\n    print "done"\n'}


def _not_utf8(entry: Entry, chooser: random.Random) -> bytes:
    line = _line(entry)
    mark = line.index(b'"statement": "') + len(b'"statement": "')
    return line[:mark] + b"caf\xe9 " + line[mark:]


def problems(folder: Path, limit: int | None = None) -> list[Entry]:
    """The entries of both data sets in the native format, `limit` of each."""
    found: list[Entry] = []
    for data_set in SETS.values():
        for record in islice(reader(data_set.reader)(folder / data_set.file), limit):
            assert isinstance(record, Record), record
            found.append(json.loads(problem_line(record.problem)))
    return found


def rejected(file: Path) -> Iterator[tuple[int, Entry]]:
    """(number from 1, what was written about it) of each dropped entry."""
    for line in file.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        yield int(entry["where"].rpartition(" ")[2]), entry


def verdict(lines: list[bytes], planted: dict[int, Fault], file: Path) -> tuple[Counter[tuple[str, str]], list[str]]:
    """(what was planted, what was found) with counts, and every error in words."""
    found = dict(rejected(file))
    counts: Counter[tuple[str, str]] = Counter()
    errors: list[str] = []
    for number, fault in planted.items():
        entry = found.get(number)
        told = entry["reason"] if entry else "kept"
        counts[fault.name, told] += 1
        if told != fault.reason:
            errors.append(f"line {number}: {fault.name} planted, {told}: {entry and entry['detail']}")
    for number, entry in found.items():
        if number in planted:
            continue
        name = entry.get("id", "")
        known = name in BAD_REFERENCES or (name in DUPLICATES and entry["reason"] == Reason.DUPLICATE)
        counts["known to be bad" if known else "sound", entry["reason"]] += 1
        if not known:
            errors.append(f"line {number}: {name} dropped, {entry['reason']}: {entry['detail']}")
    counts["sound", "kept"] = len(lines) - len(planted) - sum(number not in planted for number in found)
    return counts, errors


def killed(place: Path, words: list[str], times: int, entries: int) -> list[str]:
    """Refines again with SIGKILL at even distances; which files differ from those of the undisturbed run."""
    again = place / "again"
    again.mkdir()
    command = [sys.executable, "-m", "stepcoder", "data", "refine", str(place / "raw.jsonl")]
    command += [str(again / "refined.jsonl"), "--report", str(again / "report.html"), *words]
    partial = again / "refined.jsonl.findings.jsonl.partial"
    for number in range(1, times + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if partial.exists() and partial.read_bytes().count(b"\n") >= entries * number / (times + 1):
                process.kill()
            time.sleep(0.05)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    names = sorted(file.name for file in again.iterdir())
    return [f"{name} differs after {times} kills" for name in names if not _same(place / name, again / name)]


def _same(one: Path, two: Path) -> bool:
    return one.is_file() and one.read_bytes() == two.read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description="Planted faults, found or missed by refinement.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--each", type=int, default=10, help="faults of each kind")
    parser.add_argument("--limit", type=int, help="problems of each data set")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mutants", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0, help="refine again, killed so often, and compare all files")
    parser.add_argument("--keep", type=Path, help="a folder for the files, which are else thrown away")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=True, highlight=False)
    if not options.data.is_dir():
        console.print(f"no folder {options.data}: give the data sets' folder with --data")
        return 2
    lines, planted = plant(problems(options.data, options.limit), options.each)
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        raw, out = place / "raw.jsonl", place / "refined.jsonl"
        raw.write_bytes(b"".join(line + b"\n" for line in lines))
        started = time.monotonic()
        words = ["--workers", str(options.workers), "--mutants", str(options.mutants), *LIMITS]
        code = stepcoder(["data", "refine", str(raw), str(out), "--report", str(place / "report.html"), *words])
        seconds = time.monotonic() - started
        if code:
            return code
        counts, errors = verdict(lines, planted, Path(f"{out}.rejected.jsonl"))
        if options.kills:
            errors += killed(place, words, options.kills, len(lines))
    table = Table("planted", "found", "problems", title=f"{len(lines):,} entries, {len(planted)} faults")
    for (name, reason), count in sorted(counts.items()):
        table.add_row(name, reason, f"{count:,}")
    console.print(table)
    console.print(f"{seconds:.0f} s, {len(lines) / seconds:.1f} entries/s with {options.workers} workers")
    for error in errors:
        console.print(f"WRONG {error}", markup=False)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
