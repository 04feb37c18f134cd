"""From a case to pictures, masks and rows: slices cut and windowed by the very code that serves readers."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.answer import MAX_BOXES
from coreseg_core.claims import boxes
from coreseg_core.errors import CoreSegError, GeometryError, InputError
from coreseg_core.evaluation.files import cannot_write
from coreseg_core.evaluation.metrics import lesion_labels
from coreseg_core.evaluation.pictures import EVERY_REGION
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import MODALITIES, SliceImage, Volume, extract_slice, read_volume, resize_rgb
from training.dataset.cases import Case, Unfit, label_row_words, labelled, source_facts
from training.dataset.left_out import LeftOut
from training.dataset.slices import lesion_free_slices, lesion_slices
from training.dataset.sources import Label, Source
from training.png import png_bytes
from training.wording.catalogue import modality_words

IMAGES, MASKS = "images", "masks"
THUMB_PX = 24
_PICTURES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
_FAMILIES = {"MG": "XR", "OCT": "OT"}
"""Families of modality words that volumes know under another name."""

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What tells a picture apart from others: a hash of its pixels, and a small grey copy to compare by eye."""

    pixels_sha256: str
    thumb: str

    @classmethod
    def of(cls, rgb: Rgb) -> Look:
        """Return the look of a picture (h, w, 3)."""
        digest = hashlib.sha256(repr(rgb.shape).encode())
        digest.update(np.ascontiguousarray(rgb).data)
        small = resize_rgb(rgb, (THUMB_PX, THUMB_PX)).mean(axis=-1).astype(np.uint8)
        return cls(pixels_sha256=digest.hexdigest(), thumb=base64.b64encode(small.tobytes()).decode())

    def grey(self) -> NDArray[np.uint8]:
        """Return the small copy, (24, 24) uint8."""
        return np.frombuffer(base64.b64decode(self.thumb), dtype=np.uint8).reshape(THUMB_PX, THUMB_PX)


@dataclass(frozen=True)
class Finding:
    """What is outlined: the word that a question asks for, and the finer one."""

    target: str
    disease: str


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a case gave: rows, how their pictures look, and what was left out."""

    rows: tuple[Row, ...] = ()
    looks: tuple[tuple[str, Look], ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def cut_case(case: Case, source: Source, folder: Path, *, long_side_px: int) -> Cut:
    """Write the pictures and masks of a case into `folder` and return their rows; a fault leaves the case out.

    Args:
        long_side_px: Larger pictures are made smaller; smaller ones stay as they are (CORE-Seg, arXiv 2603.05911,
            caps pictures at 512 px).

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        volume = _read_image(case, source)
        masks = _read_masks(case, source, volume)
        shown = list(_shown(case, source, volume, masks))
    except Unfit as error:
        return Cut(left_out=(LeftOut(what=case.key, reason=error.why, detail=error.detail),))
    rows, looks = [], []
    for slice_image, outlined in shown:
        made, look = _write_slice(
            case, source, volume, slice_image, outlined, folder, long_side_px=long_side_px
        )
        rows += made
        looks.append((made[0].image, look))
    return Cut(rows=tuple(rows), looks=tuple(looks))


def case_name(case: Case, source: Source) -> str:
    """Return what the files of a case are called: no part of it is the patient's or the file's own name."""
    return hashlib.sha256(f"{source.name}/{case.key}".encode()).hexdigest()[:12]


def patient_name(case: Case, source: Source) -> str:
    """Return the patient under a name that does not show the source's own."""
    namespace = source.patient_namespace
    return f"{namespace}-{hashlib.sha256(f'{namespace}/{case.patient}'.encode()).hexdigest()[:12]}"


def _read_image(case: Case, source: Source) -> Volume:
    try:
        volume = read_volume(case.image, series_uid=case.series_uid)
    except CoreSegError as error:
        raise Unfit("broken image", error.reason) from error
    family = modality_words(str(case.facts.get("modality", source.modality))).group
    family = _FAMILIES.get(family, family)
    # NIfTI and pictures do not say what made them; the description does, and windows depend on it.
    return replace(volume, modality=family) if family in MODALITIES and not volume.colour else volume


def _read_masks(case: Case, source: Source, volume: Volume) -> dict[Label, Mask]:
    found: dict[Label, Mask] = {}
    for outline in case.outlines:
        try:
            parts = outline.read(volume)
        except GeometryError as error:
            raise Unfit("mask of another size", error.reason) from error
        except CoreSegError as error:
            raise Unfit("broken mask", error.reason) from error
        for label, mask in labelled(parts, outline.labels, source.ignore).items():
            found[label] = found[label] | mask if label in found else mask
    if not found and not case.lesion_free and source.empty != "lesion_free":
        raise Unfit("empty mask")
    return found


def _by_target(masks: Mapping[Label, Mask], groups: Mapping[str, str]) -> dict[Finding, Mask]:
    """Return masks, of a volume or of a slice, by what a question asks for: all that a target names is one mask.

    Half of it would be a wrong answer to whoever asks for the target. Its finer word is the target itself where
    labels of several finer words are joined.
    """
    joined: dict[str, Mask] = {}
    diseases: dict[str, set[str]] = {}
    for label, mask in masks.items():
        if mask.any():
            target, disease = label_row_words(label, groups)
            joined[target] = joined[target] | mask if target in joined else mask
            diseases.setdefault(target, set()).add(disease)
    return {
        Finding(target, next(iter(diseases[target])) if len(diseases[target]) == 1 else target): mask
        for target, mask in joined.items()
    }


def _shown(
    case: Case, source: Source, volume: Volume, masks: dict[Label, Mask]
) -> Iterator[tuple[SliceImage, dict[Finding, Mask]]]:
    """Yield each slice to show with the masks (h, w) on it, none for a lesion-free slice."""
    axis, indices = _chosen_slices(case, source, volume, masks)
    # Where the slice is given and not chosen, one without a small lesion's outline would pass for lesion-free.
    least = 1 if case.slice is not None or 1 in volume.geometry.shape_ijk else source.slices.min_px
    found = False
    for index in sorted(indices):
        planes = {label: np.take(mask, index, axis=axis) for label, mask in masks.items()}
        findings = {
            finding: plane
            for finding, plane in _by_target(planes, case.groups).items()
            if int(plane.sum()) >= least
        }
        if case.slice is not None and not findings and not case.lesion_free:
            raise Unfit("empty mask", "the mask outlines nothing on the slice that is named")
        anatomy = str(case.facts.get("anatomy", source.anatomy))
        words = " ".join([*(finding.target for finding in findings), anatomy])
        slice_image = _slice(volume, axis, index, words)
        found = True
        yield slice_image, {finding: slice_image.voxels_to_mask(plane) for finding, plane in findings.items()}
    if not found:
        raise Unfit("no slice worth showing", f"no slice with {least} px or more of a target")


def _chosen_slices(
    case: Case, source: Source, volume: Volume, masks: Mapping[Label, Mask]
) -> tuple[int, set[int]]:
    """Return (array axis, indices) of the slices to show."""
    choice, geometry = source.slices, volume.geometry
    if case.slice is not None:
        axis, index = case.slice.axis, case.slice.index
        count = geometry.shape_ijk[axis]
        if not 0 <= index < count:
            raise Unfit(
                "unreadable entry", f"slice {index} of an image with {count} along axis {'ijk'[axis]}"
            )
        return axis, {index}
    if 1 in geometry.shape_ijk:
        return 2 - geometry.shape_ijk[::-1].index(1), {0}
    axis = geometry.array_axis(choice.axis)
    lesions = _by_target(masks, case.groups).values()
    indices = {index for mask in lesions for index in lesion_slices(mask, axis, choice)}
    return axis, indices | set(lesion_free_slices(volume, lesions, axis, choice))


def _slice(volume: Volume, axis: int, index: int, words: str) -> SliceImage:
    try:
        return extract_slice(volume, axis, index, region=EVERY_REGION.region(words))
    except InputError as error:
        raise Unfit("broken image", error.reason) from error


def _write_slice(
    case: Case,
    source: Source,
    volume: Volume,
    shown: SliceImage,
    outlined: dict[Finding, Mask],
    folder: Path,
    *,
    long_side_px: int,
) -> tuple[list[Row], Look]:
    flat = 1 in volume.geometry.shape_ijk
    name = (
        case_name(case, source) if flat else f"{case_name(case, source)}_{'ijk'[shown.axis]}{shown.index:04d}"
    )
    subset = str(case.facts.get("subset", source.name))
    rgb, masks, scale = _capped(shown.rgb, outlined, long_side_px)
    verbatim = _picture_ending(case.image) if scale == 1.0 and volume.colour else None
    image = f"{IMAGES}/{_file_part(subset)}_{name}{verbatim or '.png'}"
    content = None if verbatim else png_bytes(rgb[..., 0] if _grey(rgb) else rgb)
    _put(folder / image, content, copied_from=case.image)
    base: dict[str, Any] = {
        **source_facts(source),
        **case.facts,
        "image": image,
        "patient": patient_name(case, source),
        "split": case.split or "train",
        "width": rgb.shape[1],
        "height": rgb.shape[0],
        "channels": 1 if _grey(rgb) else 3,
        "sha256": hashlib.sha256((folder / image).read_bytes()).hexdigest(),
        "folder": folder,
    }
    known_mm = shown.pixel_mm if shown.located else base.get("pixel_mm")
    if known_mm is not None:
        pair = known_mm if isinstance(known_mm, tuple) else (known_mm, known_mm)
        base["pixel_mm"] = tuple(round(step / scale, 4) for step in pair)
    rows = []
    for number, (finding, mask) in enumerate(masks.items()):
        place = f"{MASKS}/{_file_part(subset)}_{name}_{number}.png"
        _put(folder / place, png_bytes(mask))
        rows.append(
            Row(
                **base,
                id=f"{subset}_{name}_{_file_part(finding.target)}",
                mask=place,
                target=finding.target,
                disease=finding.disease,
                area_frac=round(float(mask.mean()), 6),
                n_components=lesion_labels(mask)[1],
                boxes_xyxy=boxes(mask, max_boxes=MAX_BOXES),
            )
        )
    if not rows:
        labels = [label for outline in case.outlines for label in outline.labels] or list(source.labels)
        target, _ = label_row_words(labels[0], case.groups)
        rows = [Row(**base, id=f"{subset}_{name}_none", target=target, disease="none", area_frac=0.0)]
    return rows, Look.of(rgb)


def _capped(
    rgb: Rgb, masks: dict[Finding, Mask], long_side_px: int
) -> tuple[Rgb, dict[Finding, Mask], float]:
    """Return picture and masks no larger than allowed, and by what they were scaled."""
    height, width = rgb.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    if scale == 1.0:
        return rgb, masks, scale
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = {finding: _smaller(mask, size_wh) for finding, mask in masks.items()}
    return resize_rgb(rgb, size_wh), smaller, scale


def _smaller(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    """Return a mask made smaller; a lesion that covers half of no pixel keeps those that hold most of it."""
    grey = np.repeat(mask[..., np.newaxis].astype(np.uint8) * np.uint8(255), 3, axis=-1)
    small: Mask = resize_rgb(grey, size_wh)[..., 0] >= 128
    if small.any():
        return small
    held = np.zeros(size_wh[::-1], dtype=np.int64)
    at = (
        places * now // before
        for places, now, before in zip(mask.nonzero(), held.shape, mask.shape, strict=True)
    )
    np.add.at(held, tuple(at), 1)
    return held >= max(1, int(held.max()))


def _picture_ending(path: Path) -> str | None:
    if path.is_dir():
        return None
    with path.open("rb") as file:
        start = file.read(4)
    return next((ending for magic, ending in _PICTURES.items() if start.startswith(magic)), None)


def _put(path: Path, content: bytes | None, *, copied_from: Path | None = None) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        if content is not None:
            partial.write_bytes(content)
        elif copied_from is not None:
            shutil.copyfile(copied_from, partial)
        partial.replace(path)
    except OSError as error:
        raise cannot_write("picture of the data set", error) from error


def _grey(rgb: Rgb) -> bool:
    return bool(np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 1], rgb[..., 2]))


def _file_part(words: str) -> str:
    """Return words as a part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in words.lower())
