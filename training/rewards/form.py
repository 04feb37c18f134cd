"""Does the answer follow the grammar? Said of the form alone, never of what is true."""

from __future__ import annotations

from coreseg_core.answer import ParsedAnswer
from coreseg_core.record import ReasoningMode


def format_reward(parsed: ParsedAnswer, *, reasoning: ReasoningMode) -> float:
    """Return 1 for exactly one of the grammar's three forms with the reasoning that was asked for, else 0.

    The present form holds a readable list of boxes and one `<seg>`, the other two hold neither (CORE-Seg, format
    reward, with the two forms that the paper lacks). A false alarm in good form keeps this reward, as a right answer
    does: what is false is paid for elsewhere, so this term shifts no decision.
    """
    reasoned = parsed.reasoning != ""
    return float(parsed.well_formed and reasoned == (reasoning != "none"))
