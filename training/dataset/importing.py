"""`coreseg dataset import`: raw data sets in, one folder of pictures, masks and a manifest out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import write_manifest
from coreseg_core.evaluation.rows import Row
from training.dataset.cases import Case
from training.dataset.cut import Cut, Look, cut_case
from training.dataset.layouts import find_cases
from training.dataset.layouts.files import files_below
from training.dataset.left_out import LeftOut, counts, counts_text, write_left_out
from training.dataset.sources import Source
from training.dataset.splits import Divided, SplitPlan, divide
from training.dataset.steps import make_folder, table, write_report
from training.journal import LineJournal

MANIFEST = "imported.jsonl"
WORK = "imported"
Show = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Given:
    """A source and where it lies on this machine."""

    source: Source
    root: Path


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import gave."""

    manifest: Path
    rows: tuple[Row, ...]
    left_out: Mapping[str, int]


def import_sources(
    given: Sequence[Given], out: Path, *, plan: SplitPlan, long_side_px: int, progress: Show
) -> Imported:
    """Return the manifest of all sources after writing it with its pictures into `out`.

    Every case is kept in a journal as soon as its files are written: a stopped import goes on where it was, and ends
    with the same manifest. The sources are only read.

    Raises:
        InputError: A source is not there or not of its layout, or `out` lies in a source or cannot be written.
    """
    _require_apart(given, out)
    work = make_folder(out / WORK)
    journal = LineJournal(work / "cases.jsonl", what="list of imported cases")
    found = [(one, case) for one in given for case in find_cases(one.source, one.root)]
    rows: list[Row] = []
    fixed: dict[str, str] = {}
    looks: dict[str, Look] = {}
    left_out: list[LeftOut] = []
    for number, (one, case) in enumerate(found):
        progress(number, len(found))
        if isinstance(case, LeftOut):
            left_out.append(case)
            continue
        cut = _cut_once(case, one, out, journal, long_side_px=long_side_px)
        rows += cut.rows
        looks.update(cut.looks)
        left_out += cut.left_out
        if case.split is not None:
            fixed.update({row.id: case.split for row in cut.rows})
    progress(len(found), len(found))
    divided = divide(_unique(rows), fixed, looks, plan)
    left_out += divided.left_out
    write_left_out(work / "left_out.jsonl", left_out)
    if not divided.rows:
        raise InputError(
            f"Nothing could be imported; left out: {counts_text(counts(left_out))}.",
            remedy=f"The file {WORK}/left_out.jsonl in the output folder names each case.",
        )
    write_manifest(out / MANIFEST, divided.rows)
    _report(work, given, divided, left_out, cases=len(found), plan=plan)
    return Imported(manifest=out / MANIFEST, rows=divided.rows, left_out=counts(left_out))


def _require_apart(given: Sequence[Given], out: Path) -> None:
    names = Counter(one.source.name for one in given)
    if max(names.values(), default=0) > 1:
        raise InputError(
            "A source is given twice.", remedy="Give a second copy a YAML with a name of its own."
        )
    place = out.resolve()
    for one in given:
        root = one.root.resolve()
        if place.is_relative_to(root) or root.is_relative_to(place):
            raise InputError(
                "The output folder and a source's folder lie one in the other; sources are never written.",
                remedy="Choose an output folder elsewhere.",
            )


def _cut_once(case: Case, one: Given, out: Path, journal: LineJournal, *, long_side_px: int) -> Cut:
    key = _key(case, one, long_side_px)
    kept = journal.get(key)
    if kept is not None:
        cut = _cut_from_json(kept, case, folder=out)
        # An import with other options, or anyone, may have written other files under the same names since.
        if _written(cut, out) == kept["written"]:
            return cut
    cut = cut_case(case, one.source, out, long_side_px=long_side_px)
    journal.add({key: {**_cut_to_json(cut), "written": _written(cut, out)}})
    return cut


def _key(case: Case, one: Given, long_side_px: int) -> str:
    """Return what a case is found again by: it changes with the description, the options, its words and its files."""
    outlines = [
        (outline.labels, [_state(file, one.root) for file in outline.files]) for outline in case.outlines
    ]
    words = [sorted(facts.items()) for facts in (case.groups, case.facts)]
    own = (case.key, case.patient, case.split, case.slice, case.series_uid, words)
    told = (one.source.digest, long_side_px, own, _state(case.image, one.root), outlines)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def _state(path: Path, root: Path) -> list[tuple[str, int, int]]:
    """Return (place, bytes, time of change) of a file, or of every file in a folder and the folders in it."""
    files = [path / name for name in files_below(path)] if path.is_dir() else [path]
    states = []
    for file in files:
        place = file.relative_to(root).as_posix()
        try:
            stat = file.stat()
            states.append((place, stat.st_size, stat.st_mtime_ns))
        except OSError:
            states.append((place, 0, 0))
    return states


def _written(cut: Cut, out: Path) -> dict[str, str]:
    """Return the SHA-256 of the pictures and masks of a case by their place, "" for one that is missing."""
    places = {place for row in cut.rows for place in (row.image, row.mask) if place is not None}
    return {
        place: hashlib.sha256((out / place).read_bytes()).hexdigest() if (out / place).is_file() else ""
        for place in sorted(places)
    }


def _cut_to_json(cut: Cut) -> dict[str, Any]:
    """Return a cut as JSON values, without the case's place in the source."""
    return {
        "rows": [row.to_json() for row in cut.rows],
        "looks": [[image, asdict(look)] for image, look in cut.looks],
        "left_out": [[item.reason, item.detail] for item in cut.left_out],
    }


def _cut_from_json(values: Mapping[str, Any], case: Case, *, folder: Path) -> Cut:
    return Cut(
        rows=tuple(Row.from_json(row, folder=folder) for row in values["rows"]),
        looks=tuple((image, Look(**look)) for image, look in values["looks"]),
        left_out=tuple(
            LeftOut(what=case.key, reason=reason, detail=detail) for reason, detail in values["left_out"]
        ),
    )


def _unique(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows with ids that occur once: two labels of a source may share a target."""
    seen: Counter[str] = Counter()
    unique = []
    for row in rows:
        seen[row.id] += 1
        unique.append(row if seen[row.id] == 1 else replace(row, id=f"{row.id}-{seen[row.id]}"))
    return tuple(unique)


def _report(
    work: Path,
    given: Sequence[Given],
    divided: Divided,
    left_out: Sequence[LeftOut],
    *,
    cases: int,
    plan: SplitPlan,
) -> None:
    subsets = sorted({row.subset for row in divided.rows})
    lines = []
    for subset in subsets:
        mine = [row for row in divided.rows if row.subset == subset]
        free = sum(row.lesion_free for row in mine)
        parts = Counter(row.split for row in mine)
        patients = len({row.patient_key for row in mine})
        lines.append([subset, len(mine), free, patients, *(parts[part] for part in ("train", "val", "test"))])
    facts = {
        "sources": {one.source.name: one.source.digest for one in given},
        "cases": cases,
        "rows": len(divided.rows),
        "near_pairs_of_different_patients": divided.near_pairs,
        "left_out": counts(left_out),
        "plan": asdict(plan),
    }
    head = ["set", "rows", "lesion-free", "patients", "train", "val", "test"]
    left = table(["left out because", "number"], list(counts(left_out).items()))
    text = (
        f"{cases} cases gave {len(divided.rows)} rows. {divided.near_pairs} pairs of pictures of different patients "
        f"look alike; {'one of each was left out' if plan.drop_near else 'each was kept in one part'}.\n\n"
        f"{table(head, lines)}\n\n{left}"
    )
    write_report(work, "import", facts, text)
