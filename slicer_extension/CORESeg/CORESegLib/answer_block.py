"""The block of the answer: chip, words with links, and what the reader does with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from CORESegLib.progress import QuestionView
from CORESegLib.rich_text import read_link
from CORESegLib.widgets import ChipLabel, button, line, row

COLUMNS = ("Segment", "Slices", "mL", "State", "Source")


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """An answer in the table, as it is shown."""

    name: str
    slices: str
    volume_ml: str
    state: str
    source: str


@dataclass(frozen=True, kw_only=True)
class AnswerActions:
    """What the reader may do with an answer."""

    accept: Callable[[], None]
    reject: Callable[[], None]
    compare: Callable[[bool], None]
    restore: Callable[[], None]
    neighbour: Callable[[int], None]
    jump: Callable[[int, int], None]
    choose: Callable[[int], None]


class AnswerBlock:
    """See the module."""

    def __init__(self, actions: AnswerActions) -> None:
        self._actions = actions
        self._html = ""
        self.chip = ChipLabel()
        self.meaning = line()
        self.page = qt.QTextBrowser()
        self.page.setOpenLinks(False)
        self.page.setMinimumHeight(140)
        self.page.anchorClicked.connect(self._follow)
        self.table = qt.QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels([_(column) for column in COLUMNS])
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.table.setMaximumHeight(110)
        self.table.verticalHeader().setVisible(False)
        self.table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.cellClicked.connect(lambda row, *_: actions.choose(row))
        self.accept = button(_("Accept"), actions.accept, tip="Ctrl+Shift+A")
        self.reject = button(_("Reject"), actions.reject, tip="Ctrl+Shift+R")
        self.compare = qt.QPushButton(_("Compare with AI"))
        self.compare.setCheckable(True)
        self.compare.toggled.connect(lambda on: actions.compare(bool(on)))
        self.restore = button(_("Back to AI's mask"), actions.restore)
        self.up = button(_("Next finding"), lambda: actions.neighbour(1), tip="Alt+Up")
        self.down = button(_("Previous finding"), lambda: actions.neighbour(-1), tip="Alt+Down")
        self.edited = line()
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.chip.widget,
            self.meaning,
            self.page,
            row(self.down, self.up),
            self.table,
            row(self.accept, self.reject, self.compare, self.restore),
            self.edited,
        ):
            layout.addWidget(part)

    def show(self, view: QuestionView, html: str) -> None:
        """Show outcome and words."""
        if view.chip is None:
            self.chip.clear()
            self.meaning.setText("")
        else:
            self.chip.show_outcome(view.chip, partial=view.partial)
            self.meaning.setText(
                _("Not all slices that were asked about are answered.")
                if view.partial
                else _(view.chip.meaning)
            )
        if html != self._html:
            # Set again it would scroll back to its beginning.
            self._html = html
            self.page.setHtml(html)

    def show_rows(self, rows: Sequence[AnswerRow], chosen: int) -> None:
        """Show the answers of this session, one of them chosen."""
        self.table.setRowCount(len(rows))
        for number, one in enumerate(rows):
            texts = (one.name, one.slices, one.volume_ml, one.state, one.source)
            for column, text in enumerate(texts):
                self.table.setItem(number, column, qt.QTableWidgetItem(text))
        if 0 <= chosen < len(rows):
            self.table.selectRow(chosen)

    def allow(self, *, decide: bool, compare: bool, walk: bool) -> None:
        """Let buttons be pressed that mean something now.

        Args:
            decide: There is an answer to accept or reject.
            compare: There is a mask of the model's.
            walk: There are findings on slices.
        """
        self.accept.setEnabled(decide)
        self.reject.setEnabled(decide)
        self.compare.setEnabled(compare)
        self.restore.setEnabled(compare)
        self.up.setEnabled(walk)
        self.down.setEnabled(walk)

    def _follow(self, url: Any) -> None:
        place = read_link(url.toString())
        if place is not None:
            self._actions.jump(*place)
