"""`coreseg import`: DICOM series into a folder of images that `ask` reads and the server serves."""

from __future__ import annotations

import argparse
from pathlib import Path

from coreseg_core import NOTICE
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError

DESCRIPTION = """\
Bring DICOM series into a folder of images, a NIfTI file a series (NRRD where its axes are not at right angles), with a
JSON beside it that holds the UIDs, the modality and the grid. What is there already is not read again."""

EXAMPLES = """\
examples:
  coreseg import /data/export --to studies
  coreseg import /data/export/one_series --to studies

The images are named by modality and a hash of the series' UID; names and ids of patients are not taken over."""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg import`."""
    parser = subparsers.add_parser(
        "import",
        help="bring DICOM series into a folder of images",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="DICOM", help="folder, looked through with those in it")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of the images")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once every series is an image.

    Raises:
        InputError: The folder holds none, or some could not be read.
    """
    from coreseg_core.imaging.series_import import import_series

    with progress_bar("series", unit="series") as show:
        done = import_series(chosen.source, chosen.to, on_progress=show)
    for name in done.new:
        print(name)
    print(f"{len(done.new)} new, {len(done.known)} there already, {len(done.failed)} failed. {NOTICE}")
    if done.failed:
        raise InputError(
            f"{len(done.failed)} series could not be read; the first: {done.failed[0].reason}",
            remedy=done.failed[0].remedy or "Export them again.",
        )
    return 0
