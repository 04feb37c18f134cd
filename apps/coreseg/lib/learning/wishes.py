"""What may be asked of a training, as stock 3D Slicer shows it and as clients send it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coreseg_core.errors import InputError
from coreseg_core.runs import Order

PROMOTE = ("if not worse", "never")
OPTIONS: Mapping[str, Any] = {
    "minutes": 11,
    "replay_share": Order.replay_share,
    "learned_share": Order.learned_share,
    "guard_pictures": Order.guard_pictures,
    "processes": Order.processes,
    "promote": list(PROMOTE),
}
_MAX = {
    "minutes": 7 * 24 * 60.0,
    "replay_share": 0.95,
    "learned_share": 1.0,
    "guard_pictures": 5000.0,
    "processes": 64.0,
}
_MAX_STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A checked request for a training.

    Attributes:
        minutes: Of learning, at most.
        steps: Of learning, at most; None for what the recipe says.
        replay_share: See `coreseg_core.runs.Order`.
        learned_share: As there.
        guard_pictures: As there.
        processes: As there.
        promote: As there.
        seed: As there.
        resume: A run that was stopped, to go on with.
    """

    minutes: float
    steps: int | None
    replay_share: float
    learned_share: float
    guard_pictures: int
    processes: int
    promote: bool
    seed: int
    resume: str | None


def read_wish(params: Mapping[str, Any]) -> Wish:
    """Return what a client wants; what it does not name takes its default, what nobody knows is passed over.

    Raises:
        InputError: A value that cannot be used.
    """
    steps, resume = params.get("steps"), params.get("resume")
    if resume is not None and not isinstance(resume, str):
        raise InputError("`resume` is no name of a run.", remedy="GET /coreseg/training lists them.")
    promote = params.get("promote", PROMOTE[0])
    if isinstance(promote, list) and promote:
        # Stock clients send the whole list of choices where nobody chose.
        promote = promote[0]
    if promote not in PROMOTE:
        raise InputError("`promote` is unknown.", remedy=f"Use one of {', '.join(PROMOTE)}.")
    return Wish(
        minutes=_number(params, "minutes", low=0.05),
        steps=None if steps is None else int(_checked("steps", steps, low=1, high=_MAX_STEPS)),
        replay_share=_number(params, "replay_share", low=0.0),
        learned_share=_number(params, "learned_share", low=0.05),
        guard_pictures=int(_number(params, "guard_pictures", low=1)),
        processes=int(_number(params, "processes", low=1)),
        promote=promote == PROMOTE[0],
        seed=int(_checked("seed", params.get("seed", 0), low=0, high=2**31)),
        resume=resume,
    )


def _number(params: Mapping[str, Any], name: str, *, low: float) -> float:
    return _checked(name, params.get(name, OPTIONS[name]), low=low, high=_MAX[name])


def _checked(name: str, value: Any, *, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"`{name}` is no number.", remedy=f"Give one from {low:g} to {high:g}.")
    if not low <= value <= high:
        raise InputError(f"`{name}` is {value:g}.", remedy=f"Give a number from {low:g} to {high:g}.")
    return float(value)
