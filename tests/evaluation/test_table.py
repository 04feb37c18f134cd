"""The whole way of the comparison with real classes: encoder, decoder and U-Net, a model that says one sentence."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spelled import PRESENT, segmenter_that_says

from coreseg_core.errors import InputError
from coreseg_core.evaluation import Row, asks_of, shifted_asks, write_manifest
from coreseg_core.evaluation.ablations import BLIND_GREY
from coreseg_core.evaluation.pictures import EVERY_REGION
from coreseg_core.inference import SliceSegmenter
from coreseg_core.models.build import best_encoder_dtype
from coreseg_core.models.lite_medsam import build_lite_medsam
from training.baselines import table
from training.baselines.columns import Column, Drawn, mask_asks, score_columns
from training.baselines.ellipse import CentreEllipse
from training.baselines.journal import Journal
from training.baselines.shared_encoder import RememberingEncoder
from training.baselines.unet import UNetConfig, new_learner
from training.baselines.unet_state import write_best
from training.evaluation_questions import main as write_questions

Make = Callable[..., tuple[Row, ...]]
HANDWRITTEN = Path(__file__).parents[1] / "data" / "handwritten_questions.json"
TINY = UNetConfig(channels=(8, 16), head_channels=4, residual_units=1, side_px=64)
PICTURES = 2
ELLIPSE = Column(source=Drawn(CentreEllipse(radii_of_set={}, common=(0.3, 0.3))), asks=(), identity="ellipse")


@pytest.fixture
def speaker(tokenizer_file: Path) -> SliceSegmenter:
    """A model of the lite make that finds a liver tumor whatever it is asked."""
    parts = build_lite_medsam(encoder_dtype=best_encoder_dtype()).eval()
    return segmenter_that_says(PRESENT, parts=parts, tokenizer=tokenizer_file)


@pytest.fixture
def chosen(make_manifest: Make, tmp_path: Path) -> argparse.Namespace:
    """Options of a run over two val pictures, with train pictures for the ellipse and an untrained U-Net."""
    rows = make_manifest(PICTURES + 2)
    manifest = tmp_path / "manifest.jsonl"
    parted = [replace(row, split="val" if n < PICTURES else "train") for n, row in enumerate(rows)]
    write_manifest(manifest, parted)
    questions = tmp_path / "questions.jsonl"
    handwritten = tmp_path / "handwritten.json"
    written = json.loads(HANDWRITTEN.read_text())
    handwritten.write_text(json.dumps({**written, "questions": written["questions"][:2]}))
    words = [str(manifest), "--out", str(questions), "--handwritten", str(handwritten), "--pictures", "1"]
    write_questions(words)
    unet = tmp_path / "unet"
    unet.mkdir()
    config = {
        name: getattr(TINY, name) for name in ("channels", "head_channels", "residual_units", "side_px")
    }
    write_best(unet, new_learner(TINY, device=table.torch.device("cpu")), {"config": config})
    out = ["--questions", str(questions), "--unet", str(unet), "--out", str(tmp_path / "out")]
    return table.parser().parse_args(["--manifest", str(manifest), *out, "--reasoning", "none"])


def encodes(segmenter: SliceSegmenter) -> int:
    encoder = segmenter.answering.model.segmenter.image_encoder
    assert isinstance(encoder, RememberingEncoder)
    return encoder.encodes


def test_every_column_comes_out_with_intervals_from_one_encode_a_picture_and_a_stopped_run_goes_on(
    chosen: argparse.Namespace, speaker: SliceSegmenter
) -> None:
    chosen.minutes = 0.0
    assert table.make_table(chosen, speaker) is None
    assert not (chosen.out / "table.md").exists()
    chosen.minutes = None
    comparison = table.make_table(chosen, speaker)
    assert comparison is not None
    assert list(comparison.columns) == ["lite", *table.COLUMNS[1:]]
    # Each picture as it is and moved, and the grey one that stands for all of them.
    assert encodes(speaker) == 2 * PICTURES + 1
    values = json.loads((chosen.out / "table.json").read_text())
    for line in (values["sets"]["kvasir"], values["summary"]["failure rate"]):
        assert all(line[name]["low"] <= line[name]["mean"] <= line[name]["high"] for name in line)
    assert set(values["not_answerable"]) >= {"wrong_disease", "wrong_organ", "wrong_modality"}
    assert values["summary"]["loss on moved copies"]["unet"]["n"] == PICTURES
    report = values["reports"]["lite"]
    assert report["handwritten"]["all"]["cost"]["n"] > 0
    assert {"side", "size", "number"} <= set(report["claims"])
    text = (chosen.out / "table.md").read_text()
    assert all(name in text for name in ("text-blind", "whole-image", "lite minus unet", "shuffled"))
    again = table.make_table(chosen, speaker)
    assert again is not None and again.to_json() == comparison.to_json()
    # A fresh encoder was laid in and had nothing to do.
    assert encodes(speaker) == 2 * PICTURES + 1


@pytest.mark.parametrize("size_hw", [(216, 288), (500, 574)])
def test_the_image_blind_ablation_sees_nothing_at_all(
    speaker: SliceSegmenter, size_hw: tuple[int, int]
) -> None:
    shown = np.full((*size_hw, 3), BLIND_GREY, dtype=np.uint8)
    square, _ = speaker.answering.model.segmenter.prepare(shown, pixel_mm=(1.0, 1.0))
    assert not square.any()


def test_some_columns_and_a_part_of_the_rows_can_be_chosen(
    chosen: argparse.Namespace, speaker: SliceSegmenter
) -> None:
    chosen.columns, chosen.rows_per_set, chosen.unet = ("model", "ellipse"), 1, None
    comparison = table.make_table(chosen, speaker)
    assert comparison is not None and list(comparison.columns) == ["lite", "ellipse"]
    assert {len({score.ask.row.image for score in column}) for column in comparison.columns.values()} == {1}
    assert "minus" not in comparison.to_markdown()


def test_a_column_whose_files_are_not_given_is_refused_with_a_remedy(
    chosen: argparse.Namespace, speaker: SliceSegmenter
) -> None:
    chosen.unet = None
    with pytest.raises(InputError, match="--unet"):
        table.make_table(chosen, speaker)


def test_an_unknown_column_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        table.parser().parse_args(["--columns", "model,oracle"])
    assert "choose among model" in capsys.readouterr().err


def test_what_goes_wrong_ends_in_exit_code_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--manifest", "none.jsonl", "--questions", "none.jsonl", "--out", str(tmp_path)]
    assert table.main([*words, "--weights", str(tmp_path / "none")]) == 2
    assert "What to do" in capsys.readouterr().err


def test_kept_scores_are_the_scores_and_a_line_cut_off_is_done_again(
    make_manifest: Make, tmp_path: Path
) -> None:
    asks = asks_of(make_manifest(4), negatives=False)
    column = replace(ELLIPSE, asks=mask_asks([*asks, *shifted_asks(asks)]))
    path = tmp_path / "scores.jsonl"
    first = score_columns({"e": column}, ct=EVERY_REGION, journal=Journal(path))
    assert first is not None
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    again = score_columns({"e": column}, ct=EVERY_REGION, journal=Journal(path))
    assert again is not None
    # NaN is not equal to itself, its repr is.
    assert repr(again) == repr(first)
    assert path.read_bytes().splitlines()[:3] == [line.rstrip() for line in lines[:3]]
    other = replace(column, identity="another ellipse")
    assert Journal(path).get(other.identity, other.asks[0]) is None
    assert "row0" not in path.read_text() and "images" not in path.read_text()


def test_a_file_that_holds_no_scores_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text("[1]\n")
    with pytest.raises(InputError, match="earlier run"):
        Journal(path)
    assert path.read_text() == "[1]\n"


def test_scores_that_cannot_be_kept_are_a_typed_error(make_manifest: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    column = replace(ELLIPSE, asks=asks_of(make_manifest(1), negatives=False))
    with pytest.raises(InputError, match="cannot be written"):
        score_columns({"e": column}, ct=EVERY_REGION, journal=Journal(tmp_path / "file" / "scores.jsonl"))
