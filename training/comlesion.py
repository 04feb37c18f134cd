"""ComLesion-14K, or any set of its tuples (image, mask, query, reasoning, answer), as a manifest; and measured at once.

    python -m training.comlesion FOLDER                                     # FOLDER/manifest.jsonl
    python -m training.comlesion FOLDER evaluate --preset lite --out r.json # then `coreseg evaluate` on its test part

Read are tables of JSON lines or JSON lists, wherever they lie in the folder: `tuples.jsonl` and Hugging Face folders as
`coreseg dataset card` exports them, or others whose columns are named with `--field mask=seg_path`. What is said of a
row in no column is taken from its answer. The paper's figures are printed beside ours, and are comparable if this is
its test set.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreseg_core.answer import compose_present, parse
from coreseg_core.cli import main as coreseg
from coreseg_core.cli.exits import exit_code
from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import write_manifest
from coreseg_core.evaluation.rows import Row

PAPER_TEST_ROWS = 2421
MANIFEST_NAME = "manifest.jsonl"
EVALUATE = "evaluate"
SUBSET = "comlesion-14k"
UNKNOWN = "unknown"
FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "image": ("image", "file_name", "image_path", "img"),
    "mask": ("mask", "mask_file_name", "mask_path", "segmentation"),
    "query": ("query", "question", "instruction", "problem"),
    "reasoning": ("reasoning", "cot", "think", "rationale"),
    "answer": ("answer", "response", "solution"),
    "target": ("target", "class_name", "class", "label"),
    "disease": ("disease",),
    "modality": ("modality",),
    "anatomy": ("anatomy", "organ"),
    "subset": ("subset", "dataset"),
    "split": ("split",),
    "licence": ("licence", "license"),
    "cite": ("cite",),
}
"""What a row is made of, and the names of columns that it is looked for in."""

_SPLITS = {"train": "train", "dev": "dev", "val": "val", "validation": "val", "test": "test"}
# The paper's words for modalities to those that questions and tables here use.
_MODALITIES = {
    "xray": "chest X-ray",
    "x-ray": "chest X-ray",
    "us": "ultrasound",
    "photo": "photograph",
    "dermoscopic": "dermoscopy",
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read.

    Attributes:
        rows: In the order of the tables.
        unreadable_answers: Rows whose answer is in no form of the grammar; they can be asked, but not learned.
    """

    rows: tuple[Row, ...]
    unreadable_answers: int


def read_tuples(folder: Path, *, fields: Mapping[str, str] | None = None) -> Reading:
    """Return the rows of a folder of tuples.

    Args:
        folder: Tables with images and masks below it; paths are relative to their table, or to the folder.
        fields: Names of columns, where they are none of the usual ones.

    Raises:
        InputError: There is no table, one cannot be read, or a row lacks its picture, mask or question.
    """
    named = {**FIELDS, **{name: (column,) for name, column in (fields or {}).items()}}
    rows, unreadable = [], 0
    for table in _tables(folder):
        for number, values in enumerate(_records(table), start=1):
            row = _row(values, named, table=table, folder=folder, number=number)
            unreadable += row.answer is None
            rows.append(row)
    if not rows:
        raise InputError(
            f"No table of tuples was found in {folder.name!r}.",
            remedy="Give a folder with .jsonl or .json tables; Parquet files are to be unpacked into such first.",
        )
    return Reading(rows=tuple(rows), unreadable_answers=unreadable)


def _tables(folder: Path) -> list[Path]:
    found = [path for ending in ("*.jsonl", "*.json") for path in folder.rglob(ending)]
    return sorted(path for path in found if path.name != MANIFEST_NAME and not path.name.startswith("."))


def _records(table: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table; a JSON file that holds no list of objects is none."""
    try:
        text = table.read_text(encoding="utf-8")
        whole = table.suffix == ".json"
        values = (
            json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"The table {table.name!r} cannot be read.", remedy="It is to hold JSON lines or a JSON list."
        ) from error
    if isinstance(values, list):
        yield from (value for value in values if isinstance(value, dict))


def _row(
    values: Mapping[str, Any], named: Mapping[str, tuple[str, ...]], *, table: Path, folder: Path, number: int
) -> Row:
    where = f"Row {number} of {table.name!r}"
    said = {name: _first(values, columns) for name, columns in named.items()}
    for name in ("image", "mask", "query"):
        if said[name] is None:
            raise InputError(
                f"{where} has no {name}; its columns are {', '.join(sorted(map(str, values))[:20])}.",
                remedy=f"Say which column it is: --field {name}=COLUMN.",
            )
    image, mask = (
        _inside(str(said[name]), table=table, folder=folder, where=where) for name in ("image", "mask")
    )
    parsed = parse(said["answer"] or "")
    answer = said["answer"] if parsed.well_formed else None
    if answer is None and parsed.class_name and parsed.boxes_xyxy_px:
        answer = compose_present(parsed.class_name, parsed.boxes_xyxy_px)
    target = said["target"] or parsed.class_name or said["disease"] or UNKNOWN
    modality = said["modality"] or UNKNOWN
    split = said["split"] or _split_of(table, folder)
    if split not in _SPLITS:
        raise InputError(
            f"{where} is of the split {split[:40]!r}.", remedy=f"Use one of {', '.join(_SPLITS)}."
        )
    return Row(
        id=said["id"] or f"{image}#{number}",
        image=image,
        mask=mask,
        split=_SPLITS[split],
        subset=said["subset"] or SUBSET,
        modality=_MODALITIES.get(modality.lower(), modality),
        anatomy=said["anatomy"] or UNKNOWN,
        disease=said["disease"] or target,
        target=target,
        licence=said["licence"],
        cite=said["cite"],
        query=said["query"],
        reasoning=_plain(said["reasoning"]) or parsed.reasoning or None,
        answer=answer,
        folder=folder,
    )


def _first(values: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    found = next((values[column] for column in columns if values.get(column) not in (None, "")), None)
    return None if found is None else str(found)


def _plain(reasoning: str | None) -> str:
    return (reasoning or "").replace("<think>", "").replace("</think>", "").strip()


def _split_of(table: Path, folder: Path) -> str:
    """Return the split that a table's name or folder says, `test` where neither does."""
    words = [table.stem, *(part.name for part in table.parents if part != folder and folder in part.parents)]
    return next((word.lower() for word in words if word.lower() in _SPLITS), "test")


def _inside(path: str, *, table: Path, folder: Path, where: str) -> str:
    """Return a path relative to the folder, of a file that is there."""
    for start in (table.parent, folder):
        found = start / path
        if found.is_file() and found.resolve().is_relative_to(folder.resolve()):
            return found.resolve().relative_to(folder.resolve()).as_posix()
    raise InputError(
        f"{where} names a file that is not in the folder.", remedy="Give the folder that holds all."
    )


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Write the manifest, and go on to `coreseg evaluate` if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m training.comlesion",
        usage="%(prog)s [-h] [--field NAME=COLUMN] FOLDER [evaluate ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--field", action="append", default=[], metavar="NAME=COLUMN", help=f"NAME is {', '.join(FIELDS)}"
    )
    given = list(sys.argv[1:] if argv is None else argv)
    # What stands behind `evaluate` is that command's own.
    reading, evaluate = _before_and_from(given, EVALUATE)
    arguments = parser.parse_args(reading)
    manifest = arguments.folder / MANIFEST_NAME
    read = read_tuples(arguments.folder, fields=_fields(arguments.field))
    write_manifest(manifest, read.rows)
    counts = Counter(row.split for row in read.rows)
    print(f"{len(read.rows)} rows -> {manifest}: {', '.join(f'{n} {name}' for name, n in counts.items())}")
    if read.unreadable_answers:
        print(
            f"{read.unreadable_answers} answers are in no form of the grammar: their rows are asked, not learned."
        )
    if counts["test"] != PAPER_TEST_ROWS:
        print(f"The paper's figures are of {PAPER_TEST_ROWS} test rows: they are not comparable with these.")
    if not evaluate:
        return 0
    asked = ["--split", "test", "--no-negatives", "--published", *evaluate[1:]]
    return coreseg([EVALUATE, str(manifest), *asked])


def _before_and_from(words: list[str], word: str) -> tuple[list[str], list[str]]:
    at = words.index(word) if word in words else len(words)
    return words[:at], words[at:]


def _fields(given: Sequence[str]) -> dict[str, str]:
    pairs = {name: column for name, _, column in (words.partition("=") for words in given)}
    odd = [name for name, column in pairs.items() if name not in FIELDS or not column]
    if odd:
        raise InputError(
            f"--field {odd[0][:40]} is not understood.",
            remedy=f"Write NAME=COLUMN, NAME of {', '.join(FIELDS)}.",
        )
    return pairs


if __name__ == "__main__":
    sys.exit(main())
