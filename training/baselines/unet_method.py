"""A trained U-Net as one of the methods of the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from coreseg_core.evaluation.pictures import Mask, Picture
from coreseg_core.evaluation.rows import Row
from training.augment import plain_view
from training.baselines.unet import UNetConfig, build_unet
from training.baselines.unet_pictures import square
from training.baselines.unet_state import BEST, load_weights, read_tensors


@dataclass(frozen=True)
class UNetMethod:
    """Outlines whatever lesion the U-Net sees."""

    net: nn.Module
    side_px: int
    device: str = "cpu"

    def mask(self, picture: Picture, row: Row) -> Mask:
        """Return the (h, w) mask, brought back to the picture's own pixels before it is cut at one half."""
        view = plain_view(picture.rgb, picture.mask, side_px=self.side_px)
        rows, columns = view.mask.shape
        with torch.inference_mode():
            padded = square(view.rgb, self.side_px)[None].to(self.device)
            logits = self.net(padded.to(memory_format=torch.channels_last))
            native = F.interpolate(
                logits[..., :rows, :columns].float(),
                size=picture.mask.shape,
                mode="bilinear",
                align_corners=False,
            )
        return (native[0, 0] > 0).cpu().numpy()


def read_unet(folder: Path, *, device: str = "cpu") -> UNetMethod:
    """Return the best U-Net of a training run.

    Raises:
        CheckpointError: Its file is missing or damaged.
    """
    tensors, facts = read_tensors(folder / BEST)
    config = UNetConfig(**{**facts["config"], "channels": tuple(facts["config"]["channels"])})
    net = build_unet(config)
    load_weights(net, tensors)
    return UNetMethod(net=net.eval().to(device), side_px=config.side_px, device=device)
