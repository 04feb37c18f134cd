"""Every configuration that ships can be read by its recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coreseg_core.errors import InputError
from training.grpo_config import GRPOConfig
from training.recipes import read_config
from training.settings import read_values
from training.sft import SFTConfig

FOLDER = Path(__file__).parents[2] / "training" / "configs"
CONFIGS = sorted(FOLDER.glob("sft_*.yaml"))
GRPO_CONFIGS = sorted(FOLDER.glob("grpo_*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_sft_configuration_is_complete(path: Path) -> None:
    config = read_config(path)
    assert isinstance(config, SFTConfig)
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


def test_a_value_of_a_file_can_be_changed_for_one_run() -> None:
    changes = ["out=runs/b", "loop.steps=50", "manifests=[a.jsonl, b.jsonl]", "policy.beta=0.0"]
    plain, config = (read_config(GRPO_CONFIGS[0].with_name("grpo_lite.yaml"), some) for some in ((), changes))
    assert isinstance(plain, GRPOConfig) and isinstance(config, GRPOConfig)
    assert (config.out, config.loop.steps, config.policy.beta) == (Path("runs/b"), 50, 0.0)
    assert config.manifests == (Path("a.jsonl"), Path("b.jsonl"))
    assert (
        replace(config, out=plain.out, manifests=plain.manifests, policy=plain.policy, loop=plain.loop)
        == plain
    )
    assert replace(config.loop, steps=plain.loop.steps) == plain.loop


@pytest.mark.parametrize(
    "change", ["stpes=3", "loop.steps", "loop.steps.more=1", "seed.more=1", "nothing.steps=3", "seed=[1"]
)
def test_a_change_that_cannot_be_made_is_refused(change: str) -> None:
    with pytest.raises(InputError):
        read_config(GRPO_CONFIGS[0], [change])


@pytest.mark.parametrize("path", [CONFIGS[-1], GRPO_CONFIGS[-1]], ids=lambda path: path.name)
def test_what_prompts_the_segmenter_is_chosen_by_one_word_in_either_stage(path: Path) -> None:
    assert read_config(path, ["mask_prompt=pooled"]).mask_prompt == "pooled"
    with pytest.raises(InputError, match="telepathy"):
        read_config(path, ["mask_prompt=telepathy"])


@pytest.mark.parametrize("content", [None, b"", b"- 1\n- 2\n", b"a: [1", b"\xff\xfe\x00"])
def test_a_file_without_settings_is_refused_in_words(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"recipe\.yaml") as refused:
        read_values(path)
    assert "training/configs" in refused.value.remedy
