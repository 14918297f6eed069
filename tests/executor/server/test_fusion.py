"""Exit codes that /run_code reads from errors, which a program may write itself."""

import pytest

from stepcoder.executor.server import fusion


@pytest.mark.parametrize(
    ("error", "code"), [("killed by SIGKILL", -9), ("killed by signal 40", -40), ("killed by X", 1)]
)
def test_an_error_with_the_name_of_no_signal_is_an_error(error: str, code: int) -> None:
    assert fusion._code(error) == code
