"""`stepcoder data`: what converts, what is refused, what check and show tell."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.cli import main
from tests.tools.data_sets import APPS, DOUBLE, ECHO, lines, write_lines
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

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
    outs = [tmp_path / "one.jsonl.gz", tmp_path / "plain.jsonl", tmp_path / "two.jsonl.gz"]
    outs = outs[: 3 if count < 200 else 2]
    for out in outs:
        assert main(["data", "convert", "--from", kind, str(DATA / file), str(out)]) == 0
    packed, plain, *again = (out.read_bytes() for out in outs)
    assert gzip.decompress(packed) == plain and all(other == packed for other in again)
    assert len(load_problems(outs[1])) == count
    assert (tmp_path / "plain.jsonl.rejected.jsonl").read_text() == ""


def test_unusable_entries_are_counted_and_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [APPS, APPS, APPS | {"problem_id": 8, "input_output": ""}, b'{"question": "caf\xe9"}', b"{"]
    source = write_lines(tmp_path / "rows.jsonl", *rows)
    out = tmp_path / "out.jsonl"
    assert main(["data", "convert", "--from", "apps", str(source), str(out)]) == 0
    said = capsys.readouterr().out
    found = {(row["reason"], row["where"]) for row in lines(tmp_path / "out.jsonl.rejected.jsonl")}
    reasons = ("duplicate_id", "no_tests", "non_utf8", "bad_json")
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
    write_lines(tmp_path / "tasks.jsonl", good, good | {"in": None}, b"{", good | {"task": "Echo again."})
    assert main(["data", "convert", "--from", "mine_of_docs:read", "tasks.jsonl", "problems.jsonl"]) == 0
    assert [problem.id for problem in load_problems("problems.jsonl")] == ["mine/0", "mine/3"]
    assert [line["reason"] for line in lines(tmp_path / "problems.jsonl.rejected.jsonl")] == ["no_tests", "bad_json"]
    against = ["--against", "mine_of_docs:read:tasks.jsonl", "--keep-duplicates"]
    assert main(["data", "refine", "problems.jsonl", "kept.jsonl", *against]) == 2  # nothing is kept
    assert [line["reason"] for line in lines(tmp_path / "kept.jsonl.rejected.jsonl")] == ["contaminated"] * 2


def refusals(folder: Path) -> Iterator[tuple[list[str], str]]:
    rows, out = str(write_lines(folder / "rows.jsonl", APPS)), str(folder / "out.jsonl")
    native = str(write_lines(folder / "native.jsonl", DOUBLE))
    (folder / "cut.parquet").write_bytes(b"PAR1 and no more")
    (folder / "folder").mkdir()
    (folder / "empty.jsonl").write_text("\n")
    (folder / "text.csv").write_text("id,question\n")
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
    yield ["convert", "--from", "apps", rows, f"{out}.parquet"], "is JSON lines, plain or packed with gzip"
    yield ["convert", "--from", "apps", str(folder / "folder"), out], "a folder without .parquet or .arrow files"
    yield ["convert", "--from", "apps", str(folder / "cut.parquet"), out], "cut.parquet: cannot be read"
    yield ["convert", "--from", "apps", rows, native], "exists; give another file, or --force"
    yield ["convert", "--from", "apps", rows, rows, "--force"], "is an input"
    yield ["convert", "--from", "apps", rows, str(folder / "no/out.jsonl")], "there is no directory"
    yield ["convert", "--from", "apps", rows, out, "--rollout.group_size=1"], "does not know --rollout.group_size"
    yield ["refine", native, out, "--learner.gamma=1"], "takes those under executor"
    yield ["refine", native, rows], "exists; give another file, or --force"
    yield ["refine", native, out, "--report", native], "--report: .* is an input"
    yield ["refine", native, out, "--against", rows], "holds no problem of native; give its format as KIND:FILE"
    yield ["refine", native, out, "--against", "apps:nothing.jsonl"], "nothing.jsonl: no such file"
    yield ["refine", native, out, "--against", "humanevl:rows.jsonl"], "did you mean humaneval:rows.jsonl"
    yield ["convert", "--from", "auto", str(folder / "empty.jsonl"), out], "empty.jsonl: holds no entry"
    yield ["convert", "--from", "auto", str(folder / "text.csv"), out], "text.csv, line 1: bad_json .Expecting value"
    yield ["check", str(folder / "empty.jsonl")], "the file holds no problem"
    yield ["check", str(folder / "folder")], "folder: is a folder; give a file of JSON lines"
    yield ["show", native, "--id", "doubel"], "has no problem 'doubel'; did you mean double"
    yield ["show", rows, "--id", "apps/7"], "is --from native right?"
    yield ["check", str(folder / "none.jsonl")], "no such file"
    yield ["check", f"apps:{rows}"], f"'stepcoder data convert --from apps {rows} OUT' reads this"
    yield ["convert", "--from", "apps", rows, "-"], "OUT: - is no file"
    yield ["convert", "--from", "apps", rows, "/dev/stdout", "--force"], "OUT: /dev/stdout is no file"


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


# -- check and show ----------------------------------------------------------------------------------------------------


def test_check_names_every_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = DOUBLE | {"id": "wrong", "tests": [{"input": [1], "output": 3}]}
    good = write_lines(tmp_path / "good.jsonl", DOUBLE, ECHO, wrong)
    assert main(["data", "check", str(good)]) == 0
    assert "3 problems are sound (2 introductory, 1 interview), 4 tests" in capsys.readouterr().out
    caplog.clear()
    with caplog.at_level("INFO"):
        assert main(["data", "check", str(good), "--run", "--workers", "1"]) == 1
    assert sum("isolation level" in line for line in caplog.messages) == 1
    said = capsys.readouterr().out
    assert "wrong_output" in said and "2 problems are sound" in said and "1 is not" in said
    bad = write_lines(tmp_path / "bad.jsonl", DOUBLE, DOUBLE, ECHO | {"tests": []}, b"{")
    assert main(["data", "check", str(bad)]) == 1
    said = capsys.readouterr().out
    assert all(reason in said for reason in ("duplicate_id", "no_tests", "bad_json", "1 problem is sound"))
    assert "correct them" in said
    other = write_lines(tmp_path / "other.jsonl", APPS)
    assert main(["data", "check", str(other)]) == 1
    assert "'stepcoder data convert --from auto' makes the native one" in capsys.readouterr().out


CHECKERS = [  # of ECHO, whose tests expect "a b"
    ("return output == input", []),
    ("return True", ["accepts a program that answers nothing"]),
    (
        "return output.split()[0] == 'a'",
        ["the checker failed on test 1: IndexError", "of a program that answers nothing"],
    ),
    ("return True if output == input else None", ["the checker returned None"]),
    ("return bool(output) and 1 / 0 < 1", ["the checker failed on test 1: ZeroDivisionError"]),
    ("return {'a b\\n': True, '': False}[output]", ["the checker failed on test 1: KeyError", "became"]),
]


@pytest.mark.parametrize("solved", [True, False])
@pytest.mark.parametrize(("body", "told"), CHECKERS)
def test_checkers_are_asked_about_wrong_answers_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, told: list[str], solved: bool
) -> None:
    checker = f"def check(input, output, expected):\n    {body}\n"
    solution = "print(input() + ('!' if 'x' == 'y' else ''))\n" if solved else ""
    row = ECHO | {"checker": checker, "solution": solution, "tests": [{"input": "a b\n", "output": "a b\n"}]}
    file = write_lines(tmp_path / "p.jsonl", row)
    seen = bool(told) and (solved or "answers nothing" in told[-1] or "None" in told[0])
    assert main(["data", "check", str(file), "--run", "--workers", "1"]) == seen
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(text in said for text in ["checker", *told]) or not seen, said


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


@pytest.mark.parametrize(
    ("words", "broken", "open"),
    [
        (["train", "--help", "all"], "stdout", "stderr"),
        (["data", "check", "starter:train"], "stdout", "stderr"),
        (["courses", "curriculum/starter/train.jsonl", "--id", "starter/sign/sign"], "stdout", "stderr"),  # of rich
        (["train", "--nothing", "1"], "stderr", "stdout"),
    ],
)
def test_a_reader_that_goes_away_ends_the_command_in_silence(words: list[str], broken: str, open: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "stepcoder", *words]
        ended = subprocess.run(command, **{broken: writer, open: subprocess.PIPE}, cwd=ROOT, timeout=HANG_S)
    finally:
        os.close(writer)
    assert (ended.returncode, getattr(ended, open)) == (141, b"")


def test_a_conversion_that_is_interrupted_promises_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepcoder.curriculum.data.convert.convert", interrupted)
    source = write_lines(tmp_path / "rows.jsonl", APPS)
    assert main(["data", "convert", "--from", "apps", str(source), str(tmp_path / "out.jsonl")]) == 130
    assert capsys.readouterr().err.endswith("stepcoder: stopped\n")
