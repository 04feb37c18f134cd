"""SFT of a preset that stands on published weights: the recipe trains what is not frozen, and what it publishes serves.

The real recipe runs on `core-seg-3b` made small (two random layers of each part), from pictures to an answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_core_seg import tiny_core_seg, write_base_folder

from coreseg_core.checkpoint import load_weights
from coreseg_core.errors import CheckpointError, InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging.pictures import picture_slice
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.answering import Answering
from coreseg_core.models.base_files import BASE_VARIABLE, base_facts, find_base_files
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.load import build_on_base, load_model
from coreseg_core.models.visual_tokens import resize_frame
from coreseg_core.record import Query
from training.described import Described
from training.devices import on_device
from training.loop import LoopConfig
from training.phantom_pictures import write_pictures
from training.publish import publish
from training.samples import BatchSource
from training.sft import SFTConfig, run
from training.views import ViewStore, build_store
from training.wording import DEFAULT_MIX
from training.words import WordsConfig

STEPS = 2
BASE = "published/qwen"
SHAPES = {0: (slice(None, None, 3), slice(None, None, 3)), 1: (slice(None), slice(None, None, 2))}
"""Which pixels are left of the first pictures, so that pictures have several sizes."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder: published weights, phantom pictures of three sizes with their manifest, and views."""
    folder = tmp_path_factory.mktemp("sft")
    base = write_base_folder(folder / BASE)
    manifest = write_pictures(folder / "pictures", count=6, seed=5)
    rows = read_manifest(manifest)
    for part, views in (("train", [0, 1]), ("dev", [0])):
        build_store(
            rows,
            views,
            folder / "views" / part,
            preset=tiny_core_seg(),
            base=str(base),
            load=lambda row: _picture(rows, row),
        )
    return folder


def _picture(rows: Sequence[Row], row: Row) -> tuple[np.ndarray, np.ndarray]:
    rgb, mask = load_row(row)
    kept = SHAPES.get(rows.index(row), (slice(None), slice(None)))
    return rgb[kept].copy(), mask[kept].copy()


@pytest.fixture
def config(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SFTConfig:
    """A run in a folder of its own; the published weights are named relative to where the recipe is started."""
    monkeypatch.chdir(place)
    monkeypatch.delenv(BASE_VARIABLE, raising=False)
    pace = LoopConfig(steps=STEPS, warmup_steps=1, log_every=1, evaluate_every=STEPS, mixed_precision="no")
    return SFTConfig(
        preset=tiny_core_seg(),
        base=BASE,
        manifests=(place / "pictures" / "manifest.jsonl",),
        views=place / "views",
        out=tmp_path / "run",
        seed=1,
        batch_size=3,
        described_size=2,
        balance=0.6,
        lesion_free_weight=2.0,
        mix=DEFAULT_MIX,
        learning_rates={"language": 1e-2, "adapter": 1e-2, "decoder": 1e-2},
        loss_weights=dict.fromkeys(
            ("text", "described", "dice", "cross_entropy", "iou", "patch", "presence"), 1.0
        ),
        loop=pace,
        words=WordsConfig(batch_size=2, learning_rate=1e-3, loop=replace(pace, steps=1)),
    )


def _source(place: Path, model: CoreSegModel) -> BatchSource:
    store = ViewStore(place / "views" / "train")
    return BatchSource(
        store,
        {row.id: row for row in read_manifest(place / "pictures" / "manifest.jsonl")},
        tokenizer=model.language.tokenizer,
        frame=model.preset.frame,
        grid_hw=model.language.visual_tokens.grid_hw,
        side_px=model.segmenter.mask_side_px,
        batch_size=3,
        described_size=0,
        described=Described.to(model),
        balance=1.0,
        lesion_free_weight=1.0,
        mix=DEFAULT_MIX,
        seed=4,
    )


def _frozen(model: CoreSegModel) -> dict[str, torch.Tensor]:
    trained = set(model.trained_state())
    return {name: tensor for name, tensor in model.state_dict().items() if name not in trained}


def test_recipe_trains_publishes_and_the_published_weights_answer(
    config: SFTConfig, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config)
    lines = [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]
    totals = [line["total"] for line in lines if "total" in line]
    assert len(totals) == STEPS
    assert np.isfinite(totals).all()
    assert any("dev/dice/macro" in line for line in lines)

    out = tmp_path / "weights" / "tiny"
    publish(config, run=config.out, out=out)
    tensors, manifest = load_weights(out)
    assert manifest["preset"] == "core-seg-3b"
    files = find_base_files(tiny_core_seg(), base=place / BASE)
    assert manifest["base"]["name"] == "coreseg-tests/no-such-model"
    assert manifest["base"]["sha256"] == files.sha256()
    assert not Path(manifest["base"]["folder"]).is_absolute()
    assert "tokenizer.json" not in manifest["files"]
    assert not any(name.startswith("language.visual.") or "image_encoder" in name for name in tensors)

    # From anywhere: what the manifest says is relative to the weights.
    monkeypatch.chdir(tmp_path)
    loaded = load_model(tiny_core_seg(), weights=out)
    untrained, _ = build_on_base(tiny_core_seg(), base=place / BASE)
    assert set(tensors) == set(untrained.trained_state())
    moved = {
        name for name, tensor in loaded.model.trained_state().items() if ".lora_B." in name and tensor.any()
    }
    assert len(moved) == 2 * 7
    for name, tensor in _frozen(untrained).items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name

    segmenter = SliceSegmenter.from_preset(tiny_core_seg(), weights=out, base=place / BASE, device="cpu")
    rgb = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    (finding,) = segmenter.answer_picture(rgb, [Query(text="is there a liver tumor?", reasoning="none")])
    assert finding.mask.shape == (90, 120)
    assert segmenter.model_card == {"preset": "core-seg-3b", "version": "v0", "sha256": loaded.sha256}


def test_run_is_not_resumed_on_other_published_weights(config: SFTConfig, tmp_path: Path) -> None:
    run(replace(config, words=None, loop=replace(config.loop, steps=2, save_every=1)), minutes=0.0)
    shard = next(Path(BASE).glob("model-*.safetensors"))
    other = tmp_path / "other"
    other.mkdir()
    for path in Path(BASE).resolve().iterdir():
        (other / path.name).symlink_to(path)
    tensors = load_file(shard)
    (other / shard.name).unlink()
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, other / shard.name)
    with pytest.raises(CheckpointError, match="other published weights"):
        run(replace(config, words=None, base=str(other)))


def test_views_of_another_preset_and_no_views_are_refused(config: SFTConfig) -> None:
    with pytest.raises(InputError, match="Not all of the 18 views were made for 'lite'"):
        run(replace(config, preset="lite"))
    with pytest.raises(InputError, match="no views to train on"):
        run(replace(config, views=config.out / "nothing"))


def test_every_batch_has_frames_of_one_size_and_as_many_picture_tokens_as_the_tower_makes(
    place: Path,
) -> None:
    model, _ = build_on_base(tiny_core_seg(), base=place / BASE)
    source = _source(place, model)
    seen = set()
    for step in range(12):
        batch = source.batch(step)
        frames = batch.teacher.frames
        assert frames is not None
        rows, columns = frames.shape[2] // 28, frames.shape[3] // 28
        assert batch.grid_hw == (rows, columns)
        assert batch.token_masks.shape[1:] == (rows, columns)
        places = (batch.teacher.ids == model.language.tokenizer.image_id).sum(dim=1)
        assert places.tolist() == [rows * columns] * 3
        seen.add((rows, columns))
    assert len(seen) > 1


def test_views_are_drawn_as_often_as_without_batches_of_one_frame_size(place: Path) -> None:
    model, _ = build_on_base(tiny_core_seg(), base=place / BASE)
    source = _source(place, model)
    drawn = np.concatenate([source._drawn(np.random.default_rng(seed)) for seed in range(3000)])
    shares = np.bincount(drawn, minlength=12) / len(drawn)
    assert np.abs(shares - 1 / 12).max() < 0.015


def test_a_picture_is_shown_to_the_language_model_in_training_as_in_use(place: Path) -> None:
    store = ViewStore(place / "views" / "train")
    rows = read_manifest(place / "pictures" / "manifest.jsonl")
    model, _ = build_on_base(tiny_core_seg(), base=place / BASE)
    answering = Answering(model.eval(), fingerprint="x")
    for number, row in enumerate(rows):
        view = store[number]
        assert (view.key.row_id, view.key.view) == (row.id, 0)
        rgb, mask = _picture(rows, row)
        prepared = answering.prepare(picture_slice(rgb, pixel_mm=(1.0, 1.0)))
        assert store.frame_whs[number] == prepared.frame_wh
        assert view.frame is not None
        served = resize_frame(torch.from_numpy(rgb).permute(2, 0, 1), prepared.frame_wh)
        # The view lies at the segmenter's pitch, which is coarser here than the picture: its edges are softer.
        assert np.abs(served.permute(1, 2, 0).numpy() - view.frame / 255).mean() < 0.05
        assert view.mask.any() == mask.any()


def test_what_a_run_stands_on_is_told_without_a_path_of_this_machine(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = find_base_files(tiny_core_seg(), base=place / BASE)
    assert base_facts(tiny_core_seg(), files, base=str(place / BASE))["folder"] == "qwen"
    monkeypatch.setenv(BASE_VARIABLE, str(place / BASE))
    assert base_facts(tiny_core_seg(), files)["folder"] == "qwen"
    assert "folder" not in base_facts(tiny_core_seg(), files, base="someone/a-mirror")
    assert base_facts(tiny_core_seg(), files, base="someone/a-mirror")["repository"] == "someone/a-mirror"


def test_every_tensor_of_a_batch_goes_to_the_device(place: Path) -> None:
    model, _ = build_on_base(tiny_core_seg(), base=place / BASE)
    batch = on_device(_source(place, model).batch(0), torch.device("meta"))
    teacher = {**vars(batch.teacher)}
    boxes = teacher.pop("boxes")
    assert len(boxes) == len(batch.kinds)
    tensors = [batch.masks, batch.token_masks, batch.weights, *teacher.values(), *boxes]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert batch.kinds
