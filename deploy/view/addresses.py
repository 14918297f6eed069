"""Addresses of pages and back: whatever they name is looked up in what the runs hold, never in a file system."""

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

_LARGEST = 1 << 62
_LONGEST = 200  # characters of an id; a server reads no address of 64 KiB, a browser shares none of some thousand


class NotFound(LookupError):
    """What an address asks for is not there; the message says what, for a person."""


def address(page: str, **fields: Any) -> str:
    """Of a page, in ASCII whatever its fields hold."""
    given = {name: value for name, value in fields.items() if value is not None}
    return f"{page}?{urlencode(given, errors='surrogatepass')}" if given else page


def key(problem: str) -> str:
    """How an address calls a problem: by its id, or by a digest of one that is too long for an address."""
    if len(problem) <= _LONGEST:
        return problem
    return "sha256:" + hashlib.sha256(problem.encode(errors="surrogatepass")).hexdigest()[:24]


def problem_address(run: str, problem: str) -> str:
    return address("/problem", run=run, id=key(problem))


def fields(query: bytes) -> dict[str, str]:
    """NotFound for what no text can be."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogatepass", max_num_fields=50)
    except ValueError:
        raise NotFound("this address cannot be read") from None
    return dict(pairs)


def whole(given: dict[str, str], name: str) -> int:
    """A field that is a whole number."""
    text = given.get(name, "")
    if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 20 and abs(int(text)) < _LARGEST):
        raise NotFound(f"the address needs {name}=NUMBER")
    return int(text)


@dataclass(frozen=True, slots=True)
class Place:
    """One completion of one run; as text `RUN:STEP:TICKET:SAMPLE`."""

    run: str
    step: int
    ticket: int
    sample: int

    def __str__(self) -> str:
        return f"{self.run}:{self.step}:{self.ticket}:{self.sample}"

    @property
    def query(self) -> dict[str, Any]:
        return {"run": self.run, "step": self.step, "ticket": self.ticket, "sample": self.sample}


def place(text: str) -> Place:
    run, *numbers = text.rsplit(":", 3)
    if len(numbers) != 3:
        raise NotFound("a completion is named RUN:STEP:TICKET:SAMPLE")
    named: dict[str, str] = dict(zip(("step", "ticket", "sample"), numbers, strict=True))
    return Place(run, *(whole(named, name) for name in named))
