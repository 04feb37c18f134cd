"""The model card's table: the model, its blind ablations and every baseline on identical rows in one run.

    python -m training.evaluation_questions MANIFEST --split val --handwritten QUESTIONS.json --out questions.jsonl
    python -m training.baselines.table --manifest MANIFEST --questions questions.jsonl --unet UNET --out OUT

writes `table.md` and `table.json`. Choose recipe and checkpoints with `--split dev` questions; read val once.
Every score is kept in OUT/scores.jsonl as soon as it is there: a run that is stopped, by hand or by `--minutes`,
goes on when it is started again. Remove that file after a change of the program.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from coreseg_core.checkpoint import sha256_of
from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.errors import CheckpointError, InputError
from coreseg_core.evaluation import (
    ImageBlind,
    Report,
    asks_of,
    read_manifest,
    sample_of_sets,
    spread,
    text_blind,
)
from coreseg_core.evaluation.ask import Ask, shifted_asks, shuffled_asks
from coreseg_core.evaluation.files import write_whole
from coreseg_core.evaluation.model_answerer import ModelAnswerer
from coreseg_core.evaluation.score import Score
from coreseg_core.evaluation.tables import report_table
from coreseg_core.inference import SliceSegmenter
from coreseg_core.models.build import best_encoder_dtype
from coreseg_core.models.lite_medsam import WEIGHTS_SHA256, build_lite_medsam
from training.baselines.boxes import BoxPrompt, BoxSegmenter
from training.baselines.boxes import Source as BoxSource
from training.baselines.columns import Asked, Column, Drawn, mask_asks, score_columns
from training.baselines.comparison import Comparison
from training.baselines.ellipse import fit_ellipses
from training.baselines.journal import Journal
from training.baselines.shared_encoder import share_encoder
from training.baselines.unet_method import read_unet
from training.baselines.unet_state import BEST
from training.parts import part_of

TEXT_BLIND, IMAGE_BLIND, UNET, ELLIPSE = "text-blind", "image-blind", "unet", "ellipse"
MODEL, CEILING = "model", "true-box"
BOXES: Mapping[str, BoxSource] = {CEILING: "true", "box-a-lesion": "each_lesion", "whole-image": "whole"}
COLUMNS = (MODEL, TEXT_BLIND, IMAGE_BLIND, UNET, *BOXES, ELLIPSE)


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked: the questions of the file, and their probes.

    Attributes:
        asked: As in the file.
        shifted: The answerable ones about moved copies.
        shuffled: The answerable ones about another picture of their set, for claims.
    """

    asked: tuple[Ask, ...]
    shifted: tuple[Ask, ...]
    shuffled: tuple[Ask, ...]

    @property
    def plain(self) -> tuple[Ask, ...]:
        """The questions that count for the headline."""
        return tuple(ask for ask in self.asked if ask.primary)


def read_questions(chosen: argparse.Namespace) -> Questions:
    """Return the questions that the options choose.

    Raises:
        InputError: They cannot be read, or the options leave nothing.
    """
    asks = asks_of(read_manifest(chosen.questions, root=chosen.manifest.parent), seed=chosen.seed)
    if chosen.rows_per_set is not None:
        asks = sample_of_sets(asks, pictures=chosen.rows_per_set, seed=chosen.seed)
    if chosen.pictures is not None:
        asks = spread(asks, pictures=chosen.pictures)
    return Questions(
        asked=asks,
        shifted=shifted_asks(asks, seed=chosen.seed),
        shuffled=shuffled_asks(asks, seed=chosen.seed),
    )


def model_columns(answerer: ModelAnswerer, questions: Questions, *, settings: str) -> dict[str, Column]:
    """Return the model with all probes, and with text or picture covered on the plain questions.

    The one question of the text-blind ablation goes into the same batch as the others about its picture.
    """
    card = answerer.segmenter.model_card
    identity = f"{card['preset']} {card['sha256']} {answerer.reasoning} {settings}"
    asked = Asked(answerer)
    return {
        MODEL: Column(
            source=asked,
            asks=(*questions.asked, *questions.shifted, *questions.shuffled),
            identity=identity,
        ),
        TEXT_BLIND: Column(source=asked, asks=text_blind(questions.plain), identity=identity),
        IMAGE_BLIND: Column(
            source=Asked(ImageBlind(answerer)), asks=questions.plain, identity=f"{identity} {IMAGE_BLIND}"
        ),
    }


def box_columns(answerer: ModelAnswerer, asks: tuple[Ask, ...]) -> dict[str, Column]:
    """Return LiteMedSAM with boxes; where the model has the same encoder, a picture is encoded once for both."""
    model = answerer.segmenter.answering.model
    device = model.device
    published = build_lite_medsam(encoder_dtype=best_encoder_dtype(device)).eval().to(device)
    share_encoder(published, model.segmenter)
    boxes = BoxSegmenter(published)
    return {
        name: Column(
            source=Drawn(BoxPrompt(boxes, source)), asks=asks, identity=f"box {source} {WEIGHTS_SHA256}"
        )
        for name, source in BOXES.items()
    }


def unet_column(folder: Path | None, asks: tuple[Ask, ...], *, device: torch.device) -> Column:
    """Return a trained U-Net.

    Raises:
        InputError: No folder is given.
        CheckpointError: Its file is missing or damaged.
    """
    if folder is None:
        raise InputError(
            "--unet is missing.", remedy="Name a folder of training.baselines.unet, or leave out the column."
        )
    method = read_unet(folder, device=str(device))
    return Column(source=Drawn(method), asks=asks, identity=f"unet {_digest(folder / BEST)}")


def ellipse_column(manifest: Path, asks: tuple[Ask, ...]) -> Column:
    """Return the centre ellipses, fitted to the train part."""
    train = [row for row in read_manifest(manifest) if row.weights == "yes" and part_of(row) == "train"]
    if not any(not row.lesion_free for row in train):
        raise InputError(
            "The manifest has no train rows with a lesion, which the ellipses are fitted to.",
            remedy="Give the manifest that was trained on, or leave out the column.",
        )
    fitted = fit_ellipses(train)
    return Column(source=Drawn(fitted), asks=asks, identity=f"ellipse {fitted}")


def chosen_columns(
    chosen: argparse.Namespace, answerer: ModelAnswerer, questions: Questions
) -> dict[str, Column]:
    """Return the columns that the options choose, in the order of `COLUMNS`."""
    drawn = mask_asks((*questions.plain, *questions.shifted))
    columns = model_columns(answerer, questions, settings=f"check_words={chosen.check_words}")
    if UNET in chosen.columns:
        columns[UNET] = unet_column(chosen.unet, drawn, device=answerer.segmenter.answering.model.device)
    if set(BOXES) & set(chosen.columns):
        columns |= box_columns(answerer, drawn)
    if ELLIPSE in chosen.columns:
        columns[ELLIPSE] = ellipse_column(chosen.manifest, drawn)
    return {name: columns[name] for name in COLUMNS if name in chosen.columns}


def write_tables(folder: Path, comparison: Comparison, *, model: Mapping[str, str], minutes: float) -> None:
    """Write the comparison as Markdown and JSON; each file appears whole or not at all.

    Raises:
        InputError: The place cannot be written.
    """
    first = next(iter(comparison.columns))
    report = report_table(Report(scores=comparison.columns[first], seed=comparison.seed))
    values = {**comparison.to_json(), "model": model, "minutes": minutes}
    write_whole(folder / "table.md", f"{comparison.to_markdown()}\n## {first}\n\n{report}", what="table")
    write_whole(folder / "table.json", json.dumps(values, indent=2, allow_nan=False) + "\n", what="table")


def make_table(chosen: argparse.Namespace, segmenter: SliceSegmenter) -> Comparison | None:
    """Return the comparison that the options choose after writing it, None when the time ran out before."""
    started = time.monotonic()
    questions = read_questions(chosen)
    answerer = ModelAnswerer(segmenter, chosen.reasoning)
    scores = score_columns(
        chosen_columns(chosen, answerer, questions),
        ct=answerer.ct,
        journal=Journal(chosen.out / "scores.jsonl"),
        minutes=chosen.minutes,
    )
    if scores is None:
        return None
    comparison = Comparison(
        columns=_named(scores, chosen.preset),
        rival=UNET if UNET in scores and MODEL in scores else None,
        ceiling=CEILING if CEILING in scores else None,
        seed=chosen.seed,
    )
    minutes = round((time.monotonic() - started) / 60, 2)
    write_tables(chosen.out, comparison, model=segmenter.model_card, minutes=minutes)
    return comparison


def _named(scores: Mapping[str, tuple[Score, ...]], preset: str) -> dict[str, tuple[Score, ...]]:
    """Return the columns with the model under the name of its preset."""
    return {preset if name == MODEL else name: found for name, found in scores.items()}


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CheckpointError("A U-Net file cannot be read.", remedy="Train it again.") from error


def _columns(words: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(words.split(",")))
    if not set(names) <= set(COLUMNS):
        raise argparse.ArgumentTypeError(f"choose among {','.join(COLUMNS)}")
    return names


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--manifest", type=Path, required=True, help="the questions' paths start from its folder"
    )
    options.add_argument("--questions", type=Path, required=True, help="of training.evaluation_questions")
    options.add_argument("--preset", default="lite")
    options.add_argument("--weights", type=Path, help="weight folder instead of the one that ships")
    options.add_argument("--base", help="published weights that core-seg-3b stands on: a folder or hub id")
    options.add_argument("--unet", type=Path, help="folder of training.baselines.unet")
    options.add_argument(
        "--columns", type=_columns, default=COLUMNS, help=f"only some of {','.join(COLUMNS)} (default: all)"
    )
    options.add_argument(
        "--rows-per-set", type=int, metavar="N", help="only N pictures of each set, drawn by the seed"
    )
    options.add_argument(
        "--pictures", type=int, metavar="N", help="only N, spread over the questions, for a quick look"
    )
    options.add_argument("--minutes", type=float, help="stop after this long; run again to go on")
    options.add_argument("--reasoning", choices=("full", "brief", "none"), default="brief")
    options.add_argument(
        "--check-words", action="store_true", help="let words alone refuse a question, as served"
    )
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    return options


@partial(exit_code, stopped=GOES_ON)
def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code after writing the table."""
    chosen = parser().parse_args(argv)
    torch.set_num_threads(chosen.threads)
    segmenter = SliceSegmenter.from_preset(
        chosen.preset,
        weights=chosen.weights,
        base=chosen.base,
        device=chosen.device,
        check_words=chosen.check_words,
    )
    comparison = make_table(chosen, segmenter)
    print(
        comparison.to_markdown() if comparison else "The time is over; run the same command again to go on."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
