"""`coreseg dataset card`: what is in the set, under which licences, with pictures of it, and copies to pass on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import overlay_png
from coreseg_core.imaging.pictures import picture_slice
from training.dataset.exports import EXPORTS, ExportName
from training.dataset.steps import make_folder, table, write_report

PICTURES = 12
SPLITS = ("train", "dev", "val", "test")
Show = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class CardPlan:
    """What is written.

    Attributes:
        exports: Which copies to pass on.
        all_licences: Copy rows too whose licence does not plainly let them be passed on.
        name: Of the set, as a title.
    """

    exports: tuple[ExportName, ...] = ()
    all_licences: bool = False
    name: str = "ComLesion-style data set"


@dataclass(frozen=True, kw_only=True)
class Carded:
    """What was written: rows described, rows in each copy, rows held back for their licence."""

    rows: int
    exported: Mapping[str, int]
    held_back: int


def write_card(manifest: Path, out: Path, *, plan: CardPlan, progress: Show) -> Carded:
    """Return what was written into `out` about a manifest: report, pictures, copies.

    Raises:
        InputError: The manifest or a picture cannot be read, or `out` cannot be written or holds other files where a
            copy is to lie.
    """
    rows = read_manifest(manifest)
    make_folder(out)
    passed_on = [row for row in rows if plan.all_licences or row.redistributable == "yes"]
    total = len(passed_on) * len(plan.exports) + min(PICTURES, len(rows))
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    for number, row in enumerate(_examples(rows)):
        _draw(make_folder(out / "pictures") / f"{number:02d}.png", row)
        step()
    exported: dict[str, int] = {}
    for name in plan.exports:
        EXPORTS[name](passed_on, out / name, title=plan.name, step=step)
        exported[name] = len(passed_on)
    held_back = len(rows) - len(passed_on) if plan.exports else 0
    counted = counts_of(rows)
    facts = {**counted, "exports": exported, "held_back_for_their_licence": held_back}
    write_report(out, "card", facts, card_text(rows, counted, plan=plan, held_back=held_back))
    return Carded(rows=len(rows), exported=exported, held_back=held_back)


def counts_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how many rows there are in each part by modality, anatomy, disease and more, as JSON values."""
    fields = (
        "modality",
        "anatomy",
        "disease",
        "target",
        "subset",
        "licence",
        "redistributable",
        "weights",
        "domain",
    )
    parts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        parts[row.patient_key].add(row.split)
    counted: dict[str, Any] = {
        "rows": len(rows),
        "pictures": len({row.picture for row in rows}),
        "patients": len(parts),
        "patients_in_two_splits": sum(len(found) > 1 for found in parts.values()),
        "lesion_free": sum(row.lesion_free for row in rows),
        "with_reasoning": sum(bool(row.reasoning) for row in rows),
        "splits": dict(Counter(row.split for row in rows)),
    }
    for name in fields:
        by_word: dict[str, Counter[str]] = defaultdict(Counter)
        for row in rows:
            by_word[str(getattr(row, name) or "not said")][row.split] += 1
        ordered = sorted(by_word.items(), key=lambda item: (-item[1].total(), item[0]))
        counted[f"by_{name}"] = {word: dict(found) for word, found in ordered}
    counted["by_question"] = dict(
        sorted(Counter(row.probe.kind for row in rows if row.probe is not None).items())
    )
    return counted


def card_text(rows: Sequence[Row], counted: Mapping[str, Any], *, plan: CardPlan, held_back: int) -> str:
    """Return the card as Markdown."""
    shown = [split for split in SPLITS if split in counted["splits"]]
    parts = [
        f"{plan.name}: {counted['rows']} rows about {counted['pictures']} pictures of {counted['patients']} patients, "
        f"{counted['lesion_free']} rows without a lesion, {counted['with_reasoning']} with reasoning. Patients in two "
        f"splits: {counted['patients_in_two_splits']}.",
        table(["split", "rows"], [(split, counted["splits"][split]) for split in shown]),
    ]
    for name in ("modality", "anatomy", "disease"):
        found = counted[f"by_{name}"]
        lines = [
            [word, *(numbers.get(split, 0) for split in shown), sum(numbers.values())]
            for word, numbers in found.items()
        ]
        parts.append(f"## By {name}\n\n{table([name, *shown, 'all'], lines)}")
    parts.append(f"## Sources and licences\n\n{_licences(rows)}")
    if held_back:
        parts.append(
            f"{held_back} rows are not in the copies, because their licence does not plainly let them be passed on."
        )
    if counted["by_question"]:
        parts.append(f"## Questions\n\n{table(['question', 'rows'], list(counted['by_question'].items()))}")
    parts.append(
        "Made from the sources above by `coreseg dataset`; how is told in docs/dataset.md of CORE-Seg. Reasoning was "
        "written from measurements or by a language model, not by readers."
    )
    return "\n\n".join(parts)


def _licences(rows: Sequence[Row]) -> str:
    sources: dict[tuple[str, ...], int] = Counter(
        (
            row.subset,
            row.source or "",
            row.licence or "not said",
            row.redistributable or "unclear",
            row.weights or "no",
            row.cite or "",
        )
        for row in rows
    )
    lines = [[*source, number] for source, number in sorted(sources.items())]
    return table(["set", "source", "licence", "may be passed on", "weights may ship", "cite", "rows"], lines)


def _examples(rows: Sequence[Row]) -> list[Row]:
    """Return rows of as many kinds of picture as there is room for, those with a lesion first."""
    seen: dict[tuple[str, str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (row.lesion_free, row.id)):
        seen.setdefault((row.modality, row.anatomy, row.target), row)
    chosen = list(seen.values())[:PICTURES]
    names = {row.id for row in chosen}
    return [*chosen, *(row for row in rows if row.id not in names)][: min(PICTURES, len(rows))]


def _draw(path: Path, row: Row) -> None:
    picture = load_picture(row)
    words = [
        row.query or f"{row.modality} of {row.anatomy}: {row.target}",
        row.reasoning or "",
        row.answer or "",
    ]
    shown = picture_slice(picture.rgb, pixel_mm=picture.pixel_mm)
    overlay_png(path, shown, picture.mask, row.boxes_xyxy or (), [text for text in words if text])
