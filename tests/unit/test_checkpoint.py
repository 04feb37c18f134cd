"""Weights are used only if every byte is the one that was published."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coreseg_core.checkpoint import (
    MANIFEST_NAME,
    WEIGHTS_NAME,
    load_weights,
    publish_folder,
    read_manifest,
    save_weights,
)
from coreseg_core.errors import CheckpointError
from coreseg_core.versions import Provenance, publish_version, resolve_current, set_current


def some_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "embedding": torch.randn(7, 5, generator=generator),
        "half": torch.randn(3, generator=generator).to(torch.bfloat16),
        "transposed": torch.randn(4, 6, generator=generator).T,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "weights"
    save_weights(place, some_tensors(), {"preset": "lite", "version": "v0"}, files={"tokenizer.json": b"{}"})
    return place


def test_tensors_and_facts_come_back_as_they_were_saved(folder: Path) -> None:
    tensors, manifest = load_weights(folder)
    expected = some_tensors()
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert manifest["preset"] == "lite"
    assert set(manifest["files"]) == {WEIGHTS_NAME, "tokenizer.json"}


@pytest.mark.parametrize("name", [WEIGHTS_NAME, "tokenizer.json", MANIFEST_NAME])
def test_any_single_altered_byte_is_refused_with_the_file_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    step = max(1, len(content) // 40)
    for place in range(0, len(content), step):
        altered = bytearray(content)
        altered[place] ^= 0x01
        (folder / name).write_bytes(bytes(altered))
        with pytest.raises(CheckpointError) as caught:
            load_weights(folder)
        assert name in caught.value.reason or WEIGHTS_NAME in caught.value.reason
        assert caught.value.remedy
    (folder / name).write_bytes(content)
    load_weights(folder)


@pytest.mark.parametrize("name", [WEIGHTS_NAME, "tokenizer.json", MANIFEST_NAME])
def test_truncated_and_missing_files_are_refused_with_the_file_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for kept in (0, 1, len(content) - 2):
        (folder / name).write_bytes(content[:kept])
        with pytest.raises(CheckpointError, match=name):
            load_weights(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_weights(folder)


def test_weights_of_another_training_are_refused_under_this_manifest(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_weights(
        other, some_tensors(seed=1), {"preset": "lite", "version": "v0"}, files={"tokenizer.json": b"{}"}
    )
    shutil.copy(other / MANIFEST_NAME, folder / MANIFEST_NAME)
    with pytest.raises(CheckpointError, match=WEIGHTS_NAME):
        load_weights(folder)


def test_a_manifest_cannot_name_files_outside_its_folder(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    manifest["files"]["../elsewhere"] = {"sha256": "0" * 64, "bytes": 0}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError):
        load_weights(folder)


def test_a_missing_folder_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="lite") as caught:
        load_weights(tmp_path / "lite")
    assert caught.value.remedy


def test_an_interrupted_publication_leaves_nothing(tmp_path: Path) -> None:
    class PowerLossError(Exception):
        pass

    def fill(place: Path) -> str:
        (place / WEIGHTS_NAME).write_bytes(b"half")
        raise PowerLossError

    with pytest.raises(PowerLossError):
        publish_folder(tmp_path / "versions", fill)
    assert list((tmp_path / "versions").iterdir()) == []


def test_published_weights_are_never_overwritten(folder: Path) -> None:
    before = (folder / WEIGHTS_NAME).read_bytes()
    with pytest.raises(CheckpointError, match="exists already"):
        save_weights(folder, some_tensors(seed=2), {"preset": "lite"})
    assert (folder / WEIGHTS_NAME).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_nan_in_the_facts_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_weights(tmp_path / "weights", some_tensors(), {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_what_shipped_answers_until_a_version_is_chosen_and_again_after_the_way_back(
    folder: Path, tmp_path: Path
) -> None:
    versions = tmp_path / "versions"
    assert resolve_current(versions, folder) == folder
    tuned = publish_version(
        versions,
        some_tensors(seed=3),
        Provenance(preset="lite", parent="v0", data={"corrections": "ab" * 32}, state="accepted"),
    )
    assert resolve_current(versions, folder) == folder
    set_current(versions, tuned.name)
    assert resolve_current(versions, folder) == tuned
    set_current(versions, "v0")
    assert resolve_current(versions, folder) == folder


def test_a_version_carries_its_name_parent_data_and_state(tmp_path: Path) -> None:
    tuned = publish_version(
        tmp_path, some_tensors(), Provenance(preset="lite", parent="v0", scores={"dice": 0.8})
    )
    manifest = read_manifest(tuned)
    assert manifest["version"] == tuned.name
    assert tuned.name.endswith(manifest["files"][WEIGHTS_NAME]["sha256"][:8])
    assert (manifest["parent"], manifest["state"], manifest["scores"]) == ("v0", "candidate", {"dice": 0.8})


def test_a_rejected_version_cannot_become_current(tmp_path: Path) -> None:
    tuned = publish_version(tmp_path, some_tensors(), Provenance(preset="lite", state="rejected"))
    with pytest.raises(CheckpointError, match="rejected"):
        set_current(tmp_path, tuned.name)


@pytest.mark.parametrize("name", ["..", "../weights", "a/b", ".hidden", "20260101T000000Z-00000000", ""])
def test_names_that_are_no_version_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError):
        set_current(tmp_path / "versions", name)
    assert not (tmp_path / "versions" / "current.json").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"schema": "x", "version": "v0"}', b"\xff\xfe"]
)
def test_an_unreadable_choice_is_an_error_and_not_silently_another_model(
    folder: Path, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "current.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"current\.json"):
        resolve_current(tmp_path, folder)


def test_a_chosen_version_that_was_exchanged_is_refused(folder: Path, tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    first = publish_version(versions, some_tensors(seed=4), Provenance(preset="lite", state="accepted"))
    set_current(versions, first.name)
    shutil.copy(folder / MANIFEST_NAME, first / MANIFEST_NAME)
    with pytest.raises(CheckpointError, match="not the one"):
        resolve_current(versions, folder)


def test_reading_manifests_and_versions_loads_no_torch() -> None:
    code = "import sys, coreseg_core.versions; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
