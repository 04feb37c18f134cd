"""A label and its record lie side by side: `labels/coreseg-<record id>/<image id>.nii.gz` and `.json`.

MONAI Label's label id is the image id, so every answer has a tag of its own: a second question about the
same image overwrites nothing. The text lies in a file because MONAI Label's index loses it when two processes
write. Here each lesion has its own value, the one that the record names.
"""

from __future__ import annotations

import numpy as np
from monailabel.interfaces.datastore import Datastore
from numpy.typing import NDArray

from coreseg_core.imaging import VolumeGeometry, write_label
from coreseg_core.record import FindingRecord
from lib.passing import passing_folder
from lib.records_layout import TAG_PREFIX


def label_extension(geometry: VolumeGeometry) -> str:
    """Return how a label file on this grid ends: NIfTI, or NRRD where the axes are not at right angles."""
    return ".nii.gz" if geometry.orthogonal else ".nrrd"


def keep_record(
    store: Datastore,
    *,
    record: FindingRecord,
    labels: NDArray[np.uint8],
    geometry: VolumeGeometry,
    extent: str,
) -> str:
    """Save an answer's label and record in the store and return their tag.

    Args:
        record: Of an image that the store has.
        labels: (i, j, k), one value a lesion.
        geometry: Of the image.
        extent: As in `AskParams`.
    """
    tag = TAG_PREFIX + record.id
    values = record.to_json()
    names = {f"lesion {lesion.id}": lesion.label_value for lesion in record.lesions}
    with passing_folder() as place:
        path = place / f"label{label_extension(geometry)}"
        write_label(path, labels, geometry)
        info = {"model": "coreseg", "extent": extent, "params": {"label_names": names, "record": values}}
        store.save_label(record.image_id, str(path), tag, info)
    return tag
