"""Submission in the panel: accepted answers go to the outbox first, from there to the server, whenever it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CORESegLib.client import Client
from CORESegLib.outbox import Outbox
from CORESegLib.panel_answers import Answers, KeptAnswer
from CORESegLib.scene_images import ijk_to_ras, shape_of
from CORESegLib.submission import FINAL, corrected_record, label_params
from CORESegLib.submit_block import SubmitBlock
from CORESegLib.trouble import Trouble
from CORESegLib.volume_file import write_nrrd
from CORESegLib.worker import Ended, Task

LESION = {"lesion": 1}


class Submitting:
    """See the module.

    Args:
        outbox: Where submissions wait.
        answers: Of the session.
        start: Starts a task and hands its messages to a listener.
        delivered: Called after the server has taken something.
    """

    def __init__(
        self,
        outbox: Outbox,
        answers: Answers,
        start: Callable[[Task[Any], Callable[[Any], None]], None],
        delivered: Callable[[], None],
    ) -> None:
        self.outbox = outbox
        self._answers = answers
        self._start = start
        self._delivered = delivered
        self._client: Client | None = None
        self._sending = self._putting = False
        self.block = SubmitBlock(self.submit, self.send)

    def use(self, client: Client) -> None:
        """Send to a server from now on, beginning with what waits for it."""
        self._client = client
        self.send()

    def submit(self) -> None:
        """Put the accepted answer into the outbox, then send."""
        current, client = self._answers.current, self._client
        if self._why_not() or current is None or client is None:
            return
        record = current.findings.record
        assert record is not None
        volume, mask = current.scene.volume, current.scene.mask()
        corrected = corrected_record(
            record,
            difference=current.scene.difference(),
            axis=current.scene.axis,
            marked=bool(mask.values.size),
            text=self.block.words,
            reader="",
        )
        image_id = str(record.values.get("image_id", ""))
        place, shape = ijk_to_ras(volume), shape_of(volume)
        server = client.address_url

        def work(tell: Callable[[str], None], cancel: object) -> None:
            voxels = mask.within((0, 0, 0), shape).transpose(2, 1, 0).astype("uint8")
            tell(
                self.outbox.put(
                    lambda path: write_nrrd(path, voxels, place),
                    server=server,
                    image_id=image_id,
                    tag=FINAL,
                    params=label_params(corrected, names=LESION),
                )
            )

        self._putting = True
        self._start(Task(work), lambda message: self._put(message, current))

    def send(self) -> None:
        """Send what waits for the server that is connected."""
        client = self._client
        if client is None or self._sending:
            self.show()
            return
        self._sending = True
        task: Task[int] = Task(lambda tell, cancel: tell(self.outbox.deliver(client, cancel)))
        self._start(task, self._sent)

    def show(self) -> None:
        """Show what waits, and whether the chosen answer can be submitted."""
        why_not = self._why_not()
        self.block.allow(submit=not why_not, why_not=why_not)
        self.block.show_waiting(self.outbox.waiting())

    def _put(self, message: str | Ended, submitted: KeptAnswer) -> None:
        if isinstance(message, Ended):
            self._putting = False
            if message.trouble is not None:
                self.block.line.setText(str(message.trouble))
            self.send()
        else:
            self._answers.submitted(submitted)
            self.block.line.setText(_("Kept on this machine until the server has it."))

    def _sent(self, message: int | Ended) -> None:
        if isinstance(message, Ended):
            self._sending = False
            if message.trouble is not None:
                self.block.line.setText(_waits(message.trouble))
        elif message:
            self.block.line.setText(_("Sent: the server has it."))
            self._delivered()
        self.show()

    def _why_not(self) -> str:
        current = self._answers.current
        if self._client is None:
            return _("Connect to the server that was asked.")
        if self._putting:
            return _("It is being submitted.")
        if current is None or current.findings.record is None or not current.scene.present:
            return _("There is no answer to submit.")
        if current.state != "Accepted":
            return _("Accept the answer first.") if current.state != "Submitted" else _("It is submitted.")
        return ""


def _waits(trouble: Trouble) -> str:
    return f"{trouble.said} {trouble.remedy} {_('What waits is kept and sent later.')}".strip()
