"""`stepcoder data`: what converts, what refinement drops under which reason, that an interruption changes nothing."""

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from benchmarks import refine
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.cli import main
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
HUGE = "7" * 5000

DOUBLE: dict[str, Any] = {
    "id": "double", "source": "test", "level": "introductory", "starter_code": "",
    "statement": "Give twice the number that is passed, also where it is negative or has very many digits.",
    "solution": "def f(x):\n    if x < 0:\n        return 2 * x\n    return x + x\n",
    "style": "call", "entry_point": "f",
    "tests": [{"input": [1], "output": 2}, {"input": [5], "output": 10}],
}  # fmt: skip
ECHO: dict[str, Any] = {
    "id": "echo", "source": "test", "level": "interview", "starter_code": "",
    "statement": "Read a line from standard input and print it on standard output without any change to it at all.",
    "solution": "print(input())\n", "style": "stdin", "tests": [{"input": "a b\r\n", "output": "a b"}],
}  # fmt: skip
APPS: dict[str, Any] = {
    "problem_id": 7, "question": "Double the number on standard input.", "difficulty": "interview", "starter_code": "",
    "solutions": json.dumps(["print(3 * int(input()))", "n = int(input())\nif n:\n    n += n\nprint(n)",
                             "print(2 * int(input()))"]),
    "input_output": json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]}),
}  # fmt: skip


def write_lines(file: Path, *rows: Any) -> Path:
    file.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def refined(raw: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """(ids of what is kept, reason by id or place of what is dropped)."""
    out = raw.with_name("out.jsonl")
    assert main(["data", "refine", str(raw), str(out), "--workers", "2", "--executor.cpu_s=1", *words]) == 0
    dropped = {
        row.get("id") or row["where"].rpartition(", ")[2]: row["reason"] for row in lines(Path(f"{out}.rejected.jsonl"))
    }
    return [problem.id for problem in load_problems(out)], dropped


# -- convert -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets at {DATA}")
@pytest.mark.parametrize(
    ("kind", "file", "count"),
    [
        ("apps", "apps_samples", 5),
        ("mbpp", "mbpp.jsonl.gz", 974),
        ("humaneval", "HumanEval.jsonl.gz", 164),
        ("codecontests", "codecontests.jsonl.gz", 144),
        ("leetcode", "leetcode-v0.2.0-train.jsonl.gz", 1890),
    ],
)
def test_real_data_sets_convert_to_the_same_bytes_twice(tmp_path: Path, kind: str, file: str, count: int) -> None:
    outs = [tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz", tmp_path / "plain.jsonl"]
    for out in outs:
        assert main(["data", "convert", "--from", kind, str(DATA / file), str(out)]) == 0
    one, two, plain = (out.read_bytes() for out in outs)
    assert one == two and gzip.decompress(one) == plain
    assert len(load_problems(outs[2])) == count
    assert (tmp_path / "plain.jsonl.rejected.jsonl").read_text() == ""


def test_unusable_entries_are_counted_and_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [APPS, APPS, APPS | {"problem_id": 8, "solutions": ""}, b'{"question": "caf\xe9"}', b"{"]
    source = write_lines(tmp_path / "rows.jsonl", *rows)
    out = tmp_path / "out.jsonl"
    assert main(["data", "convert", "--from", "apps", str(source), str(out)]) == 0
    said = capsys.readouterr().out
    found = {(row["reason"], row["where"]) for row in lines(tmp_path / "out.jsonl.rejected.jsonl")}
    reasons = ("duplicate_id", "no_solution", "non_utf8", "bad_json")
    assert found == {(reason, f"{source}, line {n}") for n, reason in enumerate(reasons, 2)}
    assert all(re.search(rf"{reason}\W+1\W+20\.0%", said) for reason in reasons)
    assert re.search(r"all\W+1\W+20\.0%", said) and "2 further solutions are left out" in said
    assert [problem.id for problem in load_problems(out)] == ["apps/7"]


def test_tables_convert_like_lines(tmp_path: Path) -> None:
    rows = [APPS | {"problem_id": number} for number in range(150)]
    table = pyarrow.Table.from_pylist(rows)
    write_lines(tmp_path / "rows.jsonl", *rows)
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    shutil.copy(tmp_path / "rows.parquet", tmp_path / "no_suffix")
    (tmp_path / "saved").mkdir()
    for number, open_writer in enumerate((pyarrow.ipc.new_stream, pyarrow.ipc.new_file)):
        with open_writer(str(tmp_path / f"saved/data-{number}.arrow"), table.schema) as writer:
            writer.write_table(table.slice(75 * number, 75))
    (tmp_path / "saved/state.json").write_text("{}")
    made = []
    (tmp_path / "rows.zst").write_bytes(pyarrow.Codec("zstd").compress((tmp_path / "rows.jsonl").read_bytes()))
    for name in ("rows.jsonl", "rows.parquet", "no_suffix", "saved", "rows.zst"):
        out = tmp_path / f"{name}.native"
        assert main(["data", "convert", "--from", "apps", str(tmp_path / name), str(out)]) == 0
        made.append(out.read_bytes())
    assert made[0].count(b"\n") == 150 and len(set(made)) == 1


OWN_FAULTS = """
def gives(path):
    return [7]

def fails(path):
    yield from ()
    raise KeyError("x")

def takes_none(): ...

number = 7
"""


def test_a_reader_of_ones_own_needs_no_change_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in docs/data.md."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    Path("mine_of_docs.py").write_text(code, encoding="utf-8")
    good = {"task": "Echo.", "answer": "print(input())", "in": ["a\n"], "out": ["a\n"]}
    write_lines(tmp_path / "tasks.jsonl", good, good | {"answer": None}, b"{", good | {"task": "Echo again."})
    assert main(["data", "convert", "--from", "mine_of_docs:read", "tasks.jsonl", "problems.jsonl"]) == 0
    assert [problem.id for problem in load_problems("problems.jsonl")] == ["mine/0", "mine/3"]
    assert [line["reason"] for line in lines(tmp_path / "problems.jsonl.rejected.jsonl")] == ["no_solution", "bad_json"]
    against = ["--against", "mine_of_docs:read:tasks.jsonl", "--keep-duplicates"]
    assert main(["data", "refine", "problems.jsonl", "kept.jsonl", *against]) == 0
    assert [line["reason"] for line in lines(tmp_path / "kept.jsonl.rejected.jsonl")] == ["contaminated"] * 2


def refusals(folder: Path) -> Iterator[tuple[list[str], str]]:
    rows, out = str(write_lines(folder / "rows.jsonl", APPS)), str(folder / "out.jsonl")
    native = str(write_lines(folder / "native.jsonl", DOUBLE))
    (folder / "cut.parquet").write_bytes(b"PAR1 and no more")
    (folder / "folder").mkdir()
    (folder / "own_faults.py").write_text(OWN_FAULTS)
    yield ["convert", "--from", "app", rows, out], "did you mean apps?.*, native, or your own reader as package.module"
    yield ["convert", "--from", "no_module:read", rows, out], "--from: the reader no_module:read cannot be imported"
    yield ["convert", "--from", "own_faults:number", rows, out], "own_faults:number is of type int, not a function"
    yield ["convert", "--from", "own_faults:takes_none", rows, out], "own_faults:takes_none has to take one argument"
    yield ["convert", "--from", "own_faults:gives", rows, out], "own_faults:gives gave int, not a Record"
    yield ["convert", "--from", "own_faults:fails", rows, out], "the reader own_faults:fails failed: KeyError: 'x'"
    yield ["convert", "--from", "mbpp", rows, out], r"none of its 1 entries is a problem of mbpp \(no_tests: 1\)"
    yield ["convert", "--from", "apps", str(folder / "none.jsonl"), out], "no such file or folder"
    yield ["convert", "--from", "apps", "codeparrot/apps", out], "data set of the Hugging Face hub: hub:codeparrot/apps"
    yield ["convert", "--from", "apps", "hub:codeparrot/apps,part=1", out], "'part=1' is not config=..., split=..."
    yield ["convert", "--from", "apps", rows, f"{out}.zst"], "plain or packed with gzip"
    yield ["convert", "--from", "apps", str(folder / "folder"), out], "a folder without .parquet or .arrow files"
    yield ["convert", "--from", "apps", str(folder / "cut.parquet"), out], "cut.parquet: cannot be read"
    yield ["convert", "--from", "apps", rows, native], "exists; give another file, or --force"
    yield ["convert", "--from", "apps", rows, rows, "--force"], "is an input"
    yield ["convert", "--from", "apps", rows, str(folder / "no/out.jsonl")], "there is no directory"
    yield ["convert", "--from", "apps", rows, out, "--executor.cpu_s=1"], "does not know --executor.cpu_s"
    yield ["refine", native, out, "--learner.gamma=1"], "takes those under executor"
    yield ["refine", native, rows], "exists; give another file, or --force"
    yield ["refine", native, out, "--report", native], "--report: .* is an input"
    yield ["refine", native, out, "--against", rows], "holds no problem of native; give its format as KIND:FILE"
    yield ["refine", native, out, "--against", "apps:nothing.jsonl"], "nothing.jsonl: no such file"
    yield ["show", native, "--id", "doubel"], "has no problem 'doubel'; did you mean double"
    yield ["show", rows, "--id", "apps/7"], "is --from native right?"
    yield ["check", str(folder / "none.jsonl")], "no such file"


def test_mistakes_are_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before: set[Path] = set()
    for words, message in refusals(tmp_path):
        before = before or set(tmp_path.iterdir())
        assert main(["data", *words]) == 2, words
        assert re.search(message, capsys.readouterr().err), words
    assert set(tmp_path.iterdir()) == before


# -- refine ------------------------------------------------------------------------------------------------------------


def test_only_sound_problems_are_kept(tmp_path: Path) -> None:
    huge = DOUBLE | {"id": "huge", "statement": "Add up.", "solution": "def f(x):\n    return x << 1"}
    huge |= {"tests": [{"input": [int(HUGE[:9])], "output": 2}]}
    raw = write_lines(
        tmp_path / "raw.jsonl",
        DOUBLE,
        ECHO,
        DOUBLE | {"id": "again", "statement": DOUBLE["statement"].replace("Give", "Return")},
        DOUBLE | {"id": "named", "tests": [{"input": [], "keywords": {"y": 4}, "output": 8}],
                  "solution": DOUBLE["solution"].replace("f(x)", "g(y)").replace("x", "y"), "entry_point": "g"},
        DOUBLE | {"id": "triple", "solution": "def f(x):\n    return 3 * x\n", "tests": [{"input": [1], "output": 3}]},
        json.dumps(huge).replace(HUGE[:9], HUGE).replace('"output": 2', f'"output": {2 * (10**20)}').encode(),
        json.dumps(huge | {"id": "sound"}).replace(HUGE[:9], f"1{'0' * 5000}").replace(
            '"output": 2', f'"output": 2{"0" * 5000}').encode(),
        ECHO | {"id": "number", "solution": "print(int(input()))", "tests": [{"input": HUGE, "output": HUGE}]},
        ECHO | {"id": "silent", "tests": [{"input": "a", "output": ""}, {"input": "b", "output": "b"}]},
        ECHO | {"id": "nothing", "tests": [{"input": "a", "output": " \n"}]},
        b"[]",
    )  # fmt: skip
    kept, dropped = refined(raw)
    assert kept == ["double", "echo", "triple", "sound"]
    assert dropped == {
        "again": "duplicate", "named": "duplicate", "huge": "wrong_output", "number": "huge_integer",
        "silent": "missing_output", "nothing": "missing_output", "line 11": "bad_json",
    }  # fmt: skip
    echo = load_problems(tmp_path / "out.jsonl")[1]
    assert (echo.suite.cases[0].input, echo.suite.cases[0].output) == ("a b\n", "a b\n")


def test_choices_are_changed_without_running_anything_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_lines(tmp_path / "raw.jsonl", DOUBLE, DOUBLE | {"id": "again"}, ECHO)
    assert refined(raw) == (["double", "echo"], {"again": "duplicate"})
    assert "everything was run before" not in capsys.readouterr().err
    assert refined(raw, "--keep-duplicates") == (["double", "again", "echo"], {})
    assert "everything was run before" in capsys.readouterr().err
    exam = write_lines(tmp_path / "exam.jsonl", ECHO | {"id": "exam", "statement": f"Task: {ECHO['statement']}"})
    assert refined(raw, "--against", str(exam)) == (["double"], {"again": "duplicate", "echo": "contaminated"})
    kept, _ = refined(raw, "--keep-duplicates", "--split", "0.5", "--report", str(tmp_path / "r.html"))
    later = [row["id"] for row in lines(tmp_path / "out.heldout.jsonl")]
    assert sorted(kept + later) == ["again", "double", "echo"]
    write_lines(raw, DOUBLE)
    assert main(["data", "refine", str(raw), str(tmp_path / "out.jsonl"), "--executor.cpu_s=1"]) == 2
    assert "results of other inputs (source_sha256 differs)" in capsys.readouterr().err
    assert refined(raw, "--force") == (["double"], {})


def test_of_several_solutions_the_preferred_one_that_passes_is_kept(tmp_path: Path) -> None:
    row = APPS | {"problem_id": 9, "question": "Say twice.", "starter_code": "def twice(n):\n"}
    calls = {"fn_name": "twice", "inputs": [[2], [3]], "outputs": [[4], [6]]}
    row |= {"solutions": json.dumps(["def twice(n): return 2 * n"]), "input_output": json.dumps(calls)}
    raw = write_lines(tmp_path / "raw.jsonl", APPS, row)
    solutions = {}
    for preference in ("first", "shortest", "conditionals"):
        refined(raw, "--from", "apps", "--solution", preference, "--force")
        one, two = load_problems(tmp_path / "out.jsonl")
        assert [case.output for case in two.suite.cases] == [4, 6]  # out of their lists
        solutions[preference] = one.solution
    texts = json.loads(APPS["solutions"])
    assert solutions == {"first": texts[1], "shortest": texts[2], "conditionals": texts[1]}


def test_the_report_tells_what_the_tests_do_not_see(tmp_path: Path) -> None:
    raw = write_lines(tmp_path / "raw.jsonl", DOUBLE, ECHO | {"id": "<b>", "tests": []}, ECHO | {"source": 1})
    kept, _ = refined(raw, "--mutants", "9", "--report", str(tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text()
    (double, *_) = lines(tmp_path / "out.jsonl.findings.jsonl")
    assert kept == ["double"] and double["missed"] == [3] and double["lines"] == [3, 4]
    survivors = {line: change for line, change in double["survivors"]}
    assert double["mutants"] == 3 and set(survivors) == {2, 3}  # `<` or 0 changed, or the line that never runs
    assert "<b>1</b> of 3 problems are kept (33.3%)" in text and "no_tests" in text and "missing_field" in text
    assert "not executed: line 3" in text and "2 became 3" in text
    assert "http" not in text and "<b>&" not in text  # no other files, and nothing of the data is markup


# -- planted faults and interruptions ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], dict[int, refine.Fault]]:
    """60 problems, 17 of them with a fault of their own kind each."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}")
    planted_lines, planted = refine.plant(refine.problems(DATA, 30), 1)
    raw = tmp_path_factory.mktemp("sample") / "raw.jsonl"
    raw.write_bytes(b"".join(line + b"\n" for line in planted_lines))
    return raw, planted_lines, planted


def command(raw: Path, folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    outputs = [str(folder / "out.jsonl.gz"), "--report", str(folder / "report.html"), "--split", "0.2"]
    return ["data", "refine", str(raw), *outputs, "--mutants", "1", "--workers", "2"]


@pytest.fixture(scope="module")
def whole(sample: tuple[Path, list[bytes], dict[int, refine.Fault]]) -> Path:
    folder = sample[0].parent / "whole"
    assert main(command(sample[0], folder)) == 0
    return folder


def test_every_planted_fault_is_found_and_no_sound_problem_is_dropped(
    sample: tuple[Path, list[bytes], dict[int, refine.Fault]], whole: Path
) -> None:
    counts, errors = refine.verdict(sample[1], sample[2], whole / "out.jsonl.gz.rejected.jsonl")
    assert errors == []
    assert sum(counts.values()) == len(sample[1]) == 62 and len(sample[2]) == 17
    kept = load_problems(whole / "out.jsonl.gz") + load_problems(whole / "out.heldout.jsonl.gz")
    assert len(kept) == counts["sound", "kept"]


def test_a_run_that_was_killed_ends_with_the_same_files(
    sample: tuple[Path, list[bytes], dict[int, refine.Fault]], whole: Path
) -> None:
    folder = sample[0].parent / "killed"
    words = [sys.executable, "-m", "deploy", *command(sample[0], folder)]
    partial = folder / "out.jsonl.gz.findings.jsonl.partial"
    for number in (signal.SIGKILL, signal.SIGINT):
        earlier = found_in(partial)
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(lambda n=earlier: found_in(partial) > n + 2, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=HANG_S)
        assert process.returncode == (130 if number == signal.SIGINT else -number), said
        assert not (folder / "out.jsonl.gz").exists()
    with partial.open("ab") as file:
        file.write(b'{"id": "torn')
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0 and "results are there already" in done.stderr, done.stderr
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in folder.iterdir()) and len(names) == 6
    for name in names:
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name


def found_in(partial: Path) -> int:
    return partial.read_bytes().count(b"\n") if partial.exists() else 0


def wait_for(ready: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + HANG_S
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline, "ended before it could be interrupted"
        time.sleep(0.02)


# -- check and show ----------------------------------------------------------------------------------------------------


def test_check_names_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = DOUBLE | {"id": "wrong", "tests": [{"input": [1], "output": 3}]}
    good = write_lines(tmp_path / "good.jsonl", DOUBLE, ECHO, wrong)
    assert main(["data", "check", str(good)]) == 0
    assert "3 problems are sound (2 introductory, 1 interview), 4 tests" in capsys.readouterr().out
    assert main(["data", "check", str(good), "--run", "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "wrong_output" in said and "2 problems are sound" in said and "1 are not" in said
    bad = write_lines(tmp_path / "bad.jsonl", DOUBLE, DOUBLE, ECHO | {"tests": []}, b"{")
    assert main(["data", "check", str(bad)]) == 1
    said = capsys.readouterr().out
    assert all(reason in said for reason in ("duplicate_id", "no_tests", "bad_json", "1 problems are sound"))


def test_show_prints_a_problem_and_nothing_steers_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = DOUBLE | {
        "id": "odd\x1b[2J",
        "statement": "Clear\x1b[2J it.\tNow.",
        "tests": [{"input": [-1, "\x1b"], "output": 5}],
    }
    odd["solution"] = "def f(x, y):\n    return '\x1b[31m'\n"
    file = write_lines(tmp_path / "file.jsonl", ECHO, odd)
    assert main(["data", "show", str(file), "--id", odd["id"]]) == 0
    said = capsys.readouterr().out
    assert "\x1b[2J" not in said and "\x1b[31m" not in said and "Clear\N{REPLACEMENT CHARACTER}[2J it.    Now." in said
    assert "def f(x, y):" in said and "-1, '\\x1b'" in said
    rows = write_lines(tmp_path / "rows.jsonl", APPS)
    assert main(["data", "show", "--from", "apps", str(rows), "--id", "apps/7"]) == 0
    assert "3 solutions" in capsys.readouterr().out
