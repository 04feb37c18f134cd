"""The states of a question, and which leads to which: one table, so that no button can take an impossible way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

State = Literal[
    "idle",
    "preparing",
    "uploading",
    "waiting",
    "receiving",
    "importing",
    "done",
    "empty",
    "cancelled",
    "failed",
]
Event = Literal[
    "ask",
    "checking",
    "uploading",
    "waiting",
    "working",
    "slice",
    "record",
    "imported",
    "imported_nothing",
    "cancel",
    "fail",
    "target_gone",
    "reset",
]
STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)
RUNNING: frozenset[State] = frozenset({"preparing", "uploading", "waiting", "receiving", "importing"})
ENDED: frozenset[State] = frozenset({"done", "empty", "cancelled", "failed"})

_STEPS: Mapping[State, Mapping[Event, State]] = {
    "idle": {"ask": "preparing"},
    "preparing": {"checking": "preparing", "uploading": "uploading", "waiting": "waiting"},
    "uploading": {"uploading": "uploading", "waiting": "waiting"},
    "waiting": {"waiting": "waiting", "working": "receiving", "slice": "receiving", "record": "importing"},
    "receiving": {
        # A server that was asked again after a broken line may put the question at the end of its queue.
        "waiting": "waiting",
        "working": "receiving",
        "slice": "receiving",
        "record": "importing",
    },
    "importing": {"imported": "done", "imported_nothing": "empty"},
    "done": {"ask": "preparing"},
    "empty": {"ask": "preparing"},
    "cancelled": {"ask": "preparing"},
    "failed": {"ask": "preparing"},
}
_FROM_RUNNING: Mapping[Event, State] = {"cancel": "cancelled", "fail": "failed", "target_gone": "cancelled"}


def step(state: State, event: Event) -> State | None:
    """Return the state that an event leads to, None where it has no meaning and is to be passed over."""
    if event == "reset":
        return None if state in RUNNING else "idle"
    if state in RUNNING and event in _FROM_RUNNING:
        return _FROM_RUNNING[event]
    return _STEPS[state].get(event)
