"""Export in the panel: the chosen answer as DICOM files, written by a worker into a folder that the person chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from CORESegLib.dicom_answer import DicomAnswer
from CORESegLib.dicom_export import export
from CORESegLib.export_block import ExportBlock
from CORESegLib.panel_answers import Answers, KeptAnswer
from CORESegLib.scene_dicom import files_of, is_from_dicom
from CORESegLib.scene_images import ijk_to_ras, shape_of
from CORESegLib.trouble import Trouble
from CORESegLib.worker import Ended, Task


def ask_for_folder() -> str:
    """Return the folder that the person chooses, empty for none."""
    return str(qt.QFileDialog.getExistingDirectory(None, _("Folder for DICOM files")))


class Exporting:
    """See the module.

    Args:
        answers: Of the session.
        start: Starts a task and hands its messages to a listener.
        choose_folder: Asks for a folder.
        words: Returns what the reader wrote in place of the model's words.
    """

    def __init__(
        self,
        answers: Answers,
        start: Callable[[Task[Any], Callable[[Any], None]], None],
        *,
        choose_folder: Callable[[], str],
        words: Callable[[], str | None],
    ) -> None:
        self._answers = answers
        self._start = start
        self._choose_folder = choose_folder
        self._words = words
        self._writing = False
        self.block = ExportBlock(self.export)

    def export(self) -> None:
        """Write the chosen answer."""
        current = self._answers.current
        if self._why_not() or current is None:
            return
        try:
            files = files_of(current.scene.volume)
        except Trouble as trouble:
            self._say(trouble)
            return
        folder = self._choose_folder()
        if not folder:
            return
        volume = current.scene.volume
        place, shape = ijk_to_ras(volume), shape_of(volume)
        answer = self._answer(current, self._words() or "")

        def work(tell: Callable[[tuple[Path, ...]], None], cancel: object) -> None:
            tell(export(answer, files, Path(folder), ijk_to_ras=place, shape_ijk=shape))

        self._writing = True
        self.block.line.setText(_("Writing"))
        self._start(Task(work), self._written)
        self.show()

    def show(self) -> None:
        """Show whether the chosen answer can be exported."""
        self.block.allow(self._why_not())

    def _answer(self, current: KeptAnswer, words: str) -> Callable[[], DicomAnswer]:
        """Return what makes an answer ready in the worker, having taken from the scene what it needs."""
        scene, record = current.scene, current.findings.record
        assert record is not None
        mask, difference, shape = scene.mask(), scene.difference(), shape_of(scene.volume)
        slices = sorted(current.findings.slices.values(), key=lambda one: (one.axis, one.index))
        place = ijk_to_ras(scene.volume)

        def ready() -> DicomAnswer:
            import numpy as np

            return DicomAnswer(
                record=record,
                slices=slices,
                mask_ijk=mask.within((0, 0, 0), shape),
                voxel_mm3=abs(float(np.linalg.det(np.asarray(place)[:3, :3]))),
                edited_voxels=difference.added + difference.removed,
                accepted=current.state in ("Accepted", "Submitted"),
                reader_words=words,
            )

        return ready

    def _written(self, message: tuple[Path, ...] | Ended) -> None:
        if isinstance(message, Ended):
            self._writing = False
            if message.trouble is not None:
                self._say(message.trouble)
        else:
            names = ", ".join(path.name for path in message)
            said = _("Written: {names}.").format(names=names)
            if len(message) == 1:
                said += " " + _("There is no mask, so there is no SEG.")
            self.block.line.setText(said)
        self.show()

    def _say(self, trouble: Trouble) -> None:
        self.block.line.setText(str(trouble))

    def _why_not(self) -> str:
        current = self._answers.current
        if self._writing:
            return _("It is being written.")
        if current is None or current.findings.record is None or not current.scene.present:
            return _("There is no answer to export.")
        if not is_from_dicom(current.scene.volume):
            return _(
                "The image was not loaded from DICOM, so there is no series that the answer could refer to."
            )
        return ""
