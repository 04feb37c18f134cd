"""What a reader's box gets: drawn by the published mask decoder, by the trained one, and through a whole question.

    python -m training.baselines.reader_boxes MANIFEST --subsets kits,busi [--pictures 20]

Boxes are drawn round the largest lesion of each picture, every edge off by up to `SLACK` of the box's side, outwards
more often than inwards, as people draw. The third column is what the program answers to question and box.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from coreseg_core.cli.exits import exit_code
from coreseg_core.cli.options import add_model_options, load_segmenter
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError
from coreseg_core.evaluation import metrics
from coreseg_core.evaluation.bootstrap import mean_interval
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.metrics import bounding_box
from coreseg_core.evaluation.pictures import CtDisplay, Mask, load_picture
from coreseg_core.evaluation.rows import Row
from coreseg_core.evaluation.tables import markdown_table
from coreseg_core.imaging.pictures import picture_slice
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.reader_boxes import outline_boxes
from coreseg_core.models.segmenter import Segmenter
from coreseg_core.record import Box, Query, ReaderPrompts
from training.parts import part_of

SLACK = 0.15
"""Of the box's side: edges lie up to so much outside the lesion's, and up to a third of it inside."""


def largest_lesion(mask: Mask) -> Mask:
    """Return the largest part of a mask (h, w) that is not empty."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest: Mask = parts == int(sizes.argmax())
    return largest


def as_drawn(lesion: Mask, rng: random.Random) -> Box:
    """Return a box round a lesion as a reader would draw it, within the picture."""
    found = bounding_box(lesion)
    if found is None:
        raise ValueError("the mask is empty")
    (x0, y0, x1, y1), (height, width) = found, lesion.shape
    left, up, right, down = (rng.uniform(-SLACK / 3, SLACK) for _ in range(4))
    w, h = x1 - x0, y1 - y0
    corners = (round(x0 - left * w), round(y0 - up * h), round(x1 + right * w), round(y1 + down * h))
    start_x, start_y = max(0, corners[0]), max(0, corners[1])
    return (
        start_x,
        start_y,
        min(width, max(start_x + 1, corners[2])),
        min(height, max(start_y + 1, corners[3])),
    )


def dice_of_boxes(segmenter: SliceSegmenter, published: Segmenter, row: Row, *, seed: int) -> list[float]:
    """Return the Dice of the three ways on a row's largest lesion."""
    answering = segmenter.answering
    picture = load_picture(row, ct=CtDisplay.of(answering.model.preset))
    lesion = largest_lesion(picture.mask)
    prompts = ReaderPrompts(boxes_xyxy_px=(as_drawn(lesion, random.Random(f"{seed}/{row.id}")),))
    image = picture_slice(picture.rgb, pixel_mm=picture.pixel_mm)
    prepared = answering.prepare(image)
    found = []
    with torch.inference_mode():
        embedding = answering.model.segmenter.encode(prepared.square[None].to(answering.model.device)).float()
        for decoder in (published, answering.model.segmenter):
            logits, _ = outline_boxes(decoder, embedding, prompts, prepared.view)
            mask = (prepared.view.logits_to_native(logits)[0] > 0).cpu().numpy()
            found.append(metrics.dice(mask, lesion))
    (answer,) = answering.answer([prepared], Query(row.target, "none", prompts))
    return [*found, metrics.dice(answer.mask, lesion)]


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--subsets", type=lambda text: tuple(text.split(",")), help="default: all")
    parser.add_argument(
        "--pictures", type=int, default=20, help="of each set, at most (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of pictures and boxes")
    add_model_options(parser)
    chosen = parser.parse_args(argv)
    chosen_rows = pictures_of(chosen.manifest, chosen.subsets, count=chosen.pictures, seed=chosen.seed)
    segmenter = load_segmenter(chosen)
    lines = []
    with progress_bar("drawing", unit="picture") as show:
        total, done = sum(map(len, chosen_rows.values())), 0
        for name, rows in chosen_rows.items():
            found = []
            for row in rows:
                found.append(dice_of_boxes(segmenter, segmenter.answering.published, row, seed=chosen.seed))
                done += 1
                show(done, total)
            patients = [row.patient_key for row in rows]
            means = [mean_interval([values[way] for values in found], patients) for way in range(3)]
            cells = [f"{mean.mean:.3f} [{mean.low:.2f}, {mean.high:.2f}]" for mean in means]
            lines.append([name, str(len(rows)), *cells])
    print(markdown_table(["set", "n", "published decoder", "trained decoder", "as answered"], lines))
    return 0


def pictures_of(
    manifest: Path, subsets: Sequence[str] | None, *, count: int, seed: int
) -> dict[str, list[Row]]:
    """Return pictures with a lesion, by set; of sets that were trained on, those of the dev part alone.

    Raises:
        InputError: There are none.
    """
    found: dict[str, list[Row]] = {}
    for row in read_manifest(manifest):
        if not row.lesion_free and (row.weights == "no" or part_of(row) == "dev"):
            found.setdefault(row.subset, []).append(row)
    names = sorted(found) if subsets is None else [name for name in subsets if name in found]
    if not names:
        raise InputError(
            "The manifest has no pictures of these sets that the weights did not learn.",
            remedy="Name sets with rows of the dev part, or whose `weights` are `no`.",
        )
    drawn = {}
    for name in names:
        rows = sorted(found[name], key=lambda row: row.id)
        random.Random(f"{seed}/{name}").shuffle(rows)
        drawn[name] = rows[:count]
    return drawn


if __name__ == "__main__":
    sys.exit(main())
