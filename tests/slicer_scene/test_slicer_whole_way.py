"""The whole way with a real server and real weights: ask, correct in the real editor, undo, submit, see the store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from desk import Desk, segments
from headless import HeadlessSlicer
from pictures import slice_picture
from running_server import PYTHON, URL, running_server

from CORESegLib.panel import Panel
from CORESegLib.scene_images import shape_of, show_slice

pytestmark = [
    pytest.mark.skipif(
        not (os.environ.get(PYTHON) or os.environ.get(URL)), reason=f"{PYTHON} names no server's Python"
    ),
    pytest.mark.timeout(900),
]
STUDY = "demo_ct_liver"
QUESTION = "Is there a liver tumor on this slice, and where?"
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def reader(desktop: HeadlessSlicer, server: tuple[str, Path], tmp_path: Path) -> Iterator[Desk]:
    desktop.slicerUserSettingsFilePath = str(tmp_path / "Slicer.ini")
    studies = server[1]
    logic = slicer.modules.volumes.logic()
    volume = logic.AddArchetypeVolume(str(studies / f"{STUDY}.nii.gz"), "study", 0, vtk.vtkStringArray())
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(400, 40)
    view, _ = desktop.view("Red", "Axial", volume)
    panel = Panel(confirm=lambda text: True)
    panel.enter()
    desk = Desk(panel, volume, view)
    desk.connect(server[0])
    yield desk
    panel.exit()
    panel.close()


def lesion_slice(studies: Path) -> int:
    """Return the slice with the lesion that the demo's index names."""
    index = json.loads((studies / "demo.json").read_text(encoding="utf-8"))
    study = next(one for one in index["studies"] if one["image"] == f"{STUDY}.nii.gz")
    return int(study["slice"]["index"])


def mask_of(volume: Any) -> np.ndarray:
    node = next(
        one
        for one in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", slicer.mrmlScene)
        if not one.GetHideFromEditors()
    )
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segments()[0], volume)


def test_from_a_question_to_a_label_in_the_store(reader: Desk, server: tuple[str, Path]) -> None:
    studies, panel = server[1], reader.panel
    k = lesion_slice(studies)
    show_slice(reader.volume, axis=2, index=k)
    reader.ask(QUESTION)
    reader.until(lambda: not panel.asking.running and not panel.pump.busy, PATIENCE_S)
    assert panel.state in ("done", "empty"), reader.line
    record = panel.asking.findings.record
    assert record is not None
    assert panel.asking.findings.slices[2, k].outcome == record.outcome
    reader.picture("whole_way")
    if record.outcome != "present":
        pytest.skip(f"these weights answer {record.outcome}: there is no mask to correct")
    before = mask_of(reader.volume)
    assert before[k].any()
    assert before.sum() == before[k].sum()
    slice_picture(reader, "whole_way_slice")

    editor = panel.editing.editor.logic_
    brush = slicer.vtkOrientedImageData()
    editor.UpdateReferenceGeometryImage()
    brush.DeepCopy(editor.GetReferenceGeometryImage())
    brush.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    brush.GetPointData().GetScalars().Fill(0)
    i, j = (int(along[0]) for along in np.nonzero(before[k].T))
    brush.SetScalarComponentFromDouble(i, j, k, 0, 1)
    node, segment = panel.answers.current.scene.segmentation, segments()[0]  # type: ignore[union-attr]
    panel.editing.editor.saveStateForUndo()
    editor.ModifySegmentByLabelmap(node, segment, brush, editor.ModificationModeRemove, False, False)
    assert mask_of(reader.volume).sum() == before.sum() - 1
    panel.editing.editor.undo()
    assert (mask_of(reader.volume) == before).all()
    panel.editing.editor.redo()
    assert "-1 voxels" in panel.answers.block.edited.text

    panel.answers.block.accept.click()
    panel.submitting.block.submit.click()
    reader.until(lambda: not panel.pump.busy, 60)
    assert panel.submitting.block.line.text == "Sent: the server has it."
    labels = sorted((studies / "labels" / "final").glob("*.nrrd"))
    kept = json.loads(labels[-1].with_suffix(".json").read_text(encoding="utf-8"))
    assert kept["parent_id"] == record.id
    assert kept["edits"]["diff_voxels"] == 1
    again = slicer.modules.volumes.logic().AddArchetypeVolume(
        str(labels[-1]), "label", 1, vtk.vtkStringArray()
    )
    assert shape_of(again) == shape_of(reader.volume)
    assert (slicer.util.arrayFromVolume(again) == mask_of(reader.volume)).all()


def test_a_question_that_does_not_fit_is_not_read_as_absence(reader: Desk) -> None:
    reader.ask("Is there a polyp in this endoscopy picture?")
    reader.until(lambda: not reader.panel.asking.running and not reader.panel.pump.busy, PATIENCE_S)
    record = reader.panel.asking.findings.record
    assert record is not None
    assert record.outcome in ("mismatch", "unsupported")
    assert not segments()
