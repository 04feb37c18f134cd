"""The block of fine-tuning: start and stop, live numbers, and the choice between the old and the new version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import qt
from slicer.i18n import tr as _

from CORESegLib.training_view import TrainingView
from CORESegLib.widgets import button, line, row

COLUMNS = ("Measured", "Old", "New", "Change (95 %)")
ROW_PX = 28
_VERDICTS = {
    True: "background-color: #1d5c3a; color: #ffffff;",
    False: "background-color: #ffe08a; color: #2b2200;",
}


@dataclass(frozen=True, kw_only=True)
class TrainingActions:
    """What the person may do."""

    start: Callable[[], None]
    stop: Callable[[], None]
    resume: Callable[[], None]
    use_new: Callable[[], None]
    keep_old: Callable[[], None]


class TrainingBlock:
    """See the module."""

    def __init__(self, actions: TrainingActions) -> None:
        self.minutes = qt.QSpinBox()
        self.minutes.setRange(1, 10_080)
        self.minutes.setValue(11)
        self.minutes.setSuffix(_(" minutes of learning"))
        self.minutes.setToolTip(_("At most; reading the pictures and judging come on top."))
        self.at_once = qt.QCheckBox(_("Let the new version answer at once if it is not worse"))
        self.at_once.setChecked(True)
        self.start = button(_("Start fine-tuning"), actions.start)
        self.stop = button(_("Stop"), actions.stop)
        self.resume = button(_("Go on with it"), actions.resume)
        self.bar = qt.QProgressBar()
        self.bar.setTextVisible(False)
        self.line = line()
        self.numbers = line()
        self.table = qt.QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels([_(column) for column in COLUMNS])
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.table.setSelectionMode(qt.QAbstractItemView.NoSelection)
        self.table.setWordWrap(False)
        self.table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        self.table.setToolTip(
            _("Questions of the guard, and of corrections held apart, put to both; how many, in brackets.")
        )
        self.table.verticalHeader().setVisible(False)
        self.table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.verdict = line()
        self.use_new = button(_("Use new"), actions.use_new)
        self.keep_old = button(_("Keep old"), actions.keep_old)
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            row(self.start, self.minutes),
            self.at_once,
            row(self.stop, self.resume),
            self.bar,
            self.line,
            self.numbers,
            self.table,
            self.verdict,
            row(self.use_new, self.keep_old),
        ):
            layout.addWidget(part)

    def show(self, view: TrainingView) -> None:
        """Show how the training stands."""
        self.line.setText(view.line)
        self.numbers.setText(view.numbers)
        self.numbers.setVisible(bool(view.numbers))
        self.bar.setVisible(view.bar)
        self.bar.setRange(0, 0 if view.share is None else 1000)
        if view.share is not None:
            self.bar.setValue(round(view.share * 1000))
        for part in (self.start, self.minutes, self.at_once):
            part.setEnabled(view.start)
        self.stop.setEnabled(view.stop)
        self.resume.setVisible(view.resume)
        self._show_rows(view.rows)
        self.verdict.setText(view.verdict)
        self.verdict.setVisible(bool(view.verdict))
        colours = _VERDICTS[view.passed] if view.passed is not None else ""
        self.verdict.setStyleSheet(f"{colours} border-radius: 4px; padding: 3px 6px;")
        for part, enabled in ((self.use_new, view.use_new), (self.keep_old, view.keep_old)):
            part.setEnabled(enabled)
            part.setVisible(bool(view.verdict))

    def _show_rows(self, rows: Sequence[tuple[str, str, str, str]]) -> None:
        self.table.setVisible(bool(rows))
        # All of it is seen at once: there are a handful of rows.
        self.table.setFixedHeight(ROW_PX * (len(rows) + 1))
        self.table.setRowCount(len(rows))
        for number, texts in enumerate(rows):
            self.table.setRowHeight(number, ROW_PX - 4)
            for column, text in enumerate(texts):
                self.table.setItem(number, column, qt.QTableWidgetItem(text))
