"""Measures the preset `lite`: every stage beside its floor, whole answers beside a plain baseline.

python -m benchmarks                          # what ships, on this machine's GPU or CPU
python -m benchmarks --out bench.json --repeats 15 --device cpu --threads 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.baseline import PlainBaseline
from benchmarks.case import Case, liver_case
from benchmarks.comparison import compare
from benchmarks.machine import Machine
from benchmarks.report import BenchReport
from benchmarks.stages import StageBench, encoder_dtype
from coreseg_core.cli.exits import exit_code
from coreseg_core.models.allocator import keep_freed_memory
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.load import load_model

PRESET = "lite"


def bench(
    model: CoreSegModel, case: Case, *, device: torch.device, repeats: int, card: dict[str, str]
) -> BenchReport:
    """Return all measurements of a model in evaluation mode on its device."""
    machine = Machine(device)
    baseline = PlainBaseline(model, encoder_dtype=encoder_dtype(model))
    stages = StageBench(model, machine, repeats=repeats).measure(case, baseline.encode)
    comparisons = compare(model, baseline, machine, case, repeats=repeats)
    return BenchReport(
        machine=machine.to_json(), model=card, repeats=repeats, stages=stages, comparisons=comparisons
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the measurements there as JSON")
    parser.add_argument("--repeats", type=int, default=11, help="runs of each measurement (default 11)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="processor threads; torch's choice by default")
    parser.add_argument("--weights", type=Path, help="weight folder; what ships by default")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    # Set for the whole process, so the baseline has the good of it too.
    keep_freed_memory()
    chosen = arguments.device
    if chosen == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(PRESET, weights=arguments.weights, device=chosen)
    card = {"preset": PRESET, "version": loaded.version, "sha256": loaded.sha256}
    report = bench(
        loaded.model, liver_case(), device=torch.device(chosen), repeats=arguments.repeats, card=card
    )
    report.show(Console(width=140))
    if arguments.out is not None:
        report.write(arguments.out)


if __name__ == "__main__":
    sys.exit(exit_code(main)())
