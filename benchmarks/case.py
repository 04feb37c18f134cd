"""The slice and the questions that are measured, and the program's own way to a reply, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coreseg_core.imaging import SliceImage, Volume, VolumeGeometry, extract_slice
from coreseg_core.inference.decode import DecodeOptions, Reply, decode_replies
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import KeyValues
from coreseg_core.models.segmenter import SquareView
from coreseg_core.phantoms import make_study
from coreseg_core.record import Query, Scope
from coreseg_core.terms import ct_region


@dataclass(frozen=True, kw_only=True)
class Case:
    """One slice, a first question about it and a second one."""

    volume: Volume
    scope: Scope
    first: Query
    second: Query


def liver_case() -> Case:
    """Return the demonstration's CT of a liver, at the slice where its lesion is largest; reasoning is brief."""
    study = make_study("ct_abdomen", 2, lesions=1)
    i, j, k = study.label.shape
    geometry = VolumeGeometry((i, j, k), study.affine_ras)
    index = study.largest_lesion_slice
    return Case(
        volume=Volume(study.voxels, geometry, study.modality),
        scope=Scope(2, index, index + 1),
        first=Query("Is there a liver tumor on this slice?"),
        second=Query("Outline the liver tumor."),
    )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A slice on its way through the model.

    Attributes:
        square: (1, 3, side, side) input of the segmenter.
        view: The way back from the square.
        embedding: (1, C, H, W).
        prefix: Keys and values of system and picture.
    """

    square: Tensor
    view: SquareView
    embedding: Tensor
    prefix: KeyValues


def slice_image(model: CoreSegModel, volume: Volume, query: Query, scope: Scope) -> SliceImage:
    """Return the first slice of the scope, windowed as the program does for this question and preset."""
    preset = model.preset
    region = ct_region(query.text, among=preset.ct_regions)
    return extract_slice(volume, scope.axis, scope.start, region=region, channels=preset.ct_channels)


@torch.inference_mode()
def prepare(model: CoreSegModel, case: Case, query: Query) -> Prepared:
    """Return the slice encoded and laid before the language model."""
    image = slice_image(model, case.volume, query, case.scope)
    square, view = model.segmenter.prepare(image.rgb, pixel_mm=image.pixel_mm)
    batch = square[None].to(model.device)
    embedding = model.segmenter.encode(batch).float()
    return Prepared(square=batch, view=view, embedding=embedding, prefix=prefill(model, embedding))


def prefill(model: CoreSegModel, embedding: Tensor) -> KeyValues:
    """Return keys and values of system and picture of an embedding (1, C, H, W)."""
    language, grid = model.language, model.preset.visual_tokens.grid
    return language.prefill_pictures(language.visual(None, embedding), (grid, grid))


def options_of(model: CoreSegModel, query: Query) -> DecodeOptions:
    """Return how the program decodes the reply to a question."""
    return DecodeOptions(reasoning=query.reasoning, max_tokens=model.preset.max_answer_tokens)


def reply_to(model: CoreSegModel, prepared: Prepared, query: Query) -> Reply:
    """Return the program's reply to a question about a prepared slice."""
    return decode_replies(model.language, prepared.prefix, query.text, options_of(model, query))[0]
