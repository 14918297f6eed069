"""`stepcoder grade`."""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from stepcoder.deploy.commands.common import console, executor_config, judging_options, stop, stopped
from stepcoder.ending import on_request
from stepcoder.errors import UserError
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.executor.grading.grade import Tests
    from stepcoder.executor.grading.summary import Tally
    from stepcoder.executor.suite import CompareRule

DESCRIPTION = """\
Run programs against the tests of problems, sandboxed, and write a verdict, a reward and the executed lines of each.
Both files are checked to their last line before anything runs. An interrupted run is continued by the same command.
At the end: pass@k and the shares of verdicts by level. No GPU, model or Ray is needed."""

EXAMPLES = """\
files (JSON lines; problems and samples may be .gz):
  problems  the format of training problems (docs/data.md); 'starter:train' and 'starter:heldout' are shipped sets
  samples   {"problem_id": "my/clamp", "program": "def clamp(x, low, high): ...", "id": "optional, passed through"}
  results   one line a sample, in the same order: {"problem_id", "verdict", "reward", "executed_lines", "tests", ...}

examples:
  stepcoder grade --problems P.jsonl --samples S.jsonl --out R.jsonl
  stepcoder grade --problems P.jsonl.gz --samples S.jsonl.gz --out R.jsonl --compare apps --k 1,10,100
  stepcoder grade --problems starter:heldout --samples S.jsonl --out R.jsonl --workers 16 --no-coverage
  stepcoder grade --problems P.jsonl --samples S.jsonl --out R.jsonl --executor.cpu_s 10 --executor.memory_mib 2048

Every setting of 'stepcoder train --help executor' may follow. Exit code: 0 also where programs fail, 1 where
the sandbox could not judge some (infra_error), 2 for a mistake in files or options, 130 after Ctrl-C.
docs/executor.md explains verdicts, rewards, limits and what the sandbox does not cover."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    grade = commands.add_parser(
        "grade", help="judge programs from a file, sandboxed, without training", description=DESCRIPTION,
        epilog=EXAMPLES,
        usage="stepcoder grade --problems FILE --samples FILE --out FILE [options] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    grade.add_argument("--problems", metavar="FILE", required=True, help="problems with their tests")
    grade.add_argument("--samples", metavar="FILE", required=True, type=Path, help="programs to judge")
    grade.add_argument(
        "--out", metavar="FILE", required=True, type=Path,
        help="results; until they are complete they are in FILE.partial, and what they belong to in FILE.inputs.json",
    )  # fmt: skip
    grade.add_argument(
        "--extract", choices=("auto", "none", "last-fence"), default="auto",
        help="the program in a chat's answer: in its first fence unless all of it is Python (auto), in its last fence",
    )  # fmt: skip
    judging_options(grade)
    grade.add_argument(
        "--k", metavar="K,K,...", type=_ks,
        help="estimate pass@k for these (default: those of 1, 5, 10 that every problem has samples for)",
    )  # fmt: skip
    grade.add_argument("--summary", metavar="FILE", type=Path, help="also write the figures at the end as JSON")
    grade.add_argument("--force", action="store_true", help="discard earlier results in --out and grade anew")


def _ks(text: str) -> list[int]:
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [0]
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of positive integers such as 1,5,10")
    return found


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.bars import WorkProgress
    from stepcoder.curriculum.problems.problem import Level
    from stepcoder.deploy.cli import version
    from stepcoder.executor.grading.files import ResultFile, read_results
    from stepcoder.executor.grading.grade import check_inputs, check_ks, grade, identity
    from stepcoder.executor.grading.summary import Tally
    from stepcoder.executor.pool.local import LocalPool

    config = executor_config("grade", options, settings)
    _check_out(options)
    with WorkProgress() as progress:
        try:
            inputs = check_inputs(read_tests(options.problems, config.compare), options.samples)
            ks = check_ks(options.k, inputs.per_problem)
            results = ResultFile(options.out, identity(inputs, config, version(), options.extract))
            tally = Tally(inputs.tests.levels, get_args(Level))
            if not options.force and results.finished():
                progress.message(f"{options.out}: already graded; --force grades anew")
                for record in read_results(options.out):
                    tally.add(record)
            else:
                on_request(stop)
                progress.message(f"{plural(inputs.total, 'program')} for {plural(len(inputs.per_problem), 'problem')}")
                with LocalPool(config) as pool:
                    if options.force:
                        results.discard()
                    with results:
                        grade(inputs, pool, results, tally, progress, options.extract)
        except KeyboardInterrupt as ended:
            kept = (
                f"{progress.done:,} of {plural(progress.total, 'result is', 'results are')} kept"
                if progress.total
                else "nothing was run"
            )
            again = "the same command without --force" if options.force else "the same command"
            progress.message(f"stepcoder: stopped; {kept}; {again} goes on from there")
            return stopped(ended)
    _tell(options, tally, ks, progress.here, progress.seconds)
    return 1 if tally.infra_errors else 0


def read_tests(source: str, compare: "CompareRule" = "problem") -> "Tests":
    """The problems of a file or of the starter set; UserError with file and line at the first fault."""
    from stepcoder.curriculum.data.files import check_input
    from stepcoder.curriculum.problems.load import line_of, load_problems, resolve
    from stepcoder.executor.grading.grade import Tests

    check_input(source)
    problems = load_problems(source, judging=True, compare=compare)
    with resolve(source).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Tests(
        {problem.id: problem.suite for problem in problems},
        {problem.id: problem.level for problem in problems},
        lambda name: f"{resolve(source)}, line {line_of(name, source)}",
        digest,
    )


def _check_out(options: argparse.Namespace) -> None:
    """What can be wrong with --out and --summary, before the files are read."""
    from stepcoder.curriculum.problems.load import resolve
    from stepcoder.deploy.run.outputs import check_output

    inputs = (resolve(options.problems), options.samples)
    for option, file in (("--out", options.out), ("--summary", options.summary)):
        if file is not None:
            check_output(file, option, inputs, force=True)  # results that are there are gone on with
    if options.out.suffix in (".gz", ".zst", ".xz", ".bz2", ".parquet", ".arrow"):
        raise UserError(f"--out: results are plain JSON lines; give a name without {options.out.suffix}")


def _tell(options: argparse.Namespace, tally: "Tally", ks: tuple[int, ...], here: int, seconds: float) -> None:
    """The figures at the end, for a person on stdout and for a program in --summary."""
    from stepcoder.executor.grading.summary import summarise, tables
    from stepcoder.files import write_json
    from stepcoder.words import duration, rate

    summary = summarise(tally, ks)
    for table in tables(summary):
        console().print(table)
    if here:
        print(f"{plural(here, 'program')} in {duration(seconds)}, {rate(here, seconds)} programs/s")
    print(f"results  {options.out}")
    if options.summary is not None:
        write_json(options.summary, summary)
    if tally.infra_errors:
        print(
            f"stepcoder: {plural(tally.infra_errors, 'program')} could not be judged (infra_error, no reward): the "
            "sandbox failed for them. See their `error` and 'stepcoder doctor'; --force grades anew",
            file=sys.stderr,
        )
