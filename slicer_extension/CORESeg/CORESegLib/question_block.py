"""The block of the question: image, words, scope, and the one button that asks and cancels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import qt
import slicer
from slicer.i18n import tr as _

from CORESegLib.progress import QuestionView
from CORESegLib.remembered import TEMPLATES
from CORESegLib.widgets import button, line, row

ScopeKind = Literal["slice", "range", "volume", "study"]
SCOPES: tuple[tuple[ScopeKind, str], ...] = (
    ("slice", "Current slice"),
    ("range", "Slices from - to"),
    ("volume", "Whole volume"),
    ("study", "Whole study"),
)


class QuestionBlock:
    """See the module.

    Args:
        on_press: Called when the button is pressed.
        on_change: Called when image, words or scope change.
        on_turn: Called when the view is to be turned to the image.
        questions: Asked before, the newest first.
    """

    def __init__(
        self,
        on_press: Callable[[], None],
        on_change: Callable[[], None],
        on_turn: Callable[[], None],
        *,
        questions: Sequence[str],
    ) -> None:
        self._on_change = on_change
        self.image = slicer.qMRMLNodeComboBox()
        self.image.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.image.addEnabled = False
        self.image.removeEnabled = False
        self.image.renameEnabled = False
        self.image.noneEnabled = True
        self.image.setMRMLScene(slicer.mrmlScene)
        self.image.currentNodeChanged.connect(lambda *_: on_change())
        self.image_line = line()
        self.earlier = qt.QComboBox()
        self.earlier.setToolTip(_("Earlier questions and templates"))
        self.set_earlier(questions)
        self.earlier.currentTextChanged.connect(self._take_earlier)
        self.text = qt.QPlainTextEdit()
        self.text.setPlaceholderText(TEMPLATES[0])
        self.text.setMaximumHeight(64)
        self.text.textChanged.connect(lambda *_: on_change())
        self.scope = qt.QComboBox()
        self.scope.addItems([_(name) for _kind, name in SCOPES])
        self.scope.currentTextChanged.connect(lambda *_: on_change())
        self.first = qt.QSpinBox()
        self.last = qt.QSpinBox()
        self._range = row(self.first, self.last)
        self.where = line()
        self.turn = button(_("Turn view to the image"), on_turn)
        self.ask = button(_("Ask"), on_press, tip=_("Ctrl+Return"))
        self.bar = qt.QProgressBar()
        self.bar.setTextVisible(False)
        self.line = line()
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.image,
            self.image_line,
            self.earlier,
            self.text,
            row(self.scope, self._range),
            row(self.where, self.turn),
            self.ask,
            self.bar,
            self.line,
        ):
            layout.addWidget(part)

    @property
    def words(self) -> str:
        """What is asked."""
        return str(self.text.toPlainText()).strip()

    @property
    def scope_kind(self) -> ScopeKind:
        """Which slices are asked about."""
        return SCOPES[max(0, self.scope.currentIndex)][0]

    @property
    def range(self) -> tuple[int, int]:
        """First and last slice of a range, from 0, in order."""
        first, last = self.first.value - 1, self.last.value - 1
        return min(first, last), max(first, last)

    def set_earlier(self, questions: Sequence[str]) -> None:
        """Offer questions to be asked again, then the templates."""
        self.earlier.blockSignals(True)
        self.earlier.clear()
        self.earlier.addItems(["", *questions, *(one for one in TEMPLATES if one not in questions)])
        self.earlier.blockSignals(False)

    def show_place(self, said: str, *, can_turn: bool, count: int) -> None:
        """Show which slice is asked about.

        Args:
            said: In words.
            can_turn: Whether the view should be turned first.
            count: Slices of the image along the axis that is asked about.
        """
        self.where.setText(said)
        self.turn.setVisible(can_turn)
        self._range.setVisible(self.scope_kind == "range")
        for box in (self.first, self.last):
            box.setRange(1, max(1, count))

    def show(self, view: QuestionView) -> None:
        """Show how the question stands."""
        self.ask.setText(_(view.button))
        self.ask.setEnabled(view.button_enabled)
        self.bar.setVisible(view.bar)
        if view.share is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(view.share * 1000))
        self.line.setText(view.line)
        for part in (self.image, self.text, self.earlier, self.scope, self.first, self.last):
            part.setEnabled(not view.bar)

    def _take_earlier(self, text: Any) -> None:
        if text:
            self.text.setPlainText(text)
