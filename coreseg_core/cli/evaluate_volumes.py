"""`coreseg evaluate-volumes`: whole volumes of a manifest, asked slice by slice and scored in 3D."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coreseg_core import NOTICE
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.options import add_model_options, add_reasoning_option, load_segmenter
from coreseg_core.cli.progress import progress_bar

DESCRIPTION = """\
Ask every axial slice of every volume of a manifest (coreseg.manifest/1, rows without `slice`) for its target, and print
Dice in 3D, lesions found by size, false parts for each volume, and how slices with and without a lesion were answered.

The list of words that refuses questions before the model is asked is switched off: the model alone is measured."""

EXAMPLES = """\
examples:
  coreseg evaluate-volumes data/volumes.jsonl --out volumes.json
  coreseg evaluate-volumes data/volumes.jsonl --reasoning none --found runs/found

A lesion counts as found where a tenth of its voxels is marked; a false part touches no lesion.
--found keeps what is found slice by slice, so that a run that was stopped goes on."""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg evaluate-volumes`."""
    parser = subparsers.add_parser(
        "evaluate-volumes",
        help="measure a model on whole volumes",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="JSON lines, one volume a line")
    parser.add_argument("--found", type=Path, metavar="DIR", help="keep findings there, and go on from them")
    parser.add_argument("--out", type=Path, metavar="REPORT", help="write the report as JSON")
    add_reasoning_option(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once the report is printed and, if asked for, written."""
    from coreseg_core.cli.outputs import require_other, require_place, write_json
    from coreseg_core.evaluation import read_manifest
    from coreseg_core.evaluation.volumes import score_volumes, volume_report

    if chosen.out is not None:
        require_place(chosen.out, option="--out", endings=(".json",))
        require_other(chosen.out, option="--out", inputs=[chosen.manifest])
    rows = read_manifest(chosen.manifest)
    segmenter = load_segmenter(chosen, check_words=False)
    with progress_bar("volumes", unit="volume") as show:
        scores = score_volumes(
            segmenter, rows, reasoning=chosen.reasoning, journals=chosen.found, progress=show
        )
    report = volume_report(scores)
    print(report_text(report))
    card = segmenter.model_card
    print(f"Model {card['preset']} {card['version']} ({card['sha256'][:12]}). {NOTICE}")
    if chosen.out is not None:
        write_json(chosen.out, {**report, "model": card, "reasoning": chosen.reasoning})
    return 0


def report_text(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown tables."""
    from coreseg_core.evaluation.tables import markdown_table, number

    volumes = [
        [
            volume["id"],
            str(volume["slices"]),
            number(volume["dice"]),
            f"{volume['lesions_found']} of {volume['lesions']}",
            str(volume["false_parts"]),
        ]
        for volume in report["volumes"]
    ]
    volumes.append(["mean", "", number(report["mean_dice"]), "", number(report["false_parts_per_volume"])])
    sizes = [
        [name, f"{counts['found']} of {counts['lesions']}"] for name, counts in report["sensitivity"].items()
    ]
    outcomes = [
        [f"slices with {'a lesion' if where == 'lesion' else 'none'}", _counts(counts)]
        for where, counts in report["slices"].items()
    ]
    return "\n\n".join(
        [
            markdown_table(["volume", "slices", "Dice 3D", "lesions found", "false parts"], volumes),
            markdown_table(["lesions", "found"], sizes),
            markdown_table(["answered", "as"], outcomes),
        ]
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "-"
