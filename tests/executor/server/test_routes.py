"""What each route answers."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepcoder.jsonl import dumps, loads
from tests.tools.patience import HANG_S
from tests.tools.serving import ROOT, Served, served

DOUBLE = {
    "style": "call",
    "entry_point": "double",
    "tests": [{"input": [3], "output": 6}, {"input": [-1], "output": -2}],
}
RIGHT = "def double(x):\n    if x:\n        return 2 * x\n    return 0\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file: Path = tmp_path_factory.mktemp("problems") / "p.jsonl"
    problem = {"id": "my/double", "source": "mine", "level": "introductory", "statement": "Double it.",
               "starter_code": "", "solution": RIGHT, **DOUBLE}  # fmt: skip
    file.write_text(json.dumps(problem) + "\n")
    with served("--problems", str(file), "--workers", "2", "--executor.cpu_s", "1") as started:
        yield started


@pytest.mark.parametrize("problem", [{"problem": DOUBLE}, {"problem_id": "my/double"}])
def test_a_program_is_judged(server: Served, problem: dict) -> None:
    status, answer, _ = server.ask("/judge", {"program": RIGHT, "id": 7, **problem})
    assert status == 200
    assert (answer["verdict"], answer["reward"], answer["executed_lines"], answer["id"]) == ("passed", 1, [1, 2, 3], 7)
    assert [test["verdict"] for test in answer["tests"]] == ["passed"] * 2
    status, answer, _ = server.ask("/judge", {"program": "def double(x):\n    return x + 3\n", **problem})
    assert (status, answer["verdict"], answer["reward"]) == (200, "wrong_answer", -0.3)
    assert [test["verdict"] for test in answer["tests"]] == ["passed", "wrong_answer"]


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        ({"program": "", "problem_id": "my/duble"}, 404, "'my/double'? The server was started with 1 problem"),
        ({"program": "", "problem": DOUBLE, "problem_id": "my/double"}, 422, "either `problem` or `problem_id`"),
        ({"program": ""}, 422, "either `problem` or `problem_id`"),
        ({"problem": DOUBLE}, 422, "program: Field required"),
        ({"program": 1, "problem": DOUBLE}, 422, "program: Input should be a valid string"),
        ({"program": "", "problem": DOUBLE, "langage": "python"}, 422, "langage: unknown field"),
        ({"program": "", "problem": DOUBLE | {"tests": []}}, 422, "tests: no tests"),
        ({"program": "", "problem": DOUBLE | {"testz": []}}, 422, "testz: unknown key"),
        ({"program": "", "problem": DOUBLE | {"style": "sdtin"}}, 422, "did you mean `stdin`"),
        ({"program": "", "problem": {"style": "assert", "tests": [{"code": "print(1)"}]}}, 422, "could not fail"),
        ([], 422, "object"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(server: Served, sent: dict, status: int, text: str) -> None:
    got, answer, _ = server.ask("/judge", sent)
    assert (got, text in answer["error"], "Value error" in answer["error"]) == (status, True, False), answer


def test_integers_of_any_length(server: Served) -> None:
    problem = {"style": "call", "entry_point": "f", "tests": [{"input": [10**5000], "output": 10**5000 + 1}]}
    program = "def f(x):\n    return x + 1\n"
    status, answer, _ = server.ask("/judge", {"program": program, "problem": problem, "id": 10**5000})
    assert (status, answer["verdict"], answer["id"]) == (200, "passed", 10**5000)
    status, told, _ = server.ask(
        "/judge/batch", {"samples": [{"program": program, "problem": problem, "id": 10**5000}]}
    )
    assert status == 200 and loads(told)["id"] == 10**5000
    for label in (
        problem,
        dumps(problem),
        {"inputs": [dumps(10**5000)], "outputs": ["1" + "0" * 4999 + "1"], "fn_name": "f"},
    ):
        sent = {"query": [program], "prompts": [""], "labels": [label]}
        assert server.ask("/get_reward", sent)[1]["rewards"] == 1.0
    text = {"type": "output_text", "text": f"```\n{program}```"}
    tests = {"inputs": [[10**5000]], "outputs": [10**5000 + 1], "fn_name": "f"}
    sent = {"response": {"output": [{"type": "message", "content": [text]}]}, "n": 10**5000,
            "verifier_metadata": {"unit_tests": tests}}  # fmt: skip
    status, told, _ = server.ask("/verify", sent)
    assert (status, told["reward"], told["n"]) == (200, 1.0, 10**5000)
    for given, why in (((10**50_000), "more than 50,000 digits"), (1 << 150_000, "arguments are too large")):
        wrong = problem | {"tests": [{"input": [given], "output": 1}]}
        status, told, _ = server.ask("/judge", {"program": program, "problem": wrong})
        assert status == 422 and why in told["error"]
    assert server.ask("/run_code", {"code": "", "language": "python", "run_timeout": 10**5000})[0] == 422
    lines = {"inputs": ["[" * 99_999], "outputs": ["1"], "fn_name": "f"}
    status, told, _ = server.ask("/verify", sent | {"verifier_metadata": {"unit_tests": lines}})
    assert status == 422 and "test 1: not JSON" in told["error"]


def test_what_is_not_json_is_refused(server: Served) -> None:
    assert server.ask("/judge", body=b'{"program": ')[0] == 422
    assert server.ask("/judge", body=b"{}", headers={"Content-Type": "text/plain"})[0] == 415
    packed = server.ask("/judge", body=b"{}", headers={"Content-Encoding": "gzip"})
    assert packed[0] == 415 and "Content-Encoding 'gzip' is not read" in packed[1]["error"]
    assert server.ask("/judge")[0] == 405
    assert server.ask("/nowhere", {})[0] == 404


def test_a_batch_comes_as_lines_while_others_still_run(server: Served) -> None:
    slow = "def double(x):\n    while x > 0: pass\n    return -2\n"
    samples = [
        {"program": program, "problem": DOUBLE, "id": f"s{number}"} for number, program in enumerate([slow, RIGHT])
    ]
    connection = http.client.HTTPConnection(server.host, server.port, timeout=HANG_S)
    connection.request("POST", "/judge/batch", json.dumps({"samples": samples}), {"Content-Type": "application/json"})
    response = connection.getresponse()
    lines = [json.loads(line) for line in response]
    connection.close()
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert [(line["index"], line["id"], line["verdict"]) for line in lines] == [
        (1, "s1", "passed"),
        (0, "s0", "timeout"),
    ]


def test_a_batch_with_a_wrong_problem_is_refused_before_anything_runs(server: Served) -> None:
    samples = [{"program": RIGHT, "problem": DOUBLE}, {"program": RIGHT, "problem_id": "nix"}]
    status, answer, _ = server.ask("/judge/batch", {"samples": samples})
    assert status == 404 and "nix" in answer["error"]


REWARD = """
def reward(report):
    if "boom" in (report.error or ""):
        raise KeyError("no idea")
    return 1.0
"""


def test_what_goes_wrong_with_one_program_of_a_batch_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "own_reward.py").write_text(REWARD)
    samples = [{"program": program, "problem": DOUBLE} for program in (RIGHT, "raise ValueError('boom')", RIGHT)]
    with served("--reward", "own_reward:reward", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}) as server:
        status, lines, _ = server.ask("/judge/batch", {"samples": samples})
        assert server.ask("/judge", samples[1])[0] == 500
    found = {line["index"]: line for line in map(json.loads, lines.splitlines())}
    assert status == 200 and {n: line.get("verdict") for n, line in found.items()} == {
        0: "passed",
        1: None,
        2: "passed",
    }
    assert "no idea" in found[1]["error"]


CASES = [
    ("print(input()[::-1])", "abc", "Success", 0, "cba\n", ""),
    ("print('x' * 300000)", None, "Success", 0, "x" * 300000 + "\n", ""),
    ("import sys\nprint('a', file=sys.stderr)", None, "Success", 0, "", "a\n"),
    ("print(1)\n1 / 0", None, "Failed", 1, "1\n", "ZeroDivisionError"),
    ("import sys\nsys.exit(3)", None, "Failed", 3, "", ""),
    ("raise SystemExit('bye')", None, "Failed", 1, "", "bye\n"),
    ("import os\nos._exit(4)", None, "Failed", 4, "", ""),
    ("import os\nos.kill(os.getpid(), 9)", None, "Failed", -9, "", ""),
    ("def f(:", None, "Failed", 1, "", "SyntaxError"),
    ("print(2, flush=True)\nwhile True: pass", None, "Failed", None, "2\n", ""),
    ("if __name__ == '__main__':\n    assert 1 == 2", "", "Failed", 1, "", "AssertionError"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "given", "status", "exit_code", "stdout", "stderr"), CASES)
def test_run_code_answers_as_sandbox_fusion(
    server: Served, code: str, given: str | None, status: str, exit_code: int | None, stdout: str, stderr: str
) -> None:
    sent = {"code": code, "language": "python", "stdin": given, "compile_timeout": 10, "run_timeout": 10,
            "memory_limit_MB": 1024, "files": {}, "fetch_files": []}  # fmt: skip
    got, answer, _ = server.ask("/run_code", sent)
    assert got == 200 and answer["status"] == status and answer["compile_result"] is None
    assert answer.keys() == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
    run = answer["run_result"]
    assert run.keys() == {"status", "execution_time", "return_code", "stdout", "stderr"}
    assert (run["return_code"], run["stdout"], stderr in run["stderr"]) == (exit_code, stdout, True), run
    assert run["status"] == ("TimeLimitExceeded" if exit_code is None else "Finished")


def test_run_code_keeps_the_limits_of_the_request(server: Served) -> None:
    spin = "import time\nwhile time.process_time() < 0.5: pass\nprint(1)"
    answer = server.ask("/run_code", {"code": spin, "language": "python", "run_timeout": 0.1})[1]
    assert (answer["status"], answer["run_result"]["status"]) == ("Failed", "TimeLimitExceeded")
    large = {"code": "a = bytearray(200 << 20)\nprint(1)", "language": "python"}
    assert server.ask("/run_code", large)[1]["status"] == "Success"
    answer = server.ask("/run_code", large | {"memory_limit_MB": 100})[1]
    assert (answer["status"], answer["run_result"]["stderr"].endswith("MemoryError\n")) == ("Failed", True)


@pytest.mark.parametrize(
    ("changed", "status", "text"),
    [
        ({"language": "cpp"}, 400, "'cpp' is not supported"),
        ({"language": "klingon"}, 400, "'klingon' is not supported"),
        ({"files": {"a.txt": "YQ=="}}, 400, "programs have no files"),
        ({"fetch_files": ["a"]}, 400, "programs have no files"),
        ({"timeout": 3}, 422, "timeout: unknown field"),
        ({"run_timeout": -1}, 422, "run_timeout: Input should be greater than 0"),
    ],
)
def test_run_code_refuses_what_it_cannot_do(server: Served, changed: dict, status: int, text: str) -> None:
    got, answer, _ = server.ask("/run_code", {"code": "", "language": "python"} | changed)
    assert (got, text in answer["error"]) == (status, True), answer
    if status == 400:
        assert answer["status"] == "SandboxError" and text in answer["message"]


def test_open_instruct(server: Served) -> None:
    tests = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add(0, 0) == 1"]
    sent = {"program": "def add(a, b): return a + b\n", "tests": tests, "max_execution_time": 1.0}
    for form in (tests, json.dumps(tests)):
        status, answer, _ = server.ask("/test_program", sent | {"tests": form})
        assert (status, answer["results"]) == (200, [1, 1, 0])
        assert answer["runtimes"][0] >= 0 and answer["runtimes"][2] == -1.0
    pairs = [{"input": "5 3", "output": "8"}, {"input": "10 -2", "output": "8"}, {"input": "0 0", "output": "1"}]
    sent = {"program": "a, b = map(int, input().split())\nprint(a + b)", "tests": pairs}
    assert server.ask("/test_program_stdio", sent)[1]["results"] == [1, 1, 0]
    assert server.ask("/test_program", {"program": "def f(:", "tests": tests})[1]["results"] == [0, 0, 0]
    assert server.ask("/test_program", {"program": "", "tests": []})[1] == {"results": [], "runtimes": []}
    for path, wrong in (("/test_program", [1]), ("/test_program_stdio", ["a"]), ("/test_program", "gANdcQAu")):
        status, answer, _ = server.ask(path, {"program": "", "tests": wrong})
        assert status == 422 and "test" in answer["error"]


def test_nemo_gym(server: Served) -> None:
    def ask(text: str, tests: dict) -> tuple[int, dict]:
        part = {"type": "output_text", "text": text, "annotations": []}
        output = [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": [part]}]
        sent = {"responses_create_params": {"input": []}, "response": {"id": "r", "output": output},
                "verifier_metadata": {"unit_tests": tests, "difficulty": "easy"}, "hash_id": "h"}  # fmt: skip
        status, answer, _ = server.ask("/verify", sent)
        return status, answer

    stdio = {"inputs": ["1 2", "3 4"], "outputs": ["3", "7"], "fn_name": None}
    good = "Think.\n```python\nx = 1\n```\nNow:\n```python\nprint(sum(map(int, input().split())))\n```\n"
    status, answer = ask(good, stdio)
    assert (status, answer["reward"], answer["hash_id"], answer["result"]) == (200, 1.0, "h", [True, True])
    assert answer["extracted_model_code"] == "print(sum(map(int, input().split())))"
    assert ask(good.replace("sum", "max"), stdio)[1]["reward"] == 0.0
    assert ask("no program", stdio)[1]["reward"] == 0.0
    call = {"inputs": ["[1, 2]\n3", "[4]\n1"], "outputs": ["6", "5"], "fn_name": "f"}
    assert ask("```python\nclass Solution:\n    def f(self, a, b): return sum(a) + b\n```", call)[1]["reward"] == 1.0
    assert ask("```python\ndef f(a, b): return sum(a) + b\n```", call)[1]["reward"] == 1.0
    assert ask(good, call | {"difficulty": 1})[1]["verifier_metadata"]["unit_tests"]["difficulty"] == 1
    for wrong, why in (
        (stdio | {"outputs": ["3"]}, "as many of both"),
        (call | {"outputs": ["NaN", "5"]}, "test 1: the problem format has no form for float nan"),
        (call | {"fn_name": "a b"}, "entry_point"),
        (stdio | {"func_name": "f"}, "func_name: unknown field: the function's name goes into `fn_name`"),
    ):
        status, answer = ask(good, wrong)
        assert status == 422 and why in answer["error"], answer


def test_openrlhf(server: Served) -> None:
    """The body of SingleTurnAgentExecutor._fetch_rewards_via_http: lists, which hold one query each time."""
    prompt, problems = "Double it.\n```python\nx = 1\n```\n", [DOUBLE, json.dumps(DOUBLE), "my/double"]
    answers = {
        f"So:\n```python\n{RIGHT}```<|im_end|>": 1.0,
        "def double(x):\n    return 7\n": -0.3,
        "```\n(\n```": -1.0,
    }
    for answer, worth in answers.items():
        for problem in problems:
            sent = {"query": [prompt + answer], "prompts": [prompt], "labels": [problem]}
            status, told, _ = server.ask("/get_reward", sent)
            passed = float(worth == 1)
            assert (status, told) == (200, {"rewards": worth, "scores": passed, "extra_logs": {"passed": passed}})
    many = {"query": [prompt + answer for answer in answers], "prompts": [prompt] * 3, "labels": problems}
    assert server.ask("/get_reward", many)[1]["rewards"] == list(answers.values())
    pairs = {"inputs": ["3"], "outputs": ["6"]}
    sent = {"query": ["print(2 * int(input()))"], "prompts": [""], "labels": [pairs]}
    assert server.ask("/get_reward", sent)[1]["rewards"] == 1.0
    for changed, got, text in (
        ({"prompts": []}, 422, "as many of each"),
        ({"query": [], "prompts": [], "labels": []}, 422, "at least 1 item"),
        ({"labels": [3]}, 422, "labels.0: a problem is an object or a text"),
        ({"labels": ["nix"]}, 404, "labels.0: no problem 'nix'"),
        ({"labels": [{"style": "stdin"}]}, 422, "labels.0: problem: tests: missing"),
    ):
        status, told, _ = server.ask("/get_reward", sent | changed)
        assert (status, text in told["error"]) == (got, True), told


def test_it_describes_itself(server: Served) -> None:
    status, health, _ = server.ask("/health")
    assert (status, health["status"], health["problems"]) == (200, "healthy", 1)
    _, spec, _ = server.ask("/openapi.json")
    assert set(spec["paths"]["/judge"]["post"]["responses"]) >= {"200", "401", "413", "422", "429"}
    assert "memory_limit_MB" in spec["components"]["schemas"]["RunCodeRequest"]["properties"]
    assert "/run_code" in server.ask("/docs")[1]
    server.ask("/judge", {"program": RIGHT, "problem": DOUBLE})
    _, metrics, _ = server.ask("/metrics")
    assert 'stepcoder_programs_total{verdict="passed"}' in metrics and "stepcoder_workers 2.0" in metrics
