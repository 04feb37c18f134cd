"""Slices of phantoms for the training mix, cut and windowed by the very code that serves.

`python -m training.phantom_pictures FOLDER --count 520 --seed 11` writes them with a `coreseg.manifest/1`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.cli.exits import exit_code
from coreseg_core.imaging import Volume, VolumeGeometry, extract_slice
from coreseg_core.phantoms import Study, make_study
from coreseg_core.phantoms.fields import stream
from training.png import png_bytes

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_], dict[str, Any]]

MODALITY_WORDS = {
    "ct_abdomen": "CT",
    "mr_brain": "MRI T1 contrast",
    "mr_flair": "MRI FLAIR",
    "us_breast": "ultrasound",
}
DISEASES = {
    "ct_abdomen": "liver tumor",
    "mr_brain": "brain tumor",
    "mr_flair": "multiple sclerosis",
    "us_breast": "breast tumor",
}
# Share of the studies of each kind; FLAIR is only a taste, its real lesions are many and tiny.
KIND_SHARES = {"ct_abdomen": 0.36, "mr_brain": 0.32, "mr_flair": 0.08, "us_breast": 0.24}
PICTURES_PER_STUDY = 4
LESION_PICTURES_PER_STUDY = 3
LICENCE = "Apache-2.0 (generated)"
SOURCE = "coreseg_core.phantoms"
_MIN_LESION_PX = 24


def _chosen_slices(rng: np.random.Generator, study: Study) -> list[int]:
    """Return slices to show: mostly with a lesion where there is one, and some without from the same study.

    Slices that only graze a lesion are left out: whether they show it is a matter of taste.
    """
    area = np.count_nonzero(study.label, axis=(0, 1))
    clear = np.flatnonzero(area >= _MIN_LESION_PX)
    empty = np.flatnonzero(area == 0)
    with_lesion = min(LESION_PICTURES_PER_STUDY, len(clear))
    without = min(PICTURES_PER_STUDY - with_lesion if with_lesion else 2, len(empty))
    picked = [rng.choice(clear, with_lesion, replace=False)] if with_lesion else []
    picked.append(rng.choice(empty, without, replace=False))
    return [int(index) for index in np.concatenate(picked)]


def _cut(study: Study, volume: Volume, index: int) -> Picture:
    shown = extract_slice(volume, 2, index, region=study.anatomy)
    mask = shown.voxels_to_mask(study.label[:, :, index] > 0)
    kind = study.kind
    meta = {
        "id": f"phantom_{kind}_{study.spec.seed}_{index}",
        "patient": f"phantom_{kind}_{study.spec.seed}",
        "subset": f"phantom_{kind}",
        "modality": MODALITY_WORDS[kind],
        "anatomy": study.anatomy,
        "target": study.class_name,
        "disease": DISEASES[kind] if mask.any() else "none",
        "area_frac": round(float(mask.mean()), 6),
        "pixel_mm": [round(float(step), 4) for step in shown.pixel_mm],
        "licence": LICENCE,
        "source": SOURCE,
        "weights": "yes",
    }
    return shown.rgb, mask, meta


def training_pictures(n: int, seed: int) -> Iterator[Picture]:
    """Yield `n` slices of random studies as (rgb (h, w, 3) uint8, mask (h, w) bool, manifest fields)."""
    rng = stream(seed, 7001)
    kinds, shares = list(KIND_SHARES), list(KIND_SHARES.values())
    made = 0
    while made < n:
        kind = kinds[int(rng.choice(len(kinds), p=shares))]
        study = make_study(kind, int(rng.integers(2**31)))
        geometry = VolumeGeometry(shape_ijk=study.shape_ijk, affine_ras=study.affine_ras)
        volume = Volume(voxels=study.voxels, geometry=geometry, modality=study.modality)
        for index in _chosen_slices(rng, study)[: n - made]:
            yield _cut(study, volume, index)
            made += 1


def write_pictures(folder: Path, *, count: int, seed: int) -> Path:
    """Write `count` pictures with masks and return the path of their manifest, `manifest.jsonl`.

    One study in nine goes to `val`, all its slices with it.
    """
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rows = []
    for rgb, mask, meta in training_pictures(count, seed):
        files = {"image": f"images/{meta['id']}.png", "mask": f"masks/{meta['id']}.png"}
        (folder / files["image"]).write_bytes(png_bytes(rgb[..., 0]))
        (folder / files["mask"]).write_bytes(png_bytes(mask))
        split = "val" if sum(meta["patient"].encode()) % 9 == 0 else "train"
        size = {"width": mask.shape[1], "height": mask.shape[0], "channels": 1}
        rows.append(json.dumps({**meta, **files, **size, "split": split}))
        print(f"\r{len(rows)} of {count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code of the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.phantom_pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=520)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args(arguments)
    print(write_pictures(options.folder, count=options.count, seed=options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main)())
