"""Frames over the fork server's and the compiler's sockets, as their processes send and read them (protocol)."""

import errno
import socket
import struct

from stepcoder.executor.sandbox.confinement import syscalls

_ZEROS = bytes(1 << 16)
_LARGE = 1 << 18


def send(channel: socket.socket, data: bytes) -> None:
    channel.sendall(struct.pack("<I", len(data)) + data)


def receive(channel: socket.socket) -> bytearray | None:
    """One frame, or None at the end of the stream."""
    head = _exactly(channel, 4)
    if head is None:
        return None
    return _exactly(channel, struct.unpack("<I", head)[0])


def wipe(frame: bytearray) -> None:
    """Memory given back keeps what was in it, and the next program inherits it."""
    for start in range(0, len(frame), len(_ZEROS)):
        size = min(len(_ZEROS), len(frame) - start)
        frame[start : start + size] = _ZEROS[:size]


def let_go(frame: bytearray) -> None:
    """Gives the memory of a large frame back to the kernel: each fork copies the page tables of all that is held."""
    large = len(frame) > _LARGE
    frame.clear()
    if large:
        syscalls.trim_heap()


def _exactly(channel: socket.socket, count: int) -> bytearray | None:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        try:
            size = channel.recv_into(view)
        except OSError as error:
            if error.errno == errno.ECONNRESET:
                return None
            raise
        if not size:
            return None
        view = view[size:]
    return data
