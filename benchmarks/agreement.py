"""Do our verdicts agree with those of other judges? The same pairs of a program and a problem, judged by both.

    python -m benchmarks.agreement --peers DIR [--data ../shared/data] [--pairs 2000] [--only lcb apps evalplus tokens]
    python -m benchmarks.agreement --peers DIR --part 1/10    # every tenth pair of these

| ours | theirs | pairs |
|---|---|---|
| `lcb` | LiveCodeBench's `run_test` | half standard input, half calls |
| `apps` | the APPS harness's `run_test` | the same |
| EvalPlus's tolerance, as its readers keep it | EvalPlus's `unsafe_execute` | calls of functions |
| `tokens` | DMOJ's checker of floats, on what the programs print here | standard input; no `007`, no `1_000` |

LiveCodeBench and APPS put a program into a function and give it other streams, in which a quarter to a third of the
solutions fail: they do not find their global names, `fileno`, `__name__ == "__main__"`. Problems whose own solution
fails there, and passes here, are left out and counted: what agrees or not is the verdict on what a program answers.

benchmarks.agreement_peers says where the peers' sources have to be; a peer that is not there is left out, by name.
Exit code 1 where a pair is judged otherwise and KNOWN does not say why, or where such pairs are more than 1 %.
"""

import argparse
import ast
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import agreement_peers as peers
from benchmarks.agreement_pairs import Pair, dealt, text_problems, value_problems
from benchmarks.references import DATA
from stepcoder.curriculum.data.readers.outputs import Asked, judged_by_values
from stepcoder.curriculum.data.readers.suites import SETUP
from stepcoder.executor.case_json import integer_keys
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report
from stepcoder.executor.suite import Case, Compare, Suite

MOST = 0.01  # share of pairs that may be judged otherwise, each for a reason in KNOWN
METHODS = 100  # problems with a method of a class, and as many with a function, beside those with texts
KINDS = ("lcb", "apps", "evalplus", "tokens")

# Forms on which the checkers of contests differ themselves: DMOJ takes what Python's float() takes, testlib neither.
_CHECKERS_DIFFER = ("integers with underscores", "integers with zeros in front")
# Why theirs is wrong, by what a pair's name, its function's, or our report's error contains.
_EXIT = {"SystemExit: 1": "the program ends with exit code 1, which theirs does not look at"}
_ORACLES = (
    "are_equivalent", "sum_div", "surface_Area", "digit_distance_nums", "check_str", "text_match_three",
    "text_starta_endb", "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff", "find_zero",
)  # fmt: skip
_DIGITS = "digits with zeros in front are a text, as to testlib; theirs asks Python's float()"
_INTEGERS = "an integer has to agree exactly; theirs allows a millionth of it"
KNOWN: dict[str, dict[str, str]] = {
    "lcb": _EXIT,
    "apps": _EXIT,
    "evalplus": dict.fromkeys(_ORACLES, "theirs judges this function by a rule of its own, made for its own tests")
    | {
        "mbpp/157: floats for integers": "theirs compares a float exactly where it is in a list of lists",
        "mbpp/618: tuples for lists": "floats in lists are compared as values here, where a tuple counts as a list",
    },
    "tokens": {
        "integers as exponents": _INTEGERS,
        "1444_a_division_6380: numbers": _INTEGERS,  # beyond 2^53: written by way of a float they are other integers
        "1325_d_ehab_the_xorcist_11372: numbers": _INTEGERS,
        "233_c_cycles_555: line 12, '' became '_'": "0_1_0 is no number; theirs asks Python's float()",
        "1144_f_graph_without_long_directed_paths_741: numbers": _DIGITS,
    },
}


@dataclass(frozen=True, slots=True)
class Found:
    """Verdicts on the same pairs: whether each passes."""

    pairs: list[Pair]
    ours: list[Report]
    theirs: list[bool]

    def apart(self) -> list[tuple[Pair, Report]]:
        """The pairs that are judged otherwise, and our reports."""
        both = zip(self.pairs, self.ours, self.theirs, strict=True)
        return [(pair, mine) for pair, mine, other in both if mine.passed is not other]


def suite(kind: str, pair: Pair) -> Suite:
    """The tests as a reader of that data set makes them."""
    problem = pair.problem
    if kind == "evalplus":
        inputs = [list(given) for given in problem.inputs]
        return judged_by_values(Asked(str(problem.entry)), inputs, list(problem.outputs), 0)
    inputs, outputs = problem.inputs, problem.outputs
    if kind == "apps" and problem.entry is not None:
        inputs = [integer_keys(list(given)) for given in inputs]
        outputs = list(map(integer_keys, outputs))
    cases = tuple(Case(given, wanted) for given, wanted in zip(inputs, outputs, strict=True))
    style = "stdin" if problem.entry is None else "call"
    compare: Compare = {"lcb": Compare("lcb"), "apps": Compare("apps"), "tokens": Compare("tokens")}[kind]
    return Suite(style, cases, problem.entry, SETUP if kind == "apps" else "", compare, prelude=kind == "lcb")


def ours(kind: str, pairs: Sequence[Pair], config: ExecutorConfig) -> list[Report]:
    with LocalPool(config) as pool:
        return list(pool.map((pair.program, suite(kind, pair)) for pair in pairs))


def dmoj(folder: Path, pairs: Sequence[Pair], config: ExecutorConfig) -> list[bool]:
    """Of what the programs print in our sandbox: a program passes where each test ends well and agrees."""
    with LocalPool(config) as pool:
        waiting = [pool.submit(pair.program, suite("tokens", pair), plain=True) for pair in pairs]
        reports = [future.result() for future in waiting]
    found = []
    for pair, report in zip(pairs, reports, strict=True):
        ended = len(report.tests) == len(pair.problem.outputs) and all(test.error is None for test in report.tests)
        printed = [test.stdout for test in report.tests]
        found.append(ended and all(peers.compare(folder, list(zip(pair.problem.outputs, printed, strict=True)))))
    return found


def pairs_of(kind: str, folder: Path, data: Path, count: int, config: ExecutorConfig) -> tuple[list[Pair], list[str]]:
    """The pairs, and the problems left out because the peer does not get their own solution to run."""
    if kind == "evalplus":
        return dealt(value_problems(data), count), []
    problems = text_problems(data)
    if kind == "tokens":
        pairs = dealt(problems, count + 100)
        return [pair for pair in pairs if pair.kind not in _CHECKERS_DIFFER][:count], []
    forms = (lambda text: text, lambda text: ast.unparse(ast.parse(text)))  # as it stands, and as mutants are written
    solutions = [Pair(problem, "solution", form(problem.solution)) for problem in problems for form in forms]
    found = Found(
        solutions, ours(kind, solutions, config), peers.judge(folder, kind, solutions, math.ceil(config.cpu_s))
    )
    left_out = sorted({pair.problem.id for pair, mine in found.apart() if mine.passed})
    half = dealt([problem for problem in problems if problem.id not in left_out], count // 2)
    return half + dealt(value_problems(data, METHODS), count - len(half)), left_out


def measure(kind: str, folder: Path, pairs: list[Pair], config: ExecutorConfig) -> Found:
    seconds = math.ceil(config.cpu_s)
    theirs = dmoj(folder, pairs, config) if kind == "tokens" else peers.judge(folder, kind, pairs, seconds)
    return Found(pairs, ours(kind, pairs, config), theirs)


def reason(kind: str, pair: Pair, report: Report) -> str | None:
    about = f"{pair.name}\n{pair.problem.entry}\n{report.error}"
    return next((why for part, why in KNOWN[kind].items() if part in about), None)


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    return int(number), int(of)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder of the peers' sources")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs a judge (default: 2000)")
    parser.add_argument("--seconds", type=int, default=4, help="of one test: the peers' by the clock (default: 4)")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="K/N", help="every Nth pair, from the Kth on")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110, soft_wrap=True)
    if not options.data.is_dir():
        console.print(f"no folder {options.data}: give the data sets' folder with --data")
        return 2
    patient = {"wall_s": 60.0 * options.seconds, "idle_s": 60.0 * options.seconds}
    config = ExecutorConfig(workers=len(os.sched_getaffinity(0)), cpu_s=options.seconds, coverage=False, **patient)
    table = Table("ours", "pairs", "pass", "agree", "otherwise, and why", "otherwise, unexplained")
    failed, lines = False, []
    for kind in options.only:
        if why := peers.missing(options.peers, "dmoj" if kind == "tokens" else kind):
            console.print(f"{kind}: left out, {why}", highlight=False)
            continue
        folder = options.peers.resolve()
        pairs, left_out = pairs_of(kind, folder, options.data, options.pairs, config)
        found = measure(kind, folder, pairs[options.part[0] - 1 :: options.part[1]], config)
        apart = [(pair, mine.passed, reason(kind, pair, mine)) for pair, mine in found.apart()]
        unexplained = [pair for pair, _, why in apart if why is None]
        share = 1 - len(apart) / len(found.pairs)
        table.add_row(kind, str(len(found.pairs)), str(sum(report.passed for report in found.ours)), f"{share:.2%}",
                      str(len(apart) - len(unexplained)), str(len(unexplained)))  # fmt: skip
        if left_out:
            lines.append(f"{kind}: {len(left_out)} problems left out: their solution fails there, and passes here")
        failed |= bool(unexplained) or share < 1 - MOST
        lines += [f"{kind}: {'passes' if mine else 'fails'} here only, {pair.name}: {why or 'UNEXPLAINED'}"
                  for pair, mine, why in apart]  # fmt: skip
    console.print(table)
    for line in lines:
        console.print(line, highlight=False, markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
