from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_pictures import disc
from safetensors.torch import load_file

from coreseg_core.errors import CheckpointError
from coreseg_core.evaluation import Row, asks_of, shifted_asks
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.metrics import dice
from coreseg_core.evaluation.pictures import EVERY_REGION, Picture, load_picture
from coreseg_core.evaluation.score import Score
from coreseg_core.models.lite_medsam import build_lite_medsam
from training.baselines import unet
from training.baselines.boxes import BoxPrompt, BoxSegmenter
from training.baselines.columns import Column, Drawn, mask_asks, score_columns
from training.baselines.comparison import Comparison
from training.baselines.ellipse import CentreEllipse, best_radii, ellipse, fit_ellipses
from training.baselines.unet import UNetConfig, dice_bce, rate_share, train
from training.baselines.unet_method import read_unet
from training.baselines.unet_pictures import batches
from training.baselines.unet_state import BEST, LAST, Progress

Make = Callable[..., tuple[Row, ...]]
CPU = torch.device("cpu")
TINY = UNetConfig(
    channels=(8, 16),
    head_channels=4,
    residual_units=1,
    dropout=0.1,
    batch_size=4,
    epochs=4,
    side_px=64,
    average_decay=0.5,
)
LEARNING = replace(
    TINY, channels=(8, 16, 32), epochs=20, learning_rate=1e-2, average_decay=0.8, dropout=0.0, patience=99
)


def test_the_fitted_ellipse_is_the_one_the_masks_were_drawn_with() -> None:
    masks = np.stack([ellipse(64, 64, (0.3, 0.15))] * 3)
    assert best_radii(masks) == (0.3, 0.15)


def test_each_set_has_its_own_ellipse_and_others_the_common_one(make_manifest: Make) -> None:
    row = make_manifest(4)[0]
    fitted = fit_ellipses(make_manifest(4))
    picture = load_picture(row)
    assert set(fitted.radii_of_set) == {"kvasir"}
    assert fitted.mask(picture, row).shape == picture.mask.shape
    other = CentreEllipse(radii_of_set={"elsewhere": (0.1, 0.1)}, common=(0.5, 0.5))
    assert other.mask(picture, row).mean() == pytest.approx(np.pi / 4, abs=0.02)


def test_the_true_box_is_a_ceiling_and_the_whole_picture_is_not() -> None:
    mask = disc(120, 160, x=50, y=60, radius=25)
    rgb = np.where(mask[..., None], 200, 60).astype(np.uint8).repeat(3, axis=-1)
    rgb = np.clip(rgb + np.random.default_rng(0).integers(-10, 10, rgb.shape), 0, 255).astype(np.uint8)
    picture = Picture(rgb=rgb, mask=mask, pixel_mm=(1.0, 1.0))
    segmenter = BoxSegmenter(build_lite_medsam().eval())
    row = Row(
        id="a",
        image="a",
        split="val",
        subset="s",
        modality="CT",
        anatomy="head",
        disease="tumor",
        target="tumor",
    )
    ceiling = dice(BoxPrompt(segmenter, "true").mask(picture, row), mask)
    assert ceiling > 0.9
    assert dice(BoxPrompt(segmenter, "whole").mask(picture, row), mask) < ceiling
    nothing = Picture(rgb=rgb, mask=np.zeros_like(mask), pixel_mm=(1.0, 1.0))
    assert not BoxPrompt(segmenter, "each_lesion").mask(nothing, row).any()


def test_the_loss_falls_with_overlap_and_with_silence_where_there_is_nothing() -> None:
    truth = torch.zeros(1, 1, 16, 16)
    truth[..., 4:8, 4:8] = 1
    right, wrong = (truth * 2 - 1) * 20, (1 - truth * 2) * 20
    assert dice_bce(right, truth) < 1e-3 < 1 < dice_bce(wrong, truth)
    silent, loud = torch.full((1, 1, 16, 16), -20.0), torch.full((1, 1, 16, 16), 20.0)
    assert dice_bce(silent, torch.zeros(1, 1, 16, 16)) < 1e-3 < dice_bce(loud, torch.zeros(1, 1, 16, 16))


def test_the_learning_rate_warms_up_for_one_epoch_and_falls_to_a_hundredth() -> None:
    assert rate_share(0, 50) == 0.01
    assert rate_share(0.5, 50) == 0.5
    assert rate_share(1, 50) == 1
    assert rate_share(50, 50) == pytest.approx(0.01)
    shares = [rate_share(epoch, 50) for epoch in range(1, 51)]
    assert shares == sorted(shares, reverse=True)


def test_a_plateau_is_counted_from_the_last_real_gain_while_the_best_is_kept_to_the_digit() -> None:
    progress = Progress()
    for score in (0.50, 0.60, 0.601, 0.6015, 0.59):
        progress = progress.after_epoch(score=score, min_gain=0.002, minutes=1.0)
    assert (progress.epoch, progress.best_epoch, progress.plateau_epoch) == (5, 4, 2)
    assert progress.best_score == 0.6015


def test_what_a_row_looks_like_depends_on_seed_epoch_and_row_alone(make_manifest: Make) -> None:
    rows = make_manifest(8)
    first = list(batches(rows, batch_size=4, epoch=3, seed=0, side_px=64))
    again = list(batches(rows, batch_size=4, epoch=3, seed=0, side_px=64))
    later = list(batches(rows, batch_size=4, epoch=4, seed=0, side_px=64))
    assert len(first) == 2 and first[0][0].shape == (4, 3, 64, 64) and first[0][1].shape == (4, 1, 64, 64)
    assert all(
        torch.equal(a, b)
        for one, two in zip(first, again, strict=True)
        for a, b in zip(one, two, strict=True)
    )
    assert not torch.equal(first[0][0], later[0][0])
    assert first[0][0].min() >= 0 and first[0][0].max() <= 1


def test_a_run_that_was_interrupted_ends_where_it_would_have_ended(
    make_manifest: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_manifest(8)
    straight = train(TINY, rows, rows[:4], tmp_path / "straight", device=CPU)

    def interrupted(*args: Any, epoch: int, **rest: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for number, batch in enumerate(batches(*args, epoch=epoch, **rest)):
            if (epoch, number) == (2, 1):
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(unet, "batches", interrupted)
        train(TINY, rows, rows[:4], tmp_path / "pieces", device=CPU)
    resumed = train(TINY, rows, rows[:4], tmp_path / "pieces", device=CPU)
    assert (resumed.epoch, resumed.best_score) == (straight.epoch, straight.best_score)
    one, two = (load_file(tmp_path / name / LAST) for name in ("straight", "pieces"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    log = [json.loads(line) for line in (tmp_path / "pieces/log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3, 4]
    assert log[-1]["minutes"] >= log[0]["minutes"] > 0


def test_the_plateau_does_not_stop_a_run_before_its_wall_time(make_manifest: Make, tmp_path: Path) -> None:
    rows = make_manifest(4)
    impatient = replace(TINY, patience=1, min_gain=2.0, min_minutes=1e9)
    assert train(impatient, rows, rows, tmp_path, device=CPU).epoch == TINY.epochs


def test_small_epochs_train_on_half_the_side(
    make_manifest: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def noting(*args: Any, side_px: int, **rest: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        seen.append(side_px)
        return batches(*args, side_px=side_px, **rest)

    monkeypatch.setattr(unet, "batches", noting)
    rows = make_manifest(4)
    train(replace(TINY, small_epochs=2), rows, rows, tmp_path, device=CPU)
    assert seen == [32, 32, 64, 64]
    assert read_unet(tmp_path).side_px == 64


def test_no_plateau_ends_a_run_among_its_small_epochs(make_manifest: Make, tmp_path: Path) -> None:
    rows = make_manifest(8)
    impatient = replace(LEARNING, small_epochs=14, patience=1, min_gain=2.0)
    assert train(impatient, rows, rows, tmp_path, device=CPU).epoch == 15


def test_a_net_that_draws_nothing_yet_is_on_no_plateau(make_manifest: Make, tmp_path: Path) -> None:
    rows = make_manifest(4)
    idle = replace(TINY, learning_rate=0.0, patience=1, min_gain=2.0)
    progress = train(idle, rows, rows, tmp_path, device=CPU)
    assert (progress.epoch, progress.best_score) == (TINY.epochs, 0.0)


def test_a_trained_unet_outlines_discs_in_their_own_pixels(make_manifest: Make, tmp_path: Path) -> None:
    rows = make_manifest(8)
    assert train(LEARNING, rows, rows, tmp_path, device=CPU).best_score > 0.8
    method = read_unet(tmp_path)
    picture = load_picture(rows[0])
    mask = method.mask(picture, rows[0])
    assert mask.shape == picture.mask.shape == (60, 80)
    assert dice(mask, picture.mask) > 0.7


def test_a_short_run_keeps_what_it_learned_not_what_it_began_with(
    make_manifest: Make, tmp_path: Path
) -> None:
    rows = make_manifest(8)
    assert train(replace(LEARNING, average_decay=0.995), rows, rows, tmp_path, device=CPU).best_score > 0.5


def test_a_damaged_file_is_named_and_not_loaded(make_manifest: Make, tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        train(TINY, make_manifest(4), make_manifest(4), tmp_path, device=CPU)
    with pytest.raises(CheckpointError, match="missing"):
        read_unet(tmp_path)
    assert not (tmp_path / BEST).exists()


class Truth:
    """Draws the truth, moved by some pixels."""

    def __init__(self, step: int) -> None:
        self.step = step

    def mask(self, picture: Picture, row: Row) -> np.ndarray:
        return np.roll(picture.mask, self.step, axis=1)


def drawn_columns(steps: Mapping[str, int], asks: Sequence[Ask]) -> dict[str, tuple[Score, ...]]:
    """Return the scores of the truth moved by so many pixels."""
    columns = {
        name: Column(source=Drawn(Truth(step)), asks=mask_asks(asks), identity=name)
        for name, step in steps.items()
    }
    scores = score_columns(columns, ct=EVERY_REGION)
    assert scores is not None
    return scores


def test_methods_are_compared_on_the_same_rows_with_macro_mean_difference_and_ceiling(
    make_manifest: Make,
) -> None:
    asks = asks_of(make_manifest(16), negatives=False)
    columns = drawn_columns({"lite": 2, "U-Net": 4, "true box": 0}, [*asks, *shifted_asks(asks)])
    comparison = Comparison(columns=columns, rival="U-Net", ceiling="true box")
    values = comparison.to_json()
    line = values["sets"]["kvasir"]
    assert line["true box"]["mean"] == 1 > line["lite"]["mean"] > line["U-Net"]["mean"]
    difference = values["difference"]["macro"]
    assert difference["mean"] == pytest.approx(line["lite"]["mean"] - line["U-Net"]["mean"], abs=1e-5)
    assert difference["low"] > 0
    assert values["difference"]["scanners"]["mean"] is None
    assert values["summary"]["loss on moved copies"]["true box"]["mean"] == 0
    assert values["sets_below_ceiling"] == []
    text = comparison.to_markdown()
    assert "kvasir" in text and "lite minus U-Net" in text
    json.dumps(values, allow_nan=False)


def test_a_set_that_even_the_ceiling_misses_is_marked(make_manifest: Make) -> None:
    asks = asks_of(make_manifest(6), negatives=False)
    columns = drawn_columns({"lite": 0, "U-Net": 0, "true box": 30}, asks)
    comparison = Comparison(columns=columns, rival="U-Net", ceiling="true box")
    assert comparison.hopeless_sets() == ("kvasir",)
    assert "kvasir †" in comparison.to_markdown()
