"""The messages between the trusted parent, the fork server and the compiler: a 4-byte length, and a body."""

import struct

# A job's head: whether its process compiles the program, and runs one test only; answers to expect of tests; largest
# file (bytes); CPU seconds, and those at which the kernel kills; CPU seconds of a test; memory of the program where it
# is less than the fork server's (bytes, else 0).
JOB = struct.Struct("<??IQdIdQ")
# Exit code (negative for a signal), CPU seconds, whether the program itself began, CPU seconds before that, peak MiB,
# killed by the clock, wall-clock seconds that are not the program's.
END = struct.Struct("<id?dd?d")
BEGUN = struct.Struct("<dd")  # CPU and monotonic seconds at which a program began
ENDED, FORK_FAILED = b"E", b"F"
# Of the compiler: ORDINARY as COMPILED, of a program whose tests can share a process (sharing.ordinary).
COMPILED, ORDINARY, REFUSED, APART = b"C", b"O", b"R", b"A"
# Lines of the map; bytes of the context, which follows, and then the source; whether the prelude is offered.
REQUEST = struct.Struct("<II?")

PROGRAM_FILE = "<program>"  # what a program is called
