"""Programs in answers of a chat."""

import pytest

from stepcoder.executor.grading.fences import answer_begins, program_of
from stepcoder.rollout.text.extract import extract

ONE = "Here it is:\n```python\nprint(1)\n```\nThat is all."
TWO = "First:\n```\nprint(1)\n```\nNo, wait.\n```python\nprint(2)\n```\n"
DOCSTRING = '"""\n```\nno\n```\n"""\nprint(3)'
INDENTED = 'def f():\n    """\n    ```\n    >>> f()\n    ```\n    """\n'


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
        (DOCSTRING, DOCSTRING, DOCSTRING),
        (f"So:\n```python\n{INDENTED}```", INDENTED, INDENTED),
        (TWO + "```py\nprint(3)", "print(2)\n", "print(3)"),
        ("Get it:\n```bash\npip install x\n```\n" + ONE, "print(1)\n", "print(1)\n"),
        (ONE + "\nIt prints:\n```\n1\n```\n", "print(1)\n", "1\n"),
        ("```text\n1\n```\n```\nprint(2)\n```", "1\n", "print(2)\n"),
        ("<think>\n" + TWO + "\n</think>\n" + ONE, "print(1)\n", "print(1)\n"),
        ("<think>" + TWO + "</think>\nprint(2)", "\nprint(2)", "\nprint(2)"),
        ("<think>" + TWO + "</think> x = 3", " x = 3", " x = 3"),
        (TWO + "</think>\nprint(2)", "\nprint(2)", "\nprint(2)"),
        ("<think>\nMaybe\n" + TWO, "", ""),
        ("Here:\n```python\nprint('</think>')\n```\nDone.", "print('</think>')\n", "print('</think>')\n"),
        ("```python\r\nprint(1)\r\n```\r\n", "print(1)\r\n", "print(1)\r\n"),
        ("\ufeff" + ONE[12:], "print(1)\n", "print(1)\n"),
        ("1. So:\n\n   ```python\n   if a:\n       b\n   ```\n2. Or", "if a:\n    b\n", "if a:\n    b\n"),
        ("So:\n~~~\nx\n~~~\n~~~py\nprint(1)\n~~~\n", "print(1)\n", "print(1)\n"),
        ("So:\n  ```\n  print(1)\n", "print(1)\n", "print(1)\n"),
        ("So:\n````py\nx = 1\n```\n````\n", "x = 1\n```\n", "x = 1\n```\n"),
        ("```python\na\n```\nlike ``` this", "a\n", "a\n"),
        ("````md\n```python\na\n```\n````\n~~~python\nb\n~~~\n```\nc", "b\n", "c"),
        ("", "", ""),
    ],
)
def test_program(text: str, auto: str, last: str) -> None:
    """`last`: what the reader of training and of the adapters takes, too."""
    assert program_of(text, "auto") == auto
    assert program_of(text, "last-fence") == last
    assert program_of(text, "none") == text.removeprefix("\ufeff")
    text = text.removeprefix("\ufeff")
    read = extract("", text, "instruct", answer_begins(text))
    assert read.program == last
    placed = [(place, at) for at, place in enumerate(read.positions) if place >= 0]
    assert "".join(text[at] for _, at in placed) == last and [place for place, _ in placed] == list(range(len(last)))
