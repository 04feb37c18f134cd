"""A U-Net fine-tuned on the very slices that were corrected: what plain segmentation makes of so few."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from coreseg_core.evaluation import metrics
from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from training.baselines.unet import UNetConfig, build_unet, dice_bce
from training.baselines.unet_method import UNetMethod, read_unet
from training.baselines.unet_pictures import batches


def fine_tuned(
    rows: Sequence[Row], *, start: Path | None, minutes: float, seed: int, rate: float = 3e-4
) -> UNetMethod:
    """Return a U-Net after so many minutes on some rows.

    Args:
        rows: What it learns.
        start: Folder of a U-Net that `training.baselines.unet` trained on base data; None for a new one.
        minutes: Wall time.
        seed: Of weights and draws.
        rate: Learning rate of AdamW.
    """
    torch.manual_seed(seed)
    config = UNetConfig()
    method = UNetMethod(net=build_unet(config), side_px=config.side_px) if start is None else read_unet(start)
    net = method.net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay)
    ends, epoch = time.monotonic() + minutes * 60, 0
    while time.monotonic() < ends:
        for pictures, truths in batches(
            rows, batch_size=config.batch_size, epoch=epoch, seed=seed, side_px=method.side_px
        ):
            logits = net(pictures.to(memory_format=torch.channels_last))
            optimizer.zero_grad(set_to_none=True)
            dice_bce(logits, truths).backward()
            optimizer.step()
        epoch += 1
    net.eval()
    return method


def mean_dice(method: UNetMethod, rows: Sequence[Row]) -> float:
    """Return the mean Dice of a U-Net over pictures with a lesion."""
    found = []
    for row in rows:
        picture = load_picture(row)
        if picture.mask.any():
            found.append(metrics.dice(method.mask(picture, row), picture.mask))
    return float(np.mean(found)) if found else float("nan")
