"""How `make test` deals the tests to its processes.

A file goes to one process as a whole, so that what it starts for all its tests is started once. So do the files that
share something larger: the session's Ray, a cluster that takes jobs, a run that several look at.
"""

import re

from xdist.scheduler import LoadScopeScheduling

SHARED = {
    "ray": r"rollout/test_(engine_contract|worker|crew)|learner/test_(\w*ranks|service)|"
    r"(curriculum|executor)/test_actor",
    "head": r"whole/test_(job|watching)",
    "run": r"whole/test_(loop|view)",
}
# What takes longest begins first, so that the processes end at about the same time.
LONG = ("head", "ray", "run", r"whole/\w+", "deploy/test_sft", "executor/test_hostile")


def share(nodeid: str) -> str:
    """The name of what goes to one process together with this test."""
    file = nodeid.partition(".py")[0].removeprefix("tests/")
    return next((name for name, files in SHARED.items() if re.fullmatch(files, file)), file)


def place(nodeid: str) -> int:
    """By what the tests are ordered where there are several processes; those of one number stay in their order."""
    name = share(nodeid)
    return next((number for number, long in enumerate(LONG) if re.fullmatch(long, name)), len(LONG))


class Shares(LoadScopeScheduling):
    """The processes take shares in the order of their tests; whichever has nothing left takes the next."""

    def __init__(self, config, log) -> None:  # as the library calls it
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)
