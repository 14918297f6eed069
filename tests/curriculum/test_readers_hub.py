"""Data sets of the hub by name, and what the library `datasets` saves on disk."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from stepcoder.curriculum.data.files import digest
from stepcoder.curriculum.data.readers import reader
from stepcoder.curriculum.data.readers.hub import HubData, parse_hub, pinned
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.cli import main
from stepcoder.errors import DataFileError
from tests.tools.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "a" * 40


def row(number: int) -> dict[str, Any]:
    code = f"def f():\n    return {number}\n"
    return {"task_id": number, "text": f"Give {number}.", "code": code, "test_list": [f"assert f() == {number}"]}


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps(row(number)).encode() + b"\n" for number in numbers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    place.mkdir()
    (place / "train.jsonl").write_bytes(lines(1, 2, 3))
    (place / "test.jsonl").write_bytes(lines(4))
    return place


def ids(location: Path | HubData) -> list[str]:
    return [entry.problem.id for entry in reader("mbpp")(location) if isinstance(entry, Record)]


def test_what_follows_hub_is_a_name_and_settings() -> None:
    assert parse_hub("hub:a/b") == HubData("a/b")
    made = parse_hub("hub:a/b,split=train,config=main,revision=refs/convert/parquet")
    assert made == HubData("a/b", "main", "train", "refs/convert/parquet") and parse_hub(str(made)) == made
    for text in ("hub:", "hub:a/b,train", "hub:a/b,split=", "hub:a/b,split=a,split=b", "hub:a/b,trust_remote_code=1"):
        with pytest.raises(ValueError, match="hub:openai/|config=..., split=..., revision=..."):
            parse_hub(text)


def test_a_folder_laid_out_like_the_hub_is_read_split_by_split(folder: Path) -> None:
    with pytest.raises(DataFileError, match="has several splits: train, test; choose as in hub:.*,split=train"):
        pinned(HubData(str(folder)))
    with pytest.raises(DataFileError, match="no config 'x'; known: default"):
        pinned(HubData(str(folder), config="x"))
    train, test = (pinned(HubData(str(folder), split=split)) for split in ("train", "test"))
    assert (ids(train), ids(test)) == (["mbpp/1", "mbpp/2", "mbpp/3"], ["mbpp/4"])
    before = digest(train)
    assert before != digest(test)
    (folder / "train.jsonl").write_bytes(lines(1, 2))
    assert digest(train) != before


def test_what_datasets_saved_is_read_without_what_it_cached_beside(folder: Path, tmp_path: Path) -> None:
    saved, cache = tmp_path / "saved", str(tmp_path / "cache")
    loaded: Any = datasets.load_dataset(str(folder), cache_dir=cache)
    loaded.save_to_disk(str(saved))
    again: Any = datasets.load_from_disk(str(saved))
    again["train"].map(lambda entry: {"text": entry["text"] + " Twice."}, keep_in_memory=False)
    assert list(saved.rglob("cache-*.arrow")), "nothing was cached, so that this test says nothing"
    assert ids(saved / "train") == ["mbpp/1", "mbpp/2", "mbpp/3"]
    assert sorted(ids(saved)) == ["mbpp/1", "mbpp/2", "mbpp/3", "mbpp/4"]
    loaded["train"].to_parquet(str(tmp_path / "parquet/train.parquet"))
    out = tmp_path / "out.jsonl"
    assert main(["data", "convert", "--from", "mbpp", str(tmp_path / "parquet"), str(out)]) == 0
    assert [problem.solution for problem in load_problems(out)] == [row(n)["code"] for n in (1, 2, 3)]


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's interface as `datasets` asks of it: the real one cannot be reached from everywhere."""

    files = {"train.jsonl": lines(1, 2, 3), "test.jsonl": lines(4), "own/code.py": b"raise SystemExit('code ran')"}
    told = [{"type": "file", "path": name, "size": len(data), "oid": "b" * 40} for name, data in files.items()]

    def do_GET(self) -> None:
        place = self.path.partition("?")[0]
        if f"/datasets/own/set/resolve/{COMMIT}/" in place:
            self._send(self.files.get(place.rpartition(f"{COMMIT}/")[2]), "EntryNotFound")
        elif f"/tree/{COMMIT}" in place:
            self._send(json.dumps(self.told if place.endswith(COMMIT) else []).encode())
        elif place in ("/api/datasets/own/set", f"/api/datasets/own/set/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in self.files]
            self._send(json.dumps({"id": "own/set", "sha": COMMIT, "siblings": siblings}).encode())
        else:
            self._send(None, "RevisionNotFound" if "own/set" in place else "RepoNotFound")

    do_HEAD = do_GET

    def _send(self, body: bytes | None, code: str = "") -> None:
        self.send_response(404 if body is None else 200)
        found = {"X-Repo-Commit": COMMIT, "ETag": '"b"', "Content-Length": str(len(body or b""))}
        for name, value in (found | ({"X-Error-Code": code} if body is None else {})).items():
            self.send_header(name, value)
        self.end_headers()
        if body and self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def stepcoder(endpoint: str, folder: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """(exit code, what was said) of each; in a process of its own, as the address is read when hub code is imported."""
    program = (
        "import json, sys\nfrom contextlib import redirect_stderr\nfrom io import StringIO\n"
        "from stepcoder.deploy.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    with redirect_stderr(StringIO()) as said: code = main(words)\n"
        "    print('ANSWER', json.dumps([code, said.getvalue()]))\n"
    )
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", program, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=folder, timeout=HANG_S)
    found = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert len(found) == len(commands), done.stderr
    return [(code, said) for code, said in found]


def test_a_data_set_is_read_by_name_and_commit(hub: str, tmp_path: Path) -> None:
    convert = ["data", "convert", "--from", "mbpp"]
    refine = ["data", "refine", "--from", "mbpp", "hub:own/set,split=train", "refined.jsonl", "--workers", "1"]
    answers = stepcoder(
        hub, tmp_path,
        [*convert, "hub:own/set,split=train", "out.jsonl"],
        [*convert, "hub:own/set", "none.jsonl"],
        [*convert, "hub:own/set,revision=gone,split=train", "none.jsonl"],
        [*convert, "hub:own/nothing", "none.jsonl"],
        refine,
    )  # fmt: skip
    assert [code for code, _ in answers] == [0, 2, 2, 2, 0]
    assert [problem.id for problem in load_problems(tmp_path / "out.jsonl")] == ["mbpp/1", "mbpp/2", "mbpp/3"]
    said = [text for _, text in answers]
    assert "has several splits: train, test; choose as in hub:own/set,split=train" in said[1]
    assert "no such revision" in said[2] and "no such data set, or a private one" in said[3]
    assert load_problems(tmp_path / "refined.jsonl") == load_problems(tmp_path / "out.jsonl")


def test_without_network_it_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "also/here").mkdir(parents=True)
    convert = ["data", "convert", "--from", "mbpp"]
    names = [[*convert, f"hub:{name}", "out.jsonl"] for name in ("own/set", "also/here")]
    (absent, also) = stepcoder("http://127.0.0.1:9", tmp_path, *names)  # nothing listens there
    assert absent[0] == 2 and "the hub does not answer" in absent[1]
    assert "hf download --repo-type dataset own/set" in absent[1]
    assert also[0] == 2 and "write hub:./also/here for it" in also[1]
