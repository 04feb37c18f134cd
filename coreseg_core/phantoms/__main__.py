"""`python -m coreseg_core.phantoms FOLDER` writes the demonstration studies into a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coreseg_core.errors import CoreSegError
from coreseg_core.phantoms.demo import write_demo


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 when all was written, 2 when something was wrong with the request."""
    parser = argparse.ArgumentParser(prog="python -m coreseg_core.phantoms", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the studies go; made when it is not there")
    folder = parser.parse_args(arguments).folder
    try:
        index = write_demo(folder, progress=lambda name: print(f"wrote {name}", file=sys.stderr))
    except (CoreSegError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(index)
    return 0


if __name__ == "__main__":
    sys.exit(main())
