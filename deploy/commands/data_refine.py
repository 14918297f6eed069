"""`stepcoder data refine`: of a data set, the problems that can be trained on."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stepcoder.deploy.commands.common import (
    chosen_format,
    console,
    executor_config,
    kind_option,
    nothing_kept,
    stop,
    stopped,
)
from stepcoder.ending import on_request
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.curriculum.data.keep import Outcome
    from stepcoder.curriculum.data.readers.hub import Location


DESCRIPTION = """\
Run the solutions of problems on their tests and keep what is sound, as APPS+ was made from APPS: entries without
input, output or solution are dropped, and those whose solution does not compile, does not run in time or disagrees
with a test; near-duplicates; and problems too like those of evaluation sets. The same command continues an interrupted
run."""

FILES = """\
files beside OUT:
  OUT.rejected.jsonl   what was dropped: {"reason", "where", "detail", "id", "level"}
  OUT.findings.jsonl   what running every entry showed; with it, other choices about duplicates, evaluation sets, the
                       split or --keep-unsolved take seconds. Until it is complete: OUT.findings.jsonl.partial
  NAME.heldout.jsonl   with --split, for an OUT called NAME.jsonl

examples:
  stepcoder data refine raw.jsonl train.jsonl --report report.html
  stepcoder data refine --from apps APPS/train train.jsonl --solution shortest --compare apps
  stepcoder data refine raw.jsonl train.jsonl --against humaneval:HumanEval.jsonl.gz --against mbpp:mbpp.jsonl
  stepcoder data refine raw.jsonl train.jsonl --split 0.1 --mutants 5 --executor.cpu_s 10

Every setting of 'stepcoder train --help executor' may follow. Exit code: 0, also where problems are dropped; 1
where the sandbox failed for some; 2 for a mistake in files or options, or where all are dropped; 130 after Ctrl-C."""


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    refine = actions.add_parser(
        "refine", help="drop unsound problems, duplicates and contamination", description=DESCRIPTION, epilog=FILES,
        usage="stepcoder data refine [--from FORMAT] IN OUT [options] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    kind_option(refine)
    refine.add_argument("input", metavar="IN", help="problems: a file, a folder or hub:NAME (see data convert)")
    refine.add_argument(
        "out", metavar="OUT", type=Path, help="what is kept; gzip-compressed where the name ends in .gz"
    )
    refine.add_argument("--report", metavar="FILE", type=Path, help="also write a page (HTML) for a browser")
    refine.add_argument("--workers", metavar="N", help="programs run at once (default: one a core)")
    refine.add_argument("--compare", metavar="KIND", help="output comparison of all problems (default: as each says)")
    refine.add_argument(
        "--solution", choices=("first", "shortest", "conditionals"), default="first",
        help="of several that pass keep the first (default), the shortest or the one with most conditionals",
    )  # fmt: skip
    refine.add_argument(
        "--mutants", metavar="N", type=_count, default=0,
        help="run up to N one-edit mutants of each kept solution and report which its tests let pass (default: 0)",
    )  # fmt: skip
    refine.add_argument(
        "--keep-unsolved", action="store_true",
        help="keep problems without a solution, which nothing was run for: full generation only",
    )  # fmt: skip
    refine.add_argument("--keep-duplicates", action="store_true", help="do not look for near-duplicates")
    refine.add_argument(
        "--against", metavar="[FORMAT:]FILE", action="append", default=[],
        help="an evaluation set: problems too like its own are dropped; may be given several times",
    )  # fmt: skip
    refine.add_argument(
        "--contamination", metavar="SHARE", type=_share,
        help="share of a statement's runs of eight words that makes a problem too like it (default: 0.6)",
    )  # fmt: skip
    refine.add_argument(
        "--split", metavar="SHARE", type=_share, default=0.0,
        help="hold out this share of the problems, chosen by a hash of the id, in a file of their own",
    )  # fmt: skip
    refine.add_argument("--salt", metavar="TEXT", default="", help="another text, another split")
    refine.add_argument("--force", action="store_true", help="begin anew: replaces OUT and discards earlier findings")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 5")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1")
    return value


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.bars import WorkProgress
    from stepcoder.curriculum.data.files import (
        beside,
        check_kind,
        check_location,
        check_named,
        check_packing,
        write_text,
    )
    from stepcoder.curriculum.data.judge import check_source
    from stepcoder.curriculum.data.keep import evaluation_texts
    from stepcoder.curriculum.data.refine import refine
    from stepcoder.curriculum.data.refinement import CONTAMINATION, Choices, Effort, Refinement
    from stepcoder.curriculum.data.report.page import page
    from stepcoder.deploy.cli import version

    check_packing(options.out)
    check_kind(options.kind)
    path = check_location(options.input)
    kind = chosen_format(options.kind, path)
    config = executor_config("data refine", options, settings)
    against = [check_named(text) for text in options.against]
    contamination = CONTAMINATION if options.contamination is None else options.contamination
    effort = Effort(options.solution, options.mutants)
    findings = beside(options.out, "findings.jsonl")
    ours = options.force or findings.with_name(f"{findings.name}.inputs.json").exists()
    _check_outputs(options, [path, *(file for _, file in against)], ours)
    with WorkProgress(unit="entries") as progress:
        try:
            evaluation = evaluation_texts(against, contamination)
            source = check_source(kind, path, progress)
            choices = Choices(
                not options.keep_duplicates, contamination, options.split, options.salt, options.keep_unsolved
            )
            job = Refinement(source, options.out, config, effort, choices)
            on_request(stop)
            outcome = refine(job, evaluation, version(), progress, anew=options.force)
        except KeyboardInterrupt as ended:
            again = "the same command without --force" if options.force else "the same command"
            progress.message(f"stepcoder: stopped; what was found is kept; {again} goes on from there")
            return stopped(ended)
    if options.report is not None:
        write_text(options.report, page(outcome, job, [Path(name).name for name in options.against]))
    _tell(options, outcome)
    if any(rejection.reason == "not_judged" for rejection in outcome.dropped):
        return 1
    if not outcome.kept:
        raise nothing_kept(options.input, outcome.entries, options.out)
    return 0


def _check_outputs(options: argparse.Namespace, locations: "list[Location]", ours: bool) -> None:
    from stepcoder.curriculum.data.files import beside
    from stepcoder.curriculum.data.keep import held_out_file
    from stepcoder.deploy.run.outputs import check_output

    inputs = [location for location in locations if isinstance(location, Path)]
    check_output(options.out, "OUT", inputs, ours)
    check_output(beside(options.out, "rejected.jsonl"), "OUT", inputs, ours)
    if options.split:
        check_output(held_out_file(options.out), "--split", inputs, ours)
    if options.report is not None:
        check_output(options.report, "--report", [*inputs, options.out], True)


def _tell(options: argparse.Namespace, outcome: "Outcome") -> None:
    from stepcoder.curriculum.data.convert import set_aside
    from stepcoder.curriculum.data.examine import NO_SOLUTION
    from stepcoder.curriculum.data.files import beside
    from stepcoder.curriculum.data.keep import held_out_file

    if outcome.dropped:
        console().print(set_aside(outcome.reasons, outcome.dropped, outcome.entries, "dropped"))
    kept, later = len(outcome.kept), sum(problem.held_out for problem in outcome.kept)
    print(f"{kept:,} of {plural(outcome.entries, 'problem is', 'problems are')} kept ({kept / outcome.entries:.1%})")
    if unsolved := sum(problem.finding.solution == NO_SOLUTION for problem in outcome.kept):
        print(f"{unsolved:,} of them without a solution, so that nothing was run for them")
    if kept:
        print(f"kept      {options.out}" + (f" ({kept - later:,})" if options.split else ""))
    if kept and options.split:
        print(f"held out  {held_out_file(options.out)} ({later:,})")
    if outcome.dropped:
        print(f"dropped   {beside(options.out, 'rejected.jsonl')}")
    if options.report is not None:
        print(f"report    {options.report}")
