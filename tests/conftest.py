"""What holds for every test."""

import os

# Tiny models gain nothing from a second thread, and beside other work two threads mostly wait for each other. Processes
# whose number of threads is tested set it themselves.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
