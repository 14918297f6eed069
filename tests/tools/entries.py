"""An entry of each layout that a reader knows, all about doubling a number, and ways to spoil an entry."""

import base64
import copy
import json
import pickle
import zlib
from collections.abc import Iterator
from typing import Any

PRINTS = "print(2 * int(input()))\n"
FUNCTION = "def f(x):\n    return 2 * x\n"
TESTS = [{"input": "1\n", "output": "2\n"}, {"input": "2\n", "output": "4\n"}]
PAIRED = {"inputs": ["1\n", "2\n"], "outputs": ["2\n", "4\n"]}
CALLED = {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[2], [4]]}
ASSERTS = ["assert f(1) == 2", "assert f(2) == 4"]
CHECK = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 4\n"
FENCED = f"```python\n{PRINTS}```"
LCB_CALL = {"input": "1", "output": "2", "testtype": "functional"}


def packed(tests: Any) -> str:
    """As LiveCodeBench packs private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


# By format and layout.
ENTRIES: dict[tuple[str, str], dict[str, Any]] = {
    ("apps", "stdin"): {
        "problem_id": 1, "question": "Double.", "solutions": json.dumps([PRINTS]), "input_output": json.dumps(PAIRED),
        "difficulty": "interview", "starter_code": "", "url": "u",
    },
    ("apps", "call"): {
        "problem_id": 1, "question": "Double.", "solutions": json.dumps([FUNCTION]),
        "input_output": json.dumps(CALLED), "difficulty": "interview", "starter_code": "",
    },
    ("apps_plus", "stdin"): {
        "prompt": "Double.", "canonical_solution": "def main():\n    print(2 * int(input()))\n", "starter_code": "",
        **PAIRED,
    },
    ("taco", "stdin"): {
        "id": 3, "question": "Double.", "solutions": json.dumps([PRINTS]), "starter_code": "",
        "input_output": json.dumps(PAIRED), "difficulty": "EASY", "skill_types": "[]", "time_limit": "1.0 seconds",
        "memory_limit": "256.0 megabytes",
    },
    ("mbpp", "first"): {
        "task_id": 1, "text": "Double.", "code": FUNCTION, "test_setup_code": "", "test_list": ASSERTS,
        "challenge_test_list": ["assert f(0) == 0"],
    },
    ("mbpp", "sanitized"): {
        "task_id": 1, "prompt": "Double.", "code": FUNCTION, "test_imports": ["import math"],
        "test_list": [*ASSERTS, "assert math.isclose(f(3), 6)"],
    },
    ("mbpp_plus", "own"): {
        "task_id": "Mbpp/2", "prompt": '"""\nDouble.\nassert f(1) == 2\n"""\n', "entry_point": "f",
        "canonical_solution": FUNCTION, "base_input": [[1]], "plus_input": [[2]], "atol": 0,
        "assertion": "assert f(1) == 2",
    },
    ("humaneval", "own"): {
        "task_id": "HumanEval/3", "prompt": 'def f(x):\n    """ Double. """\n', "entry_point": "f",
        "canonical_solution": "    return 2 * x\n", "test": CHECK,
    },
    ("humaneval_plus", "own"): {
        "task_id": "HumanEval/3", "prompt": 'def f(x):\n    """ Double. """\n', "entry_point": "f",
        "canonical_solution": "    return 2 * x\n", "test": CHECK, "base_input": [[1]], "plus_input": [[2]], "atol": 0,
    },
    ("leetcode", "own"): {
        "task_id": "two", "prompt": "from typing import *\n", "difficulty": "Hard", "query": "Double.",
        "completion": "class Solution:\n    def f(self, x):\n        return 2 * x\n", "entry_point": "Solution().f",
        "test": "def check(candidate):\n    assert candidate(x = 1) == 2\n", "meta": {"difficulty": "Hard"},
    },
    ("codecontests", "first"): {
        "name": "1_A. Double", "description": "Double.", "difficulty": 7,
        "solutions": {"language": [3], "solution": [PRINTS]}, "public_tests": {"input": ["1\n"], "output": ["2\n"]},
        "private_tests": {"input": ["2\n"], "output": ["4\n"]}, "generated_tests": {"input": [], "output": []},
        "time_limit": {"seconds": 10, "nanos": 0}, "memory_limit_bytes": 1 << 28, "input_file": "",
    },
    ("codecontests", "plus"): {
        "id": "1_A", "title": "D", "description": "Double.", "time_limit": 1500, "memory_limit": 256, "checker": "",
        "correct_submissions": [{"language": "py3", "code": PRINTS}], "test_cases": TESTS, "is_interactive": False,
    },
    ("codecontests", "o"): {
        "name": "584_B. Double ", "description": "Double.", "checker": None,
        "corner_cases": [{"input": {"stdin": t["input"]}, "output": {"stdout": t["output"]}} for t in TESTS],
    },
    ("codecontests", "flat"): {"id": "12_c", "statement": "Double.", "solution": PRINTS, "tags": [], **PAIRED},
    ("livecodebench", "stdin"): {
        "question_content": "Double.", "question_id": "abc_a", "contest_date": "2025-01-01T00:00:00",
        "starter_code": "", "difficulty": "easy", "metadata": "{}",
        "public_test_cases": json.dumps([TESTS[0] | {"testtype": "stdin"}]),
        "private_test_cases": packed([TESTS[1] | {"testtype": "stdin"}]),
    },
    ("livecodebench", "call"): {
        "question_content": "Double.", "question_id": "33", "contest_date": "2025-01-01T00:00:00",
        "starter_code": "class Solution:\n    def f(self, x: int) -> int:\n        ", "difficulty": "easy",
        "public_test_cases": json.dumps([LCB_CALL]), "private_test_cases": packed([LCB_CALL]),
        "metadata": '{"func_name": "f"}',
    },
    ("deepcoder", "listed"): {
        "problem": "Double.", "tests": json.dumps([test | {"type": "stdin_stdout"} for test in TESTS]),
        "solutions": [FENCED], "starter_code": "", "metadata": "{}",
    },
    ("deepcoder", "paired"): {
        "problem": "Double.", "tests": json.dumps(PAIRED), "solutions": [FENCED], "starter_code": "", "metadata": "{}",
    },
    ("primeintellect", "stdin"): {
        "problem_id": "p", "task_type": "verifiable_code", "prompt": "Double.", "metadata": "{'difficulty': 'HARD'}",
        "gold_standard_solution": FENCED,
        "verification_info": json.dumps(
            {"language": "python", "test_cases": [t | {"type": "stdin_stdout", "fn_name": None} for t in TESTS]}
        ),
    },
    ("acecode", "own"): {"id": "a", "question": "Double with `f(x)`.", "test_cases": ASSERTS},
    ("kodcode", "own"): {
        "question_id": "k", "question": "Double.", "solution": FUNCTION, "gpt_difficulty": "easy",
        "test": "from solution import f\n\ndef test_a():\n    assert f(1) == 2\n",
    },
    ("verl", "stdin"): {
        "data_source": "taco", "prompt": [{"role": "user", "content": "Double."}], "ability": "code",
        "reward_model": {"ground_truth": json.dumps(PAIRED), "style": "rule"},
        "extra_info": {"index": 1, "split": "train"},
    },
    ("rstar_coder", "stdin"): {
        "question_id": "q", "question": "Double.", "starter_code": "", "inputs": json.dumps(PAIRED["inputs"]),
        "outputs": json.dumps(PAIRED["outputs"]), "func_name": None, "class_name": None,
    },
    ("rstar_coder", "call"): {
        "question_id": "q", "question": "Double.", "starter_code": "", "inputs": [[1], [2]], "outputs": [2, 4],
        "func_name": "f", "class_name": "Solution",
    },
    ("open_r1_codeforces", "own"): {
        "id": "1/A", "description": "Double.", "input_format": "n", "output_format": "2n", "note": "", "rating": 800,
        "interaction_format": None, "examples": TESTS[:1], "official_tests": TESTS, "input_mode": "stdio",
        "time_limit": 2.0, "memory_limit": 256.0, "generated_checker": None,
    },
    ("nemotron", "stdin"): {
        "responses_create_params": {"input": [{"role": "user", "content": "Double."}]},
        "verifier_metadata": {"unit_tests": PAIRED}, "hash_id": "h",
    },
}  # fmt: skip


def spoilt(entry: Any, values: list[Any]) -> Iterator[Any]:
    """The entry with each of its parts left out, or replaced by each of `values`: also parts of what a text says."""
    if isinstance(entry, str):
        try:
            said = json.loads(entry)
        except ValueError:
            return
        yield from (json.dumps(other, default=str) for other in spoilt(said, values) if _written(other))
    if not isinstance(entry, dict | list):
        return
    for key in list(entry) if isinstance(entry, dict) else range(len(entry)):
        for value in [*values, *spoilt(entry[key], values)]:
            other: Any = copy.copy(entry)
            other[key] = value
            yield other
        other = copy.copy(entry)
        del other[key]
        yield other


def _written(value: Any) -> bool:
    try:
        json.dumps(value, default=str)
    except ValueError:  # an integer of more digits than Python writes
        return False
    return True
