"""What a program's process says of an exception that ended a test."""

from typing import Any

from stepcoder.executor.sandbox.protocol import PROGRAM_FILE
from stepcoder.executor.sandbox.values import codec

_MESSAGE_CHARS = 500
# What CPython 3.11 raises where deep recursion finds no memory for a frame, instead of MemoryError.
_NO_ROOM_FOR_A_FRAME = ["error return without exception set"]
_LONG = 1 << 63  # of C, as which the interpreter reads an exit code


def failure(error: BaseException, is_program: bool) -> dict[str, Any]:
    if isinstance(error, codec.TooLarge):
        return {"error": f"result too large: {error}", "kind": "TooLarge", "line": None}
    if is_program and isinstance(error, SystemExit) and _exit_status(error) == 0:
        return {"done": True}
    return {"error": _describe(error), "kind": _name(error), "line": line_of(error)}


def _exit_status(error: SystemExit) -> int:
    """As the interpreter makes it of the exception's code, and the kernel of that."""
    try:
        code: Any = error.code
    except Exception:
        return 1
    if code is None:
        return 0
    if int not in type.mro(type(code)):
        return 1
    number = int.__add__(code, 0)
    return number & 0xFF if -_LONG <= number < _LONG else 0xFF


def _name(error: BaseException) -> str:
    """The nearest built-in name decides about memory; a program's class cannot pose as one through overrides."""
    kind = type(error)
    if MemoryError in type.mro(kind) or (kind is SystemError and _texts(error) == _NO_ROOM_FOR_A_FRAME):
        return "MemoryError"
    return str(type.__getattribute__(kind, "__name__"))


def _texts(error: BaseException) -> list[str]:
    return [text for text in error.args if type(text) is str]


def _describe(error: BaseException) -> str:
    try:
        name, text = _name(error), str(error)
        return (f"{name}: {text}" if text else name)[:_MESSAGE_CHARS]
    except BaseException:
        return "exception whose message cannot be made"


def line_of(error: BaseException) -> int | None:
    """The last line of the program on the way to the exception."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM_FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
