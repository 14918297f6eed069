"""A set of problems as the configuration names it, ready to be judged by.

    FILE  starter:NAME                            the native format
    FORMAT:FILE  FORMAT:hub:NAME                  a data set in one of the formats of curriculum.data.readers
    livecodebench:FILE,since=DATE,until=DATE      the problems of these days, both included

Invariant: what is returned is what `stepcoder data convert` would write and a run would read again.
"""

import logging
import re
from collections import Counter
from datetime import date
from pathlib import Path

from stepcoder.curriculum.data.files import check_named, read
from stepcoder.curriculum.data.readers.livecodebench import Days, read_livecodebench
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.data.settle import Settler
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.words import plural

log = logging.getLogger(__name__)

_DAY = re.compile(r",(since|until)=([^,]*)$")


def load_named(name: str, config: ExecutorConfig) -> list[Problem]:
    """The problems, in order. Entries that cannot be used are left out with a warning that counts them by reason.

    Where a data set leaves expected outputs to its reference solution, that is run, under `config`. UserError for a set
    that cannot be read, or holds no problem.
    """
    place, days = _days(name)
    kind, location = check_named(place)
    if days is not None and kind != "livecodebench":
        raise UserError(f"{name}: since= and until= are for the format livecodebench, whose problems have a date")
    if kind == "native" and isinstance(location, Path):
        return load_problems(location)
    found = read(kind, location) if days is None else read_livecodebench(location, days)
    problems, reasons = list[Problem](), Counter[str]()
    with Settler(config) as settler:
        for entry in settler.settled(found):
            if isinstance(entry, Record):
                problems.append(entry.problem)
            else:
                reasons[entry.reason.value] += 1
    told = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
    if not problems:
        between = " of these days" if days is not None else ""
        raise UserError(f"{name}: holds no problem of {kind}{between} that can be used{f' ({told})' if told else ''}")
    if told:
        left = plural(reasons.total(), "entry is", "entries are")
        log.warning("%s: %s left out (%s); 'stepcoder data convert' tells more", name, left, told)
    return problems


def _days(name: str) -> tuple[str, Days | None]:
    """The name without its days."""
    found: dict[str, date] = {}
    while ending := _DAY.search(name):
        key, value = ending.groups()
        try:
            found[key] = date.fromisoformat(value)
        except ValueError:
            raise UserError(f"{name}: {key}={value} is no day; write it as {key}=2024-08-01") from None
        name = name[: ending.start()]
    return name, Days(**found) if found else None
