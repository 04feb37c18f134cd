"""`python -m training.dataset`: the same as `coreseg dataset`."""

from __future__ import annotations

import sys

from training.dataset.cli import main

if __name__ == "__main__":
    sys.exit(main())
