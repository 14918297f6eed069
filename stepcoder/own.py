"""A user's own function by its dotted name, found and checked."""

import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stepcoder.settings import DOTTED


def own(name: str, what: str) -> Callable[..., Any]:
    """The function `package.module:function`; ValueError says what is wrong with `what` (such as "the loss")."""
    if not re.fullmatch(DOTTED, name):
        raise ValueError(f"{what} {name} is not written as package.module:function")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's module does while it is imported
        raise ValueError(f"{what} {name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"{what} {name} is of type {type(found).__name__}, not a function")
    return found


@contextmanager
def trial(what: str) -> Iterator[None]:
    """Around a call on an example: whatever `what` raises becomes a ValueError that says so."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{what} raised on an example: {type(error).__name__}: {error}") from error
