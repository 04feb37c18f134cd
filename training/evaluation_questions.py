"""The questions a model is evaluated with: generated wording for every row, handwritten wording over a few.

    python -m training.evaluation_questions MANIFEST --split val --seed 0 --out questions.jsonl

writes a `coreseg.manifest/1` whose rows carry `query` and `probe`, about pictures that have no near duplicate
among those learned from. Paths in it stay relative to MANIFEST's
folder: read it with that folder as root. The same seed writes the same file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from coreseg_core.answer import compose_absent, compose_mismatch
from coreseg_core.cli.exits import exit_code
from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import target_of
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Kind, Probe, Row
from training.dataset.cut import Look
from training.dataset.duplicates import near_pairs
from training.parts import part_of
from training.wording import catalogue
from training.wording.catalogue import subject_of
from training.wording.questions import Question, write_question

HANDWRITTEN_SCHEMA = "coreseg.handwritten-questions/1"
PICTURES_PER_HANDWRITTEN = 8


def generated_questions(rows: Iterable[Row], *, seed: int, wordings: int = 1) -> tuple[Row, ...]:
    """Return one row a picture and kind of question that fits it, worded as in training.

    Args:
        rows: Pictures.
        seed: Of the wordings.
        wordings: How often a picture is asked for its lesion, in other words each time.
    """
    return tuple(
        question
        for row in rows
        for kind in subject_of(row).kinds
        for question in _wordings(row, kind, seed=seed, count=wordings if kind == "present" else 1)
    )


def handwritten_questions(
    written: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    *,
    seed: int,
    pictures: int = PICTURES_PER_HANDWRITTEN,
) -> tuple[Row, ...]:
    """Return each handwritten question asked of a few pictures with a lesion, from the sets it fits.

    Args:
        written: Entries of the file of handwritten questions.
        rows: Pictures to choose from.
        seed: Chooses the pictures.
        pictures: How many at most for one question.
    """
    asked: list[Row] = []
    for entry in written:
        subsets = entry["applies_to"]["subset"]
        fitting = [row for row in rows if row.subset in subsets and not row.lesion_free]
        chosen = random.Random(f"{seed}/{entry['id']}").sample(fitting, min(pictures, len(fitting)))
        asked += [
            replace(
                row,
                id=f"{row.id}#{entry['id']}",
                query=entry["question"],
                probe=Probe(_handwritten_kind(entry, row), "handwritten"),
            )
            for row in chosen
        ]
    return tuple(asked)


def without_twins(rows: Sequence[Row], learned: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows whose picture has no near duplicate among those that are learned from.

    Some public sets hold the same scan twice under two patients' names; a model is not to be measured on what
    it has learned. Only pictures of one modality are compared.
    """
    ours = {str(row.picture) for row in rows}
    twins: set[str] = set()
    for modality in sorted({row.modality for row in rows}):
        shown = {str(row.picture): row for row in (*rows, *learned) if row.modality == modality}
        reading = tqdm(shown.items(), desc=f"looking for twins, {modality}", leave=False)
        looks = {picture: Look.of(load_row(replace(row, mask=None))[0]) for picture, row in reading}
        for pair in near_pairs(looks):
            if len(own := ours.intersection(pair)) == 1:
                twins |= own
    return tuple(row for row in rows if str(row.picture) not in twins)


def read_handwritten(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a file of handwritten questions.

    Raises:
        InputError: It cannot be read or is of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError("The handwritten questions cannot be read.", remedy="Give a JSON file.") from error
    if not isinstance(content, dict) or content.get("schema") != HANDWRITTEN_SCHEMA:
        raise InputError(
            "The handwritten questions are of another schema.", remedy=f"Use {HANDWRITTEN_SCHEMA}."
        )
    entries: list[dict[str, Any]] = content["questions"]
    return entries


def _wordings(row: Row, kind: catalogue.Kind, *, seed: int, count: int) -> list[Row]:
    """Return different wordings of one question, fewer where no more are found in as many tries again."""
    found: dict[str, Row] = {}
    for number in range(2 * count - 1):
        made = _generated(row, kind, seed=seed, number=number)
        if len(found) < count:
            found.setdefault(made.query or "", made)
    return list(found.values())


def _generated(row: Row, kind: catalogue.Kind, *, seed: int, number: int = 0) -> Row:
    # The first wording is the only one of a file without rewordings.
    again = f"/{number}" if number else ""
    question = write_question(random.Random(f"{seed}/{row.id}/{kind}{again}"), row, kind)
    return replace(
        row,
        id=f"{row.id}#{kind}{again}",
        query=question.text,
        answer=_denial(question, row),
        probe=Probe(kind, "generated"),
    )


def _denial(question: Question, row: Row) -> str | None:
    """Return the right answer where it holds no boxes, None where it does."""
    if question.expect == "absent":
        return compose_absent(question.class_name)
    if question.expect == "mismatch":
        return compose_mismatch(row.modality, row.anatomy)
    return None


def _handwritten_kind(entry: Mapping[str, Any], row: Row) -> Kind:
    """Return what the question tests; a mismatch about the picture's own class is one of modality."""
    own = target_of(row)
    of_own_class = own is not None and own.name == entry["class"]
    kinds: dict[str, Kind] = {
        "present": "present",
        "absent": "wrong_disease",
        "mismatch": "wrong_modality" if of_own_class else "wrong_organ",
        "unsupported": "untrained",
    }
    return kinds[entry["expect"]]


def main(argv: Sequence[str] | None = None) -> None:
    """Write the questions of a manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument(
        "--split", choices=["train", "dev", "val"], default="val", help="dev is cut from train"
    )
    parser.add_argument(
        "--weights",
        choices=["yes", "all"],
        default="yes",
        help="yes: sets of the shipped weights; all: those kept out of training as well, marked `ood`",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wordings", type=int, default=1, help="of each question for a lesion that is there")
    parser.add_argument("--handwritten", type=Path, help="JSON file of handwritten questions, asked too")
    parser.add_argument(
        "--pictures", type=int, default=PICTURES_PER_HANDWRITTEN, help="for a handwritten question"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    every = read_manifest(arguments.manifest)
    learned = [row for row in every if row.weights != "no"]
    if arguments.weights == "yes":
        usable = [row for row in every if row.weights == "yes"]
    else:
        usable = [replace(row, domain="ood") if row.weights == "no" else row for row in every]
    chosen = [row for row in usable if part_of(row) == arguments.split]
    # Dev is cut from what is learned from in the end, so that only train can hold a twin of it.
    others = {"train": (), "dev": ("train",), "val": ("train", "dev")}[arguments.split]
    rows = without_twins(chosen, [row for row in learned if part_of(row) in others])
    asked = generated_questions(rows, seed=arguments.seed, wordings=arguments.wordings)
    if arguments.handwritten is not None:
        written = read_handwritten(arguments.handwritten)
        asked += handwritten_questions(written, rows, seed=arguments.seed, pictures=arguments.pictures)
    write_manifest(arguments.out, asked)
    print(
        f"{len(asked)} questions about {len(rows)} pictures -> {arguments.out}; "
        f"{len(chosen) - len(rows)} pictures were left out, for they have a near duplicate that is learned from"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main)())
