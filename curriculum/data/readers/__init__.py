"""Readers of data sets: from a file or folder on someone's disk to a stream of problems, one in memory at a time."""

from collections.abc import Callable, Iterator

from stepcoder.curriculum.data.readers.apps import read_apps
from stepcoder.curriculum.data.readers.apps_plus import read_apps_plus
from stepcoder.curriculum.data.readers.codecontests import read_codecontests
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.humaneval import read_humaneval
from stepcoder.curriculum.data.readers.leetcode import read_leetcode
from stepcoder.curriculum.data.readers.mbpp import read_mbpp
from stepcoder.curriculum.data.readers.native import read_native
from stepcoder.curriculum.data.readers.record import Record, Rejected

READERS: dict[str, Callable[[Location], Iterator[Record | Rejected]]] = {
    "apps": read_apps,
    "apps_plus": read_apps_plus,
    "mbpp": read_mbpp,
    "humaneval": read_humaneval,
    "leetcode": read_leetcode,
    "codecontests": read_codecontests,
    "native": read_native,
}
