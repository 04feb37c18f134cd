"""The answers of a session in the panel: which is chosen, what the reader does with it, what its row says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from CORESegLib.answer_block import AnswerActions, AnswerBlock, AnswerRow
from CORESegLib.findings import Findings
from CORESegLib.geometry import Measured
from CORESegLib.scene_answers import SceneAnswer, SegmentState
from CORESegLib.scene_images import show_slice, spot_of, view_named
from CORESegLib.scene_text import short_title

if TYPE_CHECKING:
    from CORESegLib.panel_editing import Editing

VIEW = "Red"


class KeptAnswer:
    """One answer with its words and how far the reader has come with it."""

    def __init__(self, scene: SceneAnswer) -> None:
        self.scene = scene
        self.findings = Findings()
        self.state: SegmentState = "Proposed"


class Answers:
    """See the module.

    Args:
        editing: Lets the reader correct the chosen one.
        changed: Called after every change.
    """

    def __init__(self, editing: Editing, changed: Callable[[], None]) -> None:
        self._editing = editing
        self._changed = changed
        self._kept: list[KeptAnswer] = []
        self._measured: tuple[object, Measured | None] | None = None
        self.chosen = -1
        self.block = AnswerBlock(
            AnswerActions(
                accept=self.accept,
                reject=self.reject,
                compare=self.compare,
                restore=self.restore,
                neighbour=self.walk,
                jump=self.jump,
                choose=self.choose,
            )
        )

    @property
    def current(self) -> KeptAnswer | None:
        """The chosen answer."""
        return self._kept[self.chosen] if 0 <= self.chosen < len(self._kept) else None

    def begin(self, scene: SceneAnswer) -> None:
        """Choose an answer that is about to come."""
        self._kept = [one for one in self._kept if one.findings.slices and one.scene.present]
        self._kept.append(KeptAnswer(scene))
        self.chosen = len(self._kept) - 1

    def update(self, scene: SceneAnswer, findings: Findings) -> None:
        """Note what has come of an answer."""
        for one in self._kept:
            if one.scene is scene:
                one.findings = findings
                self._editing.work_on(scene)

    def forget(self) -> None:
        """Forget all, as when the scene was closed."""
        self._kept.clear()
        self.chosen = -1

    def measured(self, answer: SceneAnswer) -> Measured | None:
        """Return what an answer's mask says now, computed again only after a change of it."""
        segment = answer.segment
        key = (answer, segment, segment.GetMTime() if segment is not None else 0, _voxels_changed(answer))
        if self._measured is None or self._measured[0] != key:
            self._measured = (key, answer.measured())
        return self._measured[1]

    def choose(self, number: int) -> None:
        """Choose an answer of the table."""
        self.chosen = number
        if self.current is not None:
            self._editing.work_on(self.current.scene)
        self._changed()

    def accept(self) -> None:
        """Let the chosen answer count as the reader's own."""
        if self.current is not None and self.current.findings.record is not None:
            self._set(self.current, "Accepted")

    def reject(self) -> None:
        """Take the chosen answer out of the scene."""
        if self.current is None:
            return
        self.current.scene.remove()
        self._kept.remove(self.current)
        self.chosen = len(self._kept) - 1
        self._changed()

    def compare(self, shown: bool) -> None:
        """Show or hide the outline of the model's own mask."""
        if self.current is not None:
            self.current.scene.show_original(shown)

    def restore(self) -> None:
        """Let the mask be the model's again."""
        if self.current is not None:
            self.current.scene.restore_original()
            self._set(self.current, "Proposed")

    def walk(self, step: int) -> None:
        """Show the next finding above or below the slice that is shown."""
        current, view = self.current, view_named(VIEW)
        if current is None or view is None or not current.scene.present:
            return
        found = current.findings.neighbour(spot_of(view, current.scene.volume).index, step)
        if found is not None:
            self.jump(found.axis, found.index)

    def jump(self, axis: int, index: int) -> None:
        """Show a slice of the image that was asked about."""
        if self.current is None or not self.current.scene.present:
            return
        measured = self.measured(self.current.scene)
        middle = None
        if measured is not None:
            i, j, k = ((first + last) / 2 for first, last in measured.slices)
            middle = (i, j, k)
        show_slice(self.current.scene.volume, axis=axis, index=index, middle_ijk=middle)

    def submitted(self, one: KeptAnswer) -> None:
        """Note that an answer is on its way to the store, and cannot be lost any more."""
        self._set(one, "Submitted")

    def show(self) -> None:
        """Show all answers, and what can be done with the chosen one."""
        for one in self._kept:
            self._note_edits(one)
        self.block.show_rows([self._row(one) for one in self._kept], self.chosen)
        current = self.current
        there = current is not None and current.scene.present
        mask = there and current is not None and current.scene.segment is not None
        self.block.allow(
            decide=there and current is not None and current.findings.record is not None,
            compare=mask,
            walk=there and current is not None and bool(current.findings.marked()),
        )
        self.block.edited.setText(self._edited(current) if mask and current is not None else "")

    def _set(self, one: KeptAnswer, state: SegmentState) -> None:
        one.state = state
        one.scene.set_state(state)
        self._changed()

    def _note_edits(self, one: KeptAnswer) -> None:
        if one.state == "Proposed" and one.scene.segment is not None and _edited(one.scene):
            one.state = "Edited"
            one.scene.set_state("Edited")

    def _row(self, one: KeptAnswer) -> AnswerRow:
        measured = self.measured(one.scene) if one.scene.present else None
        record = one.findings.record
        slices = ""
        if measured is not None:
            first, last = measured.slices[one.scene.axis]
            slices = str(first + 1) if first == last else f"{first + 1}-{last + 1}"
        return AnswerRow(
            name=short_title(one.scene.query),
            slices=slices,
            volume_ml=f"{measured.volume_ml:.2f}" if measured is not None else "",
            state=one.state,
            source=record.model if record is not None else "",
        )

    def _edited(self, one: KeptAnswer) -> str:
        difference = one.scene.difference()
        changed = difference.slices_along[one.scene.axis]
        if not changed:
            return ""
        where = f"{changed[0] + 1}-{changed[-1] + 1}" if len(changed) > 1 else str(changed[0] + 1)
        return (
            f"Edited since AI: +{difference.added} / -{difference.removed} voxels, slices {where}, "
            f"Dice {difference.dice:.2f}"
        )


def _edited(scene: SceneAnswer) -> bool:
    difference = scene.difference()
    return bool(difference.added or difference.removed)


def _voxels_changed(answer: SceneAnswer) -> int:
    """Return a number that grows when voxels of the segment are drawn."""
    segment = answer.segment
    if segment is None:
        return 0
    image = segment.GetRepresentation("Binary labelmap")
    return int(image.GetMTime()) if image is not None else 0
