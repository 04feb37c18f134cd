"""The block of the settings: what is kept between sessions, and where each of it can be taken back."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from CORESegLib.address import DEFAULT
from CORESegLib.remembered import MAX_CONNECT_S, MAX_READ_S, REASONING, Remembered
from CORESegLib.transport import Timeouts
from CORESegLib.widgets import button, line, row

_MODES = {"": "as the server does", "brief": "brief", "full": "full", "none": "none"}


class SettingsBlock:
    """See the module.

    Args:
        remembered: What is shown and changed; a change counts from the next connection or question on.
    """

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self.server = qt.QLineEdit()
        self.server.setPlaceholderText(remembered.locked_server or DEFAULT)
        self.server.setText(remembered.server)
        self.server.setEnabled(not remembered.locked_server)
        self.server.editingFinished.connect(self._keep_server)
        self.connect_s = _seconds(remembered.timeouts.connect_s, MAX_CONNECT_S)
        self.read_s = _seconds(remembered.timeouts.read_s, MAX_READ_S)
        for box in (self.connect_s, self.read_s):
            box.valueChanged.connect(lambda *_: self._keep_timeouts())
        self.reasoning = qt.QComboBox()
        self.reasoning.addItems([_(_MODES[mode]) for mode in REASONING])
        self.reasoning.setCurrentIndex(REASONING.index(remembered.reasoning))
        self.reasoning.currentTextChanged.connect(lambda *_: self._keep_reasoning())
        self.consents = line()
        self.revoke = button(_("Ask again"), self._revoke)
        self.widget = qt.QWidget()
        form = qt.QFormLayout(self.widget)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(_("Server at start"), self.server)
        form.addRow(_("Seconds to connect"), self.connect_s)
        form.addRow(_("Seconds to wait for an answer"), self.read_s)
        form.addRow(_("Reasoning"), self.reasoning)
        form.addRow(_("Images go unasked to"), row(self.consents, self.revoke))
        form.addRow(_("Token"), line(_("Kept in memory only, never stored.")))
        self.show()

    def show(self) -> None:
        """Show which servers images go to without asking."""
        allowed = self._remembered.consents
        self.consents.setText("\n".join((_("this machine"), *allowed)))
        self.revoke.setEnabled(bool(allowed))

    def _keep_server(self) -> None:
        self._remembered.server = str(self.server.text)

    def _keep_timeouts(self) -> None:
        connect_s, read_s = float(self.connect_s.value), float(self.read_s.value)
        self._remembered.timeouts = Timeouts(connect_s=connect_s, read_s=read_s)

    def _keep_reasoning(self) -> None:
        self._remembered.reasoning = REASONING[max(0, int(self.reasoning.currentIndex))]

    def _revoke(self) -> None:
        self._remembered.revoke()
        self.show()


def _seconds(value: float, most: float) -> Any:
    box = qt.QSpinBox()
    box.setRange(1, int(most))
    box.setValue(int(value))
    return box
