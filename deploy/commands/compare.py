"""`stepcoder compare`."""

import argparse
from pathlib import Path

from stepcoder.deploy.commands.common import console
from stepcoder.errors import UserError

DESCRIPTION = """\
Put several runs side by side: how far the pass rate of each has risen, what a step cost, and one picture with all
learning curves. Runs may be under way; only their metrics.jsonl is read. With --group, runs that differ in their seed
alone are one arm, and the arms are compared with the first one, with intervals over seeds and problems."""

EXAMPLES = """\
examples:
  stepcoder compare runs/starter runs/starter-grpo runs/starter-rloo
  stepcoder compare runs/starter runs/starter-grpo --names PPO GRPO --out curves.png
  stepcoder compare runs/ppo-* runs/grpo-* --group --names PPO GRPO"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = commands.add_parser(
        "compare", help="several runs side by side: a table and a picture", description=DESCRIPTION, epilog=EXAMPLES
    )
    compare.add_argument("runs", metavar="DIR", type=Path, nargs="+", help="run directories")
    compare.add_argument("--names", metavar="NAME", nargs="+", help="what to call them (default: their directories')")
    compare.add_argument("--group", action="store_true", help="runs that differ in run.seed alone are one arm")
    compare.add_argument("--out", metavar="FILE", type=Path, help="draw the curves there (PNG); replaced if it exists")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.run.meant import meant
    from stepcoder.deploy.run.metrics import METRICS, read_metrics
    from stepcoder.deploy.run.outputs import check_picture
    from stepcoder.deploy.shown.plot import comparison
    from stepcoder.deploy.shown.summary import comparison_table, report

    files = [path / METRICS for path in options.runs]
    for path, file in zip(options.runs, files, strict=True):
        if next(iter(read_metrics(file)), None) is None:
            raise UserError(
                f"{path}: no {METRICS} with a step or an evaluation in it; give a run directory.{meant(str(path))}"
            )
    if options.group:
        return _grouped(options, files)
    names = options.names or _names(options.runs)
    if options.names is None and len(set(names)) != len(names):
        raise UserError("a run is given twice; give each once")
    if len(names) != len(options.runs) or len(set(names)) != len(names):
        raise UserError(f"--names: {len(options.runs)} different names are needed, one a run")
    if options.out is not None:
        check_picture(options.out, "--out", files)
    found = dict(zip(names, files, strict=True))
    console().print(comparison_table({name: report(file) for name, file in found.items()}))
    if options.out is not None:
        print(comparison(found, options.out))
    return 0


def _grouped(options: argparse.Namespace, files: list[Path]) -> int:
    from stepcoder.deploy.run.outputs import check_picture
    from stepcoder.deploy.study.groups import grouped
    from stepcoder.deploy.study.text import as_text

    if options.out is not None:
        check_picture(options.out, "--out", files)
    results = grouped(options.runs, options.names)
    print(as_text(results), end="")
    if options.out is not None:
        from stepcoder.deploy.study.picture import draw

        print(draw(results, options.out))
    return 0


def _names(runs: list[Path]) -> list[str]:
    """Each directory's own name, or its path where two are the same."""
    short = [path.resolve().name for path in runs]
    return short if len(set(short)) == len(short) else [str(path) for path in runs]
