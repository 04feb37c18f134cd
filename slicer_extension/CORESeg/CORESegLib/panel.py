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
from CORESegLib.asking import Came, Message, Question, Stood, ask
from CORESegLib.client import Client, ServerInfo
from CORESegLib.connection_strip import ConnectionStrip
from CORESegLib.findings import AXES, Findings
from CORESegLib.geometry import plane_of
from CORESegLib.machine import RUNNING, Event, State, step
from CORESegLib.outbox import Outbox
from CORESegLib.panel_answers import Answers
from CORESegLib.panel_editing import Editing
from CORESegLib.panel_submitting import Submitting
from CORESegLib.progress import view_of
from CORESegLib.question_block import QuestionBlock
from CORESegLib.remembered import Remembered
from CORESegLib.scene_answers import SceneAnswer
from CORESegLib.scene_images import (
    background_of,
    ijk_to_ras,
    image_of,
    is_askable,
    shape_of,
    spot_of,
    turn_to_volume,
    view_named,
)
from CORESegLib.transport import Transport
from CORESegLib.trouble import Trouble
from CORESegLib.widgets import section
from CORESegLib.worker import STROKE_MS, Ended, Pump, Task

VIEW = "Red"


class Panel:
    """See the module.

    Args:
        confirm: Asks the person a question that is answered by yes or no.
    """

    def __init__(self, confirm: Callable[[str], bool] | None = None) -> None:
        self._confirm = confirm or slicer.util.confirmOkCancelDisplay
        self._settings = slicer.app.userSettings()
        self.remembered = Remembered(self._settings, lambda name: os.environ.get(name, ""))
        self._folder = Path(slicer.app.temporaryPath)
        self._client: Client | None = None
        self._address: ServerAddress | None = None
        self.state: State = "idle"
        self.findings = Findings()
        self._stood: Stood | None = None
        self._trouble: Trouble | None = None
        self._asked_s = self._shown_s = 0.0
        self._dirty = False
        self._task: Task[Message] | None = None
        self._current: SceneAnswer | None = None
        self._observed: list[tuple[Any, Any]] = []
        self.pump = Pump()
        self.timer = qt.QTimer()
        self.timer.setInterval(STROKE_MS)
        self.timer.timeout.connect(self._stroke)
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
            self.press, self.refresh, self._turn_view, questions=self.remembered.questions
        )
        self.editing = Editing(self.refresh_answer)
        self.answers = Answers(self.editing, self.refresh)
        outbox = Outbox(Path(slicer.app.slicerUserSettingsFilePath).parent / "CORESeg" / "outbox")
        self.submitting = Submitting(outbox, self.answers, self._start)
        for title, inside, open_ in (
            (_("Connection"), self.connection.widget, True),
            (_("Question"), self.question.widget, True),
            (_("Answer"), self.answers.block.widget, True),
            (_("Correct"), self.editing.widget, False),
            (_("Submit"), self.submitting.block.widget, True),
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
            self._observe(view, "ModifiedEvent", lambda *_: self.refresh())
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
        """End everything; submissions stay on disk."""
        self.timer.stop()
        self.pump.stop()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed.clear()
        self.editing.close()

    # Connection.

    def connect(self, typed: str, token: str) -> None:
        """Ask a server what it is."""
        self._client = None
        try:
            address = read_address(self.remembered.locked_server or typed)
            client = Client(Transport(address, token=token or None))
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
        elif message.trouble is not None:
            self.connection.show_trouble(message.trouble)
        self.refresh()

    # The question.

    def press_if_idle(self) -> None:
        """Ask, where nothing is asked just now: a key must not cancel by accident."""
        if self.state not in RUNNING:
            self.press()

    def press(self) -> None:
        """Ask, or cancel what was asked."""
        if self.state in RUNNING:
            if self._task is not None:
                self._task.cancel()
                self._stroke()
            return
        if self._missing():
            return
        assert self._client is not None and self._address is not None
        if not self.remembered.may_send_to(self._address):
            if not self._confirm(self._consent(self._address)):
                return
            self.remembered.allow(self._address)
        self._ask(self._client)

    def _ask(self, client: Client) -> None:
        volume = self.question.image.currentNode()
        words = self.question.words
        axis, params = self._params(volume)
        params["query"] = words
        self._begin(SceneAnswer(volume, words, axis=axis, save_for_undo=self.editing.save_for_undo))
        question = Question(image=image_of(volume, self._folder), params=params)
        self._task = Task(lambda tell, cancel: ask(client, question, tell, cancel))
        task = self._task
        self._start(task, lambda message: self._heard(message, task))
        self.remembered.add_question(words)
        self.question.set_earlier(self.remembered.questions)
        self.refresh()

    def _begin(self, answer: SceneAnswer) -> None:
        self._advance("ask")
        self.findings, self._stood, self._trouble = Findings(), None, None
        self._asked_s = time.monotonic()
        self._current = answer
        self.answers.begin(answer)

    def _heard(self, message: Message | Ended, task: Task[Message]) -> None:
        if task is not self._task:
            return
        try:
            self._take(message)
        except Trouble as trouble:
            self._fail(trouble)
            task.cancel()
        self._dirty = True

    def _take(self, message: Message | Ended) -> None:
        if isinstance(message, Ended):
            self._task = None
            if message.trouble is not None:
                self._fail(message.trouble)
        elif isinstance(message, Stood):
            self._stood = message
            self._advance(message.stage)
        else:
            self._take_piece(message)

    def _take_piece(self, message: Came) -> None:
        assert self._current is not None
        if message.name == "token":
            self.findings = self.findings.with_words(message.data)
            self._advance("working")
        elif message.name == "slice":
            self.findings = self.findings.with_slice(message.data)
            assert self.findings.latest is not None
            self._current.add_slice(self.findings.latest)
            self._advance("slice")
            self.answers.update(self.findings)
        else:
            self.findings = self.findings.with_record(message.data)
            self._advance("record")
            assert self.findings.record is not None
            self._current.finish(self.findings.record, self.findings)
            self._advance("imported" if self._current.segment is not None else "imported_nothing")
            self.answers.update(self.findings)

    def _fail(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._advance("cancel" if trouble.kind == "cancelled" else "fail")
        self.answers.update(self.findings)

    def _advance(self, event: Event) -> None:
        self.state = step(self.state, event) or self.state

    # What is shown.

    def refresh(self) -> None:
        """Show how everything stands."""
        self._dirty, self._shown_s = False, time.monotonic()
        self._show_place()
        view = view_of(
            self.state,
            self.findings,
            stood=self._stood,
            waited_s=time.monotonic() - self._asked_s,
            trouble=self._trouble,
            ready=self._missing(),
        )
        self.question.show(view)
        self.answers.block.show(view, self._page())
        self.refresh_answer()

    def refresh_answer(self) -> None:
        """Show how the chosen answer stands."""
        self.answers.show()
        self.submitting.show()

    def _page(self) -> str:
        answer = self._current
        if answer is None or not answer.present:
            return ""
        return answer_html(
            self.findings,
            axis=answer.axis,
            count=shape_of(answer.volume)[answer.axis],
            measured=self.answers.measured(answer),
        )

    def _show_place(self) -> None:
        volume, view = self.question.image.currentNode(), view_named(VIEW)
        if not is_askable(volume) or view is None:
            self.question.show_place("", can_turn=False, count=0)
            self.question.image_line.setText("")
            return
        spot = spot_of(view, volume)
        count = shape_of(volume)[spot.axis]
        plane = plane_of(spot.axis, ijk_to_ras(volume))
        said = _("{view} view - {plane} slice {number} of {count}").format(
            view=VIEW, plane=plane, number=spot.index + 1, count=count
        )
        tilted = not spot.aligned and self.question.scope_kind == "slice"
        if tilted:
            said = _("This view is tilted against the image, so it shows no slice of it.")
        elif not spot.inside:
            said = _("This view shows no slice of the image.")
        self.question.show_place(said, can_turn=tilted, count=count)
        megabytes = volume.GetImageData().GetActualMemorySize() / 1e3
        self.question.image_line.setText(
            _("Sent to the server unless it has it: {size:.0f} MB, voxels only, no name").format(
                size=megabytes
            )
        )

    def _missing(self) -> str:
        """Return what is missing before anything can be asked; empty when nothing is."""
        volume, view = self.question.image.currentNode(), view_named(VIEW)
        if self._client is None:
            return _("Connect to a server first.")
        if not is_askable(volume):
            return _("Choose an image.")
        if not self.question.words:
            return _("Write a question.")
        if view is None:
            return _("Open a slice view.")
        spot = spot_of(view, volume)
        if self.question.scope_kind == "slice" and not (spot.aligned and spot.inside):
            return _("Turn the view to the image, and to a slice of it.")
        return ""

    def _params(self, volume: Any) -> tuple[int, dict[str, Any]]:
        """Return the axis that is asked about, and what the server wants to know of the slices."""
        spot = spot_of(view_named(VIEW), volume)
        kind = self.question.scope_kind
        params: dict[str, Any] = {"scope": kind, "axis": AXES[spot.axis]}
        if kind == "slice":
            params["slice"] = spot.index
        elif kind == "range":
            first, last = self.question.range
            params["slice"] = f"{first}:{last + 1}"
        return spot.axis, params

    def _consent(self, address: ServerAddress) -> str:
        return _(
            "The voxels of this image will be sent to {server}. Names and other data of the patient are not sent, but "
            "faces can be recognised in images of heads. Send images to this server from now on?"
        ).format(server=address.url)

    # The machinery.

    def _start(self, task: Task[Any], listen: Callable[[Any], None]) -> None:
        self.pump.start(task, listen)
        self.timer.start()

    def _stroke(self) -> None:
        self.pump.stroke()
        # However much has come, it is shown once; and a waiting clock goes on though nothing comes.
        if self._dirty or (self.state in RUNNING and time.monotonic() - self._shown_s > 1):
            self.refresh()
        if not self.pump.busy:
            # An idle panel costs nothing.
            self.timer.stop()

    def _turn_view(self) -> None:
        view, volume = view_named(VIEW), self.question.image.currentNode()
        if view is not None and volume is not None:
            turn_to_volume(view, volume)

    def _scene_closed(self, *_event: object) -> None:
        self._drop()
        self.answers.forget()
        self.findings = Findings()
        self._current = None
        self._advance("reset")
        self.refresh()

    def _node_removed(self, *_event: object) -> None:
        if self._current is not None and not self._current.present:
            self._drop()
            self.refresh()

    def _drop(self) -> None:
        """Let go of a question whose image or segmentation is gone."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._trouble = Trouble("local", _("The image was removed from the scene."))
            self._advance("target_gone")

    def _observe(self, node: Any, event: Any, listener: Callable[..., None]) -> None:
        if not any(seen is node and event == "ModifiedEvent" for seen, _tag in self._observed):
            self._observed.append((node, node.AddObserver(event, listener)))

    def _shortcut(self, keys: str, pressed: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self.widget)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.activated.connect(pressed)
        return shortcut
