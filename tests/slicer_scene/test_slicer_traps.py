"""Eleven ways in which Slicer loses voxels, words or sides, each held off by what the panel does."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from answered import HARD_TEXT, LPS, SHAPE, found, record, square, whole
from headless import HeadlessSlicer

from CORESegLib.findings import Findings, SliceAnswer
from CORESegLib.geometry import Matrix
from CORESegLib.mask_runs import MaskRuns
from CORESegLib.scene_answers import SceneAnswer, segmentation_for
from CORESegLib.scene_images import image_of, show_slice, spot_of, turn_to_volume
from CORESegLib.scene_masks import PartMask, mask_of, set_mask, set_slice
from CORESegLib.scene_text import TAG_ANSWER, from_tag, to_tag
from CORESegLib.trouble import Trouble


def tilted(degrees: float) -> Matrix:
    turn = np.eye(4)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[1:3, 1:3] = [[cos, -sin], [sin, cos]]
    return tuple(tuple(row) for row in (turn @ np.array(LPS)).tolist())


@pytest.fixture
def volume(desktop: HeadlessSlicer) -> Any:
    return desktop.volume(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE[::-1]), LPS)


def test_trap_1_the_package_slicer_is_the_real_one() -> None:
    assert hasattr(slicer, "vtkMRMLScene")


@pytest.mark.parametrize("kind", [".mrb", ".seg.nrrd"])
def test_trap_2_words_survive_in_files(
    desktop: HeadlessSlicer, volume: Any, tmp_path: Path, kind: str
) -> None:
    answer = SceneAnswer(volume, HARD_TEXT, axis=2)
    answer.add_slice(found(3, square()))
    findings = Findings(slices={(2, 3): found(3, square())})
    answer.finish(record(), findings)
    segment_id = answer.segment_id
    path = str(tmp_path / f"saved{kind}")
    if kind == ".mrb":
        assert desktop.scene.WriteToMRB(path)
        desktop.begin()
        assert desktop.scene.ReadFromMRB(path)
        texts = [
            desktop.scene.GetNthNodeByClass(index, "vtkMRMLTextNode").GetText()
            for index in range(desktop.scene.GetNumberOfNodesByClass("vtkMRMLTextNode"))
        ]
        assert [values for text in texts if (values := from_tag(text)) and values["query"] == HARD_TEXT]
        node = next(
            one
            for one in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", desktop.scene)
            if not one.GetHideFromEditors()
        )
    else:
        storage = slicer.vtkMRMLSegmentationStorageNode()
        desktop.scene.AddNode(storage)
        storage.SetFileName(path)
        assert storage.WriteData(answer.segmentation)
        desktop.begin()
        node = desktop.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        desktop.scene.AddNode(storage)
        storage.SetFileName(path)
        assert storage.ReadData(node)
    kept = vtk.reference("")
    assert node.GetSegmentation().GetSegment(segment_id).GetTag(TAG_ANSWER, kept)
    values = from_tag(str(kept))
    assert values is not None
    assert values["query"] == HARD_TEXT
    assert values["text"] == HARD_TEXT


def test_trap_2_is_real_a_bar_written_as_it_is_would_be_cut(
    desktop: HeadlessSlicer, volume: Any, tmp_path: Path
) -> None:
    assert "|" not in to_tag({"text": HARD_TEXT})
    node = segmentation_for(volume)
    segment_id = node.GetSegmentation().AddEmptySegment("s", "s")
    set_slice(node, segment_id, volume, square(), axis=2, index=3)
    node.GetSegmentation().GetSegment(segment_id).SetTag("plain", "a|b")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    desktop.scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "saved.seg.nrrd"))
    assert storage.WriteData(node)
    again = desktop.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(again)
    kept = vtk.reference("")
    again.GetSegmentation().GetSegment(segment_id).GetTag("plain", kept)
    assert str(kept) != "a|b", "Slicer mends it: the escaping may go"


@pytest.mark.parametrize("k", [0, 5, SHAPE[2] - 1])
def test_trap_3_slices_are_counted_from_zero(desktop: HeadlessSlicer, volume: Any, k: int) -> None:
    node, logic = desktop.view("Red", "Axial", volume)
    show_slice(volume, axis=2, index=k)
    spot = spot_of(node, volume)
    assert (spot.axis, spot.index, spot.aligned, spot.inside) == (2, k, True, True)
    assert logic.GetSliceIndexFromOffset(node.GetSliceOffset(), volume) == k + 1


def test_trap_3_a_tilted_series_is_noticed_and_turned(desktop: HeadlessSlicer) -> None:
    volume = desktop.volume(np.zeros(SHAPE[::-1], np.int16), tilted(20))
    node, logic = desktop.view("Red", "Axial", volume)
    assert not spot_of(node, volume).aligned
    assert logic.GetSliceIndexFromOffset(node.GetSliceOffset(), volume) == -1
    turn_to_volume(node, volume)
    show_slice(volume, axis=2, index=7)
    spot = spot_of(node, volume)
    assert (spot.axis, spot.index, spot.aligned) == (2, 7, True)


def test_trap_4_under_a_transform_no_voxel_is_shifted_or_cut(desktop: HeadlessSlicer, volume: Any) -> None:
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 17.3)
    matrix.SetElement(2, 3, -30.0)
    transform = desktop.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, square()))
    assert answer.segmentation.GetTransformNodeID() == transform.GetID()
    mask = whole(answer.segmentation, answer.segment_id, volume)
    assert (mask[:, :, 3] == square()).all()
    assert mask.sum() == square().sum()
    node, _ = desktop.view("Red", "Axial", volume)
    show_slice(volume, axis=2, index=4)
    assert spot_of(node, volume).index == 4


def test_trap_5_one_slice_is_replaced_and_the_others_stay(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    for index in (2, 3, 4):
        answer.add_slice(found(index, square()))
    answer.add_slice(found(3, square(20, 3)))
    mask = whole(answer.segmentation, answer.segment_id, volume)
    assert (mask[:, :, 2] == square()).all()
    assert (mask[:, :, 3] == square(20, 3)).all()
    assert (mask[:, :, 4] == square()).all()
    assert mask.sum() == 2 * square().sum() + square(20, 3).sum()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_trap_5_holds_for_slices_across_every_axis(desktop: HeadlessSlicer, volume: Any, axis: int) -> None:
    rng = np.random.default_rng(axis)
    expected = np.zeros(SHAPE, dtype=bool)
    node = segmentation_for(volume)
    segment_id = node.GetSegmentation().AddEmptySegment("s", "s")
    for index in (4, 9, 4, 0):
        plane = rng.random([side for other, side in enumerate(SHAPE) if other != axis]) > 0.8
        set_slice(node, segment_id, volume, plane, axis=axis, index=index)
        np.moveaxis(expected, axis, 0)[index] = plane
        assert (whole(node, segment_id, volume) == expected).all()
        part = mask_of(node, segment_id, volume)
        assert (part.within((0, 0, 0), SHAPE) == expected).all()


def test_trap_6_a_small_lesion_in_a_large_image_is_laid_in_without_a_stall(desktop: HeadlessSlicer) -> None:
    import time

    volume = desktop.volume(np.zeros((400, 256, 256), np.uint8), LPS)
    plane = np.zeros((256, 256), dtype=bool)
    plane[100:120, 90:115] = True
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(200, plane))
    times = []
    for index in range(201, 206):
        begun = time.process_time()
        answer.add_slice(found(index, plane))
        times.append(time.process_time() - begun)
    assert min(times) < 0.05
    image = slicer.vtkOrientedImageData()
    answer.segmentation.GetBinaryLabelmapRepresentation(answer.segment_id, image)
    assert image.GetNumberOfPoints() < 100 * 100 * 20, "only the part around the lesion is held"


def test_trap_7_overlapping_segments_keep_all_their_voxels(desktop: HeadlessSlicer, volume: Any) -> None:
    node = segmentation_for(volume)
    reader = node.GetSegmentation().AddEmptySegment("reader", "reader's own")
    set_slice(node, reader, volume, square(10), axis=2, index=3)
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, square(8)))
    assert answer.segmentation is node
    assert (whole(node, reader, volume)[:, :, 3] == square(10)).all()
    assert (whole(node, answer.segment_id, volume)[:, :, 3] == square(8)).all()
    assert mask_of(node, answer.segment_id, volume).values.sum() == square(8).sum()


def test_trap_8_nothing_found_makes_no_segment_and_no_error(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, np.zeros(SHAPE[:2], dtype=bool)))
    answer.finish(record(outcome="absent"), Findings())
    assert answer.segmentation is None
    assert answer.measured() is None
    assert desktop.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert desktop.scene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 1, "the words are kept all the same"


def test_trap_9_an_edit_with_the_real_editor_erases_no_other_segment(
    desktop: HeadlessSlicer, volume: Any
) -> None:
    from CORESegLib.scene_editing import protect_other_segments

    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, square(8)))
    node = answer.segmentation
    other = node.GetSegmentation().AddEmptySegment("other", "other")
    set_slice(node, other, volume, square(20, 5), axis=2, index=3)
    editor = desktop.editor(node, volume)
    protect_other_segments(editor.GetSegmentEditorNode())
    editor.SetCurrentSegmentID(answer.segment_id)
    brush = slicer.vtkOrientedImageData()
    editor.UpdateReferenceGeometryImage()
    brush.DeepCopy(editor.GetReferenceGeometryImage())
    brush.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    brush.GetPointData().GetScalars().Fill(1)
    editor.SaveStateForUndo()
    editor.ModifySegmentByLabelmap(node, answer.segment_id, brush, editor.ModificationModeAdd, False, False)
    assert whole(node, answer.segment_id, volume).all()
    assert (whole(node, other, volume)[:, :, 3] == square(20, 5)).all()
    editor.Undo()
    assert whole(node, answer.segment_id, volume).sum() == square(8).sum()


def test_trap_10_no_call_relies_on_a_mutable_default_of_slicer() -> None:
    import CORESegLib.scene_answers as answers
    import CORESegLib.scene_images as images
    import CORESegLib.scene_masks as masks

    for module in (answers, images, masks):
        text = inspect.getsource(module)
        assert "slicer.util.load" not in text
        assert "slicer.util.save" not in text


def test_trap_11_the_side_is_the_patients_and_comes_from_the_mask(
    desktop: HeadlessSlicer, volume: Any
) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    # i grows to the patient's left.
    answer.add_slice(found(3, square(24, 6)))
    measured = answer.measured()
    assert measured is not None
    assert (measured.patient_side, measured.picture_side) == ("left", "right")
    assert measured.slices[2] == (3, 3)


def test_an_answer_is_one_step_for_undo_and_redo(desktop: HeadlessSlicer, volume: Any) -> None:
    node = segmentation_for(volume)
    reader = node.GetSegmentation().AddEmptySegment("reader", "reader's own")
    set_slice(node, reader, volume, square(10), axis=2, index=3)
    editor = desktop.editor(node, volume)
    answer = SceneAnswer(volume, "q", axis=2, save_for_undo=lambda node: editor.SaveStateForUndo())
    for index in (2, 3, 4):
        answer.add_slice(found(index, square()))
    editor.Undo()
    assert answer.segment is None
    assert (whole(node, reader, volume)[:, :, 3] == square(10)).all()
    assert not editor.CanUndo()
    editor.Redo()
    assert whole(node, answer.segment_id, volume).sum() == 3 * square().sum()


def test_what_a_reader_changed_is_told_slice_by_slice(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, square()))
    assert answer.difference().dice == 1.0
    smaller = square()
    smaller[8] = False
    set_slice(answer.segmentation, answer.segment_id, volume, smaller, axis=2, index=3)
    set_slice(answer.segmentation, answer.segment_id, volume, square(8, 1), axis=2, index=6)
    difference = answer.difference()
    assert (difference.added, difference.removed, difference.slices_along[2]) == (4, 4, (3, 6))
    answer.restore_original()
    assert answer.difference().dice == 1.0


def test_the_image_that_leaves_has_slicers_voxels_and_place_and_no_name(
    desktop: HeadlessSlicer, volume: Any, tmp_path: Path
) -> None:
    volume.SetName("DOE^JANE")
    image = image_of(volume, tmp_path)
    assert image.voxels_kji.shape == SHAPE[::-1]
    assert np.allclose(image.ijk_to_ras, LPS)
    assert "DOE" not in repr((image.info, image.ijk_to_ras))


def test_a_scene_that_was_closed_in_between_stays_as_it_is(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, square()))
    desktop.scene.Clear(0)
    desktop.volume(np.zeros(SHAPE[::-1], np.int16), LPS)
    before = desktop.scene.GetNumberOfNodes()
    with pytest.raises(Trouble):
        answer.add_slice(found(4, square()))
    assert desktop.scene.GetNumberOfNodes() == before


def test_an_image_that_was_changed_in_between_gets_no_mask(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    slicer.util.arrayFromVolume(volume)[0] = 7
    slicer.util.arrayFromVolumeModified(volume)
    with pytest.raises(Trouble) as caught:
        answer.add_slice(found(3, square()))
    assert "changed" in caught.value.said
    assert desktop.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_mask_of_another_size_is_refused_before_the_scene_is_touched(
    desktop: HeadlessSlicer, volume: Any
) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    wrong = SliceAnswer(axis=2, index=3, outcome="present", mask=MaskRuns(shape=(4, 4), counts=(0, 16)))
    with pytest.raises(Trouble):
        answer.add_slice(wrong)
    assert desktop.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_mask_drawn_on_a_finer_grid_is_brought_to_the_images(desktop: HeadlessSlicer, volume: Any) -> None:
    fine = np.array(LPS)
    fine[:, :2] /= 2
    fine[:2, 3] -= np.array(LPS)[[0, 1], [0, 1]] / 4
    source = desktop.volume(np.zeros((SHAPE[2], SHAPE[1] * 2, SHAPE[0] * 2), np.int16), fine)
    node = segmentation_for(source)
    segment_id = node.GetSegmentation().AddEmptySegment("s", "s")
    doubled = np.repeat(np.repeat(square(), 2, 0), 2, 1)
    set_slice(node, segment_id, source, doubled, axis=2, index=3)
    part = mask_of(node, segment_id, volume)
    assert (part.within((0, 0, 0), SHAPE)[:, :, 3] == square()).all()


def test_an_erased_segment_is_empty_and_stays(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(3, square()))
    empty = PartMask(values=np.zeros((0, 0, 0), dtype=bool), offset_ijk=(0, 0, 0))
    set_mask(answer.segmentation, answer.segment_id, volume, empty)
    assert answer.measured() is None
    assert answer.segment is not None
    assert answer.difference().removed == square().sum()
