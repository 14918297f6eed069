"""Which problems are held out: decided by a hash of the id alone, so that adding problems moves none of the others."""

import hashlib

_STEPS = 1 << 64


def held_out(id: str, share: float, salt: str = "") -> bool:
    """Whether the problem is one of the share (0 to 1) that is held out. A larger share only adds problems."""
    digest = hashlib.blake2b(f"{salt}\0{id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _STEPS
