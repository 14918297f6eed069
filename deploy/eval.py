"""`python -m deploy.eval`: the same as `stepcoder eval`."""

import sys

from stepcoder.deploy.cli import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
