"""Real code with untrained weights: what the commands do is tested here, not whether the answers are right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coreseg_core.imaging import Volume, VolumeGeometry, write_volume


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Path:
    """A folder of weights of the full `lite` make, drawn at random."""
    import torch

    from coreseg_core.checkpoint import save_weights
    from coreseg_core.models.build import build_coreseg
    from coreseg_core.models.preset import load_preset

    torch.manual_seed(0)
    model = build_coreseg(load_preset("lite"), tokenizer=tokenizer_file)
    folder = tmp_path_factory.mktemp("weights") / "random"
    tokenizer = {"tokenizer.json": tokenizer_file.read_bytes()}
    save_weights(folder, model.trained_state(), {"preset": "lite", "version": "random"}, files=tokenizer)
    return folder


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MR volume of 40 x 48 x 6 voxels: a bright ball in noise."""
    return write_head(tmp_path_factory.mktemp("head") / "head.nii.gz")


@pytest.fixture(scope="session")
def make_head() -> Callable[..., Path]:
    return write_head


def write_head(path: Path, *, nan: str = "none") -> Path:
    """Write the volume with its side-car; `nan` is "none", "some" or "all" of the voxels."""
    i, j, k = np.mgrid[:40, :48, :6]
    ball = (i - 20) ** 2 + (j - 20) ** 2 + (4 * (k - 3)) ** 2 < 64
    voxels = np.random.default_rng(0).normal(100, 10, ball.shape) + 200 * ball
    voxels = voxels.astype(np.float32)
    if nan == "some":
        voxels[:10] = np.nan
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    write_volume(path, Volume(voxels, VolumeGeometry(voxels.shape, affine), "MR"))
    if nan == "all":
        write_nan(path, voxels.shape)
    (path.parent / f"{path.name.split('.')[0]}.json").write_text(json.dumps({"modality": "MR"}))
    return path


def write_nan(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a NIfTI of nothing but NaN, which `Volume` would not hold."""
    import nibabel as nib

    image = nib.Nifti1Image(np.full(shape, np.nan, dtype=np.float32), np.diag([-2.0, -2.0, 5.0, 1.0]))
    nib.save(image, path)
