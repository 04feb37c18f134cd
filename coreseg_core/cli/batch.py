"""`coreseg batch`: whole studies and several questions, with a report for each study; killed, it goes on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coreseg_core import NOTICE
from coreseg_core.cli.ask import AXES
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.options import add_model_options, add_reasoning_option, load_segmenter
from coreseg_core.cli.progress import Show, progress_bar
from coreseg_core.cli.slices import chosen_scope
from coreseg_core.errors import BusyError, InputError
from coreseg_core.prompts import clean_query
from coreseg_core.record import Query

if TYPE_CHECKING:
    from coreseg_core.imaging.studies import StudyImages
    from coreseg_core.reports.answering import Tally

MAX_QUESTIONS = 32
JOURNALS = ".found"
"""Folder in --out of what was found so far; without it everything is asked again."""

DESCRIPTION = """\
Ask every slice of every image of whole studies one or more questions, and write a report for each study.

STUDIES is a folder, or one image. A study is what shares a StudyInstanceUID (DICOM), or else lies in one folder. A
folder with image files in it is a study, and folders within it are not looked into."""

EXAMPLES = """\
examples:
  coreseg batch studies/demo "liver tumor" "brain tumor" --out reports
  coreseg batch /data/export "Is there a liver tumor?" --reasoning none --out reports

--out gets a folder for each study: report.html, report.json (coreseg.study-report/1), and for each image and question
the mask, the record and pictures of key slices. Stopped or killed, the same command goes on where it stood.
An image that fails is listed in the report; the rest is done, and the exit code is 2.
Research software, not a medical device."""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg batch`."""
    parser = subparsers.add_parser(
        "batch",
        help="ask whole studies, with a report for each",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("studies", type=Path, metavar="STUDIES", help="folder of studies, or one image")
    parser.add_argument("questions", nargs="+", metavar="QUESTION", help="each in quotes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the reports")
    parser.add_argument("--axis", choices=AXES, help="which way the slices are cut (default: axial)")
    add_reasoning_option(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once every image of every study is answered.

    Raises:
        InputError: A question or a place that cannot be used, or images that failed.
        BusyError: Another batch writes there.
    """
    from filelock import FileLock, Timeout

    from coreseg_core.cli.outputs import require_folder
    from coreseg_core.imaging.studies import find_studies

    queries = read_questions(chosen)
    _make(chosen.out)
    require_folder(chosen.out, option="--out")
    studies = find_studies(chosen.studies, leave_out=chosen.out)
    try:
        with FileLock(chosen.out / ".lock", timeout=0):
            reports, tally = _report_all(chosen, queries, studies)
    except Timeout as error:
        raise BusyError(
            "Another batch is writing to --out.",
            remedy="Wait for it, or choose another folder.",
            retry_after_s=60,
        ) from error
    print(summary(reports))
    print(f"{tally.asked} slices asked, {tally.known} known from before. Reports in {chosen.out}. {NOTICE}")
    _complain_of_failures(reports)
    return 0


def read_questions(chosen: argparse.Namespace) -> tuple[Query, ...]:
    """Return the questions, each of them once.

    Raises:
        InputError: There are too many, or one is empty.
        LimitError: One is too long.
    """
    texts = dict.fromkeys(clean_query(text) for text in chosen.questions)
    if len(texts) > MAX_QUESTIONS:
        raise InputError(f"{len(texts)} questions, limit {MAX_QUESTIONS}.", remedy="Ask fewer at once.")
    return tuple(Query(text, chosen.reasoning) for text in texts)


def summary(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for each image and question."""
    lines = []
    for report in reports:
        lines.append(f"Study {report['study']}")
        for image in report["images"]:
            if "error" in image:
                lines.append(f"  {image['id']}: failed. {image['error']['reason']}")
            for answer in image.get("answers", ()):
                number = len(answer["lesions"])
                lesions = f", {number} lesion{'' if number == 1 else 's'}" if number else ""
                lines.append(f"  {image['id']}: {answer['query']} -> {answer['outcome']}{lesions}")
    return "\n".join(lines)


def _report_all(
    chosen: argparse.Namespace, queries: tuple[Query, ...], studies: Sequence[StudyImages]
) -> tuple[list[dict[str, Any]], Tally]:
    from coreseg_core.limits import Limits
    from coreseg_core.reports.answering import BatchPlan, Tally, report_study

    segmenter = load_segmenter(chosen)
    plan = BatchPlan(
        queries=queries,
        scope_of=lambda geometry: chosen_scope(geometry, axis=chosen.axis, slices=None, every=True),
        out=chosen.out,
        journals=chosen.out / JOURNALS,
        limits=Limits(),
    )
    tally, reports = Tally(), []
    numbers = count(1)
    total = sum(len(study.images) for study in studies)

    def progress() -> AbstractContextManager[Show]:
        return progress_bar(f"image {next(numbers)} of {total}", unit="slice")

    for study in studies:
        reports.append(report_study(segmenter, study, plan, tally=tally, progress=progress))
    return reports, tally


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder of --out cannot be made ({error.strerror}).", remedy="Choose another place."
        ) from error


def _complain_of_failures(reports: Sequence[Mapping[str, Any]]) -> None:
    errors = [image["error"] for report in reports for image in report["images"] if "error" in image]
    if errors:
        raise InputError(
            f"{len(errors)} images failed; the first: {errors[0]['reason']}",
            remedy=errors[0]["remedy"] or "The reports name them.",
        )
