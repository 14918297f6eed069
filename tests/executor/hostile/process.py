"""What a process is to the tests of a program: nothing that one leaves is found by the next, and it is as any other.

Rows of the table `carried`: what the program starts with, how it finds what a test left, and how it leaves it. Of
`plain`: a program that doubles what it reads, and inputs and outputs in turn where they are others.
"""

from tests.executor.rows import rows

_CARRY = """{}
def f(x):
    if {}: return 0
    {}
    return 2 * x
"""
PLAIN = [
    (name, program + "\n", tuple(zip(texts[::2], texts[1::2], strict=True)))
    for name, (program, *texts) in rows("plain")
]


def carried() -> list[tuple[str, str]]:
    """Names and programs whose f(x) is 2 * x where no test before it has left anything, else 0."""
    return [(name, _CARRY.format(*parts)) for name, parts in rows("carried")]
