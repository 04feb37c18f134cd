"""Published weights: where they are looked for, what is said where they are missing, damaged or of another model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_core_seg import SHARDS, config_values, language_tensors, oracle, tiny_core_seg, write_base_folder

from coreseg_core.checkpoint import save_weights
from coreseg_core.errors import CheckpointError
from coreseg_core.models.base_files import BASE_VARIABLE, SEGMENTER_VARIABLE, find_base_files, how_to_get
from coreseg_core.models.base_weights import base_tensors, our_name, read_base_weights
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.load import build_on_base, load_model
from coreseg_core.models.preset import load_preset

SEGMENTER_FILE = "medsam_vit_b.safetensors"
SHARD = f"model-00001-of-{SHARDS:05d}.safetensors"


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches a hub or takes what this machine has of one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv(BASE_VARIABLE, raising=False)
    monkeypatch.delenv(SEGMENTER_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_folder(tmp_path_factory.mktemp("published") / "qwen")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(written, tmp_path / "qwen"))


def _spoil_config(folder: Path, **changes: object) -> None:
    values = {**config_values("published"), **changes}
    (folder / "config.json").write_text(json.dumps(values))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _reshape_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / SHARD)
    name = min(tensors)
    save_file({**tensors, name: tensors[name].flatten()[:-1].clone()}, folder / SHARD)


def _add_a_tensor(folder: Path) -> None:
    save_file({**load_file(folder / SHARD), "model.layers.7.extra": torch.zeros(2)}, folder / SHARD)


def _drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / SHARD)
    tensors.pop(min(tensors))
    save_file(tensors, folder / SHARD)


def _index(folder: Path, name: str) -> None:
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.norm.weight": name}})
    )


@pytest.mark.parametrize("layout", ["published", "current"])
def test_every_tensor_of_either_layout_arrives_where_it_belongs(layout: str, tmp_path: Path) -> None:
    model, _ = build_on_base(tiny_core_seg(), base=write_base_folder(tmp_path / "qwen", layout))  # type: ignore[arg-type]
    dtype = model.language.head.weight.dtype
    here = base_tensors(model)
    tensors = language_tensors(layout)  # type: ignore[arg-type]
    assert {name for name in here if name.startswith("language.")} == {our_name(name) for name in tensors}
    for name, tensor in tensors.items():
        assert torch.equal(here[str(our_name(name))], tensor.to(dtype)), name
    segmenter = load_file(tmp_path / "qwen" / SEGMENTER_FILE)
    for name, tensor in segmenter.items():
        assert torch.equal(
            here[f"segmenter.{name}"].float(), tensor.to(here[f"segmenter.{name}"].dtype).float()
        )


def test_what_transformers_itself_writes_is_read(written: Path, tmp_path: Path) -> None:
    oracle().save_pretrained(tmp_path / "saved", max_shard_size="60KB")
    for name in ("tokenizer.json", SEGMENTER_FILE):
        shutil.copyfile(written / name, tmp_path / "saved" / name)
    model, files = build_on_base(tiny_core_seg(), base=tmp_path / "saved")
    assert len(files.shards) > 1
    table = oracle().get_input_embeddings().weight
    assert torch.equal(model.language.head.weight, table.to(model.language.head.weight.dtype))


def test_low_rank_updates_start_as_no_change(written: Path) -> None:
    model, _ = build_on_base(tiny_core_seg(), base=written)
    updates = [t for name, t in model.trained_state().items() if ".lora_B." in name]
    assert len(updates) == 2 * 7
    assert not any(t.any() for t in updates)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / SHARD).unlink(), SHARD),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda f: (f / "model.safetensors.index.json").unlink(), "model.safetensors.index.json"),
        (lambda f: (f / SEGMENTER_FILE).unlink(), SEGMENTER_FILE),
        (lambda f: _truncate(f / SHARD), "damaged"),
        (lambda f: _truncate(f / SEGMENTER_FILE), "damaged"),
        (lambda f: (f / "config.json").write_text("[1, 2"), "unreadable"),
        (lambda f: (f / "config.json").write_text("[1, 2]"), "unreadable"),
        (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "unreadable"),
        (lambda f: _index(f, "../outside.safetensors"), "beside it"),
        (lambda f: _index(f, "model.bin"), "beside it"),
        (lambda f: _spoil_config(f, hidden_size=128), "hidden_size is 128, expected 64"),
        (lambda f: _spoil_config(f, rope_theta=5.0), "rope_theta is 5.0, expected 1000000.0"),
        (lambda f: _spoil_config(f, vision_config={"depth": 2}), "hidden_size is None, expected 32"),
        (lambda f: _spoil_config(f, tie_word_embeddings=False), "tie_word_embeddings"),
        (_reshape_a_tensor, "expected floating point of shape"),
        (_add_a_tensor, "model.layers.7.extra|language.text.layers.7.extra"),
        (_drop_a_tensor, r"lacks 1 of \d+ tensors"),
    ],
)
def test_missing_damaged_and_foreign_files_are_named(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        build_on_base(tiny_core_seg(), base=folder)
    assert caught.value.remedy
    assert str(folder.parent) not in str(caught.value)


def test_missing_files_are_all_named_with_the_way_to_get_them_and_the_licence() -> None:
    with pytest.raises(CheckpointError) as caught:
        find_base_files(tiny_core_seg())
    for name in ("config.json", "tokenizer.json", "model.safetensors.index.json", SEGMENTER_FILE):
        assert name in caught.value.reason
    remedy = how_to_get(load_preset("core-seg-3b"))
    assert "hf download Qwen/Qwen2.5-VL-3B-Instruct --local-dir FOLDER" in remedy
    assert "python -m coreseg_core.models.convert medsam_vit_b.pth FOLDER/medsam_vit_b.safetensors" in remedy
    assert BASE_VARIABLE in remedy
    assert "Qwen Research licence" in remedy


def test_an_unreachable_hub_is_said_within_seconds_and_names_the_files() -> None:
    with pytest.raises(CheckpointError, match="no-such-model") as caught:
        find_base_files(tiny_core_seg(), base="coreseg-tests/no-such-model")
    assert "config.json" in caught.value.reason


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder 'nowhere'"):
        find_base_files(tiny_core_seg(), base=tmp_path / "nowhere")


def test_the_folder_is_taken_from_argument_then_environment_then_manifest(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, stated = tiny_core_seg(), {"folder": str(written)}
    assert find_base_files(spec, stated=stated).config.parent == written
    assert find_base_files(spec, stated={"folder": "qwen"}, beside=written.parent).config.parent == written
    monkeypatch.setenv(BASE_VARIABLE, str(tmp_path))
    with pytest.raises(CheckpointError):
        find_base_files(spec, stated=stated)
    assert find_base_files(spec, base=written).config.parent == written


def test_the_segmenter_may_lie_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "trained" / SEGMENTER_FILE
    elsewhere.parent.mkdir()
    (folder / SEGMENTER_FILE).rename(elsewhere)
    assert find_base_files(tiny_core_seg(), base=folder, beside=elsewhere.parent).segmenter == elsewhere
    monkeypatch.setenv(SEGMENTER_VARIABLE, str(elsewhere))
    assert find_base_files(tiny_core_seg(), base=folder).segmenter == elsewhere


def test_a_base_without_trained_parts_says_that_they_must_be_trained_first(written: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no trained parts.*training\.sft.*preset: core-seg-3b"):
        load_model(tiny_core_seg(), base=written)


def test_a_base_that_the_trained_parts_do_not_belong_to_is_refused(folder: Path, tmp_path: Path) -> None:
    model, files = build_on_base(tiny_core_seg(), base=folder)
    facts = {"preset": "core-seg-3b", "base": {"name": "tiny", "sha256": files.sha256()}}
    save_weights(tmp_path / "trained", model.trained_state(), facts)
    assert load_model(tiny_core_seg(), weights=tmp_path / "trained", base=folder).version == "v0"
    tensors = load_file(folder / SHARD)
    name = min(tensors)
    save_file({**tensors, name: tensors[name] + 1}, folder / SHARD)
    with pytest.raises(CheckpointError, match="not those that this version was trained on"):
        load_model(tiny_core_seg(), weights=tmp_path / "trained", base=folder)


def test_trained_parts_of_another_shape_are_refused(written: Path, tmp_path: Path) -> None:
    model, _ = build_on_base(tiny_core_seg(), base=written)
    tensors = {**model.trained_state(), "adapter.queries": torch.zeros(1, 2)}
    save_weights(tmp_path / "trained", tensors, {"preset": "core-seg-3b"})
    with pytest.raises(CheckpointError, match=r"1 tensors differ, first adapter\.queries"):
        load_model(tiny_core_seg(), weights=tmp_path / "trained", base=written)


def test_nothing_of_an_unfilled_model_is_left_unfilled(written: Path) -> None:
    """Memory that is poisoned first is whole afterwards."""
    files = find_base_files(tiny_core_seg(), base=written)
    model = build_coreseg(tiny_core_seg(), tokenizer=files.tokenizer, initialise=False)
    with torch.no_grad():
        for tensor in base_tensors(model).values():
            tensor.fill_(float("nan"))
    read_base_weights(model, files)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
