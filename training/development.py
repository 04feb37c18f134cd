"""Scores on the dev part while training: teacher-forced, so that they cost seconds, not minutes.

Checkpoint and recipe are chosen by these; the figures that are reported come from `coreseg evaluate`, which decodes
freely.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch

from coreseg_core.evaluation.rows import Row
from coreseg_core.models.coreseg import CoreSegModel
from training.devices import on_device
from training.losses import mean_dice
from training.samples import collate, frame_size, write_dialogue
from training.views import ViewStore
from training.wording import Kind, subject_of

_BATCH = 12
_DECIDING_TOKENS = 4
"""The first tokens of an answer tell presence, absence and misfit apart."""


@torch.no_grad()
def development_scores(model: CoreSegModel, store: ViewStore, rows: Mapping[str, Row]) -> dict[str, float]:
    """Return mean Dice by subset, and by kind of question how often the answer starts as it should.

    Each picture is asked its own question and one other that cannot be answered with a mask.
    """
    was_training = model.training
    model.eval()
    asked = [(number, kind) for number in range(len(store)) for kind in _two_kinds(store, rows, number)]
    dices: dict[str, list[float]] = defaultdict(list)
    right: dict[str, list[float]] = defaultdict(list)
    for batch in _batches(store, asked):
        _score(model, store, rows, batch, dices, right)
    model.train(was_training)
    scores = {f"dice/{name}": sum(values) / len(values) for name, values in sorted(dices.items())}
    large = [scores[f"dice/{name}"] for name, values in dices.items() if len(values) >= 8]
    scores["dice/macro"] = sum(large) / max(1, len(large))
    return scores | {f"right/{name}": sum(values) / len(values) for name, values in sorted(right.items())}


def _batches(store: ViewStore, asked: list[tuple[int, Kind]]) -> Iterator[list[tuple[int, Kind]]]:
    """Yield what is asked in batches whose views have frames of one size."""
    for size in dict.fromkeys(store.frame_whs):
        alike = [(number, kind) for number, kind in asked if store.frame_whs[number] == size]
        for start in range(0, len(alike), _BATCH):
            yield alike[start : start + _BATCH]


def _two_kinds(store: ViewStore, rows: Mapping[str, Row], number: int) -> tuple[Kind, ...]:
    kinds = subject_of(rows[store.keys[number].row_id]).kinds
    own = [kind for kind in kinds if kind in ("present", "lesion_free")]
    others = [kind for kind in kinds if kind not in own]
    return (*own[:1], *others[number % len(others) :][:1]) if others else tuple(own[:1])


def _score(
    model: CoreSegModel,
    store: ViewStore,
    rows: Mapping[str, Row],
    asked: list[tuple[int, Kind]],
    dices: dict[str, list[float]],
    right: dict[str, list[float]],
) -> None:
    views = [store[number] for number, _ in asked]
    described = [rows[view.key.row_id] for view in views]
    dialogues = [
        write_dialogue(random.Random(number), row, view, model.preset.frame, kind=kind, mode="none")
        for (number, kind), row, view in zip(asked, described, views, strict=True)
    ]
    grid_hw = model.language.visual_tokens.grid_hw(frame_size(views[0], model.preset.frame))
    batch = collate(
        dialogues,
        views,
        [1.0] * len(views),
        tokenizer=model.language.tokenizer,
        grid_hw=grid_hw,
        side_px=model.segmenter.mask_side_px,
    )
    batch = on_device(batch, model.device)
    with torch.autocast(batch.masks.device.type, torch.bfloat16):
        output = model(batch.teacher)
    found = mean_dice(output.mask_logits, batch.masks[output.with_mask])
    for number, value in zip(output.with_mask.tolist(), found.tolist(), strict=True):
        dices[described[number].subset].append(value)
    for number, (_, kind) in enumerate(asked):
        losses = output.token_losses[number]
        first = int((losses > 0).nonzero()[0])
        # A token of probability over one half is the greedy choice.
        likely = losses[first : first + _DECIDING_TOKENS] < 0.693
        right[kind].append(float(likely.all()))
