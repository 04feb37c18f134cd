"""What is kept of a view beside its embedding: greys and mask at the pitch of the mask logits, and the frame, where the
language model has a vision tower of its own and looks at the picture itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from coreseg_core.imaging import frame_wh
from coreseg_core.models.preset import FrameSpec, Preset
from coreseg_core.models.visual_tokens import resize_frame
from training.augment import View

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ShownView:
    """A view as it is kept.

    Attributes:
        view: At the segmenter's own pitch, for its encoder.
        frame: (H, W, 3) uint8, what the language model sees; None where it sees the embedding.
    """

    view: View
    frame: NDArray[np.uint8] | None


def frame_spec(preset: Preset) -> FrameSpec | None:
    """Return the bounds of the frames a preset's language model looks at, None where it looks at no frame."""
    return preset.frame if preset.visual_tokens.source == "qwen" else None


def frame_size_of(height: int, width: int, spec: FrameSpec) -> Size:
    """Return the size (W, H) of the frame of a picture (height, width) with square pixels."""
    return frame_wh(
        height,
        width,
        (1.0, 1.0),
        min_long_side_px=spec.min_long_side_px,
        max_long_side_px=spec.max_long_side_px,
    )


def with_frame(view: View, native_hw: Size, spec: FrameSpec | None) -> ShownView:
    """Return a view with its frame, whose long side is that of the picture the view was made from.

    A picture is never enlarged for the language model, here as in use, so a small one has a small frame.
    """
    if spec is None:
        return ShownView(view=view, frame=None)
    height, width = view.mask.shape
    scale = max(native_hw) / max(height, width)
    size = frame_size_of(max(1, round(height * scale)), max(1, round(width * scale)), spec)
    frame = resize_frame(view.rgb, size).mul(255).round()
    return ShownView(view=view, frame=frame.permute(1, 2, 0).byte().numpy())


def at_mask_pitch(view: View, step: int) -> tuple[Tensor, Tensor]:
    """Return greys (h, w) 0..255 and mask (h, w) bool of a view, `step` of its pixels along each side made one.

    A lesion too small to fill half of any pixel keeps the one that it fills most.
    """
    greys, mask = view.rgb.mean(0), view.mask
    if step > 1:
        down, right = (-mask.shape[0]) % step, (-mask.shape[1]) % step
        greys = F.avg_pool2d(F.pad(greys[None, None], (0, right, 0, down), mode="replicate"), step)[0, 0]
        share = F.avg_pool2d(F.pad(mask[None, None].float(), (0, right, 0, down)), step)[0, 0]
        mask = share > min(0.5, 0.99 * float(share.max()))
    return greys.round(), mask
