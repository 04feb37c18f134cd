"""Publishes the averaged weights of a run as a weight folder that the program loads.

python -m training.publish --run runs/sft_lite --config training/configs/sft_lite.yaml --out coreseg_core/weights/lite
python -m training.publish --run runs/grpo_lite --config training/configs/grpo_lite.yaml --out coreseg_core/weights/lite
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from coreseg_core.checkpoint import load_weights, read_manifest, save_weights
from coreseg_core.cli.exits import exit_code
from coreseg_core.errors import CheckpointError
from coreseg_core.models.base_files import TOKENIZER_NAME
from coreseg_core.models.load import MASK_PROMPT_FACT
from coreseg_core.models.lora import stacked_updates
from training.grpo_config import GRPOConfig
from training.loop import AVERAGE_PREFIX
from training.recipes import Config, read_config
from training.settings import add_settings
from training.sft import SFTConfig
from training.start import BASE_NAME

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


def facts_of(config: Config, *, step: int, log: Path) -> dict[str, Any]:
    """Return what the manifest of the published weights says: where they come from and how long it took."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return {
        "preset": config.model_preset.name,
        "version": "v0",
        "state": "shipped",
        **_lesson_of(config, step=step),
        "seed": config.seed,
        "steps": step,
        "data": {
            f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in config.manifests
        },
        "hardware": platform.machine(),
        "development": next(
            (line for line in reversed(lines) if any(key.startswith("dev/") for key in line)), {}
        ),
    }


def _lesson_of(config: Config, *, step: int) -> dict[str, Any]:
    """Return which recipe it was, what it went on from, and how many dialogues it learned from."""
    if isinstance(config, SFTConfig):
        dialogues = step * config.batch_size * config.loop.accumulate
        return {
            "parent": None,
            "recipe": "training.sft",
            "dialogues": dialogues,
            **_prompted(config.mask_prompt),
        }
    begun = read_manifest(config.start)
    return {
        "parent": begun["files"]["weights.safetensors"]["sha256"],
        "recipe": "training.grpo",
        "dialogues": step // config.loop.together * config.questions * config.answers,
        **_prompted(config.mask_prompt or begun.get(MASK_PROMPT_FACT, "attended")),
    }


def _prompted(name: str) -> dict[str, str]:
    """Return what the manifest says of another mask prompt than the usual one."""
    return {} if name == "attended" else {MASK_PROMPT_FACT: name}


def base_of(config: Config, *, run: Path, out: Path) -> dict[str, dict[str, str]]:
    """Return what the manifest says of the published weights that a run stands on; nothing where it stands on none.

    A folder that the configuration names relatively is told relative to the weights, any other one by its name alone:
    no path of the machine that trained leaves it.
    """
    if isinstance(config, GRPOConfig):
        facts = read_manifest(config.start).get("base")
        if facts is None:
            return {}
        if "folder" in facts and "/" in facts["folder"]:
            facts = {**facts, "folder": _relative(config.start / facts["folder"], out)}
        return {"base": facts}
    path = run / BASE_NAME
    if not path.exists():
        return {}
    facts = json.loads(path.read_bytes())
    if config.base and "folder" in facts and not Path(config.base).expanduser().is_absolute():
        facts["folder"] = _relative(Path(config.base), out)
    return {"base": facts}


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path, out)).as_posix()


def _tokenizer_of(config: Config) -> Path | None:
    if isinstance(config, SFTConfig):
        return config.tokenizer
    path = config.start / TOKENIZER_NAME
    return path if path.is_file() else None


def publish(config: Config, *, run: Path, out: Path) -> None:
    """Publish the newest checkpoint of a run, replacing the weight folder in one step.

    Of a preset that stands on published weights, only what was trained is written; the rest, tokenizer included, stays
    where it is.
    """
    checkpoint = max((run / "checkpoints").glob("step_??????"))
    tensors, step = published_tensors(checkpoint)
    if isinstance(config, GRPOConfig):
        # What stage 1 learned was folded in to begin; both lie over the published weights side by side.
        tensors = stacked_updates(load_weights(config.start)[0], tensors)
    facts = {**facts_of(config, step=step, log=run / "log.jsonl"), **base_of(config, run=run, out=out)}
    kept = {path.name: path.read_bytes() for path in out.glob("*.md")} if out.exists() else {}
    tokenizer = _tokenizer_of(config)
    files = {} if tokenizer is None else {TOKENIZER_NAME: tokenizer.read_bytes()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".publish-") as scratch:
        fresh = Path(scratch) / out.name
        save_weights(fresh, tensors, facts, files=files)
        for name, content in kept.items():
            (fresh / name).write_bytes(content)
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)
        shutil.rmtree(Path(scratch) / "old", ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Publish from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    add_settings(parser)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    publish(read_config(arguments.config, arguments.changes), run=arguments.run, out=arguments.out)


if __name__ == "__main__":
    sys.exit(exit_code(main)())
