"""A MONAI U-Net on the same pictures: what plain segmentation makes of them, without a word of language.

    python -m training.baselines.unet --manifest MANIFEST [--manifest PHANTOMS] --out FOLDER

reads the rows whose weights may ship, lesion-free ones included, cuts the same dev part and draws the same
random views as the language model's recipe, and stops at the plateau of dev, not before `--min-minutes`. With
`--small-epochs` it begins on pictures of half the size, where an epoch takes a quarter of the time; dev is always
scored at full size. An interrupted run goes on at its last epoch. FOLDER holds `best.safetensors`,
`last.safetensors`, `log.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.rows import Row
from training.baselines.unet_pictures import batches, batches_per_epoch, square_pictures
from training.baselines.unet_state import (
    Learner,
    Progress,
    append_log,
    make_folder,
    read_state,
    write_best,
    write_state,
)
from training.parts import part_of

MIN_SET_POSITIVES = 5
"""Sets with fewer answerable dev pictures do not count for the choice of the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """How the U-Net is built and trained.

    Attributes:
        channels: Features of each level; every level halves the picture.
        head_channels: Features at full size, from which the mask is read.
        residual_units: Convolutions with a residual connection in each level.
        batch_size: Pictures a step.
        epochs: Rounds over the train part, at most; the learning rate falls as a cosine over them.
        small_epochs: How many of them, from the first on, see pictures of half the size.
        learning_rate: Of AdamW, after the first epoch's warm-up.
        average_decay: Of the running average of the weights, which is what is scored and kept; less at first.
        patience: Epochs without a better dev score that make a plateau.
        min_gain: By how much a score must be better to end a plateau.
        min_minutes: The plateau does not stop a run before; not less than the language model was given.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256, 512, 512)
    head_channels: int = 16
    residual_units: int = 2
    dropout: float = 0.0
    batch_size: int = 16
    epochs: int = 40
    small_epochs: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.995
    patience: int = 15
    min_gain: float = 0.002
    min_minutes: float = 0.0
    side_px: int = 256
    seed: int = 0

    def side_of(self, epoch: int) -> int:
        """Return the side in pixels of the pictures that an epoch, counted from 0, trains on."""
        return self.side_px // 2 if epoch < self.small_epochs else self.side_px


def build_unet(config: UNetConfig) -> nn.Module:
    """Return the residual U-Net: RGB (n, 3, 256, 256) in 0..1 to logits (n, 1, 256, 256).

    Batch norm and ReLU take half the time of MONAI's defaults on a processor, in channels-last bfloat16. The net
    ends in several features and a head of its own: MONAI's last level would squeeze everything through a single
    channel and a ReLU, from which it hardly learns.
    """
    net = UNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=config.head_channels,
        channels=config.channels,
        strides=(2,) * (len(config.channels) - 1),
        num_res_units=config.residual_units,
        act="RELU",
        norm="BATCH",
        dropout=config.dropout,
    )
    last = nn.Conv2d(config.head_channels, 1, 1)
    # Lesions are rare: to begin near that spares the first epochs.
    nn.init.constant_(last.bias, -2.0)
    head = nn.Sequential(nn.BatchNorm2d(config.head_channels), nn.ReLU(), last)
    return nn.Sequential(net, head).to(memory_format=torch.channels_last)


def dice_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Return Dice loss plus binary cross-entropy, both averaged over pictures (n, 1, h, w).

    The smoothing of one pixel lets an empty truth pull a drawn mask towards nothing.
    """
    drawn = logits.sigmoid().flatten(1)
    wanted = truth.flatten(1)
    overlap = (2 * (drawn * wanted).sum(1) + 1) / (drawn.sum(1) + wanted.sum(1) + 1)
    return (1 - overlap).mean() + F.binary_cross_entropy_with_logits(logits, truth)


def new_learner(config: UNetConfig, *, device: torch.device) -> Learner:
    """Return an untrained U-Net with its optimizer and the running average that is used afterwards."""
    torch.manual_seed(config.seed)
    net = build_unet(config).to(device)
    return Learner(
        net=net,
        average=AveragedModel(net, multi_avg_fn=_average_of(config.average_decay), use_buffers=True),
        optimizer=torch.optim.AdamW(
            net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        ),
    )


def _average_of(decay: float) -> Callable[[list[Tensor], list[Tensor], int | Tensor], None]:
    """Return the running average. It forgets its first steps sooner: a short run must not keep what it began with."""

    def update(averaged: list[Tensor], current: list[Tensor], steps: int | Tensor) -> None:
        warmed = min(decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(warmed)(averaged, current, steps)

    return update


def train(
    config: UNetConfig, train_rows: Sequence[Row], dev_rows: Sequence[Row], out: Path, *, device: torch.device
) -> Progress:
    """Train to the plateau, going on where an earlier run in `out` stopped, and return how far it got."""
    make_folder(out)
    learner = new_learner(config, device=device)
    progress = read_state(out, learner)
    while not _finished(progress, config):
        started = time.monotonic()
        loss = _train_epoch(learner, train_rows, config, epoch=progress.epoch, device=device)
        scores = dev_scores(learner.average, dev_rows, config, device=device)
        progress = progress.after_epoch(
            score=scores["macro_dice"],
            min_gain=config.min_gain,
            minutes=progress.minutes + (time.monotonic() - started) / 60,
        )
        if progress.best_epoch == progress.epoch:
            write_best(out, learner, {"config": asdict(config), "progress": asdict(progress), "dev": scores})
        write_state(out, learner, progress)
        _log(out, {**asdict(progress), "train_loss": round(loss, 5), **scores})
    return progress


def _finished(progress: Progress, config: UNetConfig) -> bool:
    if progress.epoch >= config.epochs:
        return True
    # Scored at full size, small epochs may stand still without having learned all they can.
    waited = progress.epoch - max(progress.plateau_epoch, config.small_epochs) >= config.patience
    # A net that draws nothing right yet has not begun to learn; that is no plateau.
    return waited and progress.best_score > 0 and progress.minutes >= config.min_minutes


def _train_epoch(
    learner: Learner, rows: Sequence[Row], config: UNetConfig, *, epoch: int, device: torch.device
) -> float:
    # Dropout after a resume must be what it would have been.
    torch.manual_seed(config.seed * 100_003 + epoch)
    learner.net.train()
    losses: list[float] = []
    steps = batches_per_epoch(len(rows), config.batch_size)
    side_px = config.side_of(epoch)
    drawn = batches(rows, batch_size=config.batch_size, epoch=epoch, seed=config.seed, side_px=side_px)
    for step, (pictures, truths) in enumerate(drawn):
        rate = config.learning_rate * rate_share(epoch + step / steps, config.epochs)
        for group in learner.optimizer.param_groups:
            group["lr"] = rate
        loss = dice_bce(_logits(learner.net, pictures.to(device)), truths.to(device))
        learner.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learner.net.parameters(), 5.0)
        learner.optimizer.step()
        learner.average.update_parameters(learner.net)
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def rate_share(epoch: float, epochs: int) -> float:
    """Return the learning rate as a share of its peak: one epoch of warm-up, then a cosine to 1 %."""
    if epochs > 1 and epoch < 1:
        return max(epoch, 0.01)
    way = min(1.0, max(0.0, epoch - 1) / max(epochs - 1, 1))
    return 0.01 + 0.99 * (1 + math.cos(math.pi * way)) / 2


@torch.no_grad()
def dev_scores(
    net: nn.Module, rows: Sequence[Row], config: UNetConfig, *, device: torch.device
) -> dict[str, float]:
    """Return mean Dice on answerable dev pictures, over all and as mean of the sets, and specificity."""
    net.eval()
    dice_of_set: dict[str, list[float]] = {}
    silent: list[bool] = []
    for group, pictures, truths in square_pictures(
        rows, batch_size=config.batch_size, side_px=config.side_px
    ):
        drawn = (_logits(net, pictures.to(device)) > 0).cpu()
        for row, mask, truth in zip(group, drawn, truths > 0.5, strict=True):
            if row.lesion_free:
                silent.append(not bool(mask.any()))
                continue
            overlap = 2 * int((mask & truth).sum()) / max(1, int(mask.sum()) + int(truth.sum()))
            dice_of_set.setdefault(row.subset, []).append(overlap)
    every = [overlap for group in dice_of_set.values() for overlap in group]
    large = [group for group in dice_of_set.values() if len(group) >= MIN_SET_POSITIVES]
    return {
        "macro_dice": round(float(np.mean([np.mean(group) for group in large or dice_of_set.values()])), 5),
        "dice": round(float(np.mean(every)), 5),
        "specificity": round(float(np.mean(silent)), 5) if silent else 1.0,
    }


def _logits(net: nn.Module, pictures: Tensor) -> Tensor:
    pictures = pictures.to(memory_format=torch.channels_last)
    with torch.autocast(pictures.device.type, torch.bfloat16):
        logits: Tensor = net(pictures)
    return logits.float()


def _log(out: Path, values: dict[str, object]) -> None:
    line = json.dumps(values)
    append_log(out, line)
    print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Train the U-Net."""
    defaults = UNetConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--manifest", type=Path, action="append", required=True, help="may be given several times"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument(
        "--small-epochs",
        type=int,
        default=defaults.small_epochs,
        help="of these, the first so many at half size",
    )
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--patience", type=int, default=defaults.patience)
    parser.add_argument(
        "--min-minutes", type=float, default=defaults.min_minutes, help="wall time, all pieces"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    rows = [row for path in arguments.manifest for row in read_manifest(path) if row.weights == "yes"]
    config = replace(
        defaults,
        epochs=arguments.epochs,
        small_epochs=arguments.small_epochs,
        batch_size=arguments.batch_size,
        patience=arguments.patience,
        min_minutes=arguments.min_minutes,
        seed=arguments.seed,
    )
    train(
        config,
        [row for row in rows if part_of(row) == "train"],
        [row for row in rows if part_of(row) == "dev"],
        arguments.out,
        device=torch.device(arguments.device),
    )


if __name__ == "__main__":
    sys.exit(exit_code(main, stopped=GOES_ON)())
