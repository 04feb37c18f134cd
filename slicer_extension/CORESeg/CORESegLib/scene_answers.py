"""An answer in the scene: a segment that can be corrected, the untouched original beside it, the words in a text node.

An answer holds nodes, not their ids, which a new scene gives out again; whether they are still there is asked each
time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import slicer

from CORESegLib.findings import Findings, Record, SliceAnswer
from CORESegLib.geometry import Difference, Measured, compare, measure
from CORESegLib.rich_text import for_reader
from CORESegLib.scene_images import ijk_to_ras, shape_of, state_of
from CORESegLib.scene_masks import PartMask, both_on_one_box, mask_of, set_mask, set_slice
from CORESegLib.scene_text import (
    MAX_TAG,
    TAG_ANSWER,
    TAG_RECORD,
    TAG_SOURCE,
    TAG_STATE,
    short_title,
    to_tag,
)
from CORESegLib.trouble import Trouble

if TYPE_CHECKING:
    from numpy.typing import NDArray

SegmentState = Literal["Proposed", "Edited", "Accepted", "Submitted"]
ROLE_SEGMENTATION = "coreseg.segmentation"
ROLE_VOLUME = "coreseg.volume"
ROLE_ORIGINAL = "coreseg.original"
COLOUR = (1.0, 0.56, 0.18)
ORIGINAL_COLOUR = (0.35, 0.75, 1.0)


class SceneAnswer:
    """One answer on its way into the scene, and there.

    Args:
        volume: The node that was asked about.
        query: The question.
        axis: Array axis along which slices are asked about.
        save_for_undo: Called once, before the scene's segmentation is changed, with it.
    """

    def __init__(
        self, volume: Any, query: str, *, axis: int, save_for_undo: Callable[[Any], None] = lambda node: None
    ) -> None:
        self.volume = volume
        self.query = query
        self.axis = axis
        self.segment_id = ""
        self.segmentation: Any = None
        self.original: Any = None
        self.text_node: Any = None
        self._save_for_undo = save_for_undo
        self._asked_about = state_of(volume)
        self._unsaved = False
        self._drawn: set[tuple[int, int]] = set()

    @property
    def present(self) -> bool:
        """Whether image and, once there is one, segmentation are still in the scene."""
        nodes = [self.volume, *([self.segmentation] if self.segmentation is not None else [])]
        return all(slicer.mrmlScene.IsNodePresent(node) for node in nodes)

    @property
    def segment(self) -> Any:
        """The segment, None where there is none, or no longer."""
        if not self.segment_id or not self.present:
            return None
        return self.segmentation.GetSegmentation().GetSegment(self.segment_id)

    def ask_again(self) -> None:
        """Let what is laid in from now on be one step of its own for undo."""
        self._asked_about = state_of(self.volume)
        self._unsaved = self.segment is not None
        self._drawn = set()

    def add_slice(self, found: SliceAnswer) -> None:
        """Lay the mask of a slice into the segment, which is made for the first one.

        The server tells a slice again where its neighbours leave less of it: what is gone is taken away, and what the
        reader has drawn there in the meantime stays.

        Raises:
            Trouble: The image is gone, is not what was asked about any more, or the mask does not fit it.
        """
        self._check()
        place = (found.axis, found.index)
        shape = shape_of(self.volume)
        plane_shape = tuple(side for axis, side in enumerate(shape) if axis != found.axis)
        if found.mask is None:
            if place in self._drawn and self.segment is not None:
                self._redraw(place, _nothing(plane_shape))
            return
        if found.mask.shape != plane_shape or not found.index < shape[found.axis]:
            raise Trouble(
                "not_our_server",
                "The server's mask does not fit the image.",
                remedy="The scene is unchanged. Extension and server may be of different versions.",
            )
        if self.segment is None:
            self._begin()
        elif self._unsaved:
            self._save_for_undo(self.segmentation)
        self._unsaved = False
        if place in self._drawn:
            self._redraw(place, found.mask.decode())
            return
        for node in (self.segmentation, self.original):
            self._draw(node, place, found.mask.decode())
        self._drawn.add(place)

    def finish(self, record: Record, findings: Findings) -> None:
        """Keep the words: a text node with the whole record, tags on the segment with the short of it.

        Raises:
            Trouble: As in `add_slice`.
        """
        self._check()
        if self._drawn and self._emptied():
            self._drop_segment()
        self._write_text(record)
        segment = self.segment
        if segment is None:
            return
        first = findings.marked()[0] if findings.marked() else None
        words = (
            " ".join(part for part in (first.reasoning, for_reader(first.answer)) if part) if first else ""
        )
        answer = {"query": self.query[:2000], "outcome": record.outcome, "text": words[:20_000]}
        segment.SetTag(TAG_RECORD, record.id)
        segment.SetTag(TAG_ANSWER, to_tag(answer)[:MAX_TAG])
        segment.SetTag(TAG_SOURCE, record.model.replace("|", "/"))
        segment.SetTag("Description", words.replace("|", "/").replace("\r", " ")[:1000])
        segment.SetTag("DICOM.SegmentAlgorithmType", "SEMIAUTOMATIC")
        segment.SetTag("DICOM.SegmentAlgorithmName", f"CORE-Seg {record.model}"[:60].replace("|", "/"))

    def measured(self) -> Measured | None:
        """Return what the mask says now, None where nothing is marked."""
        mask = self._mask(self.segmentation)
        return measure(
            mask.values,
            ijk_to_ras(self.volume),
            shape_of(self.volume),
            axis=self.axis,
            offset_ijk=mask.offset_ijk,
        )

    def difference(self) -> Difference:
        """Return what was changed of the model's mask."""
        ours, theirs, start = both_on_one_box(self._mask(self.segmentation), self._mask(self.original))
        found = compare(ours, theirs)
        moved = tuple(
            tuple(index + begin for index in along)
            for along, begin in zip(found.slices_along, start, strict=True)
        )
        return Difference(added=found.added, removed=found.removed, slices_along=moved, dice=found.dice)

    def mask(self) -> PartMask:
        """Return the mask as it is now."""
        return self._mask(self.segmentation)

    def set_state(self, state: SegmentState) -> None:
        """Note how far the reader has come with it."""
        segment = self.segment
        if segment is None:
            return
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        accepted = state in ("Accepted", "Submitted")
        logic.SetSegmentStatus(segment, logic.Completed if accepted else logic.InProgress)
        segment.SetTag(TAG_STATE, state)

    def show_original(self, shown: bool) -> None:
        """Show or hide the outline of the model's untouched mask."""
        if self.original is not None and slicer.mrmlScene.IsNodePresent(self.original):
            self.original.GetDisplayNode().SetVisibility(shown)

    def restore_original(self) -> None:
        """Let the segment be the model's mask again, as one step that can be undone."""
        if self.segment is not None:
            self._save_for_undo(self.segmentation)
            set_mask(self.segmentation, self.segment_id, self.volume, self._mask(self.original))

    def remove(self) -> None:
        """Take the answer out of the scene; the segment can be had back by undo."""
        if self.segment is not None:
            self._save_for_undo(self.segmentation)
        self._drop_segment()
        _remove_node(self.text_node)
        self.text_node = None

    def _drop_segment(self) -> None:
        if self.segment is not None:
            self.segmentation.GetSegmentation().RemoveSegment(self.segment_id)
        _remove_node(self.original)
        self.original = None

    def _emptied(self) -> bool:
        """Return whether all that was drawn was taken away again, and the reader has drawn nothing."""
        return self.segment is not None and not any(
            self._mask(node).values.any() for node in (self.segmentation, self.original)
        )

    def _check(self) -> None:
        if not self.present:
            raise Trouble(
                "local", "The image was removed from the scene.", remedy="Nothing was changed there."
            )
        if state_of(self.volume) != self._asked_about:
            raise Trouble(
                "local",
                "The image was changed after it was asked about, so the answer does not belong to it any more.",
                remedy="Ask again. The scene is unchanged.",
            )

    def _draw(self, node: Any, place: tuple[int, int], plane: NDArray[Any]) -> None:
        axis, index = place
        set_slice(node, self.segment_id, self.volume, plane, axis=axis, index=index)

    def _redraw(self, place: tuple[int, int], plane: NDArray[Any]) -> None:
        ours, before = (self._plane(node, place) for node in (self.segmentation, self.original))
        edited = ours != before
        if edited.any():
            self._save_for_undo(self.segmentation)
        self._draw(self.segmentation, place, (ours & edited) | (plane & ~edited))
        self._draw(self.original, place, plane)

    def _plane(self, node: Any, place: tuple[int, int]) -> NDArray[Any]:
        axis, index = place
        shape = shape_of(self.volume)
        first = (index if axis == 0 else 0, index if axis == 1 else 0, index if axis == 2 else 0)
        sides = tuple(1 if along == axis else side for along, side in enumerate(shape))
        return self._mask(node).within(first, sides).squeeze(axis)

    def _mask(self, segmentation: Any) -> PartMask:
        import numpy as np

        if segmentation is None or not self.segment_id or not slicer.mrmlScene.IsNodePresent(segmentation):
            return PartMask(values=np.zeros((0, 0, 0), dtype=bool), offset_ijk=(0, 0, 0))
        return mask_of(segmentation, self.segment_id, self.volume)

    def _begin(self) -> None:
        title = f"CORE-Seg: {short_title(self.query)}"
        if self.segmentation is None:
            self.segmentation = segmentation_for(self.volume)
        self._save_for_undo(self.segmentation)
        segments = self.segmentation.GetSegmentation()
        self.segment_id = segments.AddEmptySegment(segments.GenerateUniqueSegmentID("coreseg"), title, COLOUR)
        self.set_state("Proposed")
        self.original = _new_segmentation(self.volume, f"{title} (original)")
        self.original.GetSegmentation().AddEmptySegment(self.segment_id, title, ORIGINAL_COLOUR)
        self.original.SetHideFromEditors(True)
        display = self.original.GetDisplayNode()
        display.SetVisibility(False)
        display.SetAllSegmentsVisibility2DFill(False)

    def _write_text(self, record: Record) -> None:
        node = self.text_node
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            node = slicer.mrmlScene.AddNewNodeByClass(
                "vtkMRMLTextNode", f"CORE-Seg: {short_title(self.query)}"
            )
        # Tabs are escaped in JSON, so nothing is lost when the text stands in the scene's XML.
        node.SetText(json.dumps(dict(record.values), ensure_ascii=False, indent=1))
        node.SetNodeReferenceID(ROLE_VOLUME, self.volume.GetID())
        if self.segmentation is not None:
            node.SetNodeReferenceID(ROLE_SEGMENTATION, self.segmentation.GetID())
        if self.original is not None:
            node.SetNodeReferenceID(ROLE_ORIGINAL, self.original.GetID())
        node.SetAttribute(TAG_RECORD, record.id)
        self.text_node = node


def _remove_node(node: Any) -> None:
    if node is not None and slicer.mrmlScene.IsNodePresent(node):
        slicer.mrmlScene.RemoveNode(node)


def _nothing(plane_shape: tuple[int, ...]) -> NDArray[Any]:
    import numpy as np

    return np.zeros(plane_shape, dtype=bool)


def segmentation_for(volume: Any) -> Any:
    """Return the segmentation in which answers about a volume are collected, made where there is none.

    One that the reader has made for this very volume is taken, so that her segments and ours can be compared.
    """
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        if node.GetNodeReference(role) is volume and not node.GetHideFromEditors():
            return node
    return _new_segmentation(volume, "CORE-Seg")


def _new_segmentation(volume: Any, name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    # First the transform: masks of a moved image would be shifted and cut without it.
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node
