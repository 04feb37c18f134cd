"""Every configuration that ships can be read by its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.grpo_config import GRPOConfig
from training.recipes import read_config
from training.sft import SFTConfig

FOLDER = Path(__file__).parents[2] / "training" / "configs"
CONFIGS = sorted(FOLDER.glob("sft_*.yaml"))
GRPO_CONFIGS = sorted(FOLDER.glob("grpo_*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_sft_configuration_is_complete(path: Path) -> None:
    config = read_config(path)
    assert isinstance(config, SFTConfig)
    assert set(config.learning_rates) == {"language", "adapter", "decoder"}
    assert set(config.loss_weights) == {"text", "described", "dice", "cross_entropy", "iou", "patch"}
    assert config.loop.steps > config.loop.warmup_steps


@pytest.mark.parametrize("path", GRPO_CONFIGS, ids=lambda path: path.name)
def test_grpo_configuration_is_complete(path: Path) -> None:
    config = read_config(path)
    assert isinstance(config, GRPOConfig)
    assert set(config.learning_rates) == {"language", "adapter", "decoder"}
    assert set(config.mask_weights) == {"dice", "cross_entropy", "iou"}
    assert sum(config.modes) == pytest.approx(1)
    assert config.loop.steps > config.loop.warmup_steps
    # Logged lines and evaluations are of steps that happen.
    assert config.loop.steps % config.loop.evaluate_every == 0


def test_there_are_configurations() -> None:
    assert CONFIGS
    assert GRPO_CONFIGS
