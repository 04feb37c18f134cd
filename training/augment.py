"""Random views of a training picture, in which the place of a lesion carries no information.

Several of the sets are cropped round the lesion, so its centre would answer for it. A view is a random window onto
the picture, larger or smaller than it and anywhere over it, turned and mirrored where anatomy allows it, with changed
grey values; what lies outside the picture is black or the picture's border tone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MIN_LESION_KEPT = 0.6
"""A window keeps at least this share of the lesion, or another one is drawn."""
_DRAWS = 12
_FREE_TO_TURN = frozenset({"dermoscopy", "endoscopy", "fundus photography"})


@dataclass(frozen=True)
class View:
    """A picture and its mask as the segmenter sees them.

    Attributes:
        rgb: (3, h, w) float, grey values 0..255, long side equal to the segmenter's square.
        mask: (h, w) bool.
    """

    rgb: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Window:
    """A turned, mirrored window onto a picture; lengths as fractions of the picture's long side."""

    centre_xy: tuple[float, float]
    size_wh: tuple[float, float]
    angle_rad: float
    mirror: tuple[bool, bool]


def plain_view(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], *, side_px: int) -> View:
    """Return the picture as it is, resized to the segmenter's long side."""
    height, width = mask.shape
    scale = side_px / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
    small = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)[0]
    outline = torch.from_numpy(mask.astype(np.float32))[None, None]
    small_mask = F.interpolate(outline, size=size, mode="bilinear", align_corners=False, antialias=True)[0, 0]
    return View(rgb=small, mask=small_mask > 0.5)


def random_view(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    modality: str,
    side_px: int,
) -> View:
    """Return a random window onto the picture with changed grey values, that keeps most of the lesion."""
    source = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float()
    truth = torch.from_numpy(mask.astype(np.float32))[None]
    window = _draw_window(mask, rng, modality)
    fill = torch.zeros(3) if rng.random() < 0.6 else source.flatten(1).median(dim=1).values
    picture, outline = _look_through(window, source, truth, fill, side_px)
    return View(rgb=_change_greys(picture, rng, colour=modality in _FREE_TO_TURN), mask=outline[0] > 0.5)


def _draw_window(mask: NDArray[np.bool_], rng: np.random.Generator, modality: str) -> Window:
    height, width = mask.shape
    long_side = max(height, width)
    extent = np.array([width, height]) / long_side
    ys, xs = np.nonzero(mask)
    turn = modality in _FREE_TO_TURN
    window = Window((extent[0] / 2, extent[1] / 2), (float(extent[0]), float(extent[1])), 0.0, (False, False))
    for _ in range(_DRAWS):
        zoom = math.exp(rng.uniform(math.log(0.65), math.log(1.45)))
        stretch = math.exp(rng.uniform(-0.12, 0.12))
        size = extent * zoom * np.array([stretch, 1 / stretch])
        # A centre anywhere that lets the window overlap at least half of the picture on each axis.
        reach = np.abs(size - extent) / 2 + 0.3 * np.minimum(size, extent)
        centre = extent / 2 + rng.uniform(-reach, reach)
        window = Window(
            centre_xy=(float(centre[0]), float(centre[1])),
            size_wh=(float(size[0]), float(size[1])),
            angle_rad=rng.uniform(-math.pi, math.pi)
            if turn and rng.random() < 0.5
            else rng.normal(0.0, 0.12),
            mirror=(bool(rng.random() < 0.5), bool(turn and rng.random() < 0.5)),
        )
        if not len(xs) or _share_inside(window, xs / long_side, ys / long_side) >= MIN_LESION_KEPT:
            return window
    return Window((extent[0] / 2, extent[1] / 2), (float(extent[0]), float(extent[1])), 0.0, window.mirror)


def _share_inside(window: Window, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> float:
    dx, dy = xs - window.centre_xy[0], ys - window.centre_xy[1]
    cos, sin = math.cos(-window.angle_rad), math.sin(-window.angle_rad)
    across, down = cos * dx - sin * dy, sin * dx + cos * dy
    inside = (np.abs(across) < window.size_wh[0] / 2) & (np.abs(down) < window.size_wh[1] / 2)
    return float(inside.mean())


def _look_through(
    window: Window, source: Tensor, truth: Tensor, fill: Tensor, side_px: int
) -> tuple[Tensor, Tensor]:
    height, width = source.shape[-2:]
    long_side = max(height, width)
    scale = side_px / max(window.size_wh)
    rows, cols = max(8, round(window.size_wh[1] * scale)), max(8, round(window.size_wh[0] * scale))
    # Reduce large pictures first: bilinear sampling alone would alias.
    step = long_side / scale
    if step > 1.5:
        reduced = (max(8, round(height / step)), max(8, round(width / step)))
        source = F.interpolate(source[None], size=reduced, mode="bilinear", antialias=True)[0]
    down = (torch.arange(rows) + 0.5) / rows - 0.5
    across = (torch.arange(cols) + 0.5) / cols - 0.5
    v, u = torch.meshgrid(down * window.size_wh[1], across * window.size_wh[0], indexing="ij")
    if window.mirror[0]:
        u = -u
    if window.mirror[1]:
        v = -v
    cos, sin = math.cos(window.angle_rad), math.sin(window.angle_rad)
    x = (window.centre_xy[0] + cos * u - sin * v) * long_side / width
    y = (window.centre_xy[1] + sin * u + cos * v) * long_side / height
    grid = torch.stack([2 * x - 1, 2 * y - 1], dim=-1)[None].float()
    shown = F.grid_sample((source - fill[:, None, None])[None], grid, mode="bilinear", align_corners=False)[0]
    outline = F.grid_sample(truth[None], grid, mode="bilinear", align_corners=False)[0]
    return shown + fill[:, None, None], outline


def _change_greys(picture: Tensor, rng: np.random.Generator, *, colour: bool) -> Tensor:
    scaled = (picture / 255).clamp(0, 1)
    scaled = scaled ** math.exp(rng.normal(0.0, 0.25))
    scaled = (scaled - 0.5) * math.exp(rng.normal(0.0, 0.2)) + 0.5 + rng.normal(0.0, 0.05)
    if colour:
        tint = torch.tensor(np.exp(rng.normal(0.0, 0.08, size=3)), dtype=torch.float32)
        scaled = scaled * tint[:, None, None]
    if rng.random() < 0.3:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        scaled = scaled + rng.uniform(0.01, 0.05) * torch.randn(scaled.shape[-2:], generator=generator)
    return scaled.clamp(0, 1) * 255
