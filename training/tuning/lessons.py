"""What a run learns from and is judged by: corrections split by patient, and base data beside them.

The base data that a model was trained on does not ship with it. Where a manifest of it is named, a share of the
pictures comes from there, so that what was known is not forgotten; else generated studies (`coreseg_core.phantoms`)
stand in, which keep the grammar and the habit of denying, and know nothing of patients.
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from coreseg_core.evaluation.ask import Ask, asks_of
from coreseg_core.evaluation.corrections import split_corrections
from coreseg_core.evaluation.manifest import Row, read_manifest, write_manifest
from coreseg_core.evaluation.pictures import CtDisplay, load_picture
from coreseg_core.imaging.png import png_bytes
from coreseg_core.models.preset import Preset
from training.parts import part_of
from training.phantom_pictures import write_pictures

VIEWS_OF_CORRECTIONS = 160
"""Views that are made of the corrections, some of each; of many corrections one each."""
MAX_VIEWS_EACH = 8
MAX_REPLAY = 600
REPLAY_BALANCE = 0.6
"""As `lite` drew its sets when it was trained; small sets replayed more than they were learned drive the others out."""
GUARD_SEED = 7_919
"""Of the phantoms that guard where no base data is named; those that are replayed have seeds below."""


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a run works with.

    Attributes:
        learn: Corrections to train on.
        held: Corrections of other patients, to judge by.
        replay: Base data to train on beside them.
        views_each: Views of each correction.
    """

    learn: tuple[Row, ...]
    held: tuple[Row, ...]
    replay: tuple[Row, ...]
    views_each: int


def gather(
    corrections: Path,
    folder: Path,
    *,
    learned: Sequence[str],
    replay: Path | None,
    share: float,
    preset: Preset,
    seed: int,
) -> Lessons:
    """Return what is learned from; base data is copied into a folder, once.

    Args:
        corrections: Manifest.
        folder: Where base data goes.
        learned: Patients that the parent was trained on.
        replay: Manifest of base data; None for phantoms.
        share: Of base data among the pictures that are drawn.
        preset: How slices of CT are shown.
        seed: Chooses the base data.

    Raises:
        InputError: Too little to learn from or to judge by, or a manifest that cannot be read.
    """
    split = split_corrections(read_manifest(corrections), learned=learned)
    each = max(1, min(MAX_VIEWS_EACH, VIEWS_OF_CORRECTIONS // len(split.learn)))
    wanted = min(MAX_REPLAY, round(each * len(split.learn) * share / (1 - share)))
    rows = base_pictures(replay, folder, count=wanted, preset=preset, seed=seed) if wanted else ()
    return Lessons(learn=split.learn, held=split.held, replay=rows, views_each=each)


def base_pictures(
    manifest: Path | None, folder: Path, *, count: int, preset: Preset, seed: int
) -> tuple[Row, ...]:
    """Return rows of base data whose pictures lie in a folder: copies, or phantoms where no manifest is named."""
    made = folder / "manifest.jsonl"
    if not made.exists():
        # What a killed process left is made anew: the manifest comes last.
        shutil.rmtree(folder, ignore_errors=True)
        if manifest is None:
            rows = read_manifest(write_pictures(folder / "phantoms", count=count, seed=seed % GUARD_SEED))
            rows = tuple(
                replace(row, image=f"phantoms/{row.image}", mask=row.mask and f"phantoms/{row.mask}")
                for row in rows
            )
        else:
            train = [row for row in _known(manifest) if part_of(row) == "train"]
            drawn = spread_over_sets(train, count=count, seed=seed, balance=REPLAY_BALANCE)
            rows = tuple(copied(row, folder, preset) for row in drawn)
        write_manifest(made, [replace(row, origin="replay", split="train", query=None) for row in rows])
    return read_manifest(made)


def guard_rows(manifest: Path | None, folder: Path, *, count: int) -> tuple[Row, ...]:
    """Return the rows that a version must not answer worse than its parent: the val part of base data, or phantoms.

    Args:
        manifest: Of base data; None for phantoms.
        folder: Where phantoms go.
        count: Pictures, at most.
    """
    if manifest is None:
        made = folder / "manifest.jsonl"
        if not made.exists():
            write_pictures(folder, count=count, seed=GUARD_SEED)
        return read_manifest(made)
    rows = [row for row in _known(manifest) if part_of(row) == "val"]
    return tuple(spread_over_sets(rows, count=count, seed=GUARD_SEED, balance=0.0))


def guard_asks(rows: Sequence[Row]) -> tuple[Ask, ...]:
    """Return two questions about each picture: its own, and one that it does not answer.

    Masks differ more from picture to picture than denials do, so the time goes to many pictures, not to every question
    about a few. The kinds of the second one take turns within a set.
    """
    found: list[Ask] = []
    # Each set begins with another kind, so that sets of a single picture do not all ask the same.
    turns: dict[str, int] = {}
    for row in rows:
        own, *others = asks_of([row])
        found.append(own)
        if others:
            turn = turns.setdefault(row.subset, len(turns))
            found.append(others[turn % len(others)])
            turns[row.subset] = turn + 1
    return tuple(found)


def _known(manifest: Path) -> list[Row]:
    """Return the rows of base data that weights may learn; others the model was never trained on."""
    return [row for row in read_manifest(manifest) if row.weights != "no"]


def spread_over_sets(rows: Sequence[Row], *, count: int, seed: int, balance: float) -> list[Row]:
    """Return so many rows, those of each set in proportion to its size to the power of `balance`.

    Args:
        rows: Of several sets.
        count: Rows, at most.
        seed: Chooses those of a set.
        balance: 0 takes of every set in turn, so that a large one crowds no small one out; 1 takes all rows alike.
    """
    by_set: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_set[row.subset].append(row)
    # Sainte-Lague: the next row is of the set whose share is the least served.
    turns: list[tuple[float, Row]] = []
    for name, group in by_set.items():
        random.Random(f"{seed}/{name}").shuffle(group)
        turns += [((turn + 0.5) / len(group) ** balance, row) for turn, row in enumerate(group)]
    return [row for _, row in sorted(turns, key=itemgetter(0))[:count]]


def copied(row: Row, folder: Path, preset: Preset) -> Row:
    """Return a row whose picture and mask lie in a folder, as the preset is shown them."""
    picture = load_picture(row, ct=CtDisplay.of(preset))
    for part, pixels in (("images", picture.rgb), ("masks", picture.mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"{row.id}.png").write_bytes(png_bytes(pixels))
    mask = None if row.mask is None else f"masks/{row.id}.png"
    return replace(row, folder=folder, image=f"images/{row.id}.png", mask=mask, slice=None)
