"""`stepcoder data select`: the problems on which a curriculum can help a model."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from stepcoder.deploy.commands.common import console, nothing_kept
from stepcoder.errors import UserError
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.curriculum.data.select import Bounds, Rates

DESCRIPTION = """\
Let a model write each problem from each of its start points, and keep those that it hardly ever solves in full and
often enough from the last course. Prints the pass rate of every stage: does a prefix unlock anything? Completions are
sampled as in training."""

EXAMPLES = """\
examples:
  stepcoder data select starter:train hard.jsonl --config configs/starter.yaml
  stepcoder data select all.jsonl hard.jsonl --config mine.yaml --model my-model --samples 16 --rates rates.jsonl

Any setting of 'stepcoder train --help all' may follow; those under curriculum., rollout. and executor. matter."""


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    select = actions.add_parser(
        "select", help="keep problems by a model's pass rate at each stage", description=DESCRIPTION, epilog=EXAMPLES,
        usage="stepcoder data select PROBLEMS OUT --config FILE [--model MODEL] [--SETTING VALUE ...]",
    )  # fmt: skip
    select.add_argument("problems", metavar="PROBLEMS", help="problems; 'starter:train' is shipped")
    select.add_argument("out", metavar="OUT", type=Path, help="those that are kept; packed where the name ends in .gz")
    select.add_argument("--config", metavar="FILE", required=True, help="a configuration of 'stepcoder train'")
    select.add_argument(
        "--samples", metavar="N", type=int, default=8, help="completions a stage (default: %(default)s)"
    )
    select.add_argument(
        "--full", metavar="SHARE", type=float, default=0.05,
        help="keep problems passed at most this often at full generation (default: %(default)s)",
    )  # fmt: skip
    select.add_argument(
        "--last", metavar="SHARE", type=float, default=0.2,
        help="... and at least this often from the course nearest the end (default: %(default)s)",
    )  # fmt: skip
    select.add_argument("--rates", metavar="FILE", type=Path, help="also write every rate there, as JSON lines")
    select.add_argument("--force", action="store_true", help="replace OUT and the rates where they exist")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.curriculum.data.files import LineFile, check_input, check_packing, write_text
    from stepcoder.curriculum.data.select import Bounds, selected
    from stepcoder.curriculum.problems.dump import problem_line
    from stepcoder.deploy.checks.formats import settle
    from stepcoder.deploy.checks.preflight import preflight
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.run.outputs import check_output

    if options.samples < 1 or not (0 <= options.full <= 1 and 0 <= options.last <= 1):
        raise UserError("--samples is 1 or more, --full and --last are shares from 0 to 1")
    check_packing(options.out)
    source = check_input(options.problems)
    for name, file in (("OUT", options.out), ("--rates", options.rates)):
        if file is not None:
            check_output(file, name, [source], options.force)
    data = ["--data.train", options.problems, "--data.heldout", "[]"]
    config, _ = settle(load_config(options.config, [*settings, *data]))
    ready = preflight(config, writes=False)
    from stepcoder.deploy.training.probing import probe

    rates, bounds = probe(config, ready, options.samples), Bounds(options.full, options.last)
    kept = selected(ready.train, rates, bounds)
    if kept:
        with LineFile(options.out) as file:
            for problem in kept:
                file.write(problem_line(problem))
            file.commit()
    if options.rates is not None:
        write_text(options.rates, "".join(_lines(rates)))
    tell(rates, bounds)
    if not kept:
        raise nothing_kept(options.problems, len(ready.train), options.out)
    print(f"problems   {options.out}: {len(kept):,} of {plural(len(ready.train), 'problem')}")
    return 0


def _lines(rates: "dict[str, Rates]") -> list[str]:
    return [
        json.dumps({"problem_id": problem, "stage": stage, "passed": passed, "total": total}) + "\n"
        for problem, own in rates.items()
        for stage, (passed, total) in sorted(own.items())
    ]


def tell(rates: "dict[str, Rates]", bounds: "Bounds") -> None:
    """The table of stages."""
    from rich.table import Table

    from stepcoder.curriculum.data.select import stage_rows

    table = Table("stage", "problems", "passed", "never solved in full", "of these solved from here", box=None)
    for row in stage_rows(rates):
        name = "0, full generation" if row.stage == 0 else str(row.stage)
        table.add_row(name, f"{row.problems}", f"{row.passed / row.written:.1%}", f"{row.lost}", f"{row.unlocked}")
    console().print(table)
    print(f"kept: at most {bounds.full:.0%} in full, at least {bounds.last:.0%} from the last course")
