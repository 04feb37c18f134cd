"""Asking in the panel: one question on its way, others about further images behind it, and what came of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from CORESegLib.asking import Came, Message, Question, Stood, ask
from CORESegLib.client import Client
from CORESegLib.findings import Findings
from CORESegLib.machine import RUNNING, Event, State, step
from CORESegLib.panel_answers import Answers, KeptAnswer
from CORESegLib.progress import QuestionView, view_of
from CORESegLib.scene_answers import SceneAnswer
from CORESegLib.scene_images import image_of
from CORESegLib.trouble import Trouble
from CORESegLib.worker import Ended, Task

Start = Callable[[Task[Any], Callable[[Any], None]], None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A question about one image that is to be asked.

    Attributes:
        volume: Its node.
        words: The question.
        axis: Array axis along which slices are asked about.
        params: For the server.
        again: The answer of which a slice is asked again; None for a new question.
    """

    volume: Any
    words: str
    axis: int
    params: Mapping[str, Any]
    again: KeptAnswer | None = None


class Asking:
    """See the module.

    Args:
        start: Starts a task and hands its messages to a listener.
        answers: Where what comes is kept.
        save_for_undo: See `SceneAnswer`.
        folder: For files on their way.
    """

    def __init__(
        self, start: Start, answers: Answers, *, save_for_undo: Callable[[Any], None], folder: Path
    ) -> None:
        self._start = start
        self._answers = answers
        self._save_for_undo = save_for_undo
        self._folder = folder
        self.state: State = "idle"
        self.findings = Findings()
        self.current: SceneAnswer | None = None
        self.changed = False
        self._stood: Stood | None = None
        self._trouble: Trouble | None = None
        self._asked_s = 0.0
        self._task: Task[Message] | None = None
        self._client: Client | None = None
        self._waiting: deque[Wish] = deque()
        self._number = self._total = 0

    @property
    def running(self) -> bool:
        """Whether a question is on its way."""
        return self.state in RUNNING

    def ask(self, client: Client, wishes: list[Wish]) -> None:
        """Ask one question after another; one that fails does not hold up those about other images."""
        self._client = client
        self._waiting = deque(wishes)
        self._number, self._total = 0, len(wishes)
        self._next()

    def cancel(self) -> None:
        """End the question at once, and all behind it."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def forget(self) -> None:
        """Begin anew, as when the scene was closed."""
        self._let_go()
        self.findings, self.current, self._trouble = Findings(), None, None
        self._advance("reset")

    def drop_if_gone(self) -> bool:
        """Return whether the question was dropped because its image or segmentation was removed."""
        if self.current is None or self.current.present:
            return False
        if self._task is not None:
            self._let_go()
            self._trouble = Trouble("local", _("The image was removed from the scene."))
        return True

    def view(self, ready: str) -> QuestionView:
        """Return what to show; `ready` says what is missing before anything can be asked."""
        view = view_of(
            self.state,
            self.findings,
            stood=self._stood,
            waited_s=time.monotonic() - self._asked_s,
            trouble=self._trouble,
            ready=ready,
        )
        if self._total < 2:
            return view
        words = _("Image {number} of {total}. ").format(number=self._number, total=self._total)
        return replace(view, line=words + view.line)

    def _next(self) -> None:
        while self._waiting:
            wish = self._waiting.popleft()
            self._number += 1
            if wish.volume.GetScene() is not None:
                self._begin(wish)
                return

    def _begin(self, wish: Wish) -> None:
        client = self._client
        assert client is not None
        self._advance("ask")
        self._stood, self._trouble = None, None
        self._asked_s = time.monotonic()
        if wish.again is None:
            self.findings = Findings()
            self.current = SceneAnswer(
                wish.volume, wish.words, axis=wish.axis, save_for_undo=self._save_for_undo
            )
            self._answers.begin(self.current)
        else:
            # What there is stays unless the server has something better.
            self.findings = wish.again.findings
            self.current = wish.again.scene
            self.current.ask_again()
        question = Question(
            image=image_of(wish.volume, self._folder), params={**wish.params, "query": wish.words}
        )
        task: Task[Message] = Task(lambda tell, cancel: ask(client, question, tell, cancel))
        self._task = task
        self.changed = True
        self._start(task, lambda message: self._heard(message, task))

    def _heard(self, message: Message | Ended, task: Task[Message]) -> None:
        if task is not self._task:
            return
        self.changed = True
        try:
            self._take(message)
        except Trouble as trouble:
            self._task = None
            task.cancel()
            self._fail(trouble)
        if self._task is None:
            self._next()

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
        assert self.current is not None
        if message.name == "token":
            self.findings = self.findings.with_words(message.data)
            self._advance("working")
            return
        if message.name == "slice":
            self.findings = self.findings.with_slice(message.data)
            assert self.findings.latest is not None
            self.current.add_slice(self.findings.latest)
            self._advance("slice")
        else:
            self.findings = self.findings.with_record(message.data)
            self._advance("record")
            assert self.findings.record is not None
            self.current.finish(self.findings.record, self.findings)
            self._advance("imported" if self.current.segment is not None else "imported_nothing")
        self._answers.update(self.current, self.findings)

    def _fail(self, trouble: Trouble) -> None:
        assert self.current is not None
        self._trouble = trouble
        self._advance("cancel" if trouble.kind == "cancelled" else "fail")
        self._answers.update(self.current, self.findings)

    def _let_go(self) -> None:
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._advance("target_gone")

    def _advance(self, event: Event) -> None:
        self.state = step(self.state, event) or self.state
