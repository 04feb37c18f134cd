"""How well models tell a lesion from what no mask answers, whatever the threshold between the two.

    python -m training.separation MANIFEST --questions dev.jsonl --first FOLDER --second SEED_1 SEED_2 SEED_3

A model that finds more lesions and raises more false alarms may see better, or may only deny less. So each question
is put to a second look (`inference.second_look`), and two numbers are told of each weight folder that no threshold
changes: the area under its ROC curve, and which share of the lesions it would deny if its threshold were moved until it
denied as many of the other questions as the first does. Nothing is written and no mask is drawn: a minute for 400
questions.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from coreseg_core.cli.exits import exit_code
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import Ask, asks_of, shifted_asks
from coreseg_core.evaluation.bootstrap import percentile_interval
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import CtDisplay
from coreseg_core.evaluation.run import asks_by_picture, shown_pictures
from coreseg_core.evaluation.tables import markdown_table
from coreseg_core.imaging.pictures import picture_slice
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.answering import Answering

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
_NEVER = 1e-6
"""Chances below are taken for this, so that odds stay finite."""
_DRAWS = 1000


@dataclass(frozen=True)
class Beliefs:
    """What models believe of the same questions.

    Attributes:
        odds: By model, log-odds (n,) that a lesion is to be outlined.
        present: (n,) whether it is.
        patients: Of each question.
    """

    odds: Mapping[str, Values]
    present: NDArray[np.bool_]
    patients: tuple[Hashable, ...]


def lesion_odds(
    answering: Answering, asks: Sequence[Ask], *, progress: Callable[[int, int], None] | None = None
) -> Values:
    """Return the log-odds (n,) that a model gives a lesion to be outlined, question by question.

    Args:
        answering: The model.
        asks: Questions, in any order.
        progress: Called with pictures done and pictures in all.

    Raises:
        InputError: A picture that cannot be read.
    """
    odds = np.full(len(asks), np.nan)
    ct = CtDisplay.of(answering.model.preset)
    groups = asks_by_picture(asks)
    for done, numbers in enumerate(groups):
        if progress is not None:
            progress(done, len(groups))
        about = [asks[number] for number in numbers]
        for picture, places in shown_pictures(about, ct=ct):
            prepared = answering.prepare(picture_slice(picture.rgb, pixel_mm=picture.pixel_mm))
            looks = answering.chances(prepared, [about[place].question for place in places])
            for place, chances in zip(places, looks, strict=True):
                others = chances["absent"] + chances["mismatch"]
                odds[numbers[place]] = math.log(max(chances["present"], _NEVER) / max(others, _NEVER))
    if progress is not None:
        progress(len(groups), len(groups))
    return odds


def area_under_roc(odds: Values, present: NDArray[np.bool_]) -> float:
    """Return how often a question with a lesion has higher odds than one without; ties count half."""
    n = int(present.sum())
    if n in (0, len(present)):
        return math.nan
    ranks = rankdata(odds)[present]
    return float((ranks.sum() - n * (n + 1) / 2) / (n * (len(present) - n)))


def denied_where(odds: Values, present: NDArray[np.bool_], *, specificity: float) -> float:
    """Return the share of lesions below the threshold under which that share of the other questions lies."""
    threshold = np.quantile(odds[~present], specificity)
    return float((odds[present] < threshold).mean())


def separation_table(beliefs: Beliefs, *, seed: int = 0) -> str:
    """Return both numbers of each model as Markdown, and how far they are from the first's, patients drawn.

    Raises:
        InputError: There are only questions of one of the two sorts.
    """
    present = beliefs.present
    if present.all() or not present.any():
        raise InputError(
            "Questions with a lesion and without are needed.", remedy="Choose questions that have both."
        )
    first, *others = beliefs.odds

    def numbers(name: str, drawn: Numbers) -> Values:
        odds, own = beliefs.odds[name][drawn], beliefs.odds[first][drawn]
        shown = present[drawn]
        if shown.all() or not shown.any():
            return np.full(2, np.nan)
        specificity = float((own[~shown] < 0).mean())
        return np.array([area_under_roc(odds, shown), denied_where(odds, shown, specificity=specificity)])

    every = np.arange(len(present))
    rows = [[first, *(f"{value:.4f}" for value in numbers(first, every)), "", ""]]
    pooled = [("mean of these", others)] if len(others) > 1 else []
    for title, names in (*((name, [name]) for name in others), *pooled):

        def gained(drawn: Numbers, names: Sequence[str] = names) -> Values:
            return np.mean([numbers(name, drawn) for name in names], axis=0) - numbers(first, drawn)

        found = numbers(first, every) + gained(every)
        apart = [_difference(gained, place, beliefs.patients, seed=seed) for place in range(2)]
        rows.append([title, *(f"{value:.4f}" for value in found), *apart])
    return markdown_table(
        ["weights", "area under ROC", "lesions denied", "area, difference", "denied, difference"], rows
    )


def _difference(
    gained: Callable[[Numbers], Values], place: int, patients: Sequence[Hashable], *, seed: int
) -> str:
    low, high = percentile_interval(
        lambda drawn: float(gained(drawn)[place]), patients, seed=seed, draws=_DRAWS
    )
    mean = gained(np.arange(len(patients)))[place]
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, help="whose folder the questions' pictures lie in")
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--first", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--second", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0, help="of moved copies and intervals")
    chosen = parser.parse_args(argv)
    asked = asks_of(read_manifest(chosen.questions, root=chosen.manifest.parent), seed=chosen.seed)
    plain = [ask for ask in asked if ask.primary and ask.kind != "untrained"]
    asks = (*plain, *shifted_asks(plain, seed=chosen.seed))
    odds = {}
    for folder in (chosen.first, *chosen.second):
        model = SliceSegmenter.from_preset(chosen.preset, weights=folder)
        with progress_bar(folder.name, unit="picture") as show:
            odds[str(folder)] = lesion_odds(model.answering, asks, progress=show)
    present = np.array([ask.kind == "present" for ask in asks])
    patients = tuple(ask.row.patient_key for ask in asks)
    print(separation_table(Beliefs(odds, present, patients), seed=chosen.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
