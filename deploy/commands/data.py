"""`stepcoder data`: from a data set on someone's disk to problems that can be trained on."""

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from deploy.commands.common import RAW, executor_config, stop
from deploy.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from curriculum.near_duplicates import EvaluationTexts
    from deploy.data_judge import Source
    from deploy.data_refine import Choices, Outcome
    from deploy.grade import GradeProgress
    from deploy.grade_files import ResultFile
    from executor.config import ExecutorConfig

DESCRIPTION = """\
Make problems to train on out of a data set: convert its format, drop what is unsound, look at the rest."""

EXAMPLES = """\
examples:
  stepcoder data convert --from apps APPS/train all.jsonl.gz
  stepcoder data refine all.jsonl.gz train.jsonl.gz --report report.html --against humaneval:HumanEval.jsonl.gz
  stepcoder data check train.jsonl.gz --run
  stepcoder data show train.jsonl.gz --id apps/2287

formats: apps, apps_plus, mbpp, humaneval, leetcode, codecontests, native. Files may be JSON lines, one JSON array (both
also gzip-compressed), Parquet or Arrow; a folder means all tables in it. docs/data.md explains formats and reasons."""

CONVERT = """\
Write a data set as JSON lines in the native format. Entries that cannot be used are counted by reason and written to
OUT.rejected.jsonl. The same data gives the same bytes. Of several solutions the first is taken; to choose among them,
give the data set itself to 'stepcoder data refine --from'."""

REFINE = """\
Run the solutions of problems on their tests and keep what is sound, as APPS+ was made from APPS: entries without
input, output or solution are dropped, and those whose solution does not compile, does not run in time or disagrees
with a test; near-duplicates; and problems too like those of evaluation sets. The same command continues an interrupted
run."""

REFINE_FILES = """\
files beside OUT:
  OUT.rejected.jsonl   what was dropped: {"reason", "where", "detail", "id", "level"}
  OUT.findings.jsonl   what running every entry showed; with it, other choices about duplicates, evaluation sets or the
                       split take seconds. Until it is complete: OUT.findings.jsonl.partial
  NAME.heldout.jsonl   with --split, for an OUT called NAME.jsonl

examples:
  stepcoder data refine raw.jsonl train.jsonl --report report.html
  stepcoder data refine --from apps APPS/train train.jsonl --solution shortest --compare apps
  stepcoder data refine raw.jsonl train.jsonl --against humaneval:HumanEval.jsonl.gz --against mbpp:mbpp.jsonl
  stepcoder data refine raw.jsonl train.jsonl --split 0.1 --mutants 5 --executor.cpu_s 10

Every setting under executor. of 'stepcoder train --help' may follow. Exit code: 0, also where problems are dropped; 1
where the sandbox failed for some; 2 for a mistake in files or options; 130 after Ctrl-C."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    data = commands.add_parser(
        "data", help="convert, refine, check and show problems", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=RAW, allow_abbrev=False,
    )  # fmt: skip
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True)

    convert = actions.add_parser(
        "convert", help="write a data set in the native format", description=CONVERT, formatter_class=RAW,
        allow_abbrev=False,
    )  # fmt: skip
    _kind(convert, required=True)
    convert.add_argument("input", metavar="IN", help="file or folder")
    convert.add_argument("out", metavar="OUT", type=Path, help="problems; packed where the name ends in .gz")
    convert.add_argument("--force", action="store_true", help="replace OUT where it exists")

    refine = actions.add_parser(
        "refine", help="drop unsound problems, duplicates and contamination", description=REFINE, epilog=REFINE_FILES,
        formatter_class=RAW, allow_abbrev=False,
        usage="stepcoder data refine [--from FORMAT] IN OUT [options] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    _kind(refine)
    refine.add_argument("input", metavar="IN", help="problems: a file or folder")
    refine.add_argument("out", metavar="OUT", type=Path, help="what is kept; packed where the name ends in .gz")
    refine.add_argument("--report", metavar="FILE", type=Path, help="also write a page (HTML) for a browser")
    refine.add_argument("--workers", metavar="N", help="programs run at once (default: one a core)")
    refine.add_argument("--compare", metavar="strict|apps", help="output comparison (default: strict, as in training)")
    refine.add_argument(
        "--solution", choices=("first", "shortest", "conditionals"), default="first",
        help="of several that pass keep the first (default), the shortest or the one with most conditionals",
    )  # fmt: skip
    refine.add_argument(
        "--mutants", metavar="N", type=_count, default=0,
        help="run up to N one-edit mutants of each kept solution and report which its tests let pass (default: 0)",
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

    check = actions.add_parser(
        "check", help="say whether a file of problems can be trained on", formatter_class=RAW, allow_abbrev=False,
        description="Check every line of a file of problems: format, ids, and with --run whether solutions pass.",
        usage="stepcoder data check FILE [--run] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    check.add_argument("file", metavar="FILE", help="problems; 'starter:train' and 'starter:heldout' are shipped")
    check.add_argument("--run", action="store_true", help="also run the solutions on their tests, sandboxed")
    check.add_argument("--workers", metavar="N", help="programs run at once (default: one a core)")

    show = actions.add_parser(
        "show", help="show one problem in the terminal", formatter_class=RAW, allow_abbrev=False,
        description="Show a problem: statement, solution and tests. 'stepcoder courses' shows its start points.",
    )  # fmt: skip
    _kind(show)
    show.add_argument("file", metavar="FILE", help="problems; 'starter:train' and 'starter:heldout' are shipped")
    show.add_argument("--id", metavar="ID", required=True, help="the problem")


def _kind(parser: argparse.ArgumentParser, required: bool = False) -> None:
    default = "" if required else " (default: native)"
    parser.add_argument(
        "--from", dest="kind", metavar="FORMAT", required=required, default=None if required else "native",
        help=f"apps, apps_plus, mbpp, humaneval, leetcode, codecontests or native{default}",
    )  # fmt: skip


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
    if settings and options.action in ("convert", "show"):
        raise UserError(f"data {options.action} does not know {' '.join(settings)}")
    actions = {"convert": _convert, "refine": _refine, "check": _check, "show": _show}
    return actions[options.action](options, settings)


def _console() -> "Console":
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 110, highlight=False)


# -- convert -----------------------------------------------------------------------------------------------------------


def _convert(options: argparse.Namespace, settings: list[str]) -> int:
    from deploy.data_convert import convert, tables
    from deploy.data_files import beside, check_input, check_kind
    from deploy.grade import GradeProgress
    from deploy.outputs import check_output

    kind, source = check_kind(options.kind), check_input(options.input)
    for out in (options.out, beside(options.out, "rejected.jsonl")):
        check_output(out, "OUT", [source], options.force)
    with GradeProgress(unit="entries") as progress:
        counts = convert(kind, source, options.out, progress)
    console = _console()
    for table in tables(counts):
        console.print(table)
    styles = ", ".join(f"{count:,} {style} style" for style, count in sorted(counts.styles.items()))
    print(f"{counts.tests:,} tests; {styles}")
    if counts.solutions > counts.problems:
        print(
            f"{counts.solutions - counts.problems:,} further solutions are left out; "
            f"'stepcoder data refine --from {kind}' can choose among all"
        )
    print(f"problems   {options.out}")
    if counts.reasons:
        print(f"set aside  {beside(options.out, 'rejected.jsonl')}")
    return 0


# -- refine ------------------------------------------------------------------------------------------------------------


def _refine(options: argparse.Namespace, settings: list[str]) -> int:
    from deploy.cli import version
    from deploy.data_files import beside, check_input, check_kind, write_text
    from deploy.data_judge import KEYS, check_source, identity
    from deploy.data_refine import CONTAMINATION, Choices, evaluation_texts
    from deploy.grade import GradeProgress
    from deploy.grade_files import ResultFile

    kind, path = check_kind(options.kind), check_input(options.input)
    named = {"workers": options.workers, "compare": options.compare}
    config = executor_config("data refine", named, settings)
    against = [_against(text) for text in options.against]
    contamination = CONTAMINATION if options.contamination is None else options.contamination
    findings = beside(options.out, "findings.jsonl")
    ours = options.force or findings.with_name(f"{findings.name}.inputs.json").exists()
    _check_outputs(options, [path, *(file for _, file in against)], ours)
    with GradeProgress(unit="entries") as progress:
        try:
            evaluation = evaluation_texts(against, contamination)
            source = check_source(kind, path, progress)
            results = ResultFile(findings, identity(source, config, options.solution, options.mutants, version()), KEYS)
            choices = Choices(not options.keep_duplicates, contamination, options.split, options.salt)
            signal.signal(signal.SIGTERM, stop)
            outcome = _refined(options, config, source, results, choices, evaluation, progress)
        except KeyboardInterrupt:
            again = "the same command without --force" if options.force else "the same command"
            progress.message(f"stepcoder: stopped; what was found is kept; {again} goes on from there")
            return 130
    if options.report is not None:
        write_text(options.report, _page(options, config, source, choices, outcome))
    _tell(options, outcome)
    return 1 if any(rejection.reason == "not_judged" for rejection in outcome.dropped) else 0


def _against(text: str) -> tuple[str, Path]:
    from curriculum.readers import READERS
    from deploy.data_files import check_input

    kind, colon, path = text.partition(":")
    if colon and kind in READERS:
        return kind, check_input(path)
    return "native", check_input(text)


def _check_outputs(options: argparse.Namespace, inputs: list[Path], ours: bool) -> None:
    from deploy.data_files import beside
    from deploy.data_refine import held_out_file
    from deploy.outputs import check_output

    check_output(options.out, "OUT", inputs, ours)
    check_output(beside(options.out, "rejected.jsonl"), "OUT", inputs, ours)
    if options.split:
        check_output(held_out_file(options.out), "--split", inputs, ours)
    if options.report is not None:
        check_output(options.report, "--report", [*inputs, options.out], True)


def _refined(
    options: argparse.Namespace,
    config: "ExecutorConfig",
    source: "Source",
    results: "ResultFile",
    choices: "Choices",
    evaluation: "EvaluationTexts",
    progress: "GradeProgress",
) -> "Outcome":
    from curriculum.examine import Finding
    from deploy.data_judge import KEYS, Pools, judge
    from deploy.data_refine import sort_out
    from deploy.grade_files import read_results

    try:
        pools = Pools(config, mutants=options.mutants > 0)
    except RuntimeError as error:
        raise UserError(str(error)) from None
    with pools:
        if options.force:
            results.discard()
        if results.finished():
            progress.message(f"{results.out}: everything was run before; --force runs it anew")
        else:
            progress.message(f"running the solutions of {source.entries:,} entries")
            with results:
                judge(source, pools, results, options.solution, options.mutants, progress)
        if (found := sum(1 for _ in read_results(results.out, KEYS))) != source.entries:
            raise UserError(f"{results.out}: {found:,} findings for {source.entries:,} entries; --force begins anew")
        progress.message("looking for duplicates and writing what is kept")
        findings = (Finding.from_json(record) for record in read_results(results.out, KEYS))
        return sort_out(source, findings, choices, evaluation, pools.solutions, options.out, progress)


def _page(
    options: argparse.Namespace, config: "ExecutorConfig", source: "Source", choices: "Choices", outcome: "Outcome"
) -> str:
    from deploy.data_report import Settings, page

    return page(
        outcome,
        Settings(
            source=source,
            choices=choices,
            compare=config.compare,
            cpu_s=config.cpu_s,
            memory_mib=config.memory_mib,
            solution=options.solution,
            mutants=options.mutants,
            against=[Path(name).name for name in options.against],
        ),
    )


def _tell(options: argparse.Namespace, outcome: "Outcome") -> None:
    from rich.table import Table

    from deploy.data_files import beside
    from deploy.data_refine import held_out_file
    from deploy.data_report import REASONS

    table = Table("dropped", "problems", "why")
    table.columns[1].justify = "right"
    for reason, count in outcome.reasons.most_common():
        table.add_row(reason.value, f"{count:,}", REASONS[reason])
    if outcome.dropped:
        _console().print(table)
    kept, later = len(outcome.kept), sum(later for _, later in outcome.kept)
    print(f"{kept:,} of {outcome.entries:,} problems are kept ({kept / outcome.entries:.1%})")
    print(f"kept      {options.out}" + (f" ({kept - later:,})" if options.split else ""))
    if options.split:
        print(f"held out  {held_out_file(options.out)} ({later:,})")
    print(f"dropped   {beside(options.out, 'rejected.jsonl')}")
    if options.report is not None:
        print(f"report    {options.report}")


# -- check and show ----------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace, settings: list[str]) -> int:
    from rich.table import Table

    from curriculum.problem import Level
    from deploy.data_check import check
    from deploy.data_files import check_input
    from deploy.grade import GradeProgress

    config = executor_config("data check", {"workers": options.workers}, settings)
    path = check_input(options.file)
    with GradeProgress(unit="problems") as progress:
        checked = check(path, config if options.run else None, progress)
    if checked.faults:
        table = Table("where", "reason", "detail")
        for fault in checked.faults[:100]:
            table.add_row(fault.id or fault.where, str(fault.reason), fault.detail)
        _console().print(table)
        if len(checked.faults) > 100:
            print(f"and {len(checked.faults) - 100:,} more")
    levels = ", ".join(f"{checked.levels[level]:,} {level}" for level in get_args(Level) if checked.levels[level])
    print(f"{checked.sound:,} problems are sound ({levels or 'none'}), {checked.tests:,} tests")
    if not options.run and not checked.faults:
        print("their solutions were not run: --run does that")
    if checked.faults:
        print(f"{len(checked.faults):,} are not: correct them, or let 'stepcoder data refine' drop them")
    return 1 if checked.faults or not checked.sound else 0


def _show(options: argparse.Namespace, settings: list[str]) -> int:
    from curriculum.readers.record import Record
    from deploy.commands.courses import unknown
    from deploy.data_check import problem_page
    from deploy.data_files import check_input, check_kind, read

    path = check_input(options.file)
    known: list[str] = []
    for entry in read(check_kind(options.kind), path):
        if isinstance(entry, Record):
            if entry.problem.id == options.id:
                _console().print(problem_page(entry), soft_wrap=False)
                return 0
            known.append(entry.problem.id)
    if not known:
        raise UserError(f"{options.file}: holds no problem in this format; is --from {options.kind} right?")
    raise unknown(options.id, known, options.file)
