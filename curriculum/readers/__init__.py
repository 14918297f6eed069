"""Readers of data sets: from a file or folder on someone's disk to a stream of problems, one in memory at a time."""

from collections.abc import Callable, Iterator

from curriculum.readers.apps import read_apps
from curriculum.readers.apps_plus import read_apps_plus
from curriculum.readers.codecontests import read_codecontests
from curriculum.readers.hub import Location
from curriculum.readers.humaneval import read_humaneval
from curriculum.readers.leetcode import read_leetcode
from curriculum.readers.mbpp import read_mbpp
from curriculum.readers.native import read_native
from curriculum.readers.record import Record, Rejected

READERS: dict[str, Callable[[Location], Iterator[Record | Rejected]]] = {
    "apps": read_apps,
    "apps_plus": read_apps_plus,
    "mbpp": read_mbpp,
    "humaneval": read_humaneval,
    "leetcode": read_leetcode,
    "codecontests": read_codecontests,
    "native": read_native,
}
