"""The messages between the trusted parent, the fork server and the compiler: a 4-byte length, and a body."""

import struct

# A job's head: answers to expect before the first test's, and of tests; largest file (bytes); CPU seconds, and those at
# which the kernel kills.
JOB = struct.Struct("<?IQdI")
END = struct.Struct("<idd?")  # exit code (negative for a signal), CPU seconds, peak MiB, killed by the clock
ENDED, FORK_FAILED = b"E", b"F"
COMPILED, REFUSED, APART = b"C", b"R", b"A"
