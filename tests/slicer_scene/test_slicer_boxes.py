"""Boxes that a reader draws round a lesion go to the server in voxels, with the question and the slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import slicer
import vtk
from desk import SHAPE, Desk, Scripted, record, slice_data

from CORESegLib.scene_boxes import Boxes

Ijk = tuple[float, float, float]


def line_count() -> int:
    return int(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsLineNode"))


def drawn(boxes: Boxes, volume: Any, *corners: Ijk, moved_r_mm: float = 0.0) -> Any:
    """Draw the diagonal of a box between voxels, as far as the corners go.

    Args:
        boxes: The reader's.
        volume: Whose voxels.
        corners: Two, or fewer where drawing was broken off.
        moved_r_mm: How far to the right the image stands of where its file says.
    """
    node = boxes.add()
    to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(to_ras)
    for corner in corners:
        r, a, s = to_ras.MultiplyPoint([*corner, 1.0])[:3]
        node.AddControlPoint(r + moved_r_mm, a, s)
    return node


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    made = Boxes()
    yield made
    made.clear()


@pytest.mark.parametrize(
    "corners", [((8, 5, 6), (13, 8, 6)), ((13, 5, 6), (8, 8, 6)), ((13, 8, 6), (8, 5, 6))]
)
def test_any_two_opposite_corners_are_the_same_box(
    desk: Desk, boxes: Boxes, corners: tuple[Ijk, Ijk]
) -> None:
    drawn(boxes, desk.volume, *corners)
    assert boxes.on_slice(desk.volume, axis=2, index=6) == [[8, 5, 6, 14, 9, 7]]


def test_boxes_of_other_slices_beside_the_image_and_half_drawn_ones_are_left_out(
    desk: Desk, boxes: Boxes
) -> None:
    drawn(boxes, desk.volume, (8, 5, 4), (13, 8, 4))
    drawn(boxes, desk.volume, (8, 5, 4), (13, 8, 6))
    drawn(boxes, desk.volume, (-9, -9, 6), (-3, -2, 6))
    drawn(boxes, desk.volume, (8, 5, 6))
    assert boxes.on_slice(desk.volume, axis=2, index=6) == []


def test_what_sticks_out_of_the_image_is_cut_off(desk: Desk, boxes: Boxes) -> None:
    drawn(boxes, desk.volume, (-4, 20, 6), (3, 90, 6))
    assert boxes.on_slice(desk.volume, axis=2, index=6) == [[0, 20, 6, 4, SHAPE[1], 7]]


def test_a_box_stays_on_its_voxels_when_the_image_is_moved(desk: Desk, boxes: Boxes) -> None:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40.0)
    transform.SetMatrixTransformToParent(matrix)
    desk.volume.SetAndObserveTransformNodeID(transform.GetID())
    drawn(boxes, desk.volume, (8, 5, 6), (13, 8, 6), moved_r_mm=40.0)
    assert boxes.on_slice(desk.volume, axis=2, index=6) == [[8, 5, 6, 14, 9, 7]]


def test_a_box_that_was_begun_and_left_goes_when_the_next_is_drawn(desk: Desk, boxes: Boxes) -> None:
    drawn(boxes, desk.volume, (8, 5, 6))
    boxes.place()
    drawn(boxes, desk.volume, (8, 5, 6), (13, 8, 6))
    assert line_count() == 1
    boxes.clear()
    assert line_count() == 0


def test_drawing_ends_by_itself_with_the_second_corner(desk: Desk, boxes: Boxes) -> None:
    boxes.place()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert not interaction.GetPlaceModePersistence()
    assert selection.GetActivePlaceNodeClassName() == "vtkMRMLMarkupsLineNode"
    node = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
    assert node.GetMaximumNumberOfControlPoints() == 2
    assert not node.GetSaveWithScene()


def test_a_box_goes_back_with_the_same_question(desk: Desk, scripted: Scripted) -> None:
    scripted.outcome("absent")
    desk.connect(scripted.server.url)
    desk.ask("Is there a tumor?")
    desk.settled()
    editing = desk.panel.editing
    drawn(editing.boxes, desk.volume, (8, 5, 6), (13, 8, 6))
    editing.clicks.node("background").AddControlPoint(24.0 - 1.5 * 24, 21.0 - 1.5 * 7, 0.0)
    second = record("present")
    second["record"]["id"] = "r2"
    scripted.events((1, "slice", slice_data(6, "present")), (2, "done", second))
    editing.again.click()
    desk.settled()
    assert scripted.asked[1]["params"] == {
        "scope": "slice",
        "axis": "k",
        "slice": 6,
        "background": [[24.0, 7.0, 6.0]],
        "boxes": [[8, 5, 6, 14, 9, 7]],
        "query": "Is there a tumor?",
    }
    assert "FOUND" in desk.chip
    editing.clear_marks()
    assert line_count() == 0
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0
