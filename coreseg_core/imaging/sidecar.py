"""What a file does not say about itself: a JSON beside it, or a safe guess from its values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import InputError
from coreseg_core.imaging.volume import MODALITIES

_MAX_SIDECAR_BYTES = 1024**2
_DOUBLE_SUFFIXES = (".nii.gz",)

# DICOM's words (PS3.3 C.7.3.1.1.1) for what is one thing to this program.
_DICOM_MODALITIES = {
    **{code: code for code in MODALITIES},
    **{code: "XR" for code in ("CR", "DX", "MG", "XA", "RF", "IO", "PX")},
    **{code: "US" for code in ("IVUS", "BDUS")},
    **{code: "DERM" for code in ("DMS",)},
    **{code: "MR" for code in ("MRI",)},
    **{code: "PT" for code in ("PET",)},
}


@dataclass(frozen=True)
class Sidecar:
    """What `<name>.json` beside an image says; None where it says nothing."""

    modality: str | None = None
    series_uid: str | None = None
    study_uid: str | None = None


def read_sidecar(image_path: Path) -> Sidecar:
    """Return what the JSON file of the same name says about an image; empty without such a file.

    Raises:
        InputError: The file is too large, is no JSON, or names an unknown modality.
    """
    path = image_path.with_name(stem_of(image_path) + ".json")
    if not path.is_file():
        return Sidecar()
    if path.stat().st_size > _MAX_SIDECAR_BYTES:
        raise InputError(
            f"the JSON beside the image is larger than {_MAX_SIDECAR_BYTES} bytes.",
            remedy="Shorten or remove it.",
        )
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError("the JSON beside the image cannot be read.", remedy="Mend or remove it.") from error
    if not isinstance(values, dict):
        return Sidecar()
    return Sidecar(
        modality=_stated_modality(values.get("modality", values.get("Modality"))),
        series_uid=_text(values.get("series_uid")),
        study_uid=_text(values.get("study_uid")),
    )


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, `.nii.gz` counting as one."""
    for suffix in _DOUBLE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def modality_of_dicom_code(code: str) -> str:
    """Return this program's modality for a DICOM modality code, "OT" for one it does not know."""
    return _DICOM_MODALITIES.get(code.strip().upper(), "OT")


def inferred_modality(voxels: NDArray[Any]) -> str | None:
    """Return "CT" for values that can hardly be anything else, otherwise None.

    Whole numbers that reach far below zero, with some air and some soft tissue in Hounsfield units, are CT.
    """
    if voxels.ndim != 3 or voxels.dtype == np.uint8:
        return None
    step = max(1, int(np.cbrt(voxels.size / 1_000_000)))
    sample = voxels[::step, ::step, ::step]
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if not sample.size or sample.min() > -500 or not np.array_equal(sample, np.rint(sample)):
        return None
    air = np.mean((sample >= -1100) & (sample <= -200))
    tissue = np.mean((sample >= -200) & (sample <= 200))
    hounsfield = np.percentile(sample, 0.01) >= -9000 and np.percentile(sample, 99) <= 4096
    return "CT" if hounsfield and air >= 0.005 and tissue >= 0.02 else None


def _stated_modality(value: object) -> str | None:
    if value is None:
        return None
    known = _DICOM_MODALITIES.get(str(value).strip().upper())
    if known is None:
        raise InputError(
            "the JSON beside the image names a modality that is unknown.",
            remedy=f"Use one of {', '.join(MODALITIES)}.",
        )
    return known


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
