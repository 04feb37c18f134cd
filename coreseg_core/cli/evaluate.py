"""`coreseg evaluate`: every question of a manifest, asked and scored."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coreseg_core import NOTICE
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.options import add_model_options, add_reasoning_option, load_segmenter
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError

if TYPE_CHECKING:
    from coreseg_core.evaluation import Ask, Row

MAX_VOTES = 64
DESCRIPTION = """\
Ask every picture of a manifest (coreseg.manifest/1, JSON lines) for its target and for what it does not show, and
print mean Dice, IoU, failure rate and specificity by set and modality.

The list of words that refuses questions before the model is asked is switched off, so that what is measured is the
model alone."""

EXAMPLES = """\
examples:
  coreseg evaluate data/manifest.jsonl --split val --out report.json
  coreseg evaluate data/manifest.jsonl --subset busi kvasir --limit 40
  coreseg evaluate data/manifest.jsonl --questions questions.jsonl --out report.json

--out writes coreseg.report/1: mdice, miou, failure_rate and specificity at the top, then every table.
--page writes one HTML file that shows pictures: keep it where the pictures may be kept.
--answers writes coreseg.answers/1, by which `python -m training.compare` holds two models against each other.
--published prints the rows of CORE-Seg's own table; they are of other pictures unless MANIFEST is its test set.
--limit takes so many pictures, spread evenly over the manifest.
--questions takes the questions from another file (rows with `query` and `probe`, as written by
`python -m training.evaluation_questions`); its paths are those of MANIFEST, and nothing else is asked."""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model on a manifest",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="JSON lines, one picture a line")
    parser.add_argument("--split", help="only rows of this split, such as val (default: all rows)")
    parser.add_argument("--subset", nargs="+", metavar="NAME", help="only rows of these sets")
    parser.add_argument("--limit", type=int, metavar="N", help="only so many pictures")
    parser.add_argument("--questions", type=Path, metavar="FILE", help="take the questions from this file")
    parser.add_argument(
        "--no-negatives", action="store_true", help="do not ask for what the pictures do not show"
    )
    parser.add_argument("--seed", type=int, default=0, help="of wordings and intervals (default: 0)")
    parser.add_argument("--out", type=Path, metavar="REPORT", help="write the report as JSON")
    parser.add_argument(
        "--page",
        type=Path,
        metavar="HTML",
        help="write a page with plots and the best, median and worst answers",
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="write what each answer was worth as JSON lines"
    )
    parser.add_argument(
        "--votes",
        type=int,
        default=0,
        metavar="N",
        help="confidence from N sampled answers instead of the model's own estimates",
    )
    parser.add_argument(
        "--published", action="store_true", help="print the figures that the paper gives beside the report"
    )
    add_reasoning_option(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0 once the report is printed and, if asked for, written."""
    from coreseg_core.cli.outputs import require_other, require_place, write_json
    from coreseg_core.evaluation import evaluate, report_table
    from coreseg_core.evaluation.answers import write_answers
    from coreseg_core.evaluation.cases import draw_cases
    from coreseg_core.evaluation.files import write_whole
    from coreseg_core.evaluation.model_answerer import ModelAnswerer
    from coreseg_core.evaluation.page import report_page
    from coreseg_core.evaluation.published import published_table

    for option, place, ending in (
        ("--out", chosen.out, ".json"),
        ("--answers", chosen.answers, ".jsonl"),
        ("--page", chosen.page, ".html"),
    ):
        if place is not None:
            require_place(place, option=option, endings=(ending,))
            require_other(place, option=option, inputs=[chosen.manifest, chosen.questions])
    if not 0 <= chosen.votes <= MAX_VOTES:
        raise InputError(f"{chosen.votes} votes were asked for.", remedy=f"Choose 0 to {MAX_VOTES}.")
    asks = chosen_asks(chosen)
    segmenter = load_segmenter(chosen, check_words=False)
    answerer = ModelAnswerer(segmenter, chosen.reasoning, votes=chosen.votes)
    with progress_bar("asking", unit="picture") as show:
        report = evaluate(answerer, asks, ct=answerer.ct, progress=show, seed=chosen.seed)
    print(report_table(report))
    if chosen.published:
        print(published_table(report))
    card = segmenter.model_card
    print(f"Model {card['preset']} {card['version']} ({card['sha256'][:12]}). {NOTICE}")
    if chosen.answers is not None:
        write_answers(chosen.answers, report.scores)
    if chosen.page is not None:
        title = f"{card['preset']} {card['version']} ({card['sha256'][:12]})"
        cases = draw_cases(answerer, report.scores, ct=answerer.ct)
        write_whole(chosen.page, report_page(report, title=title, cases=cases), what="page")
    if chosen.out is not None:
        write_json(chosen.out, {**report.to_json(), "run": _run_json(chosen, card)})
    return 0


def chosen_asks(chosen: argparse.Namespace) -> tuple[Ask, ...]:
    """Return the questions that the options choose.

    Raises:
        InputError: The manifest cannot be read, or nothing is left of it.
    """
    from coreseg_core.evaluation import asks_of, read_manifest, spread

    if chosen.questions is None:
        rows = read_manifest(chosen.manifest)
    else:
        rows = read_manifest(chosen.questions, root=chosen.manifest.parent)
    asks = asks_of(_selected(rows, chosen), seed=chosen.seed, negatives=not chosen.no_negatives)
    return asks if chosen.limit is None else spread(asks, pictures=chosen.limit)


def _selected(rows: Sequence[Row], chosen: argparse.Namespace) -> list[Row]:
    for option, wanted, known in (
        ("--split", [chosen.split] if chosen.split else [], {row.split for row in rows}),
        ("--subset", chosen.subset or [], {row.subset for row in rows}),
    ):
        if set(wanted) - known:
            raise InputError(
                f"{option} names what no row of the manifest has.",
                remedy=f"Choose among {', '.join(sorted(known))}.",
            )
    selected = [
        row
        for row in rows
        if chosen.split in (None, row.split) and (not chosen.subset or row.subset in chosen.subset)
    ]
    if not selected:
        raise InputError("No row has both this split and one of these sets.", remedy="Choose others.")
    return selected


def _run_json(chosen: argparse.Namespace, card: dict[str, str]) -> dict[str, Any]:
    """Return what the report rests on, so that it can be made again."""
    from coreseg_core.checkpoint import sha256_of

    questions = chosen.questions
    return {
        "model": card,
        "manifest_sha256": sha256_of(chosen.manifest) if questions is None else None,
        "questions_sha256": None if questions is None else sha256_of(questions),
        "split": chosen.split,
        "subsets": chosen.subset,
        "limit": chosen.limit,
        "negatives": not chosen.no_negatives,
        "reasoning": chosen.reasoning,
        "votes": chosen.votes,
        "seed": chosen.seed,
        "word_list": False,
    }
