"""Publishes the averaged weights of a run as a weight folder that the program loads.

python -m training.publish --run runs/sft_lite --config training/configs/sft_lite.yaml --out coreseg_core/weights/lite
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from coreseg_core.checkpoint import load_weights, save_weights
from coreseg_core.errors import CheckpointError
from training.loop import AVERAGE_PREFIX
from training.sft import SFTConfig, read_config

_LEARNER_PREFIX = AVERAGE_PREFIX + "model."


def published_tensors(checkpoint: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Return the averaged tensors of the model as float16, and the step they were taken at.

    Raises:
        CheckpointError: The checkpoint is altered or holds no averaged weights.
    """
    tensors, facts = load_weights(checkpoint)
    chosen = {
        name.removeprefix(_LEARNER_PREFIX): tensor.to(torch.float16)
        for name, tensor in tensors.items()
        if name.startswith(_LEARNER_PREFIX)
    }
    if not chosen:
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} holds no averaged weights.",
            remedy="Name a checkpoint folder that training.sft wrote.",
        )
    return chosen, int(facts["step"])


def facts_of(config: SFTConfig, *, step: int, log: Path) -> dict[str, Any]:
    """Return what the manifest of the published weights says: where they come from and how long it took."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return {
        "preset": config.preset,
        "version": "v0",
        "state": "shipped",
        "parent": None,
        "recipe": "training.sft",
        "seed": config.seed,
        "steps": step,
        "dialogues": step * config.batch_size * config.loop.accumulate,
        "data": {
            f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in config.manifests
        },
        "hardware": platform.machine(),
        "development": next(
            (line for line in reversed(lines) if any(key.startswith("dev/") for key in line)), {}
        ),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Publish the newest checkpoint of a run, replacing the weight folder in one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    config = read_config(arguments.config)
    checkpoint = max((arguments.run / "checkpoints").glob("step_??????"))
    tensors, step = published_tensors(checkpoint)
    facts = facts_of(config, step=step, log=arguments.run / "log.jsonl")
    kept = (
        {path.name: path.read_bytes() for path in arguments.out.glob("*.md")}
        if arguments.out.exists()
        else {}
    )
    files = {"tokenizer.json": config.tokenizer.read_bytes()}
    with tempfile.TemporaryDirectory(dir=arguments.out.parent, prefix=".publish-") as scratch:
        fresh = Path(scratch) / arguments.out.name
        save_weights(fresh, tensors, facts, files=files)
        for name, content in kept.items():
            (fresh / name).write_bytes(content)
        if arguments.out.exists():
            arguments.out.rename(Path(scratch) / "old")
        fresh.rename(arguments.out)
        shutil.rmtree(Path(scratch) / "old", ignore_errors=True)


if __name__ == "__main__":
    main()
