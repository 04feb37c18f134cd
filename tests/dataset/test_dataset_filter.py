"""The filter keeps the hard tail: laws and knees that are known beforehand, folds that never see their patients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from raw_sets import FOLDERS, SIDE, lines, speckle, square, write_picture, write_source

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.evaluation.rows import Row
from training.baselines.unet import UNetConfig
from training.dataset import folds
from training.dataset.difficulty import difficulty, find_knee, fit_power_law
from training.dataset.filter_report import set_folder
from training.dataset.filtering import FilterPlan, filter_manifest, keep
from training.dataset.folds import FoldScore, out_of_fold_scores
from training.dataset.importing import Given, import_sources
from training.dataset.splits import SplitPlan

CPU = torch.device("cpu")
TINY = UNetConfig(
    channels=(4, 8), head_channels=4, residual_units=0, batch_size=4, epochs=1, side_px=48, average_decay=0.5
)


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_the_fit_finds_a_known_exponent_within_five_percent(alpha: float) -> None:
    shares = (np.arange(600) + 0.5) / 600
    law = fit_power_law(0.05 * shares ** (-1.0 / (alpha - 1.0)))
    assert law is not None
    assert law.alpha == pytest.approx(alpha, rel=0.05)
    assert law.above > 300 and law.distance < 0.05


def test_the_fit_finds_where_the_law_begins() -> None:
    shares = (np.arange(400) + 0.5) / 400
    tail = 0.2 * shares ** (-1.0 / 1.5)
    body = np.linspace(0.02, 0.19, 300)
    law = fit_power_law(np.concatenate([tail, body]))
    assert law is not None
    assert law.minimum == pytest.approx(0.2, rel=0.15)
    assert law.alpha == pytest.approx(2.5, rel=0.1)


@pytest.mark.parametrize(("bend", "total"), [(150, 200), (125, 135), (80, 200)])
def test_the_knee_of_a_known_curve_is_found(bend: int, total: int) -> None:
    ranks = np.arange(total)
    curve = np.where(ranks < bend, 0.9 - 0.1 * ranks / bend, 0.8 - 0.8 * (ranks - bend) / (total - bend))
    knee = find_knee(np.random.default_rng(0).permutation(curve))
    assert knee is not None
    assert abs(knee.rank - bend) <= 0.02 * total
    assert knee.value == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("missed", [0, 1, 5, 30])
def test_pictures_that_were_missed_altogether_do_not_hide_the_knee(missed: int) -> None:
    rng = np.random.default_rng(5)
    # A falling curve with the steps of real scores, whose knee lies near the last third.
    scores = 0.95 * (1 - np.linspace(0, 1, 600) ** 3) * rng.uniform(0.97, 1.0, 600)
    knee = find_knee(np.concatenate([scores, np.zeros(missed)]))
    assert knee is not None
    assert knee.rank == pytest.approx(600 * (1 / 3) ** 0.5, rel=0.1)
    assert 0.6 < knee.value < 0.85


def test_a_straight_or_sagging_curve_has_no_knee() -> None:
    assert find_knee(np.linspace(0, 1, 100)) is None
    assert find_knee(np.linspace(0, 1, 100) ** 3) is None


def test_what_does_not_vary_or_is_too_few_is_kept_whole() -> None:
    assert difficulty(np.full(50, 0.7)).threshold == 1.0
    assert difficulty(np.linspace(0, 1, 19)).threshold == 1.0
    assert fit_power_law(np.zeros(50)) is None
    assert find_knee(np.full(50, 0.3)) is None


def test_the_hard_tail_is_kept_and_is_never_empty() -> None:
    rng = np.random.default_rng(3)
    dices = np.concatenate([rng.uniform(0.75, 0.95, 180), rng.uniform(0.0, 0.5, 20)])
    decision = difficulty(dices)
    kept = dices <= decision.threshold
    assert 0 < kept.sum() <= 30
    assert dices[kept].max() < dices[~kept].min()
    assert decision.law is not None and decision.knee is not None
    assert decision.threshold <= min(decision.knee.value, 1 - decision.law.minimum) + 1e-3


def row(name: str, *, lesion: bool = True) -> Row:
    return Row(
        id=name,
        image=name,
        split="train",
        subset="s",
        modality="CT",
        anatomy="liver",
        disease="tumor" if lesion else "none",
        target="tumor",
        mask="m" if lesion else None,
    )


def test_of_lesion_free_pictures_those_stay_on_which_most_was_drawn() -> None:
    rows = [row(f"l{k}") for k in range(10)] + [row(f"n{k}", lesion=False) for k in range(10)]
    scores = {f"l{k}": FoldScore(dice=k / 10, drawn_frac=0.1) for k in range(10)}
    scores |= {f"n{k}": FoldScore(dice=None, drawn_frac=k / 100) for k in range(10)}
    kept = keep(rows, scores, 0.5, negatives=0.25)
    assert kept == {"l0", "l1", "l2", "l3", "l4", "l5", "n9", "n8"}
    assert keep(rows, scores, 0.5, negatives=0.0) == {f"l{k}" for k in range(6)}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    for number in range(24):
        picture, mask = speckle(number) // 3, square(4 + number, 4 + number % 9, 8 + number % 4)
        picture[mask > 0] = 230 if number % 4 else 40
        write_picture(raw / f"images/p{number:03d}.png", picture)
        write_picture(
            raw / f"masks/p{number:03d}.png", mask if number < 20 else np.zeros((SIDE, SIDE), np.uint8)
        )
    source = write_source(tmp_path / "us.yaml", **FOLDERS, empty="lesion_free")
    given = [Given(source, raw)]
    return import_sources(
        given, tmp_path / "set", plan=SplitPlan(), long_side_px=512, progress=lambda *_: None
    ).manifest


def filtered(manifest: Path, out: Path) -> bytes:
    plan = FilterPlan(folds=2, config=TINY)
    filter_manifest(manifest, out, plan=plan, device=CPU, progress=lambda *_: None)
    return out.read_bytes()


def test_a_manifest_is_filtered_with_report_curves_and_pictures(manifest: Path) -> None:
    out = manifest.parent / "filtered.jsonl"
    filtered(manifest, out)
    rows, before = read_manifest(out), {row.id: row for row in read_manifest(manifest)}
    assert 0 < len(rows) <= len(before)
    assert all(row == before[row.id] for row in rows)
    work = out.with_suffix("")
    report = json.loads((work / "report.json").read_text())
    (one,) = report["sets"]
    assert one["lesions"] == 20 and one["lesion_free"] == 4
    assert one["kept"] == sum(not row.lesion_free for row in rows)
    folder = work / one["folder"]
    assert (folder / "curves.png").stat().st_size > 1000
    assert list((folder / "kept").glob("*.png"))


def test_a_stopped_filter_goes_on_without_scoring_anything_twice(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_manifest(manifest)

    def stop(done: int, _: int | None) -> None:
        if done == 15:
            raise KeyboardInterrupt

    folder = manifest.parent / "scores"
    with pytest.raises(KeyboardInterrupt):
        out_of_fold_scores(rows, folder, config=TINY, folds=2, device=CPU, progress=stop)
    assert len(lines(folder / "scores.jsonl")) == 15
    first = out_of_fold_scores(rows, folder, config=TINY, folds=2, device=CPU, progress=lambda *_: None)
    assert len(lines(folder / "scores.jsonl")) == len(rows) == len(first)
    monkeypatch.setattr(folds, "_trained", None)
    again = out_of_fold_scores(rows, folder, config=TINY, folds=2, device=CPU, progress=lambda *_: None)
    assert again == first


@pytest.mark.parametrize("changed", ["mask", "image"])
def test_a_corrected_mask_or_picture_is_learned_and_scored_anew(manifest: Path, changed: str) -> None:
    rows = [replace(row, sha256=None) for row in read_manifest(manifest)]
    folder = manifest.parent / "scores"

    def scored() -> dict[str, FoldScore]:
        return out_of_fold_scores(rows, folder, config=TINY, folds=2, device=CPU, progress=lambda *_: None)

    scored()
    changed_row = next(row for row in rows if not row.lesion_free)
    path = changed_row.mask_path if changed == "mask" else changed_row.image_path
    assert path is not None
    write_picture(path, square(2, 30, 16) if changed == "mask" else speckle(99))
    after = scored()
    # The row itself, and all that a U-Net scores which learned from it; its own U-Net never saw it.
    added = len(lines(folder / "scores.jsonl")) - len(rows)
    assert added == 1 + len(rows) // 2 and len(list(folder.glob("fold*"))) == 3
    assert scored() == after and len(lines(folder / "scores.jsonl")) == len(rows) + added


def test_a_missing_mask_is_told_before_any_training(manifest: Path) -> None:
    rows = read_manifest(manifest)
    path = next(row.mask_path for row in rows if row.mask_path is not None)
    path.unlink()
    folder = manifest.parent / "scores"
    with pytest.raises(InputError, match="cannot be read"):
        out_of_fold_scores(rows, folder, config=TINY, folds=2, device=CPU, progress=lambda *_: None)
    assert not folder.exists()


def test_no_name_of_a_set_leads_out_of_the_folder_or_into_another_set_s(tmp_path: Path) -> None:
    names = [
        "../../../escaped",
        "/etc/passwd",
        "..",
        ".",
        "a b",
        "a-b",
        "A b",
        "x" * 256,
        "x" * 255,
        "ö" * 256,
    ]
    folders = [set_folder(tmp_path, name) for name in names]
    assert all(
        folder.parent == tmp_path and folder.resolve().parent == tmp_path.resolve() for folder in folders
    )
    assert len({folder.name.lower() for folder in folders}) == len(names)
    assert all(len(folder.name.encode()) <= 255 for folder in folders)


def test_a_set_that_is_called_like_a_path_is_filtered_inside_the_step_s_folder(manifest: Path) -> None:
    write_manifest(manifest, [replace(row, subset="../../../escaped") for row in read_manifest(manifest)])
    out = manifest.parent / "filtered.jsonl"
    outside = {path for path in manifest.parents[1].rglob("*") if "filtered" not in path.as_posix()}
    filtered(manifest, out)
    assert outside == {path for path in manifest.parents[1].rglob("*") if "filtered" not in path.as_posix()}
    (one,) = json.loads((out.with_suffix("") / "report.json").read_text())["sets"]
    assert one["set"] == "../../../escaped"
    assert (out.with_suffix("") / one["folder"] / "scores.jsonl").exists()


def test_no_u_net_scores_a_patient_it_learned_from(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = read_manifest(manifest)
    learned: list[set[str]] = []
    scored: list[set[str]] = []

    def trained(rest: Sequence[Row], *_: object, **__: object) -> object:
        learned.append({row.patient_key for row in rest})
        scored.append(set())
        return object()

    def score(_: object, row: Row) -> FoldScore:
        scored[-1].add(row.patient_key)
        return FoldScore(dice=0.5, drawn_frac=0.1)

    monkeypatch.setattr(folds, "_trained", trained)
    monkeypatch.setattr(folds, "_score", score)
    out_of_fold_scores(
        rows, manifest.parent / "x", config=TINY, folds=3, device=CPU, progress=lambda *_: None
    )
    assert len(learned) == 3
    assert all(not seen & asked for seen, asked in zip(learned, scored, strict=True))
    assert set().union(*scored) == {row.patient_key for row in rows}


def test_a_place_elsewhere_is_refused_before_any_work(manifest: Path, tmp_path: Path) -> None:
    for out, message in (
        (tmp_path / "filtered.jsonl", "another folder"),
        (manifest, "an input"),
        (manifest.parent / "filtered.json", "ending"),
    ):
        with pytest.raises(InputError, match=message):
            filtered(manifest, out)


def test_sets_too_small_to_score_are_kept_whole_and_the_others_are_filtered(manifest: Path) -> None:
    rows = read_manifest(manifest)
    small = [replace(row, id=f"{row.id}-small", subset="small") for row in rows[:6]]
    few = [replace(row, id=f"{row.id}-few", subset="few", patient="one") for row in rows]
    write_manifest(manifest, [*small, *few])
    out = manifest.parent / "filtered.jsonl"
    filtered(manifest, out)
    assert len(read_manifest(out)) == len(small) + len(few)
    why = [one["why"] for one in json.loads((out.with_suffix("") / "report.json").read_text())["sets"]]
    assert "patients, fewer than 2 folds" in why[0] and "fewer than 20" in why[1]
