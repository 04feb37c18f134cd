"""Performs a run: python -m training.tuning RUN

RUN is the folder of a run (`coreseg_core.runs`); one that was stopped or killed goes on. It gives way to whatever else
the machine does.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from coreseg_core.runs import RunFolder

_NICENESS = 10


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 for a run that came to its end, or is somebody else's."""
    parser = argparse.ArgumentParser(prog="python -m training.tuning", description=__doc__)
    parser.add_argument("run", type=Path)
    options = parser.parse_args(arguments)
    os.nice(_NICENESS)
    from training.tuning.course import perform

    run = RunFolder(options.run)
    perform(run)
    return int(run.state.state == "failed")


if __name__ == "__main__":
    sys.exit(main())
