"""The interpreters of this machine, for tests of what depends on the version of Python that runs programs.

Tests take their parameters from what is there. `tests/deploy/test_machine.py` is skipped for each version that is not.
"""

import sys

from stepcoder.executor.interpreters import find

SUPPORTED = ("3.11", "3.12", "3.13")
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHERS = tuple(version for version in SUPPORTED if version != OWN and find(version))
