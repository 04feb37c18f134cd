"""The U-Net's pictures: the random views of the language model's recipe, padded to a square."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Row
from training.augment import View, plain_view, random_view

BATCHES_AHEAD = 2


def batches(
    rows: Sequence[Row], *, batch_size: int, epoch: int, seed: int, side_px: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch as (n, 3, side, side) pictures in 0..1 and (n, 1, side, side) masks.

    What is drawn depends on seed, epoch and row alone, so that a resumed run sees what it would have seen.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(rows))
    count = batches_per_epoch(len(rows), batch_size)

    def draw(number: int) -> tuple[Tensor, Tensor]:
        chosen = order[number * batch_size : (number + 1) * batch_size]
        return _stacked([_random(rows[index], epoch, seed, side_px) for index in chosen], side_px)

    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead: deque[Future[tuple[Tensor, Tensor]]] = deque()
        for number in range(count):
            ahead.append(pool.submit(draw, number))
            if len(ahead) > BATCHES_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def batches_per_epoch(rows: int, batch_size: int) -> int:
    """Return the steps of an epoch; what does not fill a batch waits for the next one's order."""
    return max(1, rows // batch_size)


def square_pictures(
    rows: Sequence[Row], *, batch_size: int, side_px: int
) -> Iterator[tuple[Sequence[Row], Tensor, Tensor]]:
    """Yield rows with their pictures as they are, (n, 3, side, side), and masks (n, 1, side, side)."""
    for start in range(0, len(rows), batch_size):
        group = rows[start : start + batch_size]
        yield group, *_stacked([plain_view(*load_row(row), side_px=side_px) for row in group], side_px)


def square(rgb: Tensor, side_px: int) -> Tensor:
    """Return a picture (3, h, w) of 0..255 in 0..1, zero-padded right and below."""
    return F.pad(rgb / 255, (0, side_px - rgb.shape[-1], 0, side_px - rgb.shape[-2]))


def _random(row: Row, epoch: int, seed: int, side_px: int) -> View:
    rgb, mask = load_row(row)
    rng = np.random.default_rng([seed, epoch, *row.id.encode()])
    return random_view(rgb, mask, rng, modality=row.modality, side_px=side_px)


def _stacked(views: Sequence[View], side_px: int) -> tuple[Tensor, Tensor]:
    pictures = torch.stack([square(view.rgb, side_px) for view in views])
    masks = torch.stack(
        [
            F.pad(view.mask[None].float(), (0, side_px - view.mask.shape[1], 0, side_px - view.mask.shape[0]))
            for view in views
        ]
    )
    return pictures, masks
