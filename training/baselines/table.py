"""The model card's table: the model, its blind ablations and every baseline on identical rows in one run.

    python -m training.evaluation_questions MANIFEST --split val --out questions.jsonl
    python -m training.baselines.table --manifest MANIFEST --questions questions.jsonl --unet UNET --out OUT

writes `table.md` and `table.json`. Choose recipe and checkpoints with `--split dev` questions; read val once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from coreseg_core.evaluation import ImageBlind, Report, TextBlind, asks_of, read_manifest, spread
from coreseg_core.evaluation.ask import Ask, shifted_asks, shuffled_asks
from coreseg_core.evaluation.model_answerer import ModelAnswerer
from coreseg_core.evaluation.score import Score
from coreseg_core.evaluation.tables import report_table
from coreseg_core.inference import SliceSegmenter
from coreseg_core.models.build import best_encoder_dtype
from coreseg_core.models.lite_medsam import build_lite_medsam
from training.baselines.boxes import BoxPrompt
from training.baselines.columns import answerer_column, method_columns
from training.baselines.comparison import Comparison
from training.baselines.ellipse import fit_ellipses
from training.baselines.method import Method
from training.baselines.unet_method import read_unet
from training.parts import part_of

UNET, CEILING = "U-Net", "true box"


def model_columns(
    segmenter: SliceSegmenter, name: str, asks: Sequence[Ask], *, seed: int
) -> dict[str, tuple[Score, ...]]:
    """Return the model's scores with all probes, and with text or picture covered on the plain questions."""
    model = ModelAnswerer(segmenter)
    plain = [ask for ask in asks if ask.primary]
    probed = [*asks, *shifted_asks(asks, seed=seed), *shuffled_asks(asks, seed=seed)]
    return {
        name: answerer_column(name, model, probed),
        "text-blind": answerer_column("text-blind", TextBlind(model), plain),
        "image-blind": answerer_column("image-blind", ImageBlind(model), plain),
    }


def baseline_methods(manifest: Path, unet: Path) -> dict[str, Method]:
    """Return the methods that only draw masks; the ellipses are fitted to the train part."""
    segmenter = build_lite_medsam(encoder_dtype=best_encoder_dtype()).eval()
    train = [row for row in read_manifest(manifest) if row.weights == "yes" and part_of(row) == "train"]
    return {
        UNET: read_unet(unet),
        CEILING: BoxPrompt(segmenter, "true"),
        "box a lesion": BoxPrompt(segmenter, "each_lesion"),
        "whole image": BoxPrompt(segmenter, "whole"),
        "ellipse": fit_ellipses(train),
    }


def write_tables(folder: Path, comparison: Comparison, *, minutes: float) -> None:
    """Write the comparison as Markdown and JSON; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(comparison.columns))
    report = report_table(Report(scores=comparison.columns[first], seed=comparison.seed))
    texts = {
        "table.md": f"{comparison.to_markdown()}\n## {first}\n\n{report}",
        "table.json": json.dumps({**comparison.to_json(), "minutes": minutes}, indent=2, allow_nan=False)
        + "\n",
    }
    for name, text in texts.items():
        temporary = folder / f".{name}.part"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, folder / name)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--manifest", type=Path, required=True, help="the questions' paths start from its folder"
    )
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--weights", type=Path, help="weight folder instead of the one that ships")
    parser.add_argument("--unet", type=Path, required=True, help="folder of training.baselines.unet")
    parser.add_argument(
        "--pictures", type=int, help="only so many, spread over the questions, for a quick look"
    )
    parser.add_argument(
        "--check-words", action="store_true", help="let words alone refuse a question, as served"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    started = time.monotonic()
    asks = asks_of(read_manifest(arguments.questions, root=arguments.manifest.parent), seed=arguments.seed)
    if arguments.pictures is not None:
        asks = spread(asks, pictures=arguments.pictures)
    segmenter = SliceSegmenter.from_preset(
        arguments.preset, weights=arguments.weights, check_words=arguments.check_words
    )
    plain = [ask for ask in asks if ask.primary]
    columns = {
        **model_columns(segmenter, arguments.preset, asks, seed=arguments.seed),
        **method_columns(
            baseline_methods(arguments.manifest, arguments.unet),
            [*plain, *shifted_asks(plain, seed=arguments.seed)],
        ),
    }
    comparison = Comparison(columns=columns, rival=UNET, ceiling=CEILING, seed=arguments.seed)
    write_tables(arguments.out, comparison, minutes=round((time.monotonic() - started) / 60, 2))
    print(comparison.to_markdown())


if __name__ == "__main__":
    main()
