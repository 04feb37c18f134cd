"""How one of the other systems is asked and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from coreseg_core.errors import InputError
from coreseg_core.models.sam import SamSizes, published_sizes
from training.peers.formats import READERS
from training.settings import read_values

SEG_STATE = "seg-state"
"""The answer of a system that gives no boxes: its `[SEG]` becomes the prompt of a SAM of its own (LISA)."""

_REMEDY = "Write one like those in training/configs/peers."


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """One system.

    Attributes:
        name: As the paper's table has it.
        model: Name that the server knows it by.
        weights: Where they come from, for the person who serves them.
        prompt: What is asked; `{question}`, `{width}` and `{height}` are filled in.
        answer: How its answer is read, see `training.peers.formats`; or `seg-state`.
        long_side_px: Pictures are shown so long, proportions kept.
        multiple_px: Both sides are multiples of this, so that the model does not resize them once more.
        square: Shown as a square, proportions not kept.
        max_tokens: Of an answer.
        system: System prompt, or none.
        sam: Of a `seg-state`: the SAM's variant, or its sizes.
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
    sam: str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        known = [*READERS, SEG_STATE]
        if self.answer not in known:
            raise InputError(
                f"There is no answer format {self.answer[:40]!r}.", remedy=f"Use one of {', '.join(known)}."
            )
        if (self.answer == SEG_STATE) is not (self.sam is not None):
            raise InputError(
                "A SAM of its own belongs to an answer 'seg-state', and to no other.",
                remedy="Name 'sam' there, and leave it out elsewhere.",
            )
        if "{question}" not in self.prompt:
            raise InputError("The prompt does not say where the question stands.", remedy="Add '{question}'.")

    @property
    def sam_sizes(self) -> SamSizes:
        """Sizes of the SAM of a `seg-state`.

        Raises:
            ModelError: There is no such variant.
            TypeError: A size is not one of a SAM's, or is missing.
        """
        if isinstance(self.sam, Mapping):
            return SamSizes(**{**self.sam, "global_blocks": tuple(self.sam["global_blocks"])})
        return published_sizes(str(self.sam))


def read_peer(path: Path) -> PeerConfig:
    """Return the configuration of a YAML file.

    Raises:
        InputError: It cannot be read, or lacks or has what it should not.
    """
    values = read_values(path, config=PeerConfig, examples="training/configs/peers")
    lacking = [
        item.name for item in fields(PeerConfig) if item.default is MISSING and item.name not in values
    ]
    if lacking:
        raise InputError(f"The configuration {path.name!r} lacks {', '.join(lacking)}.", remedy=_REMEDY)
    try:
        return PeerConfig(**values)
    except TypeError as error:
        raise InputError(
            f"The configuration {path.name!r} holds a value of a wrong kind.", remedy=_REMEDY
        ) from error
