"""Which recipe a configuration is of, and how it is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training import grpo, grpo_config, sft
from training.grpo_config import GRPOConfig
from training.settings import read_values
from training.sft import SFTConfig

Config = SFTConfig | GRPOConfig


def read_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Return the configuration of a YAML file; one that says how many `answers` a question gets is of GRPO."""
    if "answers" in read_values(path):
        return grpo_config.read_config(path, changes)
    return sft.read_config(path, changes)


def run(config: Config, *, minutes: float | None = None) -> None:
    """Train as configured, for at most `minutes`."""
    if isinstance(config, GRPOConfig):
        grpo.run(config, minutes=minutes)
    else:
        sft.run(config, minutes=minutes)
