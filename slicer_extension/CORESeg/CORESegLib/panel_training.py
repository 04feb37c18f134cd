"""Fine-tuning in the panel: it runs on the server; the panel starts it, follows it, and finds it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CORESegLib.client import Client
from CORESegLib.model_versions import Versions
from CORESegLib.stopping import CancelToken
from CORESegLib.training_block import TrainingActions, TrainingBlock
from CORESegLib.training_client import TrainingClient
from CORESegLib.training_following import TrainingMessage, follow
from CORESegLib.training_stand import TrainingStand
from CORESegLib.training_view import question_before_use, training_view
from CORESegLib.trouble import Trouble
from CORESegLib.worker import Ended, Task

Start = Callable[[Task[Any], Callable[[Any], None]], None]
ALREADY_RUNNING = "already_running"


class Training:
    """See the module.

    Args:
        start: Starts a short task and hands its messages to a listener.
        watch: The same for one that may last hours, so that listening to it costs next to nothing.
        confirm: Asks the person a question that is answered by yes or no.
        answering: Called with the version that answers, whenever it is heard of.

    Attributes:
        options: Sent with each order beside what the block offers; set in Slicer's Python console, as `docs/server.md`
            names them (`steps`, `guard_pictures`, `replay_share`, ...).
    """

    def __init__(
        self,
        start: Start,
        watch: Start,
        *,
        confirm: Callable[[str], bool],
        answering: Callable[[str], None],
    ) -> None:
        self._start, self._watch = start, watch
        self._confirm, self._answering = confirm, answering
        self._client: TrainingClient | None = None
        self._learns = False
        self._following: Task[TrainingMessage] | None = None
        self._away: Trouble | None = None
        self._said = ""
        self._busy = self._decided = False
        self.options: dict[str, Any] = {}
        self.stand: TrainingStand | None = None
        self.versions: Versions | None = None
        self.labels: int | None = None
        self.block = TrainingBlock(
            TrainingActions(
                start=self.begin,
                stop=self.stop,
                resume=self.resume,
                use_new=self.use_new,
                keep_old=self.keep_old,
            )
        )
        self.show()

    @property
    def following(self) -> bool:
        """Whether a training is being followed."""
        return self._following is not None

    def use(self, client: Client) -> None:
        """Speak to a server from now on, and find what trains there."""
        self._let_go()
        self._client, self._learns = client.training, False
        self.stand = self.versions = self.labels = None
        self._said = _("Asking what trains there.")
        self._look()
        self.show()

    def leave(self) -> None:
        """Speak to no server any more; what trains there goes on, and is found again."""
        self._let_go()
        self._client, self._learns, self._said = None, False, ""
        self.show()

    def begin(self) -> None:
        """Start a training on what was submitted."""
        minutes, at_once = float(self.block.minutes.value), bool(self.block.at_once.checked)
        more = dict(self.options)
        self._order(
            lambda client, cancel: client.start(minutes=minutes, at_once=at_once, cancel=cancel, more=more)
        )

    def resume(self) -> None:
        """Go on with a training that was stopped or has failed."""
        stand = self.stand
        if stand is not None:
            self._order(lambda client, cancel: client.resume(stand, cancel))

    def stop(self) -> None:
        """Stop the training that runs, if the person means it."""
        stand = self.stand
        question = _(
            "Stop the training? What it learned up to its last checkpoint is kept, and it can go on later."
        )
        if stand is None or stand.ended or not self._confirm(question):
            return
        self._press(lambda client, cancel: client.stop(stand.run, cancel), self._stopping)

    def use_new(self) -> None:
        """Let the new version answer; one that its guard holds back only if the person says so in spite of that."""
        new = self._new()
        if new is None:
            return
        question = question_before_use(new)
        if question and not self._confirm(question):
            return
        self._press(
            lambda client, cancel: client.promote(new.name, cancel, despite_guard=bool(question)),
            self._chosen,
        )

    def keep_old(self) -> None:
        """Let the version that the new one came from answer, as it may do already."""
        new, versions = self._new(), self.versions
        if new is None or versions is None:
            return
        if versions.current != new.name:
            self._decided = True
            self._said = _("{version} goes on answering.").format(version=versions.current)
            self.show()
            return
        before = versions.before[-1] if versions.before else ""
        if before == new.parent or not new.parent:
            self._press(lambda client, cancel: client.roll_back(cancel), self._chosen)
        else:
            # Somebody else chose in between: one step back would lead to a version that this one never met.
            self._press(lambda client, cancel: client.promote(new.parent, cancel), self._chosen)

    def submitted(self) -> None:
        """Count the labels anew: one more may be learned from."""
        if self._learns and not self._busy:
            self._look()

    def show(self) -> None:
        """Show how the training stands."""
        self.block.show(
            training_view(
                self.stand,
                self.versions,
                connected=self._learns,
                labels=self.labels,
                away=self._away,
                said=self._said,
                busy=self._busy,
                decided=self._decided,
            )
        )

    def _new(self) -> Any:
        if self.versions is None or self.stand is None:
            return None
        return self.versions.named(self.stand.version)

    def _look(self) -> None:
        """Ask what trains, what was trained, and how much there is to learn from."""
        client = self._client
        if client is None:
            return

        def work(tell: Callable[[Any], None], cancel: CancelToken) -> None:
            trainings = client.all(cancel)
            versions = client.versions(cancel)
            tell((trainings, versions, client.labels(cancel)))

        self._start(Task(work), lambda message: self._looked(message, client))

    def _looked(self, message: Any, client: TrainingClient) -> None:
        if client is not self._client:
            return
        if isinstance(message, Ended):
            if message.trouble is not None:
                self._said = str(message.trouble)
        else:
            trainings, self.versions, self.labels = message
            self._said = self._said if self._learns else ""
            self._learns = True
            self._answering(self.versions.current)
            last = trainings[-1] if trainings else None
            if last is not None and not last.ended:
                self._follow(last)
            elif not self.following:
                self.stand = last
        self.show()

    def _order(self, order: Callable[[TrainingClient, CancelToken], str]) -> None:
        self._press(order, self._ordered)

    def _ordered(self, run: str) -> None:
        self._decided = False
        self._follow(TrainingStand(run=run))

    def _stopping(self, stand: TrainingStand) -> None:
        self._said = "" if stand.ended else _("It stops at the end of what it is doing.")

    def _chosen(self, versions: Versions) -> None:
        self.versions, self._decided = versions, True
        self._said = _("{version} answers from the next question on.").format(version=versions.current)
        self._answering(versions.current)

    def _press(self, ask: Callable[[TrainingClient, CancelToken], Any], then: Callable[[Any], None]) -> None:
        """Do what a button says, one after another."""
        client = self._client
        if client is None or self._busy:
            return
        self._busy, self._said = True, ""

        def listen(message: Any) -> None:
            if client is not self._client:
                return
            if isinstance(message, Ended):
                self._busy = False
                if message.trouble is not None:
                    self._refused(message.trouble)
            else:
                then(message)
            self.show()

        self._start(Task(lambda tell, cancel: tell(ask(client, cancel))), listen)
        self.show()

    def _refused(self, trouble: Trouble) -> None:
        if trouble.code == ALREADY_RUNNING:
            # The server's remedy speaks of its routes; here there is a button.
            self._said = f"{trouble.said} {_('Wait for its end, or stop it.')}"
            self._look()
        else:
            self._said = str(trouble)

    def _follow(self, stand: TrainingStand) -> None:
        client = self._client
        if client is None or (self.following and self.stand is not None and self.stand.run == stand.run):
            return
        self._let_go()
        self.stand = stand
        task: Task[TrainingMessage] = Task(lambda tell, cancel: follow(client, stand.run, tell, cancel))
        self._following = task
        self._watch(task, lambda message: self._heard(message, task))

    def _heard(self, message: TrainingMessage | Ended, task: Task[TrainingMessage]) -> None:
        if task is not self._following:
            return
        if isinstance(message, Ended):
            self._following = None
            if message.trouble is not None and message.trouble.kind != "cancelled":
                self._said = str(message.trouble)
        elif isinstance(message, TrainingStand):
            self.stand, self._away = message, None
            if message.ended:
                self._said = ""
        elif isinstance(message, Versions):
            self.versions = message
            self._answering(message.current)
        else:
            self._away = message.trouble
        self.show()

    def _let_go(self) -> None:
        """Follow nothing any more; what runs goes on."""
        if self._following is not None:
            self._following.cancel()
        self._following, self._away, self._busy, self._decided = None, None, False, False
