"""The rows of CORE-Seg's own table, as the authors print them, beside a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from coreseg_core.evaluation.report import Report, by
from coreseg_core.evaluation.tables import markdown_table, number

# What our manifests call a modality to what the paper does.
_MODALITIES = {
    "ct": "ct",
    "chest x-ray": "xray",
    "ultrasound": "ultrasound",
    "oct": "oct",
    "octa": "octa",
    "dermoscopy": "dermoscopy",
    "photograph": "photo",
}
_HEADLINES = ("mdice", "miou", "failure_rate")


def published_rows() -> dict[str, dict[str, Any]]:
    """Return what the paper says of each system: `mdice`, `miou`, `failure_rate`, `by_anatomy`, `by_modality`."""
    text = (resources.files("coreseg_core") / "data" / "published.json").read_text(encoding="utf-8")
    systems: dict[str, dict[str, Any]] = json.loads(text)["systems"]
    return systems


def published_table(report: Report) -> str:
    """Return the paper's rows and this report's as Markdown, with Dice by the modalities that both know."""
    values = report.to_json()
    positives = by(report.positives, lambda score: _paper_word(score.ask.row.modality))
    ours = {
        name: float(np.mean([score.dice for score in positives[name]])) for name in sorted(positives) if name
    }
    shared = list(ours)
    rows = [
        [name, *_cells(system, system["by_modality"], shared)] for name, system in published_rows().items()
    ]
    rows.append(["**this model**", *_cells(values, ours, shared)])
    table = markdown_table(["system", "Dice", "IoU", "failure", *(f"Dice, {name}" for name in shared)], rows)
    return (
        f"{table}\n\nThe paper's rows are of ComLesion-14K's 2421 test pictures, as its authors print them; this "
        "model's are of the manifest at hand. Unless that is the same test set, they are not comparable."
    )


def _paper_word(modality: str) -> str:
    """Return the paper's word for a modality, an empty one where it has none."""
    return "mri" if modality.lower().startswith("mri") else _MODALITIES.get(modality.lower(), "")


def _cells(headline: Mapping[str, Any], by_modality: Mapping[str, Any], shared: list[str]) -> list[str]:
    return [
        *(number(headline[name]) for name in _HEADLINES),
        *(number(by_modality.get(name)) for name in shared),
    ]
