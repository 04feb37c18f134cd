"""Where a training on the server stands, as the panel holds it: read once, moved on by each of its events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from CORESegLib.answers import number_of, seconds_of, text_of, whole_of
from CORESegLib.event_stream import ServerEvent
from CORESegLib.trouble import Trouble

MAX_SAID = 600
MAX_POINTS = 2000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""What names of trainings and of versions look like."""
Standing = Literal["waiting", "running", "done", "stopped", "failed"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
ENDED: tuple[Standing, ...] = ("done", "stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class TrainingStand:
    """One training.

    Attributes:
        run: Its name.
        recipe: How it learns: `sft`, `grpo`.
        state: Whether it waits, runs, or has ended and how.
        stage: What it is doing: prepare, embed, learn, judge, publish.
        step, steps: Of learning; 0 steps while that is not known.
        asked, to_ask: Questions of the comparison with the parent, while that goes on.
        eta_s: Seconds that learning takes still, by the pace so far.
        losses, dices: So far, the latest last; Dice on corrections that are held apart.
        version: That came of it; empty while none has.
        promoted: Whether that version answered at once.
        reason, remedy: Why it failed, or why its version waits.
        started: When, in UTC, as the server writes it.
    """

    run: str
    recipe: str = "sft"
    state: Standing = "waiting"
    stage: str = "waiting"
    step: int = 0
    steps: int = 0
    asked: int = 0
    to_ask: int = 0
    eta_s: float | None = None
    losses: tuple[float, ...] = ()
    dices: tuple[float, ...] = ()
    version: str = ""
    promoted: bool = False
    reason: str = ""
    remedy: str = ""
    started: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.state in ENDED

    def after(self, event: ServerEvent) -> TrainingStand:
        """Return where it stands after an event; one that this panel does not know changes nothing."""
        data = event.data
        if event.name == "progress":
            return self._moved(data)
        if event.name == "error":
            stopped = text_of(data, "code", limit=40) == "cancelled"
            return replace(
                self,
                state="stopped" if stopped else "failed",
                stage="ended",
                eta_s=None,
                reason=text_of(data, "reason", limit=MAX_SAID),
                remedy=text_of(data, "remedy", limit=MAX_SAID),
            )
        if event.name == "done":
            return replace(
                self,
                state="done",
                stage="ended",
                eta_s=None,
                version=_name(data, "version"),
                promoted=data.get("promoted") is True,
                reason=text_of(data, "reason", limit=MAX_SAID),
            )
        return self

    def _moved(self, data: Mapping[str, Any]) -> TrainingStand:
        stage = text_of(data, "stage", limit=20) or self.stage
        moved = replace(self, state="running", stage=stage, asked=0, to_ask=0, eta_s=None)
        if stage == "judge":
            return replace(moved, asked=whole_of(data, "done"), to_ask=whole_of(data, "total"))
        if stage != "learn":
            return moved
        return replace(
            moved,
            step=whole_of(data, "done", default=self.step),
            steps=whole_of(data, "total", default=self.steps),
            eta_s=seconds_of(data, "eta_s"),
            losses=_longer(self.losses, number_of(data, "loss")),
            dices=_longer(self.dices, number_of(data, "dice")),
        )


def read_stand(values: Mapping[str, Any]) -> TrainingStand:
    """Return where a training stands, as `GET /coreseg/training/ID` tells it.

    Raises:
        Trouble: It names no training, or a state that this panel does not know.
    """
    run, state = _name(values, "run"), values.get("state")
    known = next((one for one in STANDINGS if one == state), None)
    if not run or known is None:
        raise Trouble(
            "not_our_server",
            "The server tells of a training in words that this panel does not know.",
            remedy="Extension and server may be of different versions.",
        )
    loss, dice = number_of(values, "loss"), number_of(values, "dice")
    return TrainingStand(
        run=run,
        recipe=text_of(values, "recipe", limit=20) or "sft",
        state=known,
        stage=text_of(values, "stage", limit=20),
        step=whole_of(values, "step"),
        steps=whole_of(values, "steps"),
        eta_s=seconds_of(values, "eta_s"),
        losses=() if loss is None else (loss,),
        dices=() if dice is None else (dice,),
        version=_name(values, "version"),
        promoted=values.get("promoted") is True,
        reason=text_of(values, "reason", limit=MAX_SAID),
        remedy=text_of(values, "remedy", limit=MAX_SAID),
        started=text_of(values, "started", limit=40),
    )


def _name(values: Mapping[str, Any], key: str) -> str:
    name = text_of(values, key, limit=200)
    return name if NAME.fullmatch(name) else ""


def _longer(points: tuple[float, ...], point: float | None) -> tuple[float, ...]:
    return points if point is None else (*points, point)[-MAX_POINTS:]
