"""A published `.pth` becomes safetensors; what else such a file may carry is never run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from coreseg_core.errors import CheckpointError, InputError, LimitError
from coreseg_core.models import convert as converter
from coreseg_core.models.convert import convert, main, sam_shapes

Spoil = Callable[[dict[str, Any]], object]


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture(scope="module")
def vit_b() -> dict[str, Tensor]:
    """Tensors of the right names and shapes that take no room: each is one number, spread out."""
    return {name: torch.tensor(0.5).expand(shape) for name, shape in sam_shapes("vit_b").items()}


def _written(tensors: dict[str, Any], path: Path) -> Path:
    torch.save(tensors, path)
    return path


def test_a_checkpoint_is_converted_whole(vit_b: dict[str, Tensor], tmp_path: Path) -> None:
    marked = {**vit_b, "mask_decoder.iou_token.weight": torch.arange(256.0)[None]}
    source, target = _written(marked, tmp_path / "medsam_vit_b.pth"), tmp_path / "medsam_vit_b.safetensors"
    try:
        assert main([str(source), str(target)]) == 0
        with safe_open(target, framework="pt") as archive:
            shapes = {name: tuple(archive.get_slice(name).get_shape()) for name in archive.keys()}  # noqa: SIM118
            assert torch.equal(archive.get_tensor("mask_decoder.iou_token.weight"), torch.arange(256.0)[None])
            assert archive.metadata()["variant"] == "vit_b"
        assert shapes == sam_shapes("vit_b")
        assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}
    finally:
        target.unlink(missing_ok=True)


@pytest.mark.parametrize("whole_file", [True, False])
def test_a_program_in_a_checkpoint_is_never_run(
    vit_b: dict[str, Tensor], tmp_path: Path, whole_file: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, source, target = tmp_path / "was_run", tmp_path / "a.pth", tmp_path / "a.safetensors"
    payload = Payload(marker)
    if whole_file:
        source.write_bytes(pickle.dumps(payload))
        pickle.loads(source.read_bytes())
        assert marker.is_dir(), "the payload does nothing, so this test would show nothing"
        marker.rmdir()
    else:
        _written({**vit_b, "mask_decoder.iou_token.weight": payload}, source)
    assert main([str(source), str(target)]) == 2
    assert "nothing in it was run" in capsys.readouterr().err
    assert not marker.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.pth"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("image_encoder.pos_embed"), "1 names differ, first 'image_encoder.pos_embed'"),
        (lambda t: t.update({"extra": torch.zeros(1)}), "1 names differ, first 'extra'"),
        (lambda t: t.update({"image_encoder.pos_embed": torch.zeros(2)}), r"pos_embed is \(2,\), expected"),
        (lambda t: t.update({"image_encoder.pos_embed": "text"}), "pos_embed is str, expected"),
        (lambda t: t.update({"image_encoder.pos_embed": t["image_encoder.pos_embed"].long()}), "floating"),
        (lambda t: t.update({"image_encoder.pos_embed": t["image_encoder.pos_embed"] / 0}), "not finite"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    vit_b: dict[str, Tensor], tmp_path: Path, spoil: Spoil, message: str
) -> None:
    tensors: dict[str, Any] = dict(vit_b)
    spoil(tensors)
    source, target = _written(tensors, tmp_path / "a.pth"), tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match=message):
        convert(source, target)
    assert not target.exists()


def test_another_variant_is_named_in_the_refusal(vit_b: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no SAM vit_l.*Name the variant"):
        convert(_written(vit_b, tmp_path / "a.pth"), tmp_path / "a.safetensors", variant="vit_l")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"not a checkpoint", b"\x80\x02}q\x00."])
def test_a_damaged_file_is_a_typed_error(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "a.pth"
    source.write_bytes(content)
    with pytest.raises(CheckpointError):
        convert(source, tmp_path / "a.safetensors")


def test_a_list_of_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    source = tmp_path / "a.pth"
    torch.save([torch.zeros(1)], source)
    with pytest.raises(CheckpointError, match="no table"):
        convert(source, tmp_path / "a.safetensors")


def test_names_that_cannot_be_meant_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.pth"
    with pytest.raises(InputError, match="no file"):
        convert(source, tmp_path / "a.safetensors")
    source.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"\.safetensors"):
        convert(source, source)
    with pytest.raises(InputError, match="no folder"):
        convert(source, tmp_path / "nowhere" / "a.safetensors")
    monkeypatch.setattr(converter, "MAX_BYTES", 99)
    with pytest.raises(LimitError, match="100 bytes, limit 99"):
        convert(source, tmp_path / "a.safetensors")
