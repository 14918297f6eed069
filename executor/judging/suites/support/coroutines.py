"""Stands before a test whose asserts are in coroutines."""

_ended = 0


class _ToItsEnd:
    """What a coroutine runs within, so that its end counts."""

    def __enter__(self): ...

    def __exit__(self, kind, *_):
        global _ended
        _ended += kind is None


_to_its_end = _ToItsEnd()


def _require_end():
    global _ended
    if not _ended:
        raise AssertionError("a coroutine of the test did not come to its end")
    _ended = 0
