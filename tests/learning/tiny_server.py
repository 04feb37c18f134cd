"""What a server does with runs, without the server: starts one if there is none, else finds it again; ends with it.

python tests/learning/tiny_server.py PLACE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "apps" / "coreseg"))

from tiny_runs import command, order_in, write_corrections

from coreseg_core.runs import ENDED
from lib.learning.trainings import Trainings


def main(place: Path) -> None:
    """Serve."""
    trainings = Trainings(place / "runs", command=command)
    trainings.find_again()
    run = trainings.running()
    if not trainings.all():
        run = trainings.start(order_in(place), write_corrections)
    while run is not None and run.state.state not in ENDED:
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
