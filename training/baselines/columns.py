"""One column of the model card's table: every method scored on the same questions about the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tqdm import tqdm

from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.pictures import load_picture, moved
from coreseg_core.evaluation.run import Answerer, score_all
from coreseg_core.evaluation.score import Score, score
from coreseg_core.record import Outcome, SliceFinding
from training.baselines.method import Method

MASK_KINDS = ("present", "lesion_free")
"""Kinds of question that a method without language can be said to answer."""


def answerer_column(name: str, answerer: Answerer, asks: Sequence[Ask]) -> tuple[Score, ...]:
    """Return the scores of a model that reads questions, with a progress bar."""
    with tqdm(desc=name, unit="picture") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return score_all(answerer, asks, progress=show)


def method_columns(methods: Mapping[str, Method], asks: Sequence[Ask]) -> dict[str, tuple[Score, ...]]:
    """Return the scores of methods that only draw masks, on the questions that they can be said to answer."""
    by_picture: dict[tuple[object, ...], list[Ask]] = {}
    for ask in asks:
        if ask.kind in MASK_KINDS and ask.variant != "shuffled":
            by_picture.setdefault(ask.picture, []).append(ask)
    columns: dict[str, list[Score]] = {name: [] for name in methods}
    for about in tqdm(by_picture.values(), desc="baselines", unit="picture"):
        picture = load_picture(about[0].shown)
        if about[0].shift_seed is not None:
            picture = moved(picture, seed=about[0].shift_seed)
        for name, method in methods.items():
            mask = method.mask(picture, about[0].shown)
            outcome: Outcome = "present" if mask.any() else "absent"
            finding = SliceFinding(axis=2, index=0, outcome=outcome, mask=mask)
            columns[name] += [score(ask, finding, truth=picture.mask, facts=None) for ask in about]
    return {name: tuple(scores) for name, scores in columns.items()}
