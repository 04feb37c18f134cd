"""The block of the DICOM export: one button, and a line that says what was written or why nothing can be."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from CORESegLib.widgets import button, line


class ExportBlock:
    """See the module.

    Args:
        on_export: Called when the chosen answer is to be exported.
    """

    def __init__(self, on_export: Callable[[], None]) -> None:
        self.export = button(_("Save as DICOM SEG and SR..."), on_export)
        self.line = line()
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.export, self.line):
            layout.addWidget(part)

    def allow(self, why_not: str) -> None:
        """Let the button be pressed, or say why not."""
        self.export.setEnabled(not why_not)
        self.export.setToolTip(why_not)
