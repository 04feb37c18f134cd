"""`python -m benchmarks` measures the preset `lite`."""

import sys

from benchmarks.lite import main
from coreseg_core.cli.exits import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(main)())
