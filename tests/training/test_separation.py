"""What no threshold changes: how well models tell a lesion from what no mask answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import asks_of
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.inference.answering import Answering
from coreseg_core.models.coreseg import CoreSegModel
from training.phantom_pictures import write_pictures
from training.separation import Beliefs, area_under_roc, denied_where, lesion_odds, separation_table

COUNT = 12
ODDS = arrays(np.float64, COUNT, elements=st.integers(-4, 4).map(float))
SHOWN = arrays(np.bool_, COUNT).filter(lambda shown: 0 < shown.sum() < COUNT)


@given(ODDS, SHOWN)
def test_the_area_counts_pairs_that_are_in_order(odds: np.ndarray, shown: np.ndarray) -> None:
    with_lesion, without = odds[shown][:, None], odds[~shown][None]
    pairs = (with_lesion > without) + 0.5 * (with_lesion == without)
    assert area_under_roc(odds, shown) == pytest.approx(pairs.mean())


@given(ODDS, SHOWN, st.integers(-6, 6), st.integers(0, 16))
def test_a_moved_threshold_changes_neither_number(
    odds: np.ndarray, shown: np.ndarray, halves: int, sixteenths: int
) -> None:
    # Halves and sixteenths, so that nothing is rounded.
    moved, specificity = odds + halves / 2, sixteenths / 16
    assert area_under_roc(moved, shown) == area_under_roc(odds, shown)
    assert denied_where(moved, shown, specificity=specificity) == denied_where(
        odds, shown, specificity=specificity
    )


def test_a_model_that_only_denies_less_is_no_better_and_one_that_sees_more_is() -> None:
    rng = np.random.default_rng(0)
    shown = np.arange(400) % 2 == 0
    first = rng.normal(np.where(shown, 1.0, -1.0), 1.0)
    beliefs = Beliefs(
        odds={"first": first, "bolder": first + 1.0, "sharper": first + np.where(shown, 1.0, 0.0)},
        present=shown,
        patients=tuple(range(400)),
    )
    _, _, first_row, bolder, sharper, _ = separation_table(beliefs).splitlines()
    assert "+0.0000 [+0.0000, +0.0000]" in bolder
    assert bolder.split("|")[2:4] == first_row.split("|")[2:4]
    low = float(sharper.split("[")[1].split(",")[0])
    assert low > 0.02


def test_questions_of_one_sort_tell_nothing() -> None:
    beliefs = Beliefs(
        odds={"a": np.zeros(3), "b": np.ones(3)}, present=np.ones(3, bool), patients=("a", "b", "c")
    )
    with pytest.raises(InputError, match="with a lesion and without"):
        separation_table(beliefs)


def test_a_picture_is_encoded_once_for_all_that_is_asked_about_it(
    model: CoreSegModel, tmp_path: Path
) -> None:
    asks = asks_of(read_manifest(write_pictures(tmp_path, count=3, seed=1)))
    answering = Answering(model.eval(), fingerprint="f")
    odds = lesion_odds(answering, asks)
    assert odds.shape == (len(asks),)
    assert np.isfinite(odds).all()
    assert answering.counts.encodes == answering.counts.picture_prefills == 3
    assert answering.counts.mask_decodes == 0
    backwards = lesion_odds(Answering(model, fingerprint="f"), asks[::-1])
    np.testing.assert_allclose(backwards[::-1], odds, atol=1e-4)
