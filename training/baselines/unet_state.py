"""What a U-Net run keeps: the best weights, and one file to go on from. Safetensors, replaced whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from coreseg_core.errors import CheckpointError

BEST, LAST, LOG = "best.safetensors", "last.safetensors", "log.jsonl"
_NET, _AVERAGE, _OPTIMIZER = "net/", "average/", "optimizer/"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run got.

    Attributes:
        epoch: Epochs done.
        minutes: Wall time of all pieces of the run, dev included.
        best_score, best_epoch: Of the weights that are kept.
        plateau_score, plateau_epoch: From where the present plateau is counted.
    """

    epoch: int = 0
    minutes: float = 0.0
    best_score: float = -1.0
    best_epoch: int = 0
    plateau_score: float = -1.0
    plateau_epoch: int = 0

    def after_epoch(self, *, score: float, min_gain: float, minutes: float) -> Progress:
        """Return the progress one epoch later."""
        later = replace(self, epoch=self.epoch + 1, minutes=round(minutes, 3))
        if score > self.best_score:
            later = replace(later, best_score=score, best_epoch=later.epoch)
        if score > self.plateau_score + min_gain:
            later = replace(later, plateau_score=score, plateau_epoch=later.epoch)
        return later


@dataclass(frozen=True)
class Learner:
    """A net in training, the running average of its weights and its optimizer."""

    net: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer


def write_best(folder: Path, learner: Learner, facts: Mapping[str, Any]) -> None:
    """Write the averaged weights with the facts about them.

    Raises:
        CheckpointError: The place cannot be written.
    """
    _write(folder / BEST, learner.average.module.state_dict(), facts)


def write_state(folder: Path, learner: Learner, progress: Progress) -> None:
    """Write what a run needs to go on.

    Raises:
        CheckpointError: The place cannot be written.
    """
    tensors = {f"{_NET}{name}": tensor for name, tensor in learner.net.state_dict().items()}
    tensors |= {f"{_AVERAGE}{name}": tensor for name, tensor in learner.average.state_dict().items()}
    for number, values in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{number}/{name}": tensor for name, tensor in values.items()}
    _write(folder / LAST, tensors, asdict(progress))


def read_state(folder: Path, learner: Learner) -> Progress:
    """Return the progress of an earlier run after loading it into `learner`, a fresh one without.

    Raises:
        CheckpointError: The file is damaged or of another U-Net.
    """
    path = folder / LAST
    if not path.exists():
        return Progress()
    tensors, facts = read_tensors(path)
    load_weights(learner.net, _part(tensors, _NET))
    load_weights(learner.average, _part(tensors, _AVERAGE))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, _OPTIMIZER).items():
        number, key = name.split("/")
        state.setdefault(int(number), {})[key] = tensor
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})
    return Progress(**facts)


def make_folder(folder: Path) -> None:
    """Make the folder of a run where it is missing.

    Raises:
        CheckpointError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(error) from error


def append_log(folder: Path, line: str) -> None:
    """Add a line to `log.jsonl`.

    Raises:
        CheckpointError: It cannot be written.
    """
    try:
        with (folder / LOG).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise _cannot_write(error) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the facts of a file.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "A U-Net file is missing or damaged.", remedy="Train it again, or remove the file to start over."
        ) from error


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load weights into `net`.

    Raises:
        CheckpointError: They are of another U-Net.
    """
    try:
        net.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(
            "The weights are of a U-Net of another shape.",
            remedy="Use the configuration they were trained with.",
        ) from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, temporary, metadata={"facts": json.dumps(facts)})
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise _cannot_write(error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(error: Exception) -> CheckpointError:
    reason = error.strerror if isinstance(error, OSError) else "the writer gave up"
    return CheckpointError(
        f"A file of the U-Net run cannot be written ({reason}).",
        remedy="Check the folder and the space left on the disk; the run goes on at its last epoch.",
    )
