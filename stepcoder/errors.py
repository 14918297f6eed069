"""Errors for the person who started the command: what was wrong, where, and what to do."""


class UserError(Exception):
    """Something the user can put right. The command line prints the message alone and exits with code 2."""


def nearest(word: str, known: list[str], limit: int = 1) -> list[str]:
    """Up to `limit` entries of `known` that look most like `word`; empty when none is close."""
    from difflib import get_close_matches

    return get_close_matches(word, known, n=limit, cutoff=0.5)
