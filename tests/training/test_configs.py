"""Every configuration that ships can be read by its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.sft import read_config

CONFIGS = sorted((Path(__file__).parents[2] / "training" / "configs").glob("sft_*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_sft_configuration_is_complete(path: Path) -> None:
    config = read_config(path)
    assert set(config.learning_rates) == {"language", "adapter", "decoder"}
    assert set(config.loss_weights) == {
        "text",
        "described",
        "dice",
        "cross_entropy",
        "iou",
        "patch",
        "presence",
    }
    assert config.loop.steps > config.loop.warmup_steps


def test_there_are_configurations() -> None:
    assert CONFIGS
