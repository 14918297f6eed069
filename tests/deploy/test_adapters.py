"""Each adapter, called as its trainer's own reward loop calls it; in this process and through a server."""

import asyncio
import importlib.util
import inspect
import json
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stepcoder.deploy.adapters import judge as judging
from stepcoder.deploy.adapters import openrlhf, slime, verifiers, verl
from stepcoder.deploy.adapters.client import Client
from stepcoder.deploy.adapters.judge import Judge, Judged, NotJudged, shared
from stepcoder.deploy.adapters.mask import executed_mask
from stepcoder.deploy.adapters.program import program_in
from stepcoder.deploy.adapters.trl import CodeReward
from stepcoder.jsonl import dumps
from tests.tools.serving import ROOT, Served, served

PROBLEM = {"style": "call", "entry_point": "f", "tests": [{"input": [2], "output": 4}, {"input": [0], "output": 0}]}
STDIN = {"inputs": ["1 2\n"], "outputs": ["3\n"]}
RIGHT = "Think:\n```python\nf = 1\n```\nSo:\n```python\ndef f(x):\n    return 2 * x\n```\nDone."
WRONG = RIGHT.replace("2 *", "3 *")
BROKEN = "```python\ndef f(x:\n```"
WORTH = [(RIGHT, 1.0), (WRONG, -0.3), (BROKEN, -1.0)]
ANSWERS = [answer for answer, _ in WORTH]
REWARDS = [reward for _, reward in WORTH]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served("--workers", "1", env={"STEPCODER_JUDGE_TOKEN": "geheim"}) as started:
        yield started


@pytest.fixture(params=["here", "server"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    """None, or a server's; the judge that adapters share uses the same."""
    url = None
    if request.param == "server":
        url = request.getfixturevalue("server").url.replace("//", "//judge:geheim@")
        monkeypatch.setenv("STEPCODER_JUDGE_URL", url)
    shared.cache_clear()
    yield url
    shared().close()
    shared.cache_clear()


def test_trl(url: str | None) -> None:
    """GRPOTrainer._calculate_rewards; AsyncGRPO pickles the function."""
    reward = pickle.loads(pickle.dumps(CodeReward(url)))
    assert reward.__name__ and not inspect.iscoroutinefunction(reward)
    extra, metrics = {}, {}
    count = len(ANSWERS)
    rewards = reward(
        prompts=["?"] * count, completions=ANSWERS, completion_ids=[[1]] * count, trainer_state=object(),
        log_extra=extra.__setitem__, log_metric=metrics.__setitem__, problem=[PROBLEM] * count, level=["easy"] * count,
    )  # fmt: skip
    assert rewards == REWARDS
    assert extra["verdict"] == ["passed", "wrong_answer", "compile_error"] and metrics["passed"] == pytest.approx(1 / 3)
    chats = [[{"role": "assistant", "content": answer}] for answer in ANSWERS]
    assert reward(prompts=[[]] * count, completions=chats, problem=[json.dumps(PROBLEM)] * count) == REWARDS
    with pytest.raises(ValueError, match="no column 'problem'.*it has level"):
        reward(prompts=["?"], completions=[RIGHT], level=["easy"])
    parts = [[{"role": "assistant", "content": [{"type": "text", "text": answer}]}] for answer in ANSWERS]
    assert reward(prompts=[[]] * count, completions=parts, problem=[PROBLEM] * count) == REWARDS
    with pytest.raises(ValueError, match="a text or a list of messages"):
        reward(prompts=[[]], completions=[[{"role": "assistant", "content": 3}]], problem=[PROBLEM])
    reward.judge.close()


def test_verl(url: str | None) -> None:
    """NaiveRewardManager.run_single, with the arguments that get_custom_reward_fn binds."""
    assert inspect.iscoroutinefunction(verl.compute_score)
    score = partial(verl.compute_score, url=url)

    async def loop() -> list[dict[str, Any]]:
        return [
            await score(
                data_source="mine",
                solution_str=answer,
                ground_truth=json.dumps(PROBLEM),
                extra_info={"num_turns": 2},
                reward_router_address=None,
            )  # fmt: skip
            for answer in ANSWERS
        ]

    results = asyncio.run(loop())
    assert [one["score"] for one in results] == REWARDS
    assert [one["acc"] for one in results] == [1.0, 0.0, 0.0]
    plus = "```python\nprint(sum(map(int, input().split())))\n```"
    assert asyncio.run(score(data_source="m", solution_str=plus, ground_truth=json.dumps(STDIN)))["score"] == 1.0
    shared(url).close()


@pytest.mark.parametrize(
    ("problem", "right", "wrong"),
    [  # values, perhaps in lists of their own, as APPS, TACO and Eurus-2-RL have them
        ({"inputs": [["abc"], [""]], "outputs": [["cba"], [""]], "fn_name": "f"}, "x[::-1]", "x"),
        ({"inputs": [["abc"], [""]], "outputs": ["cba", ""], "fn_name": "f"}, "x[::-1]", "x"),
        ({"inputs": [[[1, 2]]], "outputs": [[[2, 1]]], "fn_name": "f"}, "x[::-1]", "x"),
        ({"inputs": [[[1, 2]]], "outputs": [[2, 1]], "fn_name": "f"}, "x[::-1]", "x"),
        ({"inputs": [[[1, 2]]], "outputs": [["12"]], "fn_name": "f"}, "'12'", "12"),
        # an argument a line, as LiveCodeBench has them
        ({"inputs": ['"abc"'], "outputs": ['"cba"'], "fn_name": "f"}, "x[::-1]", "x"),
        ({"inputs": ["[1, 2]\n"], "outputs": ["[2]"], "fn_name": "f"}, "x[1:]", "2"),
        # JSON makes the keys of a dictionary texts
        ({"inputs": [[{"1": 2}]], "outputs": [{"3": 2}], "fn_name": "f"}, "{k + 2: v for k, v in x.items()}", "x"),
        ({"inputs": [[{"1": 2}]], "outputs": [[{"3": 2}]], "fn_name": "f"}, "{k + 2: v for k, v in x.items()}", "x"),
        ({"inputs": ['{"1": 2}'], "outputs": ['{"11": 2}'], "fn_name": "f"}, "{k + '1': v for k, v in x.items()}", "x"),
        ({"inputs": [[{1: 2}]], "outputs": [{3: 2}], "fn_name": "f"}, "{k + 2: v for k, v in x.items()}", "x"),
        ({"inputs": [[{"1a": 2}]], "outputs": [{"1a": 3}], "fn_name": "f"}, "{'1a': x['1a'] + 1}", "x"),
        ({"inputs": [[{"$dict": 2}]], "outputs": [2], "fn_name": "f"}, "x['$dict']", "x"),
        # integers of any length
        ({"inputs": ["1" * 5000], "outputs": ["1" * 4999 + "2"], "fn_name": "f"}, "x + 1", "x"),
        ({"inputs": [[10**5000]], "outputs": [10**5000 + 1], "fn_name": "f"}, "x + 1", "x"),
    ],
)
def test_values_and_lines_of_a_ground_truth(problem: dict[str, Any], right: str, wrong: str) -> None:
    judge = Judge(executor={"workers": 1})
    for form in (problem, dumps(problem)):
        for answer, verdict in ((right, "passed"), (wrong, "wrong_answer")):
            for program in (f"def f(x): return {answer}", f"class Solution:\n    def f(self, x): return {answer}"):
                assert judge.one(program, form).verdict == verdict
    judge.close()


def test_values_of_a_native_problem_that_json_changes(server: Served) -> None:
    tests = [{"input": [{1: 2}], "output": {(1 << 17_000): 3}}, {"input": ({1: (2, 4)},), "output": {4: 10**5000}}]
    for judge in (Judge(executor={"workers": 1}), Judge(server.url, "geheim")):
        problem = {"style": "call", "entry_point": "f", "tests": tests}
        program = "def f(x): return {1 << 17_000: 3} if x[1] == 2 else {4: 10**5000}"
        assert judge.one(program, problem).verdict == "passed"
        assert judge.one(program.replace("4:", "'4':"), problem).verdict == "wrong_answer"
        judge.close()


def test_printed_ground_truths() -> None:
    judge, program = Judge(executor={"workers": 1}), "print(int(input()) + int(input()))"
    for given, wanted in (("1\n2\n", "3\n"), (["1", "2"], ["3"])):
        for name in ({}, {"fn_name": None}, {"fn_name": ""}):
            problem = {"inputs": [given], "outputs": [wanted]} | name
            assert judge.one(program, problem).verdict == "passed"
            assert judge.one("print(4)", problem).verdict == "wrong_answer"
    judge.close()


def test_openrlhf(url: str | None) -> None:
    """SingleTurnAgentExecutor loads the file by its path and asks for one query at a time."""
    spec = importlib.util.spec_from_file_location("reward_func", str(openrlhf.__file__))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for answer, worth in WORTH:
        info = module.reward_func(["Q: " + answer + "<|im_end|>"], ["Q: "], [json.dumps(PROBLEM)])
        assert (info["rewards"], info["scores"]) == (worth, float(worth == 1))
    assert module.reward_func(ANSWERS, [""] * 3, [json.dumps(PROBLEM)] * 3)["rewards"] == REWARDS


def test_verifiers(url: str | None) -> None:
    """Task.score calls a plugged reward with the task's data and the trace."""
    data = SimpleNamespace(problem=PROBLEM)
    for task in (data, SimpleNamespace(data=data)):
        for answer, worth in WORTH:
            assert asyncio.run(verifiers.judged(task=task, trace=SimpleNamespace(last_reply=answer))) == worth
    assert asyncio.run(verifiers.judged(task=data, trace=SimpleNamespace(last_reply=None))) < 0


def test_slime(url: str | None) -> None:
    """async_rm and batched_async_rm."""
    samples = [
        SimpleNamespace(prompt="?", response=answer, label=json.dumps(PROBLEM), metadata={}) for answer in ANSWERS
    ]

    async def single() -> list[Any]:
        return await asyncio.gather(*(slime.custom_rm(SimpleNamespace(), sample) for sample in samples))

    assert asyncio.run(single()) == REWARDS
    assert asyncio.run(slime.custom_rm(SimpleNamespace(), samples)) == REWARDS


def test_skyrl(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """skyrl_gym is not installed: two names of it, as its source has them, stand in for it."""
    base = types.ModuleType("skyrl_gym.envs.base_text_env")
    base.BaseTextEnv, base.BaseTextEnvStepOutput = object, dict  # type: ignore[attr-defined]
    for name in ("skyrl_gym", "skyrl_gym.envs"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, base.__name__, base)
    monkeypatch.delitem(sys.modules, "stepcoder.deploy.adapters.skyrl", raising=False)
    from stepcoder.deploy.adapters.skyrl import CodeEnv

    for answer, worth in WORTH:
        env = CodeEnv(env_config={}, extras={"reward_spec": {"ground_truth": json.dumps(PROBLEM)}})
        step = env.step(answer)
        assert (step["reward"], step["done"], step["observations"]) == (worth, True, [])
    with pytest.raises(ValueError, match="ground_truth"):
        CodeEnv({}, {})


def test_the_mask_counts_executed_tokens_in_the_completion() -> None:
    completion = "Look:\n```python\ndef f(x):\n    if x > 9:\n        return 1\n    return 2 * x\n```\nend"
    with_lines = Judge(executor={"workers": 1})
    judged = with_lines.one(program_in(completion).program, PROBLEM)
    with_lines.close()
    assert judged.executed_lines == (1, 2, 4)
    offsets = [(at, at + 1) for at in range(len(completion))]
    for report in (judged, judged.report):
        mask = executed_mask(completion, report, offsets)
        kept = "".join(letter for letter, counts in zip(completion, mask, strict=True) if counts)
        assert "return 2 * x" in kept and "if x > 9:" in kept and "```" in kept
        assert "return 1" not in kept and "Look" not in kept and "end" not in kept
    with pytest.raises(ValueError, match="no executed lines"):
        executed_mask(completion, {"executed_lines": None}, offsets)


@pytest.mark.parametrize("beside", [{}, {"inputs": [""], "outputs": [None]}])
def test_asserts_of_a_ground_truth(beside: dict[str, Any]) -> None:
    judge = Judge(executor={"workers": 1})
    problem = {"assert_case": ["assert f(1) == 2", " "]} | beside
    for program, verdict in (("def f(x): return 2 * x", "passed"), ("def f(x): return x", "wrong_answer")):
        assert judge.one(program, problem).verdict == judge.one(program, dumps(problem)).verdict == verdict
    judge.close()


def test_what_cannot_be_judged_is_told(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for judge in (Judge(executor={"workers": 1}), Judge(server.url, "geheim")):
        for problem, text in (
            ({"style": "stdin", "tests": []}, "no tests"),
            ("nix", "no problem 'nix'"),
            (json.dumps([PROBLEM] * 99), "no problem '.{99}[^']"),
            (3, "an object"),
            (str(PROBLEM), "^the problem is not JSON: Expecting property name"),
            ('{"style": "call", "tests": ' + "[" * 9999, "^the problem is not JSON: "),
            ({"inputs": ["1"]}, "^the problem: outputs: Field required$"),
            (STDIN | {"assert_case": ["assert f(1)"]}, "^`assert_case` stands beside inputs"),
            ({"assert_case": "assert f(1)"}, "^`assert_case` is no list of texts$"),
            ({"inputs": "1", "outputs": ["1"]}, "^the problem: inputs: Input should be a valid list$"),
        ):
            with pytest.raises(ValueError, match=text) as told:
                judge.one("", problem)  # type: ignore[arg-type]
            assert len(str(told.value)) < 300
        judge.close()
    deep: list[Any] = []
    for _ in range(9999):
        deep = [deep]
    for value, text in (({1}, "set"), (deep, "depth")):
        with pytest.raises(ValueError, match=f"the problem is no JSON data: .*{text}"):
            Judge(executor={"workers": 1}).one("", PROBLEM | {"tests": [{"input": [value], "output": 0}]})
    for executor, text in (
        ({"wrokers": 1}, "^executor: wrokers: unknown field$"),
        ({"workers": 0, "level": "1"}, "^executor: level: Input should be 'auto', 1.*; workers: Input should be"),
        ({"reward": "nix:f"}, "nix"),
    ):
        with pytest.raises(ValueError, match=text):  # before a model is loaded
            CodeReward(executor=executor)
    with pytest.raises(ValueError, match="401: wrong or missing token"):
        Judge(server.url, "nix").one("", PROBLEM)
    with pytest.raises(ValueError, match="http://host:port"):
        Client("localhost:80")
    with pytest.raises(ConnectionError, match="did not answer"):
        Client("http://127.0.0.1:1", patience_s=0.0).post("/judge", {})
    with pytest.raises(NotJudged, match="no room"):
        Judged(None, "infra_error", (), {"error": "no room"}).number()
    with pytest.raises(ValueError, match="belong to the server"):
        Judge(server.url, problems="p.jsonl")
    assert judging._AT_ONCE > 1


def test_adapters_need_no_torch() -> None:
    names = [f"stepcoder.deploy.adapters.{file.stem}" for file in Path(judging.__file__).parent.glob("*.py")
             if file.stem not in ("__init__", "skyrl")]  # fmt: skip
    code = f"import sys, {', '.join(names)}; print({{'torch', 'ray', 'transformers'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
