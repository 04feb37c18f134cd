"""How one of the other systems is asked and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coreseg_core.errors import InputError
from training.peers.formats import READERS


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """One system.

    Attributes:
        name: As the paper's table has it.
        model: Name that the server knows it by.
        weights: Where they come from, for the person who serves them.
        prompt: What is asked; `{question}`, `{width}` and `{height}` are filled in.
        answer: How its answer is read, see `training.peers.formats`.
        long_side_px: Pictures are shown so long, proportions kept.
        multiple_px: Both sides are multiples of this, so that the model does not resize them once more.
        square: Shown as a square, proportions not kept.
        max_tokens: Of an answer.
        system: System prompt, or none.
    """

    name: str
    model: str
    weights: str
    prompt: str
    answer: str
    long_side_px: int
    multiple_px: int = 28
    square: bool = False
    max_tokens: int = 512
    system: str | None = None

    def __post_init__(self) -> None:
        if self.answer not in READERS:
            raise InputError(
                f"There is no answer format {self.answer[:40]!r}.", remedy=f"Use one of {', '.join(READERS)}."
            )
        if "{question}" not in self.prompt:
            raise InputError("The prompt does not say where the question stands.", remedy="Add '{question}'.")


def read_peer(path: Path) -> PeerConfig:
    """Return the configuration of a YAML file.

    Raises:
        InputError: It cannot be read, or lacks or has what it should not.
    """
    try:
        values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PeerConfig(**values)
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise InputError(
            "The configuration of the system cannot be read.",
            remedy="Write one like those in training/configs/peers.",
        ) from error
