"""`coreseg ask`: a question about slices of an image, answered in words, as a mask, a picture or JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from coreseg_core.cli.boxes import box_px, marked
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.options import add_model_options, add_reasoning_option, load_segmenter
from coreseg_core.cli.progress import progress_bar
from coreseg_core.cli.slices import chosen_scope, describe_axis, slice_range
from coreseg_core.errors import GeometryError
from coreseg_core.prompts import clean_query
from coreseg_core.record import SCHEMA, FindingRecord, Query, Scope, SliceFinding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coreseg_core.imaging import Volume

AXES = ("axial", "coronal", "sagittal", "i", "j", "k")
LABEL_ENDINGS = (".nii.gz", ".nii", ".nrrd")

DESCRIPTION = """\
Ask a question about one slice, some slices or all slices of an image.

IMAGE is NIfTI, NRRD, MetaImage, PNG, JPEG, one DICOM file or a folder with one DICOM series. Put the question in
quotes. Without a slice the middle one is looked at; which one that was is said on stderr and in the answer."""

EXAMPLES = """\
examples:
  coreseg ask ct.nii.gz "Is there a liver tumor?" --slice 40 --overlay answer.png
  coreseg ask mr.nrrd "Where is the brain tumor?" --axis coronal --slices 80:95 --out mask.nii.gz
  coreseg ask dicom_folder "Outline the liver tumor." --all --out mask.nrrd --json > answer.json
  coreseg ask polyp.png "polyp" --reasoning full
  coreseg ask ct.nii.gz "kidney stone" --slice 40 --box 180,212,196,230 --out mask.nii.gz

Slices are counted from 0 along the array axis nearest to the plane; in A:B the slice B is not included.
--out writes the mask on the image's own grid, one value a lesion, and the record of the answer beside it (.json).

How an answer begins, and the outcome of the JSON it stands for:
  PRESENT                    present      a lesion is outlined
  NO LESION SEEN             absent       the only one that may be read as absence, and of what was asked only
  COULD NOT TELL             uncertain    not a "no"
  THE QUESTION DOES NOT FIT  mismatch     another modality or part of the body than the question says
  NOT TRAINED FOR THIS       unsupported  see 'coreseg info' for what the model was trained for
Research software, not a medical device."""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg ask`."""
    parser = subparsers.add_parser(
        "ask",
        help="ask a question about an image",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="file, or folder of one DICOM series")
    parser.add_argument("question", metavar="QUESTION", help="in quotes, at most 1000 characters")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--slice", type=int, metavar="K", help="one slice")
    where.add_argument("--slices", type=slice_range, metavar="A:B", help="slices A to B - 1")
    where.add_argument("--all", action="store_true", help="every slice")
    parser.add_argument("--axis", choices=AXES, help="which way the slices are cut (default: axial)")
    parser.add_argument("--series", metavar="UID", help="which series, where a DICOM folder holds several")
    parser.add_argument(
        "--box",
        type=box_px,
        action="append",
        default=[],
        metavar="X0,Y0,X1,Y1",
        help="outline what lies in this box, whatever the model sees: pixels of the slice as displayed, from its "
        "upper left, X1 and Y1 not included; may be given several times",
    )
    add_reasoning_option(parser)
    parser.add_argument("--out", type=Path, metavar="MASK", help="write the mask: .nii.gz, .nii or .nrrd")
    parser.add_argument(
        "--overlay", type=Path, metavar="PNG", help="write slice, mask and answer as a picture"
    )
    parser.add_argument("--json", action="store_true", help="print the record (coreseg.record/1), not words")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once the question is answered; every output is checked before the model is loaded."""
    from coreseg_core.cli.answer_text import answer_text
    from coreseg_core.imaging import read_volume

    query = Query(clean_query(chosen.question), chosen.reasoning)
    _require_outputs(chosen)
    volume = read_volume(chosen.image, series_uid=chosen.series)
    scope = _scope(chosen, volume)
    query = marked(query, chosen.box, volume, scope)
    if chosen.out is not None:
        _require_grid_fits(chosen.out, volume)
    record, labels = _answer(chosen, volume, query, scope)
    written = write_outputs(chosen, volume, record, labels)
    if chosen.json:
        print(json.dumps(record.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(answer_text(record, volume.geometry, written=written))
    return 0


def _scope(chosen: argparse.Namespace, volume: Volume) -> Scope:
    """Return the slices to look at; says on stderr which one was taken where none was named."""
    slices = chosen.slices if chosen.slice is None else (chosen.slice, chosen.slice + 1)
    scope = chosen_scope(volume.geometry, axis=chosen.axis, slices=slices, every=chosen.all)
    count = volume.geometry.shape_ijk[scope.axis]
    if slices is None and not chosen.all and count > 1:
        print(
            f"No slice was named: looking at the middle one, {scope.start} of 0 to {count - 1} along "
            f"{describe_axis(volume.geometry, scope.axis)}. Choose with --slice, --slices or --all.",
            file=sys.stderr,
        )
    return scope


def _answer(
    chosen: argparse.Namespace, volume: Volume, query: Query, scope: Scope
) -> tuple[FindingRecord, NDArray[np.uint8]]:
    segmenter = load_segmenter(chosen)
    total = len(scope.indices)
    with progress_bar("looking", unit="slice", shown=total > 1) as show:
        show(0, total)
        done: set[int] = set()

        def count(finding: SliceFinding) -> None:
            done.add(finding.index)
            show(len(done), total)

        return segmenter.answer(volume, query, scope, image_id=_image_id(chosen.image), on_finding=count)


def _image_id(path: Path) -> str:
    """Return the file's name without its ending; bytes that are no text become replacement characters."""
    from coreseg_core.imaging.sidecar import stem_of

    return os.fsencode(stem_of(path.absolute())).decode(errors="replace")


def _require_outputs(chosen: argparse.Namespace) -> None:
    from coreseg_core.cli.outputs import require_other, require_own_record, require_place

    if chosen.overlay is not None:
        require_place(chosen.overlay, option="--overlay", endings=(".png",))
    if chosen.out is not None:
        require_place(chosen.out, option="--out", endings=LABEL_ENDINGS)
        require_own_record(_record_path(chosen.out), schema=SCHEMA)
    for option, path in (("--out", chosen.out), ("--overlay", chosen.overlay)):
        if path is not None:
            require_other(path, option=option, inputs=[chosen.image])


def _require_grid_fits(out: Path, volume: Volume) -> None:
    if not volume.geometry.orthogonal and not out.name.lower().endswith(".nrrd"):
        raise GeometryError(
            "the image's axes are not at right angles (a tilted gantry?), which NIfTI readers refuse.",
            remedy="Name --out with the ending .nrrd.",
        )


def write_outputs(
    chosen: argparse.Namespace, volume: Volume, record: FindingRecord, labels: NDArray[np.uint8]
) -> dict[str, Path]:
    """Write what was asked for, each file whole, and return where it lies by what it is."""
    from coreseg_core.cli.outputs import write_json
    from coreseg_core.imaging import write_label
    from coreseg_core.reports.picture import write_overlay

    written: dict[str, Path] = {}
    if chosen.out is not None:
        write_label(chosen.out, labels, volume.geometry)
        write_json(_record_path(chosen.out), record.to_json())
        written |= {"Mask": chosen.out, "Record": _record_path(chosen.out)}
    if chosen.overlay is not None:
        write_overlay(chosen.overlay, volume, record)
        written["Overlay"] = chosen.overlay
    return written


def _record_path(out: Path) -> Path:
    from coreseg_core.imaging.sidecar import stem_of

    return out.with_name(f"{stem_of(out)}.json")
