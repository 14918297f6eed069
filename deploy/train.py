"""`python -m deploy.train`: the same as `stepcoder train`, as a submitted job starts it."""

import sys

from stepcoder.deploy.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
