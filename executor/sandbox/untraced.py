"""The end of all tracing: by name, since a program may change what `sys` holds."""

from sys import setprofile, settrace


def untraced() -> None:
    """Nothing of a program looks at, or steers, the code that runs from here on in this thread."""
    settrace(None)
    setprofile(None)
