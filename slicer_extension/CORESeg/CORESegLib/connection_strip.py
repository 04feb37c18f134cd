"""The block of the connection: address, token, and one chip that says how it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from CORESegLib.address import DEFAULT, ServerAddress
from CORESegLib.client import ServerInfo
from CORESegLib.trouble import Trouble
from CORESegLib.widgets import button, line, row

_CHIPS = {
    "away": "background-color: #d5dbe1; color: #1c2730;",
    "busy": "background-color: #ffe08a; color: #2b2200;",
    "there": "background-color: #1d5c3a; color: #ffffff;",
    "trouble": "background-color: #8c1020; color: #ffffff;",
}


class ConnectionStrip:
    """See the module.

    Args:
        on_connect: Called with address and token as typed.
        servers: Addresses to choose from.
        locked: The one address an administrator allows; empty where any may be chosen.
    """

    def __init__(
        self, on_connect: Callable[[str, str], None], *, servers: Sequence[str], locked: str
    ) -> None:
        self._on_connect = on_connect
        self._info: ServerInfo | None = None
        self.address = qt.QComboBox()
        self.address.setEditable(True)
        self.address.addItems([locked] if locked else list(servers))
        self.address.setEnabled(not locked)
        # The default is shown, not entered: what stands in the field is what the person chose.
        self.address.lineEdit().setPlaceholderText(DEFAULT)
        if not locked:
            self.address.setCurrentIndex(0 if servers else -1)
        self.token = qt.QLineEdit()
        self.token.setEchoMode(qt.QLineEdit.Password)
        self.token.setPlaceholderText(_("token, if the server wants one"))
        self.token.setToolTip(_("Kept in memory only; enter it again after a restart of Slicer."))
        self.connect_button = button(_("Connect"), self._pressed)
        self.chip = qt.QLabel()
        self.warning = line()
        self.warning.setStyleSheet("background-color: #ffe08a; color: #2b2200; padding: 3px;")
        self.line = line()
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            row(self.address, self.connect_button),
            self.token,
            row(self.chip, self.line),
            self.warning,
        ):
            layout.addWidget(part)
        self.show_away()

    def show_away(self) -> None:
        """Show that there is no connection."""
        self._show("away", _("not connected"), "")
        self.warning.setVisible(False)

    def show_busy(self, address: ServerAddress) -> None:
        """Show that the server is being asked."""
        self._info = None
        self._show("busy", _("connecting"), address.note)
        self.warning.setText(_("Images travel unencrypted to this server; anyone on the way can read them."))
        self.warning.setVisible(address.readable_on_the_way)

    def show_there(self, info: ServerInfo) -> None:
        """Show what the server is."""
        self._info = info
        self._show_model(info.model)

    def show_answering(self, version: str) -> None:
        """Show which version of the weights answers from the next question on."""
        if self._info is not None:
            self._show_model(f"{self._info.preset} {version}")

    def _show_model(self, model: str) -> None:
        assert self._info is not None
        ready = self._info.loaded and model == self._info.model
        said = model if ready else _("{model}, still to be loaded").format(model=model)
        self._show("there", f"CORE-Seg {self._info.version}", said)

    def show_trouble(self, trouble: Trouble) -> None:
        """Show why there is no connection."""
        self._show("trouble", _("no connection"), str(trouble))
        self.line.setToolTip(trouble.details)

    def _show(self, kind: str, word: str, said: str) -> None:
        self.chip.setText(word)
        self.chip.setStyleSheet(f"{_CHIPS[kind]} border-radius: 4px; padding: 2px 6px;")
        self.line.setText(said)
        self.line.setToolTip("")
        self.connect_button.setEnabled(kind != "busy")

    def _pressed(self) -> None:
        text: Any = self.address.currentText
        self._on_connect(text, self.token.text)
