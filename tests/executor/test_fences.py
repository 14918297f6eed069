"""Programs in answers of a chat."""

import pytest

from stepcoder.executor.grading.fences import program_of

ONE = "Here it is:\n```python\nprint(1)\n```\nThat is all."
TWO = "First:\n```\nprint(1)\n```\nNo, wait.\n```python\nprint(2)\n```\n"


@pytest.mark.parametrize(
    ("text", "auto", "last"),
    [
        ("print(1)\n", "print(1)\n", "print(1)\n"),
        (ONE, "print(1)\n", "print(1)\n"),
        (TWO, "print(1)\n", "print(2)\n"),
        ("```python\nprint(1)", "print(1)", "print(1)"),
        ("```\nprint(1)\n```", "print(1)\n", "print(1)\n"),
        ("```", "", ""),
        ("print 'a ``` b'", "print 'a ``` b'", "print 'a ``` b'"),
        ("x = 1\nprint 'python 2'\n", "x = 1\nprint 'python 2'\n", "x = 1\nprint 'python 2'\n"),
        ('"""\n```\nno\n```\n"""\nprint(3)', '"""\n```\nno\n```\n"""\nprint(3)', "no\n"),
        (TWO + "```py\nprint(3)", "print(1)\n", "print(3)"),
        ("", "", ""),
    ],
)
def test_program(text: str, auto: str, last: str) -> None:
    assert program_of(text, "auto") == auto
    assert program_of(text, "last-fence") == last
    assert program_of(text, "none") == text
