"""Small raw data sets in each layout, made up and with known faults."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from training.dataset.sources import Source, read_source

SIDE = 48
LESIONS, FREE = 5, 1
"""Pictures with and without a lesion in the manifest that the later steps start from."""


def speckle(seed: int, shape: tuple[int, ...] = (SIDE, SIDE)) -> NDArray[np.uint8]:
    """Return coarse random grey, so that no two pictures look alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, tuple(side // 8 for side in shape))
    for axis in range(len(shape)):
        coarse = coarse.repeat(8, axis=axis)
    return coarse.astype(np.uint8)


def square(x: int, y: int, side: int = 10) -> NDArray[np.uint8]:
    """Return a mask (h, w) of 0 and 255 with one square."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + side, x : x + side] = 255
    return mask


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write a PNG, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_nifti(path: Path, voxels: NDArray[Any], *, spacing_mm: float = 1.0) -> Path:
    """Write a NIfTI in RAS, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    nib.save(image, path)
    return path


def write_source(path: Path, **values: Any) -> Source:
    """Write the YAML of a source and return it as read."""
    base: dict[str, Any] = {
        "name": path.stem,
        "title": "made up",
        "layout": "folders",
        "licence": "CC0-1.0",
        "redistributable": "yes",
        "weights": "yes",
        "modality": "ultrasound",
        "anatomy": "breast",
        "labels": [{"value": "any", "target": "tumor"}],
    }
    path.write_text(yaml.safe_dump({**base, **values}), encoding="utf-8")
    return read_source(path)


def folder_set(root: Path, count: int, *, first_seed: int = 0) -> None:
    """Write `count` patients p000.. with one picture and one mask each."""
    for number in range(count):
        write_picture(root / f"images/p{number:03d}.png", speckle(first_seed + number))
        write_picture(root / f"masks/p{number:03d}.png", square(5 + number % 20, 8 + number % 15))


FOLDERS: Mapping[str, Any] = {
    "image": r"images/(?P<patient>p\d+)[a-z]?\.png",
    "mask": "masks/{patient}.png",
}


def volume_with_lesion(
    seed: int, *, side: int = 32, slices: int = 16
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return voxels (i, j, k) int16 and a label map with an organ (1) and a lesion (2) on slices 5 to 9."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(60, 20, (side, side, slices)).astype(np.int16)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[4:28, 4:28, 3:13] = 1
    for index, half in zip(range(5, 10), (2, 3, 5, 3, 2), strict=True):
        labels[14 - half : 14 + half, 12 - half : 12 + half, index] = 2
    voxels[labels == 2] += 80
    return voxels, labels


def tree_digest(root: Path) -> str:
    """Return a hash of every path, content and time of change below a folder."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(path.relative_to(root).as_posix().encode())
        if path.is_file():
            digest.update(path.read_bytes())
            digest.update(str(path.stat().st_mtime_ns).encode())
    return digest.hexdigest()


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the values of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
