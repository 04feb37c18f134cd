"""GRPO of a preset on published weights: what stage 1 learned is folded in, and both stages ship together."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import toy
from tiny_core_seg import write_base_folder
from torch import Tensor

from coreseg_core.checkpoint import load_weights, save_weights
from coreseg_core.errors import CheckpointError, InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.models.base_files import BASE_VARIABLE, base_facts
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.load import build_on_base, load_model
from coreseg_core.models.lora import fold_updates, stacked_updates
from training.ablate import VARIANTS, ablate, variant
from training.groups import GroupLearner, group_batch
from training.grpo import run
from training.grpo_config import GRPOConfig
from training.loop import LoopConfig
from training.phantom_pictures import write_pictures
from training.publish import publish
from training.rewards import RewardConfig
from training.rollouts import sample_group
from training.views import build_store
from training.wording import DEFAULT_MIX

PRESET = toy.preset(lora=True)


def _stir_updates(model: CoreSegModel, seed: int) -> None:
    """Move the low-rank updates away from where they begin, which is nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)


def _log_probs(model: CoreSegModel) -> Tensor:
    group = sample_group(
        toy.new_model(lora=True),
        toy.asked(),
        size=2,
        temperature=1.0,
        max_tokens=12,
        rewards=RewardConfig(),
        generator=torch.Generator().manual_seed(1),
    )
    batch = group_batch(group, model.language, side_px=toy.SIDE)
    learner = GroupLearner(model.eval(), temperature=1.0, shared=True, mask_gradient=True)
    return learner.log_probs(batch)


def test_folding_changes_nothing_and_stacking_gives_what_was_learned_on_top() -> None:
    model = toy.new_model(lora=True)
    _stir_updates(model, 1)
    before, first = _log_probs(model), {name: t.clone() for name, t in model.trained_state().items()}
    assert fold_updates(model.language.text) == 2 * 7
    torch.testing.assert_close(_log_probs(model), before, rtol=1e-4, atol=1e-4)
    _stir_updates(model, 2)
    after = _log_probs(model)
    assert not torch.allclose(after, before, atol=1e-2)

    stacked = stacked_updates(first, model.trained_state())
    lora = PRESET.language.lora
    assert lora is not None
    twice = replace(lora, r=2 * lora.r, alpha=2 * lora.alpha, dropout=0.0)
    wide = toy.new_model_of(replace(PRESET, language=replace(PRESET.language, lora=twice)))
    wide.load_state_dict({**toy.new_model(lora=True).state_dict(), **stacked})
    torch.testing.assert_close(_log_probs(wide), after, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder: published weights, views, and the weights of a stage 1."""
    folder = tmp_path_factory.mktemp("grpo")
    base = write_base_folder(folder / "published" / "qwen")
    rows = read_manifest(write_pictures(folder / "pictures", count=2, seed=5))
    for part in ("train", "dev"):
        build_store(rows, [0], folder / "views" / part, preset=PRESET, base=str(base))
    model, files = build_on_base(PRESET, base=base)
    _stir_updates(model, 3)
    facts = {"preset": PRESET.name, "version": "v0", "base": base_facts(PRESET, files, base=str(base))}
    facts["base"]["folder"] = "../../published/qwen"
    save_weights(folder / "weights" / "sft", model.trained_state(), facts)
    return folder


def _config(place: Path, out: Path) -> GRPOConfig:
    return toy.config(
        out,
        preset=PRESET,
        start=place / "weights" / "sft",
        manifests=(place / "pictures" / "manifest.jsonl",),
        views=place / "views",
        questions=2,
        answers=3,
        max_tokens=8,
        mix=DEFAULT_MIX,
        learning_rates={"language": 1e-2, "adapter": 1e-2, "decoder": 1e-2},
        loop=LoopConfig(steps=2, warmup_steps=1, log_every=1, evaluate_every=2, mixed_precision="no"),
    )


def test_recipe_goes_on_from_stage_1_and_what_it_publishes_answers_like_the_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BASE_VARIABLE, raising=False)
    monkeypatch.chdir(place)
    config = replace(_config(place, tmp_path / "run"), mask_prompt="pooled")
    run(config)
    lines = [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "reward" in line] == [1, 2]
    assert any("dev/reward" in line for line in lines)
    assert (config.out / "curves.png").stat().st_size > 0

    out = tmp_path / "weights" / "grpo"
    publish(config, run=config.out, out=out)
    tensors, manifest = load_weights(out)
    start, begun = load_weights(config.start)
    assert manifest["recipe"] == "training.grpo"
    assert manifest["parent"] == begun["files"]["weights.safetensors"]["sha256"]
    assert manifest["dialogues"] == 2 * 2 * 3
    assert not Path(manifest["base"]["folder"]).is_absolute()
    name = next(name for name in start if ".lora_A." in name)
    assert tensors[name].shape[0] == 2 * start[name].shape[0]
    # Eight random words earn the same whatever they are, so nothing was learned: both stages must say what one said.
    published, stage_one = (load_model(PRESET, weights=weights).model for weights in (out, config.start))
    assert (published.mask_prompt, stage_one.mask_prompt) == ("pooled", "attended")
    torch.testing.assert_close(_log_probs(published), _log_probs(stage_one), rtol=2e-2, atol=2e-2)


def test_ablations_differ_in_one_thing_and_the_grid_goes_on_where_it_stopped(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BASE_VARIABLE, raising=False)
    config = replace(_config(place, tmp_path / "unused"), base=str(place / "published" / "qwen"))
    full = variant(config, "full", steps=1, out=tmp_path)
    for name in VARIANTS:
        one = variant(config, name, steps=1, out=tmp_path)
        changed = [
            field.name for field in fields(one) if getattr(one, field.name) != getattr(full, field.name)
        ]
        assert set(changed) - {"out"} <= {"rewards", "policy", "mask_weights", "mask_gradient", "mask_prompt"}
        assert len(changed) == (0 if name == "full" else 2)
    with pytest.raises(InputError, match="no variant 'no-words'"):
        variant(config, "no-words", steps=1, out=tmp_path)
    assert not ablate(config, ["no-adapter", "full"], steps=1, out=tmp_path, minutes=1e-9)
    assert ablate(config, ["no-adapter", "full"], steps=1, out=tmp_path)
    table = json.loads((tmp_path / "table.json").read_text())
    assert list(table) == ["sft-only", "no-adapter", "full"]
    # What stage 1 is worth is told of a run that prompts the segmenter as stage 1 did.
    assert table["sft-only"]["Dice before"] == table["full"]["Dice before"]
    written = (tmp_path / "full" / "log.jsonl").read_bytes()
    assert ablate(config, ["no-adapter", "full"], steps=1, out=tmp_path)
    assert (tmp_path / "full" / "log.jsonl").read_bytes() == written


def test_run_is_not_resumed_from_another_stage_1(place: Path, tmp_path: Path) -> None:
    config = _config(place, tmp_path / "run")
    run(config, minutes=0.0)
    tensors, manifest = load_weights(config.start)
    other = tmp_path / "other"
    facts = {key: manifest[key] for key in ("preset", "version", "base")}
    save_weights(other, {name: tensor * 1.5 for name, tensor in tensors.items()}, facts)
    with pytest.raises(CheckpointError, match="other"):
        run(replace(config, start=other, base=str(place / "published" / "qwen")))
