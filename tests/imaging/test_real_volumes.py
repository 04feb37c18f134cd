"""Real scans, where there are any: CORESEG_DATA names the folder that holds `lesions` and `volumes`."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coreseg_core.imaging import Volume, extract_slice, read_label, read_volume, resize_rgb

DATA = os.environ.get("CORESEG_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="set CORESEG_DATA to the folder with lesions/ and volumes/")


@cache
def volume(name: str) -> Volume:
    return read_volume(Path(DATA or "", "volumes", name))


@cache
def rows(subset: str, patient: str) -> tuple[dict[str, Any], ...]:
    lines = Path(DATA or "", "lesions", "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    parsed = (json.loads(line) for line in lines)
    return tuple(row for row in parsed if row["subset"] == subset and row.get("patient") == patient)


def picture(row: dict[str, Any], field: str, mode: str) -> np.ndarray:
    return np.asarray(Image.open(Path(DATA or "", "lesions", row[field])).convert(mode))


def slice_number(row: dict[str, Any]) -> int:
    return int(row["id"].split("_z")[1][:3])


@pytest.mark.parametrize(
    ("subset", "patient", "name", "most_grey"),
    [
        ("sts_ct", "STS_008", "dicom/STS_008_CT", 0.01),
        ("sts_ct", "STS_010", "dicom/STS_010_CT", 0.01),
        ("sts_mr_t1", "STS_008", "dicom/STS_008_MR_T1", 11.5),
        ("sts_mr_t1", "STS_010", "dicom/STS_010_MR_T1", 6.0),
        ("sts_pet", "STS_008", "dicom/STS_008_PET", 4.0),
        ("sts_pet", "STS_010", "dicom/STS_010_PET", 4.0),
        ("ms_flair", "ms26", "nifti/MS_26_FLAIR.nii.gz", 2.0),
    ],
)
def test_slices_look_like_the_pictures_the_lite_preset_learns_from(
    subset: str, patient: str, name: str, most_grey: float
) -> None:
    read = volume(name)
    differences = []
    for row in rows(subset, patient):
        wanted = picture(row, "image", "RGB")
        shown = extract_slice(read, read.geometry.array_axis("axial"), slice_number(row))
        same_size = resize_rgb(shown.rgb, (wanted.shape[1], wanted.shape[0]))
        differences.append(np.abs(same_size.astype(int) - wanted).mean())
    assert differences
    assert np.mean(differences) <= most_grey


@pytest.mark.parametrize("kind", ["CT", "MR_T1", "PET"])
def test_dicom_and_nifti_of_one_scan_are_one_volume(kind: str) -> None:
    dicom, nifti = volume(f"dicom/STS_008_{kind}"), volume(f"nifti/STS_008_{kind}.nii.gz")
    np.testing.assert_allclose(dicom.voxels, nifti.voxels, atol=1e-5)
    corner = np.subtract(dicom.geometry.shape_ijk, 1)
    for ijk in ((0, 0, 0), corner):
        shift = dicom.geometry.to_world(ijk) - nifti.geometry.to_world(ijk)
        assert np.abs(shift).max() < 0.01
    assert dicom.modality == {"CT": "CT", "MR_T1": "MR", "PET": "PT"}[kind]
    assert nifti.modality == ("CT" if kind == "CT" else None)


@pytest.mark.parametrize("kind", ["CT", "MR_T1"])
def test_a_mask_of_the_volume_is_the_mask_of_the_picture(kind: str) -> None:
    read = volume(f"nifti/STS_008_{kind}.nii.gz")
    label = read_label(Path(DATA or "", "volumes", f"nifti/STS_008_{kind}_label.nii.gz"), read.geometry)
    for row in rows(f"sts_{kind.lower()}", "STS_008"):
        shown = extract_slice(read, 2, slice_number(row))
        outlined = shown.voxels_to_mask(label[:, :, slice_number(row)]) > 0
        np.testing.assert_array_equal(outlined, picture(row, "mask", "L") > 0)


def test_reads_every_volume_there_is() -> None:
    entries = json.loads(Path(DATA or "", "volumes", "volumes.json").read_text(encoding="utf-8"))
    assert entries
    for entry in entries:
        for name in entry["images"].values():
            geometry = volume(name).geometry
            assert geometry.spacing_mm == pytest.approx(entry.get("spacing", geometry.spacing_mm), abs=0.02)
            assert geometry.shape_ijk[2] == entry.get("n_slices", geometry.shape_ijk[2])
