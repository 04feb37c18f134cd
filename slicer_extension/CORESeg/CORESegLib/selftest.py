"""What the module's self-test tries in the desktop application: no server, a made-up image."""

from __future__ import annotations

import slicer

from CORESegLib.findings import read_slice
from CORESegLib.scene_answers import SceneAnswer


def mask_comes_and_goes() -> None:
    """Lay a mask on a made-up image, measure it, take it out again; raise where something is not as it should be."""
    import numpy as np

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "made up")
    slicer.util.updateVolumeFromArray(volume, np.zeros((4, 6, 8), dtype=np.int16))
    answer = SceneAnswer(volume, "Is there a lesion?", axis=2)
    finding = {"axis": "k", "index": 1, "outcome": "present"}
    # Rows of 6 voxels along i: two marked ones in the first row.
    answer.add_slice(read_slice(finding, {"shape": [8, 6], "counts": [1, 2, 45]}))
    measured = answer.measured()
    _expect(measured is not None and measured.voxels == 2, "The mask did not arrive.")
    _expect(measured is not None and measured.slices[2] == (1, 1), "The mask arrived on another slice.")
    answer.remove()
    _expect(answer.segment is None, "The segment was not removed.")


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)
