"""Whether what the filter kept is hard for others too: a model that had no part in it, measured on both parts.

    python -m training.dataset.hardness set/imported.jsonl set/filtered.jsonl --weights FOLDER --out hardness

asks a model for the target of every picture with a lesion, and compares its Dice on kept and dropped pictures of each
set; 95 % intervals over patients. Take one of another architecture than the filter's U-Net, trained on other pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreseg_core.cli.exits import exit_code
from coreseg_core.cli.options import add_model_options, load_segmenter
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError
from coreseg_core.evaluation import asks_of, read_manifest
from coreseg_core.evaluation.bootstrap import Interval, mean_interval
from coreseg_core.evaluation.rows import Row
from training.dataset.steps import make_folder, table, write_report


@dataclass(frozen=True, kw_only=True)
class Hardness:
    """Mean Dice of one model on the kept and on the dropped pictures of one set."""

    subset: str
    kept: Interval
    dropped: Interval

    @property
    def apart(self) -> bool:
        """True when the kept part is harder beyond its interval."""
        return self.kept.high < self.dropped.low

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "set": self.subset,
            "kept": self.kept.to_json(),
            "dropped": self.dropped.to_json(),
            "apart": self.apart,
        }


def compare(dices: Mapping[str, float], rows: Sequence[Row], kept: frozenset[str]) -> tuple[Hardness, ...]:
    """Return the comparison for each set of which both parts were measured.

    Args:
        dices: By row id; rows without a lesion have none.
        rows: Before the filter.
        kept: Ids of the rows after it.
    """
    parts: dict[str, dict[bool, list[Row]]] = defaultdict(lambda: {True: [], False: []})
    for row in rows:
        if row.id in dices:
            parts[row.subset][row.id in kept].append(row)
    return tuple(
        Hardness(subset=name, kept=_interval(both[True], dices), dropped=_interval(both[False], dices))
        for name, both in sorted(parts.items())
        if both[True] and both[False]
    )


def _interval(rows: Sequence[Row], dices: Mapping[str, float]) -> Interval:
    return mean_interval([dices[row.id] for row in rows], [row.patient_key for row in rows])


def measured_dices(chosen: argparse.Namespace, rows: Sequence[Row]) -> dict[str, float]:
    """Return the Dice of the chosen model on each row with a lesion.

    Raises:
        InputError: A picture cannot be read, or a model cannot be had.
    """
    from coreseg_core.evaluation.model_answerer import ModelAnswerer
    from coreseg_core.evaluation.run import score_all

    answerer = ModelAnswerer(load_segmenter(chosen, check_words=False), "none")
    asks = asks_of([row for row in rows if not row.lesion_free], seed=0, negatives=False)
    with progress_bar("asking", unit="picture") as show:
        scores = score_all(answerer, asks, ct=answerer.ct, progress=show)
    return {score.ask.row.id: score.dice for score in scores}


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code after writing the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, help="before the filter")
    parser.add_argument("filtered", type=Path, help="after it")
    parser.add_argument("--split", help="only rows of this split: those the model was not trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    add_model_options(parser)
    chosen = parser.parse_args(argv)
    rows = [row for row in read_manifest(chosen.manifest) if chosen.split in (None, row.split)]
    kept = frozenset(row.id for row in read_manifest(chosen.filtered))
    found = compare(measured_dices(chosen, rows), rows, kept)
    if not found:
        raise InputError("No set has both kept and dropped pictures.", remedy="Choose another split.")
    lines = [
        [one.subset, _text(one.kept), one.kept.count, _text(one.dropped), one.dropped.count, one.apart]
        for one in found
    ]
    text = table(["set", "kept", "n", "dropped", "n", "apart"], lines)
    facts = {"model": chosen.preset, "sets": [one.to_json() for one in found]}
    write_report(make_folder(chosen.out), "hardness", facts, text)
    print(text)
    return 0


def _text(interval: Interval) -> str:
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
