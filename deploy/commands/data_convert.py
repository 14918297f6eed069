"""`stepcoder data convert`: a data set in the native format."""

import argparse
from pathlib import Path

from stepcoder.deploy.commands.common import chosen_format, console, executor_config, kind_option
from stepcoder.words import plural

DESCRIPTION = """\
Write a data set as JSON lines in the native format. Entries that cannot be used are counted by reason and written to
OUT.rejected.jsonl. The same data gives the same bytes. Of several solutions the first is taken; to choose among them,
give the data set itself to 'stepcoder data refine --from'."""


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    convert = actions.add_parser("convert", help="write a data set in the native format", description=DESCRIPTION)
    kind_option(convert, required=True)
    convert.add_argument("input", metavar="IN", help="file, folder, or hub:NAME[,config=C][,split=S][,revision=R]")
    convert.add_argument("out", metavar="OUT", type=Path, help="problems; gzip-compressed where the name ends in .gz")
    convert.add_argument("--force", action="store_true", help="replace OUT where it exists")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.bars import WorkProgress
    from stepcoder.curriculum.data.convert import convert, tables
    from stepcoder.curriculum.data.files import beside, check_kind, check_location, check_packing
    from stepcoder.deploy.run.outputs import check_output

    check_packing(options.out)
    check_kind(options.kind)
    source = check_location(options.input)
    kind = chosen_format(options.kind, source)
    for out in (options.out, beside(options.out, "rejected.jsonl")):
        check_output(out, "OUT", [source] if isinstance(source, Path) else [], options.force)
    config = executor_config("data convert", options, settings)
    with WorkProgress(unit="entries") as progress:
        counts = convert(kind, source, options.out, config, progress)
    for table in tables(counts):
        console().print(table)
    styles = ", ".join(f"{count:,} {style} style" for style, count in sorted(counts.styles.items()))
    print(f"{plural(counts.tests, 'test')}; {styles}")
    for what, count in counts.repaired.items():
        print(f"{what}: settled in {plural(count, 'entry', 'entries')}")
    if counts.unsolved:
        unsolved = plural(counts.unsolved, "problem has", "problems have")
        print(f"{unsolved} no solution: full generation only; 'stepcoder data solve' finds some")
    further = counts.solutions + counts.unsolved - counts.problems
    if further:
        print(
            f"{plural(further, 'further solution is', 'further solutions are')} left out; "
            f"'stepcoder data refine --from {kind}' can choose among all"
        )
    print(f"problems   {options.out}")
    if counts.reasons:
        print(f"set aside  {beside(options.out, 'rejected.jsonl')}")
    return 0
