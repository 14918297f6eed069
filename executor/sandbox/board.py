"""Where a program's process leaves its answers: memory shared with the parent, which outlives the process.

Layout: 4 bytes, the number of frames; 4 bytes, whether the process was done; then the frames, each a 4-byte length of
its JSON, a 4-byte length of the output, the JSON, the output. The program can write here too, and so can only change
what it is seen to answer: the parent reads once the process is gone, and believes no length and no form.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.sandbox.confinement import syscalls

_HEAD, _FRAME = 8, struct.Struct("<II")
SPARE = 1 << 17  # bytes of a frame beside its output and its result


@dataclass(frozen=True, slots=True)
class Frame:
    """What a process says of a test, and the test's output."""

    says: dict[str, Any]
    output: bytes


class Full(Exception):
    """A frame that is larger than a frame may be."""


def size(output_bytes: int, result_bytes: int) -> int:
    """Bytes of a board: the largest frame, and room for small ones before it."""
    return 2 * largest(output_bytes, result_bytes)


def largest(output_bytes: int, result_bytes: int) -> int:
    """Bytes of the largest frame: an output and a result at their limits."""
    return _FRAME.size + output_bytes + result_bytes + SPARE


class Writer:
    """The program's end."""

    __slots__ = ("_at", "_count", "_encode", "_largest", "_memory", "_result_bytes")

    def __init__(self, fd: int, output_bytes: int, result_bytes: int) -> None:
        self._memory = syscalls.map_shared(fd, size(output_bytes, result_bytes))
        self._largest, self._result_bytes = largest(output_bytes, result_bytes), result_bytes
        self._encode = json.JSONEncoder(check_circular=False).encode
        self.start()

    def start(self) -> None:
        """Nothing is on the board."""
        self._at, self._count = _HEAD, 0
        struct.pack_into("<II", self._memory, 0, 0, 0)

    def answers(self) -> int:
        """Frames on the board, as any process that shares it sees them."""
        return count(self._memory)

    def finish(self) -> None:
        """The process ends because it is done, not in the middle of a test."""
        struct.pack_into("<I", self._memory, 4, 1)

    def has_room(self) -> bool:
        """Whether any frame would fit."""
        return self._at + self._largest <= len(self._memory)

    def put(self, frame: dict[str, Any], output: bytes = b"") -> None:
        """Full when the frame's JSON is over the limit of a result: nothing is written then."""
        data = self._encode(frame).encode("ascii")
        if len(data) > self._result_bytes + SPARE:
            raise Full
        memory, start = self._memory, self._at + _FRAME.size
        _FRAME.pack_into(memory, self._at, len(data), len(output))
        memory[start : start + len(data)] = data
        memory[start + len(data) : start + len(data) + len(output)] = output
        self._at = start + len(data) + len(output)
        self._count += 1
        struct.pack_into("<I", memory, 0, self._count)


def finished(memory: Any) -> bool:
    return struct.unpack_from("<I", memory, 4)[0] == 1


def count(memory: Any) -> int:
    """Frames so far, as the program says."""
    return struct.unpack_from("<I", memory, 0)[0]


def read(memory: Any, most: int, output_bytes: int, result_bytes: int) -> list[Frame | None]:
    """At most `most` frames; None, and nothing after it, in place of one that cannot be read."""
    frames: list[Frame | None] = []
    at = _HEAD
    for _ in range(min(count(memory), most)):
        if at + _FRAME.size > len(memory):
            return [*frames, None]
        json_size, output_size = _FRAME.unpack_from(memory, at)
        start = at + _FRAME.size
        at = start + json_size + output_size
        if at > len(memory) or json_size > result_bytes + SPARE or output_size > output_bytes:
            return [*frames, None]
        try:
            says = json.loads(bytes(memory[start : start + json_size]))
        except (ValueError, RecursionError):
            return [*frames, None]
        if not isinstance(says, dict):
            return [*frames, None]
        frames.append(Frame(says, bytes(memory[start + json_size : at])))
    return frames
