"""Final labels and their records as rows of a manifest, with the pictures beside it.

What is learned from is copied as the model saw it, slice by slice, so that a run learns the same however long it takes
and whatever is submitted meanwhile. Names of images and patients become hashes with a secret of this place.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monailabel.interfaces.datastore import Datastore
from numpy.typing import NDArray

from coreseg_core.answer import compose_absent, compose_present
from coreseg_core.checkpoint import replace_file
from coreseg_core.claims import boxes
from coreseg_core.errors import CoreSegError, InputError
from coreseg_core.evaluation.corrections import CHANGED_WEIGHT
from coreseg_core.evaluation.manifest import write_manifest
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import (
    SliceImage,
    Volume,
    boxes_to_frame,
    extract_slice,
    frame_wh,
    read_label,
    read_volume,
)
from coreseg_core.imaging.png import png_bytes
from coreseg_core.limits import Limits
from coreseg_core.models.preset import Preset
from coreseg_core.terms import ct_region
from lib.learning.reading import FINAL, ReadSlice, read_slices, reading_of
from lib.learning.subject import Subject, subject_of

SUBSET = "corrections"


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What there is to learn from.

    Attributes:
        rows: In the manifest.
        images: How many images they are of.
        left_out: Reasons why images were left out, each with how many.
    """

    rows: tuple[Row, ...]
    images: int
    left_out: Counter[str]


def collect(store: Datastore, manifest: Path, *, preset: Preset, limits: Limits, secret: bytes) -> Collected:
    """Return what readers accepted or corrected, after writing it as a manifest with its pictures beside it.

    Args:
        store: Images, labels and records.
        manifest: Where to; its folder is made.
        preset: How the model is shown slices.
        limits: What may be read.
        secret: Of the hashes that stand for patients and images.

    Raises:
        InputError: There is nothing.
    """
    for part in ("images", "masks"):
        (manifest.parent / part).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    images = 0
    for image in sorted(store.get_labeled_images()):
        try:
            found = list(_rows_of_image(store, image, manifest.parent, preset, limits, secret))
        except _LeftOut as error:
            left_out[error.why] += 1
        except CoreSegError as error:
            left_out[f"it cannot be read ({error.code})"] += 1
        else:
            images += bool(found)
            rows += found
            if not found:
                left_out["its label says nothing about the slices that were asked about"] += 1
    if not rows:
        why = "; ".join(f"{count} x {reason}" for reason, count in left_out.most_common(3))
        raise InputError(
            f"There is nothing to learn from ({why or 'no image has a final label'}).",
            remedy="Ask questions about images and submit final labels of them.",
        )
    write_manifest(manifest, rows)
    return Collected(rows=tuple(rows), images=images, left_out=left_out)


def secret_of(folder: Path) -> bytes:
    """Return the secret of a folder, made on the first call."""
    path = folder / ".secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, secrets.token_hex(32).encode())
        path.chmod(0o600)
    return path.read_bytes()


class _LeftOut(Exception):
    """Why nothing is learned from an image."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _rows_of_image(
    store: Datastore, image: str, folder: Path, preset: Preset, limits: Limits, secret: bytes
) -> Iterator[Row]:
    reading = reading_of(store, image)
    if isinstance(reading, str):
        raise _LeftOut(reading)
    volume = read_volume(Path(store.get_image_uri(image)), limits=limits)
    subject = subject_of(reading.record, family=volume.modality, told=reading.text)
    if isinstance(subject, str):
        raise _LeftOut(subject)
    final = _outlined(store, image, FINAL, volume, limits)
    answered = None
    if reading.answered_tag is not None:
        answered = _outlined(store, image, reading.answered_tag, volume, limits)
    known = store.get_image_info(image).get("patient")
    patient = _hash(secret, "patient", str(known or volume.study_uid or image))
    query = str(reading.record["query"])
    region = ct_region(query, among=preset.ct_regions)
    for read in read_slices(reading, final, answered):
        shown = extract_slice(volume, reading.axis, read.index, region=region, channels=preset.ct_channels)
        mask = shown.voxels_to_mask(np.take(final, read.index, axis=reading.axis))
        name = _hash(secret, "slice", f"{image}/{reading.axis}/{read.index}/{query}")
        yield _row(folder, name, shown, mask, read, subject, patient=patient, query=query, preset=preset)


def _row(
    folder: Path,
    name: str,
    shown: SliceImage,
    mask: NDArray[np.bool_],
    read: ReadSlice,
    subject: Subject,
    *,
    patient: str,
    query: str,
    preset: Preset,
) -> Row:
    """Return the row of a slice, after writing its picture and mask."""
    height, width = mask.shape
    (folder / "images" / f"{name}.png").write_bytes(png_bytes(shown.rgb))
    if read.present:
        (folder / "masks" / f"{name}.png").write_bytes(png_bytes(mask))
    native = boxes(mask)
    frame = preset.frame
    target_wh = frame_wh(
        height,
        width,
        shown.pixel_mm,
        min_long_side_px=frame.min_long_side_px,
        max_long_side_px=frame.max_long_side_px,
    )
    answer = compose_absent(subject.target, read.reasoning)
    if read.present:
        in_frame = boxes_to_frame(native, (width, height), target_wh)
        answer = compose_present(subject.target, in_frame, read.reasoning)
    return Row(
        id=name,
        folder=folder,
        split="train",
        subset=SUBSET,
        image=f"images/{name}.png",
        mask=f"masks/{name}.png" if read.present else None,
        modality=subject.modality,
        anatomy=subject.anatomy,
        disease=subject.target if read.present else "none",
        target=subject.target,
        patient=patient,
        width=width,
        height=height,
        channels=3,
        area_frac=round(float(mask.mean()), 6),
        boxes_xyxy=native,
        pixel_mm=shown.pixel_mm,
        weights="no",
        query=query,
        reasoning=read.reasoning or None,
        answer=answer,
        weight=CHANGED_WEIGHT if read.changed else 1.0,
        origin="correction",
    )


def _outlined(store: Datastore, image: str, tag: str, volume: Volume, limits: Limits) -> NDArray[np.bool_]:
    return read_label(Path(store.get_label_uri(image, tag)), volume.geometry, limits=limits) > 0


def _hash(secret: bytes, kind: str, text: str) -> str:
    return hmac.new(secret, f"{kind}/{text}".encode(), hashlib.sha256).hexdigest()[:16]
