"""`coreseg phantoms`: the demonstration studies, made on this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from coreseg_core import NOTICE
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError

DESCRIPTION = """\
Make the demonstration studies: CT of the abdomen with a liver tumor (NIfTI and DICOM), MR of the head with and
without a brain tumor, ultrasound of the breast. They are generated, no patient is in them, and where their lesions
lie is known (DIR/truth)."""

EXAMPLES = """\
example:
  coreseg phantoms demo
  coreseg ask demo/demo_ct_liver.nii.gz "Is there a liver tumor?" --slice 12"""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg phantoms`."""
    parser = subparsers.add_parser(
        "phantoms",
        help="make demonstration studies with known lesions",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; made if it is not there")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once all studies are written."""
    from coreseg_core.phantoms import write_demo

    written: list[str] = []
    try:
        with progress_bar("making", unit="study") as show:

            def count(name: str) -> None:
                written.append(name)
                show(len(written), None)

            index = write_demo(chosen.folder, progress=count)
    except OSError as error:
        raise InputError(
            f"The studies cannot be written ({error.strerror}).",
            remedy="Check the folder and the space left on the disk, or choose another folder.",
        ) from error
    print("Made:")
    for entry in json.loads(index.read_text(encoding="utf-8"))["studies"]:
        path = chosen.folder / entry["image"]
        print(f'  coreseg ask {path} "{entry["query"]}" --slice {entry["slice"]["index"]}')
    print(NOTICE)
    return 0
