"""Images and masks in folders: a regular expression finds the images, templates find the masks of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from training.dataset.cases import Case, Outline, Unfit, inside, label_maps
from training.dataset.layouts.files import FileIndex, files_below, matched, patient_of, split_of
from training.dataset.left_out import LeftOut
from training.dataset.sources import Label, Source


def folder_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each file that the pattern `image` fits."""
    keys = files_below(root)
    index = FileIndex(keys)
    for key in keys:
        groups = matched(source.image, key)
        if groups is None:
            continue
        try:
            yield Case(
                key=key,
                image=inside(root, root / key),
                outlines=_outlines(source, root, index, groups),
                patient=patient_of(source, key, groups),
                groups=groups,
                split=split_of(source, key),
            )
        except Unfit as error:
            yield LeftOut(what=key, reason=error.why, detail=error.detail)


def _outlines(source: Source, root: Path, index: FileIndex, groups: Mapping[str, str]) -> tuple[Outline, ...]:
    """Return the outlines of an image; none where it has no mask and that means no lesion."""
    templates: dict[str, list[Label]] = {}
    for label in source.labels:
        templates.setdefault(label.mask or source.mask, []).append(label)
    outlines = []
    for template, labels in templates.items():
        files = tuple(inside(root, root / name) for name in index.named(template, groups))
        if files:
            read = label_maps(files, threshold=source.threshold)
            outlines.append(Outline(labels=tuple(labels), read=read, files=files))
    if not outlines and source.empty == "leave_out":
        raise Unfit("missing mask")
    return tuple(outlines)
