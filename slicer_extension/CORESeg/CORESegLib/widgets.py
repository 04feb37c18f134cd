"""Small pieces that the blocks of the panel are made of.

Values are written through setters and read as PythonQt gives them, by name; both exist in Qt 5.15 and Qt 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from CORESegLib.answer_page import chip_style, chip_text
from CORESegLib.outcomes import Chip


def section(title: str, *, open_: bool = True) -> tuple[Any, Any]:
    """Return a block that folds, and the layout inside it."""
    block = ctk.ctkCollapsibleButton()
    block.text = title
    block.collapsed = not open_
    layout = qt.QVBoxLayout(block)
    return block, layout


def button(text: str, pressed: Callable[[], None], *, tip: str = "") -> Any:
    """Return a button."""
    made = qt.QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda *_: pressed())
    return made


def line(text: str = "") -> Any:
    """Return a line of text that wraps and can be selected, and in which nothing is markup."""
    made = qt.QLabel(text)
    made.setWordWrap(True)
    made.setTextFormat(qt.Qt.PlainText)
    made.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
    return made


def row(*widgets: Any) -> Any:
    """Return widgets side by side."""
    held = qt.QWidget()
    layout = qt.QHBoxLayout(held)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return held


class ChipLabel:
    """The sign of an outcome, or of how a connection stands."""

    def __init__(self) -> None:
        self.widget = qt.QLabel()
        self.widget.setAlignment(qt.Qt.AlignCenter)
        self.clear()

    def show_outcome(self, chip: Chip, *, partial: bool) -> None:
        """Show an outcome."""
        self.widget.setText(chip_text(chip, partial=partial))
        self.widget.setStyleSheet(chip_style(chip))
        self.widget.setToolTip(_(chip.meaning))
        self.widget.setVisible(True)

    def clear(self) -> None:
        """Show nothing."""
        self.widget.setText("")
        self.widget.setVisible(False)
