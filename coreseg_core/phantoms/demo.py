"""The demonstration: four fixed studies, as a person finds them in a studies folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coreseg_core.imaging import Volume, VolumeGeometry, write_dicom_series, write_label, write_volume
from coreseg_core.phantoms.make import make_study
from coreseg_core.phantoms.study import Study

TRUTH_FOLDER = "truth"
DICOM_FOLDER = "dicom"
INDEX_FILE = "demo.json"
INDEX_SCHEMA = "coreseg.demo/1"

# name, kind, seed, lesions, the question a newcomer asks.
_STUDIES: tuple[tuple[str, str, int, int, str], ...] = (
    ("demo_ct_liver", "ct_abdomen", 24, 1, "Is there a liver tumor on this slice?"),
    ("demo_mr_brain", "mr_brain", 15, 1, "Where is the brain tumor?"),
    ("demo_us_breast", "us_breast", 8, 1, "Outline the breast tumor."),
    ("demo_mr_brain_clear", "mr_brain", 12, 0, "Is there a brain tumor on this slice?"),
)
_AS_DICOM = "demo_ct_liver"


def demo_studies() -> tuple[Study, ...]:
    """Return the four demonstration studies: liver tumour, brain tumour, breast mass, and a clear brain."""
    return tuple(
        make_study(kind, seed, lesions=lesions, name=name) for name, kind, seed, lesions, _ in _STUDIES
    )


def write_demo(folder: str | Path, *, progress: Callable[[str], None] | None = None) -> Path:
    """Write the demonstration studies into `folder` and return the path of their index, `demo.json`.

    The folder's top holds only images and their side-cars, as MONAI Label's flat datastore wants it; truth
    masks and one study as a DICOM series lie in sub-folders. Files of an earlier run are replaced.

    Args:
        progress: Called with the name of each study once it is written.

    Raises:
        InputError: The folder cannot be written.
    """
    folder = Path(folder)
    (folder / TRUTH_FOLDER).mkdir(parents=True, exist_ok=True)
    entries = []
    for study, (*_, question) in zip(demo_studies(), _STUDIES, strict=True):
        entries.append(_write_study(folder, study, question))
        if progress is not None:
            progress(study.name)
    index = folder / INDEX_FILE
    _write_json(index, {"schema": INDEX_SCHEMA, "studies": entries})
    return index


def _write_study(folder: Path, study: Study, question: str) -> dict[str, Any]:
    geometry = VolumeGeometry(shape_ijk=study.shape_ijk, affine_ras=study.affine_ras)
    volume = Volume(voxels=study.voxels, geometry=geometry, modality=study.modality)
    image, truth = f"{study.name}.nii.gz", f"{TRUTH_FOLDER}/{study.name}.nii.gz"
    _write_json(folder / f"{study.name}.json", {"modality": study.modality, "generated": True})
    write_label(folder / truth, study.label, geometry)
    entry: dict[str, Any] = {
        "image": image,
        "truth": truth,
        "kind": study.kind,
        "modality": study.modality,
        "anatomy": study.anatomy,
        "target": study.class_name,
        "slice": {"axis": "k", "index": study.largest_lesion_slice},
        "query": question,
        "expected": "present" if study.has_lesion else "absent",
        "spec": study.spec.to_json(),
    }
    series = folder / DICOM_FOLDER / study.name
    if study.name == _AS_DICOM:
        entry["dicom"] = f"{DICOM_FOLDER}/{study.name}"
        for earlier in series.glob("slice_*.dcm"):
            earlier.unlink()
        write_dicom_series(
            series, volume, modality=study.modality, description="CORE-Seg phantom", seed=study.spec.seed
        )
    # The image comes last: where it lies, all that belongs to it lies too.
    write_volume(folder / image, volume)
    return entry


def _write_json(path: Path, values: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
