"""A recipe that learns nothing and costs nothing: the parent's weights with a little added, in whole checkpoints.

It takes the arguments of a real one, keeps its log, and says in the same way what it did, so that runs around it can be
stopped, killed and taken up again many times in little time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import yaml

from coreseg_core.checkpoint import load_weights, save_weights


def main(argv: list[str]) -> None:
    """Go to the last step, from the last checkpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args(argv)
    config = yaml.safe_load(arguments.config.read_text())
    out = Path(config["out"])
    tensors, _ = load_weights(Path(config["start"]))
    done = [int(path.name.removeprefix("step_")) for path in (out / "checkpoints").glob("step_??????")]
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for step in range(max(done, default=0) + 1, int(config["loop"]["steps"]) + 1):
        time.sleep(float(config.get("pause_s", 0.0)))
        moved = {
            f"average.model.{name}": tensor + config.get("added", 0.0) for name, tensor in tensors.items()
        }
        save_weights(out / "checkpoints" / f"step_{step:06d}", moved, {"step": step})
        line = {
            "step": step,
            "seconds": time.monotonic() - began,
            "total": 1.0 / step,
            "dev/dice/corrections": 0.5,
        }
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
