"""The six ways a question can end, and how each is shown so that no two can be mistaken for each other.

Only `absent` may be read as absence. Each chip differs from the others in word, sign, border and colour, so that it can
be told without colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from CORESegLib.trouble import Trouble

Outcome = Literal["present", "absent", "uncertain", "mismatch", "unsupported", "error"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, kw_only=True)
class Chip:
    """How an outcome is shown.

    Attributes:
        sign: One character that stands before the word.
        word: In capitals in the panel.
        meaning: The sentence under it.
        background: Colour, `#rrggbb`.
        foreground: Colour of the letters, with a contrast of at least 4.5 to 1.
        border: Style of the frame, as in a style sheet.
        means_absence: Whether it may be read as "there is nothing".
    """

    sign: str
    word: str
    meaning: str
    background: str
    foreground: str
    border: str
    means_absence: bool = False


CHIPS: Mapping[Outcome, Chip] = {
    "present": Chip(
        sign="●",
        word="Found",
        meaning="Something was found and marked. Check the mask.",
        background="#b34700",
        foreground="#ffffff",
        border="3px solid #5c2500",
    ),
    "absent": Chip(
        sign="○",
        word="Not seen",
        meaning="The model says that nothing of the kind is seen on the slices it looked at.",
        background="#1d5c3a",
        foreground="#ffffff",
        border="1px solid #0d3a22",
        means_absence=True,
    ),
    "uncertain": Chip(
        sign="?",
        word="Could not tell",
        meaning="The model is not sure. This does not mean that nothing is there.",
        background="#ffe08a",
        foreground="#2b2200",
        border="3px dashed #7a5c00",
    ),
    "mismatch": Chip(
        sign="≠",
        word="Does not fit",
        meaning="Question and image do not go together, so nothing was looked for.",
        background="#d9d2f0",
        foreground="#241a4d",
        border="3px dotted #4b3b99",
    ),
    "unsupported": Chip(
        sign="⊘",
        word="Not trained for this",
        meaning="The model never learnt this, so nothing was looked for.",
        background="#d5dbe1",
        foreground="#1c2730",
        border="3px double #55636f",
    ),
    "error": Chip(
        sign="!",
        word="Error",
        meaning="Something failed, so there is no answer.",
        background="#8c1020",
        foreground="#ffffff",
        border="3px double #ffffff",
    ),
}


def outcome_of(value: Any) -> Outcome:
    """Return the outcome that a server names.

    Raises:
        Trouble: It names none: a guess could be read as absence.
    """
    for outcome in OUTCOMES:
        if value == outcome:
            return outcome
    raise Trouble(
        "version",
        "The server names an outcome that this panel does not know.",
        remedy="Install the extension that belongs to the server.",
    )


def confidence_in_words(confidence: float | None, *, calibrated: bool) -> str:
    """Return how a confidence is shown; empty where there is none."""
    if confidence is None:
        return ""
    return f"confidence {confidence:.0%}{'' if calibrated else ' (not calibrated)'}"
