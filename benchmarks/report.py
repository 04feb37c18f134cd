"""The measurements as tables on the screen and as one JSON value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import TARGETS, Comparison
from benchmarks.stages import StageResult

SCHEMA = "coreseg.bench/1"


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """Everything one run measured.

    Attributes:
        machine: What it ran on, with its peak rates.
        model: Preset, version and SHA-256 of the weights.
        repeats: Runs of each measurement.
        stages: Rows with floors.
        comparisons: Rows beside the baseline.
    """

    machine: dict[str, Any]
    model: dict[str, str]
    repeats: int
    stages: Sequence[StageResult]
    comparisons: Sequence[Comparison]

    def to_json(self) -> dict[str, Any]:
        """Return the report as `coreseg.bench/1` JSON values."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "model": self.model,
            "repeats": self.repeats,
            "stages": [stage.to_json() for stage in self.stages],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }

    def write(self, path: Path) -> None:
        """Write the report as a JSON file."""
        path.write_text(json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the report as tables."""
        machine = self.machine
        console.print(
            f"{machine['name']}, {machine['threads']} threads, torch {machine['torch']}", highlight=False
        )
        for name, rates in (
            ("matrix products, GFLOP/s", "gemm_gflops_per_s"),
            ("copies, GB/s", "copy_gb_per_s"),
        ):
            listed = ", ".join(f"{key} {rate:.0f}" for key, rate in machine[rates].items())
            console.print(f"{name}: {listed}", highlight=False)
        console.print(_stage_table(self.stages))
        console.print(_comparison_table(self.comparisons))


def _stage_table(stages: Sequence[StageResult]) -> Table:
    table = Table("stage", "dtype", title="Stages and floors")
    for title in ("GFLOP", "MB", "best ms", "median ms", "floor ms", "floor / best"):
        table.add_column(title, justify="right")
    for stage in stages:
        table.add_row(
            stage.name,
            stage.dtype,
            f"{stage.flops / 1e9:.3f}",
            f"{stage.bytes / 1e6:.1f}",
            f"{stage.times.best_ms:.2f}",
            f"{stage.times.median_ms:.2f}",
            f"{stage.floor_ms:.2f}",
            f"{stage.ratio:.2f}",
        )
    return table


def _comparison_table(comparisons: Sequence[Comparison]) -> Table:
    table = Table("question", title="Beside transformers' generate and the packaged encoder (median ms)")
    for title in ("ours", "plain", "times faster", "target", "tokens", "same tokens", "mask Dice", "encodes"):
        table.add_column(title, justify="right")
    for row in comparisons:
        table.add_row(
            row.which,
            f"{row.ours.median_ms:.1f}",
            f"{row.plain.median_ms:.1f}",
            f"{row.speedup:.2f}",
            f"{TARGETS[row.which]:.1f} {'reached' if row.reached else 'missed'}",
            str(row.tokens),
            "yes" if row.same_tokens else "no",
            f"{row.mask_dice:.3f}",
            str(row.encodes),
        )
    return table
