"""BIDS data sets whose masks lie under `derivatives`, found by the entities in their names."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from training.dataset.cases import Case, Outline, Unfit, inside, label_maps
from training.dataset.layouts.files import files_below, matched, patient_of, split_of
from training.dataset.left_out import LeftOut
from training.dataset.sources import Source

_ENTITY = re.compile(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9]+)")
# Entities that say how a mask was made, not what it was drawn on.
_OF_THE_MASK = frozenset(["desc", "label", "space", "res", "seg", "atlas"])


def bids_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each file outside `derivatives` that the pattern `image` fits.

    A mask under `derivatives`, named as `mask` says (such as "*_msk.nii.gz"), belongs to it where subject and session
    agree and no other entity that both names have differs.
    """
    masks: dict[str, list[str]] = defaultdict(list)
    images: list[tuple[str, dict[str, str]]] = []
    for key in files_below(root):
        name = key.rpartition("/")[2]
        if key.startswith("derivatives/"):
            if fnmatch.fnmatchcase(name, source.mask or "*_mask.nii.gz"):
                masks[_entities(name).get("sub", "")].append(key)
            continue
        groups = matched(source.image, key)
        if groups is not None:
            images.append((key, groups))
    for key, groups in images:
        yield _case(source, root, key, groups, masks)


def _case(
    source: Source, root: Path, key: str, groups: Mapping[str, str], masks: Mapping[str, list[str]]
) -> Case | LeftOut:
    own = _entities(key.rpartition("/")[2])
    subject = own.get("sub", "")
    try:
        mine = [name for name in masks.get(subject, ()) if _agree(own, _entities(name.rpartition("/")[2]))]
        files = tuple(inside(root, root / name) for name in mine)
        if not files and source.empty == "leave_out":
            raise Unfit("missing mask")
        outline = Outline(
            labels=source.labels, read=label_maps(files, threshold=source.threshold), files=files
        )
        return Case(
            key=key,
            image=inside(root, root / key),
            outlines=(outline,) if files else (),
            patient=patient_of(source, key, groups) if source.patient else subject,
            groups=groups,
            split=split_of(source, key),
        )
    except Unfit as error:
        return LeftOut(what=key, reason=error.why, detail=error.detail)


def _entities(name: str) -> dict[str, str]:
    return dict(_ENTITY.findall(name))


def _agree(image: Mapping[str, str], mask: Mapping[str, str]) -> bool:
    if image.get("ses") != mask.get("ses"):
        return False
    shared = (image.keys() & mask.keys()) - _OF_THE_MASK
    return all(image[entity] == mask[entity] for entity in shared)
