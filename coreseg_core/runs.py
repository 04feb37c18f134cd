"""A training run as a folder: what was ordered, where it stands, what it said, and how it is told to stop.

    runs/<id>/order.json        what is to be learned; written before the run begins, never changed
    runs/<id>/state.json        where it stands; replaced in one step
    runs/<id>/events.jsonl      what it said, one line an event; its number is its line
    runs/<id>/stop              there as soon as somebody wants the run to stop
    runs/<id>/.lock             locked for as long as the run's process lives, however that ends

Whoever orders a run (the server, the command line) and the process that performs it share nothing else, so either may
die and come back without the other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import AlreadyRunningError, CoreSegError, InputError, NotFoundError

ORDER_SCHEMA, STATE_SCHEMA = "coreseg.order/1", "coreseg.run/1"
CORRECTIONS = "corrections/manifest.jsonl"
"""Where a run keeps the corrections that it learns from, beside their pictures."""

Recipe = Literal["sft", "grpo"]
Standing = Literal["waiting", "running", "done", "stopped", "failed"]
Stage = Literal["waiting", "prepare", "embed", "learn", "judge", "publish", "ended"]
RECIPES: tuple[Recipe, ...] = ("sft", "grpo")
ENDED: tuple[Standing, ...] = ("done", "stopped", "failed")

_LOCK, _STOP, _STATE, _EVENTS = ".lock", "stop", "state.json", "events.jsonl"
_PATIENCE_S = 5.0
"""Whoever looks whether a run is performed holds its lock for a moment, too."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a run is to do.

    Attributes:
        recipe: How it learns.
        preset: Of the model.
        parent: Version it goes on from.
        parent_folder: Its weights.
        versions_dir: Where the new version goes.
        base: Folder or hub id of the published weights that the preset stands on.
        replay: Manifest of base data that is learned beside the corrections; None for phantoms.
        guard: Manifest of questions that the new version must not answer worse; None for phantoms.
        replay_share: Share of the pictures drawn while learning that are of the base data.
        learned_share: How far the new weights go from the parent's to the learned ones; 1 is all the way.
        minutes: Of learning, at most; embedding and judging come on top.
        steps: Of learning, at most; None for what the recipe says.
        guard_pictures: Pictures of the guard that are asked about, at most; two questions each.
        processes: That learn together, one a GPU.
        device: `auto`, `cpu` or `cuda`.
        promote: Whether a version that passes its guard answers at once.
        keep: Versions that stay beside those that are needed.
        seed: Of every draw.
    """

    recipe: Recipe
    preset: str
    parent: str
    parent_folder: str
    versions_dir: str
    base: str | None = None
    replay: str | None = None
    guard: str | None = None
    replay_share: float = 0.75
    learned_share: float = 0.5
    minutes: float = 11.0
    steps: int | None = None
    guard_pictures: int = 150
    processes: int = 1
    device: str = "auto"
    promote: bool = True
    keep: int = 5
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands.

    Attributes:
        state: Whether it waits for its process, runs, or has ended and how.
        stage: What it is doing.
        step, steps: Of learning.
        eta_s: Seconds that learning takes still, by the pace so far.
        learned_s: Seconds it has learned, all attempts together.
        loss: The last one.
        reward: The last mean reward, of recipes that have one.
        dice: Mean Dice on held-apart corrections while learning, teacher-forced.
        attempt: Processes that worked on it so far.
        started, ended: When, in UTC.
        version: That came of it.
        promoted: Whether that version answered at once.
        reason, remedy: Why it failed, or why its version waits.
    """

    state: Standing = "waiting"
    stage: Stage = "waiting"
    step: int = 0
    steps: int = 0
    eta_s: float | None = None
    learned_s: float = 0.0
    loss: float | None = None
    reward: float | None = None
    dice: float | None = None
    attempt: int = 0
    started: str = ""
    ended: str = ""
    version: str | None = None
    promoted: bool = False
    reason: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)


class RunFolder:
    """One run, for whoever looks at it and for the process that performs it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def make(cls, runs_dir: Path, name: str, order: Order) -> RunFolder:
        """Return the folder of a new run, which is nobody's business before `open`.

        Raises:
            AlreadyRunningError: There is one of this name.
        """
        run = cls(Path(runs_dir) / name)
        try:
            run.corrections.parent.mkdir(parents=True)
        except FileExistsError as error:
            raise AlreadyRunningError("There is a run of this name.", remedy="Choose another.") from error
        values = {"schema": ORDER_SCHEMA, **asdict(order)}
        replace_file(run.path / "order.json", (json.dumps(values, indent=2) + "\n").encode())
        return run

    def open(self) -> None:
        """Let the run wait for its process, once all is there that it needs, or once more after it was stopped."""
        for name in (_STOP, _EVENTS):
            (self.path / name).unlink(missing_ok=True)
        kept = self.state if (self.path / _STATE).exists() else RunState(started=now())
        self.set_state(
            replace(kept, state="waiting", stage="waiting", attempt=0, ended="", reason="", remedy="")
        )

    @property
    def id(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def order(self) -> Order:
        """What was ordered.

        Raises:
            InputError: The order is missing or not one.
        """
        try:
            values = json.loads((self.path / "order.json").read_bytes())
            if values.pop("schema") != ORDER_SCHEMA:
                raise ValueError
            return Order(**values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError("The run has no readable order.", remedy="Start another training.") from error

    @property
    def corrections(self) -> Path:
        """The manifest of what is learned from."""
        return self.path / CORRECTIONS

    @property
    def state(self) -> RunState:
        """Where it stands; a run whose state cannot be read has failed."""
        try:
            values = json.loads((self.path / _STATE).read_bytes())
            known = {item.name for item in fields(RunState)}
            return RunState(**{key: value for key, value in values.items() if key in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return RunState(state="failed", stage="ended", reason="The state of the run cannot be read.")

    def set_state(self, state: RunState) -> None:
        """Replace where it stands, in one step."""
        values = {"schema": STATE_SCHEMA, **state.to_json()}
        replace_file(self.path / _STATE, json.dumps(values).encode())

    def change(self, **values: Any) -> RunState:
        """Return the state with some values changed, which it has from now on."""
        state = replace(self.state, **values)
        self.set_state(state)
        return state

    def tell(self, name: str, data: Mapping[str, Any]) -> None:
        """Add an event; only the process that performs the run does, or who finds that none does any more."""
        line = json.dumps({"name": name, "data": dict(data)}, allow_nan=False)
        with (self.path / _EVENTS).open("ab+") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - 1))
            # What a killed process left half written stands on a line of its own, which nobody can read.
            torn = end > 0 and stream.read(1) != b"\n"
            stream.write((b"\n" if torn else b"") + line.encode() + b"\n")

    def events(self, after: int = 0) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """Yield number, name and data of what was said after event number `after`."""
        try:
            content = (self.path / _EVENTS).read_bytes()
        except FileNotFoundError:
            return
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        for number, line in enumerate(lines, start=1):
            if number <= after:
                continue
            try:
                event = json.loads(line)
                yield number, str(event["name"]), event["data"]
            except (ValueError, KeyError, TypeError):
                continue

    def fail(self, error: CoreSegError, *, state: Literal["failed", "stopped"] = "failed") -> None:
        """Tell and note why nothing came of it."""
        # Told first: whoever sees that the run has ended finds its last word.
        self.tell("error", {"code": error.code, "reason": error.reason, "remedy": error.remedy})
        self.change(
            state=state, stage="ended", eta_s=None, ended=now(), reason=error.reason, remedy=error.remedy
        )

    def ask_to_stop(self) -> None:
        """Let `stopping` say so from now on."""
        (self.path / _STOP).touch()

    @property
    def stopping(self) -> bool:
        """Whether somebody wants the run to stop."""
        return (self.path / _STOP).exists()

    @property
    def performed(self) -> bool:
        """Whether a process is at work on it now."""
        try:
            with FileLock(self.path / _LOCK, timeout=0):
                return False
        except Timeout:
            return True

    @contextmanager
    def performing(self) -> Iterator[None]:
        """Keep everybody else from performing the run for the length of the block, or of this process's life.

        Raises:
            AlreadyRunningError: Somebody else is at it.
        """
        lock = FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=_PATIENCE_S)
        except Timeout as error:
            raise AlreadyRunningError(
                "Another process is at work on this run.", remedy="Wait for its end, or stop it."
            ) from error
        try:
            yield
        finally:
            lock.release()


def runs_in(runs_dir: Path) -> list[RunFolder]:
    """Return the runs of a folder, the oldest first."""
    if not Path(runs_dir).is_dir():
        return []
    found = sorted(path for path in Path(runs_dir).iterdir() if (path / _STATE).is_file())
    return [RunFolder(path) for path in found]


def find_run(runs_dir: Path, name: str) -> RunFolder:
    """Return the run of a name.

    Raises:
        NotFoundError: There is none.
    """
    run = next((run for run in runs_in(runs_dir) if run.id == name), None)
    if run is None:
        raise NotFoundError("There is no such training.", remedy="GET /coreseg/training lists them.")
    return run


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
