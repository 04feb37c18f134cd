"""Folders of the Medical Segmentation Decathlon and of nnU-Net: `dataset.json`, `imagesTr`, `labelsTr`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coreseg_core.errors import InputError
from training.dataset.cases import Case, Outline, Unfit, inside, label_maps
from training.dataset.layouts.files import matched, patient_of, split_of
from training.dataset.left_out import LeftOut
from training.dataset.sources import Source

_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png")


def decathlon_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each labelled image; images without labels (`imagesTs`) are passed over.

    Raises:
        InputError: There is no `dataset.json`, or it cannot be read.
    """
    for image, label in _pairs(source, root):
        groups = matched(source.image, image) or {} if source.image else {}
        try:
            image_path, label_path = inside(root, root / image), inside(root, root / label)
            if not label_path.is_file():
                raise Unfit("missing mask")
            files = (label_path,)
            yield Case(
                key=image,
                image=image_path,
                outlines=(
                    Outline(
                        labels=source.labels, read=label_maps(files, threshold=source.threshold), files=files
                    ),
                ),
                patient=patient_of(source, image, groups),
                groups=groups,
                split=split_of(source, image),
            )
        except Unfit as error:
            yield LeftOut(what=image, reason=error.why, detail=error.detail)


def _pairs(source: Source, root: Path) -> list[tuple[str, str]]:
    """Return (image, label) relative to the root."""
    training = _description(root).get("training")
    if isinstance(training, list):
        listed = [entry for entry in training if isinstance(entry, dict)]
        pairs = [(str(entry.get("image", "")), str(entry.get("label", ""))) for entry in listed]
        return [(_plain(image, source.channel, root), label.removeprefix("./")) for image, label in pairs]
    labels = sorted(path for path in (root / "labelsTr").glob("*") if path.name.endswith(_ENDINGS))
    pairs = []
    for path in labels:
        name = next(path.name.removesuffix(ending) for ending in _ENDINGS if path.name.endswith(ending))
        ending = path.name.removeprefix(name)
        pairs.append((f"imagesTr/{name}_{source.channel}{ending}", f"labelsTr/{path.name}"))
    return pairs


def _plain(image: str, channel: str, root: Path) -> str:
    """Return the image, or its file of the wanted channel where nnU-Net lists it without."""
    image = image.removeprefix("./")
    ending = next((ending for ending in _ENDINGS if image.endswith(ending)), "")
    of_channel = f"{image.removesuffix(ending)}_{channel}{ending}"
    return of_channel if not (root / image).exists() and (root / of_channel).exists() else image


def _description(root: Path) -> dict[str, Any]:
    try:
        values = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            "A folder of this layout has a file dataset.json, which is missing or cannot be read.",
            remedy="Give the folder that holds imagesTr and labelsTr.",
        ) from error
    if not isinstance(values, dict):
        raise InputError("dataset.json holds no object.", remedy="Unpack the data set again.")
    return values
