"""The block of correction: Slicer's own Segment Editor on the answer, other segments protected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CORESegLib.scene_answers import SceneAnswer
from CORESegLib.scene_boxes import Boxes
from CORESegLib.scene_clicks import Clicks
from CORESegLib.scene_editing import editor_node, protect_other_segments
from CORESegLib.widgets import button, row


class Editing:
    """See the module.

    Args:
        changed: Called after the reader has drawn.
        ask_again: Called when the slice is to be asked again with the reader's clicks and boxes.
    """

    def __init__(self, changed: Callable[[], None], ask_again: Callable[[], None]) -> None:
        self._changed = changed
        self._observed: tuple[Any, Any] | None = None
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(10)
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.editor)
        self.clicks, self.boxes = Clicks(), Boxes()
        self.box = button(_("Box round lesion"), self.boxes.place)
        self.box.setToolTip(_("Click two opposite corners; what lies in the box is outlined."))
        self.on_lesion = button(_("Click on lesion"), lambda: self.clicks.place("foreground"))
        self.beside = button(_("Click beside it"), lambda: self.clicks.place("background"))
        self.again = button(_("Ask again with these"), ask_again)
        layout.addWidget(row(self.box, self.on_lesion, self.beside))
        layout.addWidget(row(button(_("Clear clicks and boxes"), self.clear_marks), self.again))
        self._use_scene()

    def marks_on(self, volume: Any, *, axis: int, index: int) -> dict[str, Any]:
        """Return the reader's clicks and boxes on a slice as the server takes them; empty without any."""
        marks: dict[str, Any] = dict(self.clicks.on_slice(volume, axis=axis, index=index))
        boxes = self.boxes.on_slice(volume, axis=axis, index=index)
        return {**marks, "boxes": boxes} if boxes else marks

    def clear_marks(self) -> None:
        """Remove all clicks and boxes."""
        self.clicks.clear()
        self.boxes.clear()

    def enter(self) -> None:
        """Let the editor have its keys and watch the views."""
        self._use_scene()
        self.editor.setupViewObservations()
        self.editor.installKeyboardShortcuts()

    def exit(self) -> None:
        """Give keys and views back."""
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()

    def close(self) -> None:
        """Let go of the scene."""
        self._watch(None)
        self.editor.setMRMLScene(None)

    def work_on(self, answer: SceneAnswer) -> None:
        """Let the reader draw in an answer's segment."""
        if answer.segment is None:
            return
        # In this order: an editor without its node and segmentation does not take an image.
        self._use_scene()
        self.editor.setSegmentationNode(answer.segmentation)
        self.editor.setSourceVolumeNode(answer.volume)
        self.editor.setCurrentSegmentID(answer.segment_id)
        self._watch(answer.segmentation)

    def save_for_undo(self, segmentation: Any) -> None:
        """Let what happens to a segmentation next be one step that can be undone."""
        self._use_scene()
        self.editor.setSegmentationNode(segmentation)
        self.editor.saveStateForUndo()

    def _use_scene(self) -> None:
        node = editor_node()
        protect_other_segments(node)
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.editor.setMRMLSegmentEditorNode(node)

    def _watch(self, segmentation: Any) -> None:
        if self._observed is not None:
            node, tag = self._observed
            if node is segmentation:
                return
            node.RemoveObserver(tag)
            self._observed = None
        if segmentation is not None:
            event = slicer.vtkSegmentation.SourceRepresentationModified
            segments = segmentation.GetSegmentation()
            self._observed = (segments, segments.AddObserver(event, lambda *_: self._changed()))
