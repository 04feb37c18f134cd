"""How often what the reasoning claims is true of the picture, beside two answers that never looked.

The majority guess always says what is true most often (over all pictures, and set by set). The shuffled run
asks the same question about another picture of the same set and holds what is said against this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from coreseg_core.claims import KINDS, Facts, check_claims
from coreseg_core.evaluation.bootstrap import json_number, mean_interval
from coreseg_core.evaluation.score import Score
from coreseg_core.record import Claim


def claim_accuracy(scores: Sequence[Score], *, seed: int = 0) -> dict[str, Any]:
    """Return for each kind of claim how often it is made, how often it is true, and the two floors.

    A claim near a threshold counts as true with either word (see `coreseg_core.claims`), for the guess too.
    """
    asked = [score for score in scores if score.ask.kind == "present" and score.ask.primary]
    shuffled = [score for score in scores if score.ask.variant == "shuffled"]
    return {kind: _accuracy(kind, asked, shuffled, seed=seed) for kind in KINDS} if asked else {}


def _accuracy(kind: str, asked: Sequence[Score], shuffled: Sequence[Score], *, seed: int) -> dict[str, Any]:
    stated = [(score, said) for score in asked if (said := _verdict(kind, score)) is not None]
    elsewhere = [(score, said) for score in shuffled if (said := _verdict(kind, score)) is not None]
    pictures = [score for score, _ in stated]
    by_set: dict[str, list[Score]] = {}
    for score in pictures:
        by_set.setdefault(score.ask.row.subset, []).append(score)
    set_hits = sum(_majority_hits(kind, group) for group in by_set.values())
    return {
        "asked": len(asked),
        "stated": len(stated),
        "accuracy": mean_interval(
            [float(said) for _, said in stated], [score.group for score, _ in stated], seed=seed
        ).to_json(),
        "majority": json_number(_share(_majority_hits(kind, pictures), len(pictures))),
        "majority_of_set": json_number(_share(set_hits, len(pictures))),
        "shuffled": mean_interval(
            [float(said) for _, said in elsewhere], [score.group for score, _ in elsewhere], seed=seed
        ).to_json(),
    }


def _verdict(kind: str, score: Score) -> bool | None:
    """Return whether the claim of this kind is true, None where none was made or it could not be checked."""
    for claim in score.claims:
        if claim.kind == kind and claim.verdict != "unchecked":
            return claim.verdict == "supported"
    return None


def _majority_hits(kind: str, scores: Sequence[Score]) -> int:
    """Return on how many pictures the one word that is true most often is true."""
    facts = [score.facts for score in scores if score.facts is not None]
    words = {word for fact in facts if (word := getattr(fact, kind)) is not None}
    return max((sum(_true_of(facts, kind=kind, word=word)) for word in words), default=0)


def _true_of(facts: Iterable[Facts], *, kind: str, word: str) -> list[bool]:
    guess = Claim(text=word, kind=kind, value=word)
    return [check_claims([guess], fact)[0].verdict == "supported" for fact in facts]


def _share(hits: int, count: int) -> float:
    return hits / count if count else float("nan")
