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
        (TWO, "print(2)\n", "print(2)\n"),
        ("```python\nprint(1)", "print(1)", "print(1)"),
        ("```\nprint(1)\n```", "print(1)\n", "print(1)\n"),
        ("```", "", ""),
        ("print 'a ``` b'", "print 'a ``` b'", "print 'a ``` b'"),
        ("x = 1\nprint 'python 2'\n", "x = 1\nprint 'python 2'\n", "x = 1\nprint 'python 2'\n"),
        ('"""\n```\nno\n```\n"""\nprint(3)', '"""\n```\nno\n```\n"""\nprint(3)', "no\n"),
        (TWO + "```py\nprint(3)", "print(2)\n", "print(3)"),
        ("Get it:\n```bash\npip install x\n```\n" + ONE, "print(1)\n", "print(1)\n"),
        (ONE + "\nIt prints:\n```\n1\n```\n", "print(1)\n", "1\n"),
        ("```text\n1\n```\n```\nprint(2)\n```", "1\n", "print(2)\n"),
        ("<think>\n" + TWO + "\n</think>\n" + ONE, "print(1)\n", "print(1)\n"),
        ("<think>" + TWO + "</think>\nprint(2)", "print(2)\n", "print(2)\n"),
        ("Here:\n```python\nprint('</think>')\n```\nDone.", "print('</think>')\n", "print('</think>')\n"),
        ("```python\r\nprint(1)\r\n```\r\n", "print(1)\r\n", "print(1)\r\n"),
        ("\ufeff" + ONE[12:], "print(1)\n", "print(1)\n"),
        ("1. So:\n\n   ```python\n   if a:\n       b\n   ```\n2. Or", "if a:\n    b\n", None),
        ("So:\n~~~\nx\n~~~\n~~~py\nprint(1)\n~~~\n", "print(1)\n", None),
        ("So:\n  ```\n  print(1)\n", "print(1)\n", None),
        ("", "", ""),
    ],
)
def test_program(text: str, auto: str, last: str | None) -> None:
    """`last`: None where training knows no fence, so that the program is the text."""
    assert program_of(text, "auto") == auto
    assert program_of(text, "last-fence") == (text if last is None else last)
    assert program_of(text, "none") == text.removeprefix("\ufeff")
