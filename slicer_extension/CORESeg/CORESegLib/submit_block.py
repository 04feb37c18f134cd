"""The block of submission: what goes to the server's store, and what still waits to go there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from CORESegLib.outbox import Submission
from CORESegLib.widgets import button, line, row


class SubmitBlock:
    """See the module.

    Args:
        on_submit: Called when the accepted answer is to be submitted.
        on_retry: Called when what waits is to be sent now.
    """

    def __init__(self, on_submit: Callable[[], None], on_retry: Callable[[], None]) -> None:
        self.text = qt.QPlainTextEdit()
        self.text.setPlaceholderText(_("Your words in place of the model's, if they should be others"))
        self.text.setMaximumHeight(64)
        self.submit = button(_("Submit label"), on_submit)
        self.retry = button(_("Send what waits"), on_retry)
        self.line = line()
        self.waiting = line()
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.text, row(self.submit, self.retry), self.line, self.waiting):
            layout.addWidget(part)

    @property
    def words(self) -> str | None:
        """What the reader wrote in place of the model's words, None for nothing."""
        return str(self.text.toPlainText()).strip() or None

    def allow(self, *, submit: bool, why_not: str) -> None:
        """Let the button be pressed, or say why not."""
        self.submit.setEnabled(submit)
        self.submit.setToolTip(why_not)

    def show_waiting(self, waiting: Sequence[Submission]) -> None:
        """Show what the server does not have yet."""
        refused = [one for one in waiting if one.refused]
        said = [_("{count} waiting to be sent").format(count=len(waiting) - len(refused))] if waiting else []
        said += [_("Refused by the server: {why}").format(why=one.refused) for one in refused[:3]]
        self.waiting.setText("\n".join(said))
        self.retry.setVisible(bool(waiting))
