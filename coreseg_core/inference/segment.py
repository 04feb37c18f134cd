"""The story of a question, slice by slice: volume -> slices -> findings -> label volume and record."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from coreseg_core.errors import InputError, ModelError
from coreseg_core.imaging import SliceImage, Volume, extract_slice
from coreseg_core.imaging.pictures import picture_slice
from coreseg_core.inference.answering import CACHE_BYTES, Answering
from coreseg_core.inference.fitting import Refusal, refusal
from coreseg_core.inference.journal import KeptFindings
from coreseg_core.inference.lesions import separate_lesions
from coreseg_core.inference.neighbours import agreed, stacked
from coreseg_core.models.allocator import keep_freed_memory, ran_out_of_memory
from coreseg_core.models.load import load_model
from coreseg_core.models.preset import Preset
from coreseg_core.prompts import clean_query
from coreseg_core.record import (
    FindingRecord,
    Outcome,
    Query,
    ReaderPrompts,
    ReasoningMode,
    Scope,
    SliceFinding,
)
from coreseg_core.taught import Taught
from coreseg_core.terms import ct_region

SLICES_AT_ONCE = 4
QUESTIONS_AT_ONCE = 8
Device = Literal["auto", "cpu", "cuda"]
FindingSink = Callable[[SliceFinding], None]
SliceTokenSink = Callable[[int, str], None]


class SliceSegmenter:
    """Answers questions about volumes and pictures with one loaded model.

    Args:
        answering: The model and its caches.
        model_card: Preset, version and SHA-256, written into every record.
        check_words: Refuse what the words or the header rule out before the model is asked (`fitting`).
        taught: What it learned from corrections, and is not refused on that account.
    """

    def __init__(
        self,
        answering: Answering,
        *,
        model_card: Mapping[str, str],
        check_words: bool = True,
        taught: Taught | None = None,
    ) -> None:
        self._answering = answering
        self.model_card = dict(model_card)
        self._check_words = check_words
        self._taught = taught

    @classmethod
    def from_preset(
        cls,
        preset: str | Preset,
        *,
        weights: Path | None = None,
        base: Path | str | None = None,
        device: Device = "auto",
        check_words: bool = True,
        cache_bytes: int = CACHE_BYTES,
    ) -> SliceSegmenter:
        """Return a segmenter of a preset.

        Args:
            preset: `lite`, `core-seg-3b`, or a preset of one's own.
            weights: A weight folder; the one that ships by default.
            base: Folder or hub id of the published weights that the preset stands on; see `load_model`.
            device: `auto` takes a GPU if there is one.
            check_words: See the class.
            cache_bytes: See `Answering`.

        Raises:
            InputError: There is no such preset.
            CheckpointError: A weight file is missing or altered.
        """
        keep_freed_memory()
        chosen = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
        loaded = load_model(preset, weights=weights, base=base, device=chosen)
        answering = Answering(
            loaded.model,
            fingerprint=loaded.sha256,
            scalings=loaded.scalings,
            published=loaded.published,
            cache_bytes=cache_bytes,
        )
        card = {"preset": loaded.model.preset.name, "version": loaded.version, "sha256": loaded.sha256}
        return cls(answering, model_card=card, check_words=check_words, taught=loaded.taught)

    @property
    def answering(self) -> Answering:
        """The model with its caches and operation counts."""
        return self._answering

    def segment(
        self,
        volume: Volume,
        query: Query,
        scope: Scope,
        *,
        on_token: SliceTokenSink | None = None,
        should_stop: Callable[[], bool] | None = None,
        kept: KeptFindings | None = None,
    ) -> Iterator[SliceFinding]:
        """Yield the finding of each slice of the scope, in order.

        Args:
            volume: What is looked at.
            query: What is asked.
            scope: Which slices.
            on_token: Called with (slice number, new text) as replies grow.
            should_stop: Asked before every encode and every step.
            kept: Findings of this very question, image and model; what it holds is not looked at again.

        Raises:
            InputError: A slice that does not exist, or an empty question.
            Cancelled: If `should_stop` said so.
        """
        clean_query(query.text)
        _assert_inside(scope, volume)
        refused = self._refusal(query, volume.modality)
        region = self._ct_region(query)
        for part in parts_of(scope):
            found = None if kept is None else kept.find(part.indices)
            if found is None:
                images = [
                    extract_slice(volume, part.axis, index, region=region, channels=self._channels)
                    for index in part.indices
                ]
                if refused is not None and not _pointed_at(query, refused):
                    found = tuple(_refused(image, refused) for image in images)
                else:
                    found = self._findings(images, query, on_token=on_token, should_stop=should_stop)
                    found = tuple(_doubted(finding, refused) for finding in found)
                if kept is not None:
                    kept.add(found)
            yield from found

    def answer(
        self,
        volume: Volume,
        query: Query,
        scope: Scope,
        *,
        image_id: str,
        on_finding: FindingSink | None = None,
        on_token: SliceTokenSink | None = None,
        should_stop: Callable[[], bool] | None = None,
        kept: KeptFindings | None = None,
    ) -> tuple[FindingRecord, NDArray[np.uint8]]:
        """Return the record of a question and its label volume (i, j, k), one value a lesion; see `segment`.

        `on_finding` hears of each slice when it is answered, and again of those of which the neighbouring slices leave
        less (`neighbours`).
        """
        found = []
        asked = self.segment(volume, query, scope, on_token=on_token, should_stop=should_stop, kept=kept)
        for finding in asked:
            found.append(finding)
            if on_finding is not None:
                on_finding(finding)
        # Where the reader points, every slice counts as it is.
        findings = agreed(found, volume.geometry) if query.prompts.empty else tuple(found)
        if on_finding is not None:
            for first, finding in zip(found, findings, strict=True):
                if finding is not first:
                    on_finding(finding)
        mask = stacked(findings, volume.geometry)
        confidence = {finding.index: finding.confidence for finding in findings}
        labels, lesions = separate_lesions(mask, volume.geometry, axis=scope.axis, confidence=confidence)
        record = FindingRecord(
            id=uuid.uuid4().hex[:16],
            image_id=image_id,
            series_uid=volume.series_uid,
            query=query.text,
            scope=scope,
            model=self.model_card,
            outcome=overall_outcome([finding.outcome for finding in findings]),
            slices=findings,
            lesions=lesions,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            marks=None if query.prompts.empty else _marks(query.prompts, volume, scope),
        )
        return record, labels

    def answer_picture(
        self,
        rgb: NDArray[np.uint8],
        questions: Sequence[Query],
        *,
        pixel_mm: tuple[float, float] = (1.0, 1.0),
    ) -> tuple[SliceFinding, ...]:
        """Return one finding for each question about a picture (h, w, 3), which is encoded once."""
        image = picture_slice(rgb, pixel_mm=pixel_mm)
        findings: dict[int, SliceFinding] = {}
        open_questions: dict[ReasoningMode, list[int]] = {}
        refused = [self._refusal(query, None) for query in questions]
        for number, (query, why) in enumerate(zip(questions, refused, strict=True)):
            if why is not None and not _pointed_at(query, why):
                findings[number] = _refused(image, why)
            else:
                open_questions.setdefault(query.reasoning, []).append(number)
        prepared = self._answering.prepare(image)
        for numbers in open_questions.values():
            for start in range(0, len(numbers), QUESTIONS_AT_ONCE):
                together = numbers[start : start + QUESTIONS_AT_ONCE]
                asked = [questions[number] for number in together]
                found = self._answering.answer([prepared] * len(asked), asked)
                findings.update(
                    (number, _doubted(finding, refused[number]))
                    for number, finding in zip(together, found, strict=True)
                )
        return tuple(findings[number] for number in range(len(questions)))

    @property
    def _channels(self) -> Literal["single", "three"]:
        return self._answering.model.preset.ct_channels

    def _ct_region(self, query: Query) -> str | None:
        return ct_region(query.text, among=self._answering.model.preset.ct_regions)

    def _refusal(self, query: Query, modality: str | None) -> Refusal | None:
        if not self._check_words:
            return None
        preset = self.model_card["preset"]
        return refusal(query.text, modality=modality, preset=preset, taught=self._taught)

    def _findings(
        self,
        images: Sequence[SliceImage],
        query: Query,
        *,
        on_token: SliceTokenSink | None,
        should_stop: Callable[[], bool] | None,
    ) -> tuple[SliceFinding, ...]:
        prepared = [self._answering.prepare(image) for image in images]

        def relay(row: int, text: str) -> None:
            if on_token is not None:
                on_token(images[row].index, text)

        try:
            return self._answering.answer(prepared, query, on_token=relay, should_stop=should_stop)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        # Only here, where the exception is gone and with it the tensors that it held.
        return self._one_by_one(images, query, on_token=on_token, should_stop=should_stop)

    def _one_by_one(
        self,
        images: Sequence[SliceImage],
        query: Query,
        *,
        on_token: SliceTokenSink | None,
        should_stop: Callable[[], bool] | None,
    ) -> tuple[SliceFinding, ...]:
        """Return the findings of slices that did not fit into memory together.

        Raises:
            ModelError: One alone does not fit either.
        """
        for cache in self._answering.caches.values():
            cache.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(images) == 1:
            raise ModelError(
                "The device's memory is too small for one slice beside what else it holds.",
                remedy="Ask again when other programs have freed it, or choose the device cpu.",
            )
        return tuple(
            finding
            for image in images
            for finding in self._findings([image], query, on_token=on_token, should_stop=should_stop)
        )


def parts_of(scope: Scope) -> tuple[Scope, ...]:
    """Return the slices of a scope in the groups that are answered together."""
    return tuple(
        Scope(scope.axis, start, min(start + SLICES_AT_ONCE, scope.stop))
        for start in range(scope.start, scope.stop, SLICES_AT_ONCE)
    )


def overall_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a question over its slices: absence only if every slice says so."""
    for decisive in ("present", "error", "uncertain"):
        if decisive in outcomes:
            return decisive
    kinds = set(outcomes)
    return kinds.pop() if len(kinds) == 1 else "uncertain"


def _marks(prompts: ReaderPrompts, volume: Volume, scope: Scope) -> dict[str, list[list[float]]]:
    """Return clicks and boxes as a record has them, in voxels."""
    image = extract_slice(volume, scope.axis, scope.start)
    points = np.asarray(prompts.points_xy_px, dtype=np.float64).reshape(-1, 2)
    clicks = list(zip(image.points_to_voxels(points).round(3).tolist(), prompts.points_inside, strict=True))
    boxes = []
    for x0, y0, x1, y1 in prompts.boxes_xyxy_px:
        corners = np.rint(image.points_to_voxels([[x0, y0], [x1 - 1, y1 - 1]])).astype(int)
        boxes.append([*corners.min(axis=0).tolist(), *(corners.max(axis=0) + 1).tolist()])
    return {
        "inside_ijk": [click for click, inside in clicks if inside],
        "outside_ijk": [click for click, inside in clicks if not inside],
        "boxes_ijk": boxes,
    }


def _pointed_at(query: Query, refused: Refusal) -> bool:
    """Return whether a reader points at what the model was never trained for, and so wants it outlined all the same."""
    return refused.outcome == "unsupported" and not query.prompts.empty


def _doubted(finding: SliceFinding, refused: Refusal | None) -> SliceFinding:
    """Return a finding that says, where there is a reason, why its words are worth nothing."""
    if refused is None:
        return finding
    told = f"{refused.reason} Trust the marks, not the words. {finding.reason}"
    return replace(finding, reason=told.strip())


def _refused(image: SliceImage, refused: Refusal) -> SliceFinding:
    return SliceFinding(
        axis=image.axis,
        index=image.index,
        outcome=refused.outcome,
        mask=np.zeros((image.height, image.width), dtype=bool),
        confidence=1.0,
        confidence_kind="rule",
        reason=refused.reason,
    )


def _assert_inside(scope: Scope, volume: Volume) -> None:
    if scope.axis not in (0, 1, 2):
        raise InputError(f"axis {scope.axis} does not exist.", remedy="Use 0, 1 or 2 (i, j or k).")
    count = volume.geometry.shape_ijk[scope.axis]
    if not 0 <= scope.start < scope.stop <= count:
        raise InputError(
            f"slices {scope.start} to {scope.stop - 1} do not exist: axis {'ijk'[scope.axis]} has {count} slices.",
            remedy=f"Ask for slices 0 to {count - 1}.",
        )
