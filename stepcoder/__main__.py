"""`python -m stepcoder` is `stepcoder`."""

import sys

from stepcoder.deploy.cli import main

sys.exit(main())
