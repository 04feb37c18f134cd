"""The panel: what its blocks do to each other. Everything here runs in the main thread; whatever waits is a task."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CORESegLib.address import ServerAddress, read_address
from CORESegLib.answer_page import answer_html
from CORESegLib.client import Client, ServerInfo
from CORESegLib.connection_strip import ConnectionStrip
from CORESegLib.machine import State
from CORESegLib.outbox import Outbox
from CORESegLib.panel_answers import Answers
from CORESegLib.panel_asking import Asking
from CORESegLib.panel_editing import Editing
from CORESegLib.panel_exporting import Exporting, ask_for_folder
from CORESegLib.panel_place import VIEW, Place
from CORESegLib.panel_submitting import Submitting
from CORESegLib.panel_training import Training
from CORESegLib.progress import QuestionView
from CORESegLib.question_block import QuestionBlock
from CORESegLib.remembered import Remembered
from CORESegLib.scene_images import background_of, shape_of, view_named
from CORESegLib.settings_block import SettingsBlock
from CORESegLib.transport import Transport
from CORESegLib.trouble import Trouble
from CORESegLib.widgets import section
from CORESegLib.worker import STROKE_MS, Ended, Pump, Task

WATCH_MS = 200
"""How often what lasts for hours is listened to; the short sleep of each stroke is then no burden."""


class Panel:
    """See the module.

    Args:
        confirm: Asks the person a question that is answered by yes or no.
        choose_folder: Asks the person for a folder.
    """

    def __init__(
        self, confirm: Callable[[str], bool] | None = None, choose_folder: Callable[[], str] = ask_for_folder
    ) -> None:
        self._confirm = confirm or slicer.util.confirmOkCancelDisplay
        self._choose_folder = choose_folder
        self._settings = slicer.app.userSettings()
        self.remembered = Remembered(self._settings, lambda name: os.environ.get(name, ""))
        self._client: Client | None = None
        self._address: ServerAddress | None = None
        self._shown_s = 0.0
        self._observed: list[tuple[Any, Any]] = []
        self.pump = Pump()
        self.timer = qt.QTimer()
        self.timer.setInterval(STROKE_MS)
        self.timer.timeout.connect(self._stroke)
        self.watch_pump = Pump()
        self.watch_timer = qt.QTimer()
        self.watch_timer.setInterval(WATCH_MS)
        self.watch_timer.timeout.connect(self._watch_stroke)
        self._build()
        self._observe(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._scene_closed)
        self._observe(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._node_removed)
        self.refresh()

    def _build(self) -> None:
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        self.connection = ConnectionStrip(
            self.connect, servers=self.remembered.servers, locked=self.remembered.locked_server
        )
        self.question = QuestionBlock(
            self.press, self.refresh, lambda: self.place.turn(), questions=self.remembered.questions
        )
        self.place = Place(self.question, lambda: self.remembered.reasoning)
        self.editing = Editing(self.refresh_answer, self.ask_again)
        self.answers = Answers(self.editing, self.refresh)
        self.asking = Asking(
            self._start,
            self.answers,
            save_for_undo=self.editing.save_for_undo,
            folder=Path(slicer.app.temporaryPath),
        )
        outbox = Outbox(Path(slicer.app.slicerUserSettingsFilePath).parent / "CORESeg" / "outbox")
        self.training = Training(
            self._start,
            self._watch,
            confirm=lambda text: self._confirm(text),
            answering=self.connection.show_answering,
        )
        self.submitting = Submitting(outbox, self.answers, self._start, self.training.submitted)
        self.exporting = Exporting(
            self.answers,
            self._start,
            choose_folder=lambda: self._choose_folder(),
            words=lambda: self.submitting.block.words,
        )
        self.settings = SettingsBlock(self.remembered)
        for title, inside, open_ in (
            (_("Connection"), self.connection.widget, True),
            (_("Question"), self.question.widget, True),
            (_("Answer"), self.answers.block.widget, True),
            (_("Correct"), self.editing.widget, False),
            (_("Submit"), self.submitting.block.widget, True),
            (_("Fine-tuning"), self.training.block.widget, True),
            (_("DICOM export"), self.exporting.block.widget, False),
            (_("Settings"), self.settings.widget, False),
        ):
            block, place = section(title, open_=open_)
            place.addWidget(inside)
            layout.addWidget(block)
        layout.addStretch(1)
        self._shortcuts = [
            self._shortcut("Ctrl+Return", self.press_if_idle),
            self._shortcut("Ctrl+Enter", self.press_if_idle),
            self._shortcut("Ctrl+Shift+A", self.answers.accept),
            self._shortcut("Ctrl+Shift+R", self.answers.reject),
            self._shortcut("Alt+Up", lambda: self.answers.walk(1)),
            self._shortcut("Alt+Down", lambda: self.answers.walk(-1)),
        ]

    # What Slicer does with the panel.

    def enter(self) -> None:
        """Take up the work."""
        self.editing.enter()
        view = view_named(VIEW)
        if view is not None:
            self._observe(view, "ModifiedEvent", self._scrolled)
            if self.question.image.currentNode() is None:
                self.question.image.setCurrentNode(background_of(view))
        for shortcut in self._shortcuts:
            shortcut.setEnabled(True)
        self.submitting.show()
        self.refresh()

    def exit(self) -> None:
        """Leave the keys to other modules; questions go on."""
        self.editing.exit()
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)

    def close(self) -> None:
        """End everything; submissions stay on disk, and a training goes on where it runs."""
        for timer, pump in ((self.timer, self.pump), (self.watch_timer, self.watch_pump)):
            timer.stop()
            pump.stop()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed.clear()
        self.editing.close()

    # Connection.

    def connect(self, typed: str, token: str) -> None:
        """Ask a server what it is."""
        self._client = None
        self.training.leave()
        try:
            address = read_address(self.remembered.locked_server or typed)
            transport = Transport(address, token=token or None, timeouts=self.remembered.timeouts)
            client = Client(transport)
        except Trouble as trouble:
            self.connection.show_trouble(trouble)
            self.refresh()
            return
        self.connection.show_busy(address)
        task: Task[ServerInfo] = Task(lambda tell, cancel: tell(client.health(cancel)))
        self._start(task, lambda message: self._connected(message, client, address))
        self.refresh()

    def _connected(self, message: ServerInfo | Ended, client: Client, address: ServerAddress) -> None:
        if isinstance(message, ServerInfo):
            self._client, self._address = client, address
            self.connection.show_there(message)
            self.remembered.add_server(address)
            self.submitting.use(client)
            self.training.use(client)
        elif message.trouble is not None:
            self.connection.show_trouble(message.trouble)
        self.refresh()

    # The question.

    @property
    def state(self) -> State:
        """How the question stands."""
        return self.asking.state

    def press_if_idle(self) -> None:
        """Ask, where nothing is asked just now: a key must not cancel by accident."""
        if not self.asking.running:
            self.press()

    def press(self) -> None:
        """Ask, or cancel what was asked."""
        if self.asking.running:
            self.asking.cancel()
            self._stroke()
            return
        if self._missing() or self._client is None or self._address is None:
            return
        if not self.remembered.may_send_to(self._address):
            if not self._confirm(self._consent(self._address)):
                return
            self.remembered.allow(self._address)
            self.settings.show()
        self.asking.ask(self._client, self.place.wishes())
        self.remembered.add_question(self.question.words)
        self.question.set_earlier(self.remembered.questions)
        self.refresh()

    def ask_again(self) -> None:
        """Ask the slice that is shown again, with the words of the chosen answer and the reader's marks."""
        kept, client = self.answers.current, self._client
        if self.asking.running or client is None or kept is None or not kept.scene.present:
            return
        wish = self.place.again(kept, self.editing.marks_on)
        if wish is None:
            self.question.line.setText(
                _("Click on the slice that the red view shows first, or draw a box there.")
            )
            return
        self.asking.ask(client, [wish])
        self.refresh()

    def _missing(self) -> str:
        """Return what is missing before anything can be asked; empty when nothing is."""
        return self.place.missing() if self._client is not None else _("Connect to a server first.")

    def _consent(self, address: ServerAddress) -> str:
        return _(
            "The voxels of this image will be sent to {server}. Names and other data of the patient are not sent, but "
            "faces can be recognised in images of heads. Send images to this server from now on?"
        ).format(server=address.url)

    # What is shown.

    def refresh(self) -> None:
        """Show how everything stands."""
        self.asking.changed, self._shown_s = False, time.monotonic()
        view = self._show_question()
        self.answers.block.show(view, self._page())
        self.refresh_answer()

    def _show_question(self) -> QuestionView:
        """Return how the question stands, having shown it; all that scrolling through slices changes."""
        self.place.show()
        view = self.asking.view(self._missing())
        self.question.show(view)
        return view

    def refresh_answer(self) -> None:
        """Show how the chosen answer stands."""
        self.answers.show()
        self.submitting.show()
        self.exporting.show()

    def _page(self) -> str:
        answer = self.asking.current
        if answer is None or not answer.present:
            return ""
        return answer_html(
            self.asking.findings,
            axis=answer.axis,
            count=shape_of(answer.volume)[answer.axis],
            measured=self.answers.measured(answer),
        )

    # The machinery.

    def _start(self, task: Task[Any], listen: Callable[[Any], None]) -> None:
        self.pump.start(task, listen)
        self.timer.start()

    def _stroke(self) -> None:
        self.pump.stroke()
        # However much has come, it is shown once; and a waiting clock goes on though nothing comes.
        if self.asking.changed or (self.asking.running and time.monotonic() - self._shown_s > 1):
            self.refresh()
        if not self.pump.busy:
            # An idle panel costs nothing.
            self.timer.stop()

    def _watch(self, task: Task[Any], listen: Callable[[Any], None]) -> None:
        self.watch_pump.start(task, listen)
        self.watch_timer.start()

    def _watch_stroke(self) -> None:
        self.watch_pump.stroke()
        if not self.watch_pump.busy:
            self.watch_timer.stop()

    def _scrolled(self, *_event: object) -> None:
        self._show_question()

    def _scene_closed(self, *_event: object) -> None:
        self.asking.forget()
        self.answers.forget()
        self.refresh()

    def _node_removed(self, *_event: object) -> None:
        if self.asking.drop_if_gone():
            self.refresh()

    def _observe(self, node: Any, event: Any, listener: Callable[..., None]) -> None:
        if not any(seen is node and event == "ModifiedEvent" for seen, _tag in self._observed):
            self._observed.append((node, node.AddObserver(event, listener)))

    def _shortcut(self, keys: str, pressed: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self.widget)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.activated.connect(pressed)
        return shortcut
