"""Runs a recipe under `accelerate launch` for as long as whoever launched it lives.

    accelerate launch ... -m training.tuning.launched MODULE --config YAML

The launcher's standard input is a pipe that the run's process holds open; when that process dies, however it does, the
pipe ends, and so does the recipe. Its checkpoints stay.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading

ORPHANED = 3


def main() -> None:
    """Run the recipe that the first argument names, with the others."""
    threading.Thread(target=_end_with_parent, daemon=True, name="lifeline").start()
    importlib.import_module(sys.argv[1]).main(sys.argv[2:])


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
