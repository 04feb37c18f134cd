"""Twenty slices of a set that the model was not trained on, corrected, submitted and learned over HTTP.

    python -m training.tuning.proof --manifest MANIFEST --subset lgg_flair --out FOLDER [--unet FOLDER]
    python -m training.tuning.proof --manifest MANIFEST --subset lgg_flair --out FOLDER --shift 0.1     # poisoned

starts a server of its own with the manifest as base data (rows whose `weights` are "no" are never base data), asks it
about one slice of each of so many patients, submits the true masks as corrections (moved by `--shift`, a share of the
width, to poison them), trains through `/train/coreseg_sft` and measures: Dice on other patients of the set, Dice and
specificity on the val part of the base data, each before and after, whether a roll back brings the first answers back,
and a U-Net fine-tuned on the same slices: what it gained on the set, and what it forgot of the base data. FOLDER holds
`report.json`. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coreseg_core.checkpoint import replace_file
from coreseg_core.cli.exits import exit_code
from coreseg_core.evaluation.ask import NEGATIVES, Ask, asks_of, spread
from coreseg_core.evaluation.bootstrap import mean_interval
from coreseg_core.evaluation.manifest import Row, read_manifest
from coreseg_core.models.load import packaged_folder
from coreseg_core.models.preset import load_preset
from training.baselines.unet_method import read_unet
from training.parts import part_of
from training.tuning.judging import Marks, marks_of
from training.tuning.proof.few import fine_tuned, mean_dice
from training.tuning.proof.reader import Reader, serving

MIN_AREA = 0.004
"""Slices that only graze a lesion are left out: whether they show it is a matter of taste."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 where the training came to its end."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tuning.proof",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--subset", default="lgg_flair")
    parser.add_argument("--query", default="Is there a brain tumor on this FLAIR MRI, and where?")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--test", type=int, default=80, help="slices of other patients to measure on")
    parser.add_argument("--val", type=int, default=200, help="pictures of the base data's val part")
    parser.add_argument("--minutes", type=float, default=11.0, help="of learning")
    parser.add_argument("--shift", type=float, default=0.0, help="poison: masks are moved by this share")
    parser.add_argument("--unet", type=Path, help="a U-Net trained on base data, to be fine-tuned")
    parser.add_argument("--no-unet", action="store_true")
    parser.add_argument("--port", type=int, default=8731)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    report = measure(options)
    replace_file(options.out / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    print(json.dumps(report, indent=2))
    return 0 if report["training"]["state"] == "done" else 1


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was found."""
    rows = [row for row in read_manifest(options.manifest) if row.subset == options.subset]
    corrected, others = chosen(rows, slices=options.slices, test=options.test, seed=options.seed)
    base = [row for row in read_manifest(options.manifest) if row.weights != "no" and part_of(row) == "val"]
    asked = {"other patients": asks_of(others), "old val": spread(asks_of(base), pictures=options.val)}
    versions = options.out / "versions"
    before = {name: _marks(packaged_folder("lite"), asks, options.out) for name, asks in asked.items()}
    with serving(options.out, base=options.manifest, port=options.port) as client:
        reader = Reader(client, query=options.query)
        began = time.monotonic()
        for row in corrected:
            reader.correct(row, shift=options.shift)
        corrected_s = time.monotonic() - began
        began = time.monotonic()
        wish = {"minutes": options.minutes, "seed": options.seed}
        training = client.train("coreseg_sft", wish)
        trained_s = time.monotonic() - began
        told = client.get("/coreseg/versions")
        if training.get("promoted"):
            client.post("/coreseg/versions/roll-back", {})
        back = reader.answers_as_at_first(corrected[0])
    report: dict[str, Any] = {
        "corrected": len(corrected),
        "patients": len({row.patient_key for row in corrected}),
        "dice_of_answers_when_corrected": reader.mean_dice,
        "correcting_s": round(corrected_s, 1),
        "training_s": round(trained_s, 1),
        "training": training,
        "answers": told["current"],
        "answers_as_before_after_roll_back": back,
    }
    if training.get("version"):
        folder = versions / str(training["version"])
        after = {name: _marks(folder, asks, options.out) for name, asks in asked.items()}
        report |= {name: beside(asks, before[name], after[name]) for name, asks in asked.items()}
    if not options.no_unet and not options.shift:
        known = [ask.row for ask in asked["old val"] if ask.kind == "present"]
        report["unet"] = unet_beside(corrected, others, known, options)
    return report


def unet_beside(
    corrected: Sequence[Row], others: Sequence[Row], known: Sequence[Row], options: argparse.Namespace
) -> dict[str, float]:
    """Return the mean Dice of a U-Net fine-tuned on the same slices: what it gained, and what it forgot.

    Args:
        corrected: What it learns.
        others: Slices of other patients of that set.
        known: Pictures of the base data; asked before, too, where it was trained on base data.
        options: Its start, minutes and seed.
    """
    found = {}
    if options.unet is not None:
        found["old val before"] = mean_dice(read_unet(options.unet), known)
    net = fine_tuned(corrected, start=options.unet, minutes=options.minutes, seed=options.seed)
    found |= {"other patients": mean_dice(net, others), "old val": mean_dice(net, known)}
    return {name: round(value, 4) for name, value in found.items()}


def chosen(rows: Sequence[Row], *, slices: int, test: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Return slices to correct, one a patient, and slices of other patients to measure on."""
    by_patient: dict[str, list[Row]] = {}
    for row in rows:
        by_patient.setdefault(row.patient_key, []).append(row)
    patients = sorted(by_patient)
    rng = random.Random(seed)
    rng.shuffle(patients)
    with_lesion = [
        patient
        for patient in patients
        if any((row.area_frac or 0) >= MIN_AREA for row in by_patient[patient])
    ]
    taught = with_lesion[:slices]
    corrected = [
        rng.choice([row for row in by_patient[patient] if (row.area_frac or 0) >= MIN_AREA])
        for patient in taught
    ]
    others = [row for patient in patients if patient not in set(taught) for row in by_patient[patient]]
    rng.shuffle(others)
    return corrected, others[:test]


def beside(asks: Sequence[Ask], before: Marks, after: Marks) -> dict[str, Any]:
    """Return Dice and specificity before and after, with the interval of the change over patients."""
    told = {}
    for name, kinds, old, new in (
        ("dice", ("present",), before.dice, after.dice),
        ("specificity", NEGATIVES, before.right, after.right),
    ):
        numbers = [number for number, ask in enumerate(asks) if ask.kind in kinds]
        if numbers:
            change = [new[number] - old[number] for number in numbers]
            interval = mean_interval(change, [asks[number].row.patient_key for number in numbers])
            told[name] = {
                "before": round(float(np.mean([old[number] for number in numbers])), 4),
                "after": round(float(np.mean([new[number] for number in numbers])), 4),
                "change": interval.to_json(),
            }
    return told


def _marks(folder: Path, asks: Sequence[Ask], out: Path) -> Marks:
    kept = out / "marks"
    return marks_of(folder, asks, preset=load_preset("lite"), base=None, device="auto", kept=kept)


if __name__ == "__main__":
    sys.exit(exit_code(main)())
