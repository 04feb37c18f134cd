"""Which recipe a configuration is of, and how it is run."""

from __future__ import annotations

from pathlib import Path

import yaml

from training import grpo, grpo_config, sft
from training.grpo_config import GRPOConfig
from training.sft import SFTConfig

Config = SFTConfig | GRPOConfig


def read_config(path: Path) -> Config:
    """Return the configuration of a YAML file; one that says how many `answers` a question gets is of GRPO."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return grpo_config.read_config(path) if "answers" in values else sft.read_config(path)


def run(config: Config, *, minutes: float | None = None) -> None:
    """Train as configured, for at most `minutes`."""
    if isinstance(config, GRPOConfig):
        grpo.run(config, minutes=minutes)
    else:
        sft.run(config, minutes=minutes)
