"""A manifest of ours as a source: rows keep their words, licence, patient and split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import Volume
from training.dataset.cases import Case, Outline, Parts, label_maps
from training.dataset.left_out import LeftOut
from training.dataset.sources import ANY, Label, Source

_KEPT = (
    "subset", "modality", "anatomy", "source", "cite", "licence", "redistributable", "weights", "domain", "origin",
    "weight", "pixel_mm",
)  # fmt: skip


def manifest_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each row of the manifest that `annotations` names, `manifest.jsonl` without it.

    Rows that differ in nothing but what they outline of one target in one picture are one case.

    Raises:
        InputError: It cannot be read, or a path in it leaves the folder.
    """
    together: dict[tuple[Any, ...], list[Row]] = {}
    for row in read_manifest(root / (source.annotations or "manifest.jsonl"), root=root):
        same = (row.picture, row.target, row.patient_key, row.split, *_facts(row).items())
        together.setdefault(same, []).append(row)
    for rows in together.values():
        first = rows[0]
        yield Case(
            key=first.id,
            image=first.image_path,
            outlines=tuple(_outline(row) for row in rows),
            patient=first.patient_key,
            split=source.split or first.split,
            slice=first.slice,
            facts=_facts(first),
            lesion_free=all(row.lesion_free for row in rows),
        )


def _facts(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _KEPT if getattr(row, name) is not None}


def _outline(row: Row) -> Outline:
    label = Label(value=ANY, target=_literal(row.target), disease=_literal(row.disease))
    if row.lesion_free or row.mask_path is None:
        return Outline(labels=(label,), read=_nothing)
    files = (row.mask_path,)
    return Outline(labels=(label,), read=label_maps(files, threshold=None), files=files)


def _literal(words: str) -> str:
    """Return words that stay as they are when they are read as a template."""
    return words.replace("{", "{{").replace("}", "}}")


def _nothing(_: Volume) -> Parts:
    return {}
