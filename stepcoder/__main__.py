"""`python -m stepcoder`: the same as `stepcoder`."""

import sys

from stepcoder.deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
