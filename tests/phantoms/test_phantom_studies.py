"""Phantoms are repeatable, honest about their lesions, and give no lesion away by anything but the lesion."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from coreseg_core.errors import InputError
from coreseg_core.phantoms import KINDS, MAX_LESIONS, Study, make_study, random_study
from coreseg_core.phantoms.fields import stream

SMALL = {
    "ct_abdomen": (96, 96, 10),
    "mr_brain": (96, 96, 10),
    "mr_flair": (96, 96, 10),
    "us_breast": (128, 96, 2),
}
VOLUMES = ("ct_abdomen", "mr_brain", "mr_flair")


@cache
def _study(kind: str, seed: int, lesions: int | None) -> Study:
    return make_study(kind, seed, lesions=lesions, shape=SMALL[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_study_every_time_and_another_seed_another(kind: str) -> None:
    again = make_study(kind, 3, lesions=1, shape=SMALL[kind])
    first = _study(kind, 3, 1)
    assert np.array_equal(first.voxels, again.voxels)
    assert np.array_equal(first.label, again.label)
    assert np.array_equal(first.affine_ras, again.affine_ras)
    assert first.spec == again.spec
    assert not np.array_equal(first.voxels, _study(kind, 4, 1).voxels)


@pytest.mark.parametrize(
    ("kind", "mean", "spread", "lesion_voxels"),
    [
        ("ct_abdomen", -474.618, 495.157, 94),
        ("mr_brain", 272.393, 281.189, 107),
        ("mr_flair", 187.812, 217.010, 41),
        ("us_breast", 85.116, 62.371, 7877),
    ],
)
def test_a_seed_gives_what_it_gave_on_the_machine_where_it_was_written(
    kind: str, mean: float, spread: float, lesion_voxels: int
) -> None:
    study = _study(kind, 3, 1)
    assert float(study.voxels.mean()) == pytest.approx(mean, abs=0.01)
    assert float(study.voxels.std()) == pytest.approx(spread, abs=0.01)
    assert int((study.label > 0).sum()) == pytest.approx(lesion_voxels, abs=1)


@pytest.mark.parametrize("kind", KINDS)
def test_lesion_count_zero_means_an_empty_label(kind: str) -> None:
    study = _study(kind, 3, 0)
    assert not study.has_lesion
    assert study.spec.lesions == ()
    assert study.largest_lesion_slice == study.label.shape[2] // 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [3, 8])
def test_each_recipe_in_the_spec_is_one_labelled_piece(kind: str, seed: int) -> None:
    study = _study(kind, seed, 2)
    assert study.has_lesion
    numbers = [int(value) for value in np.unique(study.label) if value]
    assert set(numbers) <= set(range(1, len(study.spec.lesions) + 1))
    affine = np.linalg.inv(study.affine_ras)
    for number in numbers:
        where = np.argwhere(study.label == number)
        recipe = study.spec.lesions[number - 1]
        centre = affine @ [*recipe.centre_ras_mm, 1.0]
        distance = (where.mean(axis=0) - centre[:3]) * np.linalg.norm(study.affine_ras[:3, :3], axis=0)
        # A thick slice may hold only one side of a lesion, and the skull may cut off another.
        assert np.linalg.norm(distance) < 1.5 * max(recipe.radii_mm)


@pytest.mark.parametrize("kind", VOLUMES)
def test_the_same_seed_without_lesions_is_the_same_patient_in_the_same_scanner(kind: str) -> None:
    ill, well = _study(kind, 5, 1), _study(kind, 5, 0)
    assert np.array_equal(ill.affine_ras, well.affine_ras)
    assert (ill.spec.noise, ill.spec.bias) == (well.spec.noise, well.spec.bias)
    differs = np.abs(ill.voxels.astype(float) - well.voxels) > 1
    assert differs.any()
    assert differs.mean() < 0.35
    assert differs[ill.label > 0].mean() > 0.8


def test_ultrasound_with_and_without_a_mass_differ_only_in_its_beams() -> None:
    ill, well = _study("us_breast", 8, 1), _study("us_breast", 8, 0)
    assert ill.spec.mimics == well.spec.mimics
    beside = ~ndimage.binary_dilation((ill.label > 0).any(axis=(1, 2)), iterations=15)
    assert beside.sum() > 20
    assert np.median(np.abs(ill.voxels[beside].astype(float) - well.voxels[beside])) < 8


def _dice_of_best_band(study: Study) -> float:
    voxels, truth = ndimage.uniform_filter(study.voxels.astype(np.float32), (3, 3, 1)), study.label > 0
    levels = np.percentile(voxels, np.linspace(0, 100, 30))
    bands = [(voxels >= low) & (voxels <= high) for n, low in enumerate(levels) for high in levels[n + 1 :]]
    return max(2 * float((band & truth).sum()) / float(band.sum() + truth.sum()) for band in bands)


@pytest.mark.parametrize("kind", KINDS)
def test_no_grey_level_alone_finds_the_lesions(kind: str) -> None:
    """The best band of grey levels over the whole study must fail: the lesion is not the only blob."""
    assert np.mean([_dice_of_best_band(_study(kind, seed, 1)) for seed in (3, 5, 8)]) < 0.7


@pytest.mark.parametrize("seed", [3, 8, 15])
def test_ct_levels_are_hounsfield_units(seed: int) -> None:
    study = _study("ct_abdomen", seed, 1)
    assert study.voxels.dtype == np.int16
    voxels = ndimage.uniform_filter(study.voxels.astype(np.float32), (3, 3, 1))
    assert voxels[0, 0].mean() == pytest.approx(-1000, abs=15)
    counts, edges = np.histogram(voxels, bins=np.arange(-200, 250, 10))
    fat = edges[: len(counts)][:12][int(counts[:12].argmax())]
    assert -125 <= fat <= -85
    assert float((study.voxels > 250).mean()) > 0.004
    tissue = edges[21:-1][int(counts[21:].argmax())]
    assert 30 <= tissue <= 140


@pytest.mark.parametrize("seed", [3, 8, 15])
def test_a_tumour_after_contrast_outshines_the_brain_at_its_rim(seed: int) -> None:
    study = _study("mr_brain", seed, 1)
    bright = float(np.percentile(study.voxels[study.label > 0], 80))
    brain = float(np.median(study.voxels[24:72, 24:72, 3:7]))
    assert bright > 1.15 * brain


def test_a_breast_mass_is_darker_than_the_tissue_round_it_in_most_pictures() -> None:
    darker = 0
    for seed in range(10):
        study = _study("us_breast", seed, 1)
        mass = study.label > 0
        around = ndimage.binary_dilation(mass, iterations=8) & ~ndimage.binary_dilation(mass, iterations=3)
        darker += float(study.voxels[mass].mean()) < float(study.voxels[around].mean())
    assert darker >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_lesions_lie_within_the_body(kind: str) -> None:
    study = _study(kind, 8, MAX_LESIONS)
    body = ndimage.uniform_filter(study.voxels.astype(np.float32), (3, 3, 1))
    floor = {"ct_abdomen": -60.0, "us_breast": 3.0}.get(kind, 0.05 * float(np.percentile(body, 99)))
    assert float((body[study.label > 0] > floor).mean()) > 0.98


def test_a_third_of_random_studies_has_no_lesion_and_no_kind_is_left_out() -> None:
    drawn = [int(stream(seed, 2).choice(MAX_LESIONS + 1, p=[0.34, 0.38, 0.17, 0.11])) for seed in range(400)]
    study = make_study("us_breast", 11, shape=SMALL["us_breast"])
    assert len(study.spec.lesions) <= drawn[11]
    assert 0.27 < np.mean([number == 0 for number in drawn]) < 0.41
    rng = stream(1)
    assert random_study(rng, kinds=("us_breast",)).kind == "us_breast"


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_survives_json(kind: str) -> None:
    spec = _study(kind, 3, 1).spec.to_json()
    back = json.loads(json.dumps(spec, allow_nan=False))
    assert (back["kind"], back["seed"]) == (kind, 3)
    assert [lesion["type"] for lesion in back["lesions"]] == [x.type for x in _study(kind, 3, 1).spec.lesions]


@pytest.mark.parametrize(
    ("kind", "seed", "lesions", "shape"),
    [
        ("mr_knee", 1, 1, None),
        ("ct_abdomen", -1, 1, None),
        ("ct_abdomen", 1, 4, None),
        ("ct_abdomen", 1, -1, None),
        ("ct_abdomen", 1, 1, (8, 96, 10)),
        ("mr_brain", 1, 1, (96, 96, 1)),
        ("us_breast", 1, 1, (4096, 4096, 8)),
    ],
)
def test_impossible_requests_are_refused_with_a_remedy(
    kind: str, seed: int, lesions: int, shape: tuple[int, int, int] | None
) -> None:
    with pytest.raises(InputError) as caught:
        make_study(kind, seed, lesions=lesions, shape=shape)
    assert caught.value.remedy
