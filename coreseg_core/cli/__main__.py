"""`python -m coreseg_core.cli` is `coreseg`."""

import sys

from coreseg_core.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
