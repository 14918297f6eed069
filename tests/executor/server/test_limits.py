"""Wrong tokens, large bodies, half requests, slow and vanished clients, full queues, an end in the middle."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stepcoder.deploy.adapters.client import Client
from tests.tools.patience import HANG_S
from tests.tools.serving import Served, served

SPIN = {"code": "while True: pass", "language": "python"}
ONE = {"code": "print(1)", "language": "python"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    words = [
        "--body-mib",
        "1",
        "--bodies-mib",
        "2",
        "--waiting",
        "3",
        "--head-s",
        "1",
        "--body-s",
        "2",
        "--send-s",
        "1",
    ]
    with served(*words, "--workers", "1", "--executor.cpu_s", "60", "--executor.output_kib", "65536") as started:
        yield started


def connect(server: Served) -> socket.socket:
    connection = socket.create_connection((server.host, server.port), timeout=HANG_S)
    return connection


def head(path: str, size: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode()
    )


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def until(true: Any) -> None:
    deadline = time.monotonic() + HANG_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def under_way(server: Served) -> int:
    return server.ask("/health")[1]["under_way"]


def begin(server: Served, data: dict) -> socket.socket:
    """A request that is sent and not waited for."""
    connection, body = connect(server), json.dumps(data).encode()
    connection.sendall(head("/run_code", len(body)) + body)
    return connection


def test_a_body_of_100_mb_is_refused_and_not_kept(server: Served) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    code = b'{"language": "python", "code": "' + b"#" * (100 * 10**6) + b'"}'
    connection = connect(server)
    connection.sendall(head("/run_code", len(code)))
    for start in range(0, len(code), MIB):
        try:
            connection.sendall(code[start : start + MIB])
        except OSError:
            break  # it need not be read to its end
    assert process.memory_info().rss - before < 40 * MIB
    connection.close()
    status, answer, headers = server.ask("/run_code", body=code[: 10 * MIB])
    assert (status, "larger than 1 MiB" in answer["error"], headers["connection"]) == (413, True, "close")
    assert server.ask("/run_code", ONE)[0] == 200


def test_a_body_in_pieces_without_a_length_is_counted_too(server: Served) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=HANG_S)
    pieces = (b"#" * 65536 for _ in range(64))
    connection.request("POST", "/judge", pieces, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_head_that_does_not_end_is_given_up(server: Served) -> None:
    with connect(server) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * (100 << 10))
        assert b" 431 " in read_all(connection)
    assert server.ask("/health")[0] == 200
    assert server.ask("/health", headers={"X": "a" * 10_000})[0] == 200
    assert server.ask("/run_code", ONE | {"stdin": "x" * (700 << 10)})[0] == 200


@pytest.mark.parametrize("sent", [b"", b"POST /judge HT", b"POST /judge HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_come_is_given_up(server: Served, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        assert b" 408 " in read_all(connection)


def test_a_body_that_does_not_come_is_given_up(server: Served) -> None:
    with connect(server) as connection:
        connection.sendall(head("/judge", 1000) + b'{"program": ')
        answer = read_all(connection)
    assert b" 408 " in answer and b"did not arrive within 2 s" in answer


def test_a_client_that_goes_away_in_its_body_leaves_nothing(server: Served) -> None:
    for _ in range(8):  # more than the bodies that may be held
        with connect(server) as connection:
            connection.sendall(head("/judge", 900_000) + b"#" * 800_000)
    until(lambda: "stepcoder_body_bytes 0.0" in server.ask("/metrics")[1])
    assert server.ask("/run_code", ONE)[0] == 200


def test_the_body_of_a_batch_counts_until_its_last_line(server: Served) -> None:
    samples = ["#" * (700 << 10), SPIN["code"]]
    body = json.dumps({"samples": [{"program": program, "problem": STDIN} for program in samples]}).encode()
    connection = connect(server)
    connection.sendall(head("/judge/batch", len(body)) + body)
    until(lambda: under_way(server) == 1)  # the other one is done
    assert f"stepcoder_body_bytes {float(len(body))}" in server.ask("/metrics")[1]
    connection.close()
    until(lambda: "stepcoder_body_bytes 0.0" in server.ask("/metrics")[1])


def test_bodies_at_once_are_bounded(server: Served) -> None:
    """The body of a request counts until its answer is there."""
    waiting = [begin(server, SPIN | {"stdin": "x" * (900 << 10)}) for _ in range(2)]
    until(lambda: under_way(server) == 2)
    status, answer, headers = server.ask("/run_code", ONE | {"stdin": "x" * (900 << 10)})
    assert (status, headers["retry-after"]) == (429, "1"), answer
    for connection in waiting:
        connection.close()
    until(lambda: under_way(server) == 0)


def test_a_full_queue_is_told_and_clients_that_leave_free_it(server: Served) -> None:
    waiting = [begin(server, SPIN) for _ in range(3)]
    until(lambda: under_way(server) == 3)
    for path, data in (("/run_code", ONE), ("/judge", {"program": "", "problem": STDIN})):
        status, answer, headers = server.ask(path, data)
        assert status == 429 and int(headers["retry-after"]) >= 1 and "try again" in answer["error"]
    for connection in waiting:
        connection.close()
    until(lambda: under_way(server) == 0)
    assert server.ask("/run_code", ONE)[1]["run_result"]["stdout"] == "1\n"  # long before 60 s of CPU
    assert "stepcoder_abandoned_total" in server.ask("/metrics")[1]


STDIN = {"style": "stdin", "tests": [{"input": "", "output": ""}]}


def test_a_batch_that_nobody_reads_any_more_ends(server: Served) -> None:
    body = json.dumps({"samples": [{"program": "while True: pass", "problem": STDIN}] * 20}).encode()
    with connect(server) as connection:
        connection.sendall(head("/judge/batch", len(body)) + body)
        until(lambda: under_way(server) > 0)
    until(lambda: under_way(server) == 0)
    assert server.ask("/run_code", ONE)[0] == 200


def test_a_client_that_does_not_read_is_cut_off(server: Served) -> None:
    large = {"code": "print('x' * (40 << 20))", "language": "python"}
    connection = connect(server)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps(large).encode()
    connection.sendall(head("/run_code", len(body)) + body)
    process = psutil.Process(server.process.pid)
    until(lambda: len([c for c in process.net_connections() if c.status == "ESTABLISHED"]) == 0)
    connection.close()
    assert server.ask("/run_code", ONE)[0] == 200


def test_an_open_server_needs_a_token(tmp_path: Path) -> None:
    with served("--host", "0.0.0.0", "--workers", "1") as server:
        made = next(line for line in server.said if "token" in line).split()[2]
        checks(server, made)
    file = tmp_path / "token"
    file.write_text("geheim-ä\n", encoding="utf-8")
    with served("--token-file", str(file), "--workers", "1") as server:
        assert not any("token " in line for line in server.said)
        checks(server, "geheim-ä")


def checks(server: Served, token: str) -> None:
    basic = base64.b64encode(f"judge:{token}".encode()).decode()
    bearer: dict[str, Any] = {"Authorization": b"Bearer " + token.encode()}
    others = ["Bearer nix", "Bearer", "Basic anVkZ2U6bml4", f"Basic ä{basic}".encode(), b"Bearer \xff\xfe",
              b"Bearer " + token.encode()[:-1]]  # fmt: skip
    wrong: list[dict[str, Any]] = [{}, *({"Authorization": value} for value in others)]
    for headers in wrong:
        status, answer, _ = server.ask("/run_code", ONE, headers)
        assert status == 401 and "Authorization: Bearer TOKEN" in answer["error"]
        assert server.ask("/metrics", headers=headers)[0] == 401
    assert server.ask("/health")[0] == 200
    for headers in (bearer, {"Authorization": f"Basic {basic}"}):
        assert server.ask("/run_code", ONE, headers)[0] == 200


def test_a_token_of_the_environment_is_taken_without_blanks_around_it() -> None:
    with served("--workers", "1", env={"STEPCODER_JUDGE_TOKEN": " geheim\n"}) as server:
        checks(server, "geheim")
        Client(server.url, "geheim \n").post("/run_code", ONE)
    with served("--workers", "1", env={"STEPCODER_JUDGE_TOKEN": " \n"}) as server:
        assert server.ask("/run_code", ONE)[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_is_under_way_before_it_ends(number: int) -> None:
    with served("--workers", "1") as server:
        count = {"code": "import time\nwhile time.process_time() < 1: pass\nprint(1)", "language": "python"}
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(server.ask("/run_code", count)[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: under_way(server) == 2)
        os.kill(server.process.pid, number)
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert server.process.wait(HANG_S) == 0


def test_it_says_why_it_cannot_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cannot_start(["--port", str(taken.getsockname()[1])], "cannot listen on 127.0.0.1 port")
    cannot_start(["--port", "99999"], "--port: Input should be less than or equal to 65535")
    cannot_start(["--problems", str(tmp_path / "none.jsonl")], "none.jsonl")
    cannot_start(["--token-file", str(tmp_path / "none")], "cannot be read")
    cannot_start(["--learner.lr", "1"], "serve does not know --learner.lr")


def cannot_start(words: list[str], text: str) -> None:
    with pytest.raises(AssertionError, match="did not start") as caught, served(*words):
        pass
    assert text in str(caught.value)
