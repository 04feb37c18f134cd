"""Where the language model's visual tokens come from: Qwen's own vision tower, or the segmenter's embedding.

The second costs almost nothing, since the slice is encoded by the segmenter anyway, and learns from far fewer
pictures; `lite` uses it. Both return tokens in reading order with their grid.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH_PX = 14
MERGE = 2
FRAME_MULTIPLE_PX = PATCH_PX * MERGE
_EVIDENCE = 64
_PLACE_GAIN, _REACH_GAIN = 4.0, 16.0
"""What a token shows is a long vector, beside which place and reach would be lost for thousands of steps."""
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class VisualTokens(Protocol):
    """Turns pictures into the language model's visual tokens."""

    def grid_hw(self, frame_wh: tuple[int, int]) -> tuple[int, int]: ...

    def __call__(self, frames: Tensor | None, embeddings: Tensor) -> Tensor: ...


class SegmenterTokens(nn.Module):
    """Visual tokens from the segmenter's embedding: (n, C, H, W) -> (n, grid * grid, d).

    Whether there is anything at all, and from where to where it reaches, are questions about the whole picture; a
    small language model is slow to learn that search. So two summaries are laid into every token: evidence, pooled by
    its maximum over the picture, and the extent of a learned saliency, as its maximum in every row and column.

    Args:
        channels: C of the embedding.
        side: H = W of the embedding.
        grid: Tokens per row and column; `side` must be 4 x grid.
        dim: Width d of the language model.
    """

    def __init__(self, *, channels: int, side: int, grid: int, dim: int) -> None:
        super().__init__()
        if side != 4 * grid:
            raise ValueError(f"an embedding of side {side} cannot give a grid of {grid}: it must be 4 x grid")
        self.grid = grid
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, 192, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(192, 256, 3, stride=2, padding=1),
            nn.GELU(),
        )
        self.mix = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.GELU(), nn.Conv2d(256, 256, 1))
        self.norm = nn.LayerNorm(256)
        self.project = nn.Linear(256, dim)
        self.evidence = nn.Linear(256, _EVIDENCE)
        self.summary = nn.Linear(_EVIDENCE, dim)
        self.saliency = nn.Linear(256, 1)
        self.extent = nn.Linear(2 * grid, dim)
        # At first the summaries say nothing: weights from before they existed stay what they were.
        for laid_in in (self.summary, self.extent):
            nn.init.zeros_(laid_in.weight)
            nn.init.zeros_(laid_in.bias)
        self.position = nn.Parameter(torch.randn(grid * grid, dim) * 0.02)

    def grid_hw(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of tokens; the square is always whole, padding included."""
        return self.grid, self.grid

    def forward(self, frames: Tensor | None, embeddings: Tensor) -> Tensor:
        """Return visual tokens (n, grid * grid, d); `frames` is not looked at."""
        x = self.reduce(embeddings)
        x = (x + self.mix(x)).flatten(2).transpose(1, 2)
        x = self.norm(x)
        whole = self.summary(self.evidence(x).amax(dim=1)) + self.laid_in(self._reach(x))
        tokens: Tensor = self.project(x) + _PLACE_GAIN * self.position + whole[:, None]
        return tokens

    def laid_in(self, reach: Tensor) -> Tensor:
        """Return what a reach (n, 2 * grid), rows before columns, adds to every token, (n, d)."""
        laid: Tensor = _REACH_GAIN * self.extent(reach)
        return laid

    def _reach(self, x: Tensor) -> Tensor:
        """Return the strongest saliency (0..1) of every row, then of every column, (n, 2 * grid)."""
        salient = self.saliency(x)[..., 0].sigmoid().unflatten(1, (self.grid, self.grid))
        return torch.cat([salient.amax(dim=2), salient.amax(dim=1)], dim=1)


class QwenTokens(nn.Module):
    """Visual tokens from Qwen2.5-VL's vision tower: frames (n, 3, H, W) of 0..1, sides multiples of 28."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower: Any = tower

    def grid_hw(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of tokens: one token for 28 x 28 pixels."""
        return frame_wh[1] // FRAME_MULTIPLE_PX, frame_wh[0] // FRAME_MULTIPLE_PX

    def forward(self, frames: Tensor | None, embeddings: Tensor) -> Tensor:
        """Return visual tokens (n, rows * columns, d); `embeddings` is not looked at."""
        if frames is None:
            raise ValueError("Qwen's vision tower needs the frames, not only the segmenter's embedding")
        patches = patchify(frames)
        n, rows, cols = len(frames), frames.shape[2] // PATCH_PX, frames.shape[3] // PATCH_PX
        grid = torch.tensor([[1, rows, cols]] * n, device=frames.device)
        out = self.tower(patches.to(self.tower.dtype), grid_thw=grid)
        return out.pooler_output.unflatten(0, (n, -1))


def patchify(frames: Tensor) -> Tensor:
    """Return Qwen2.5-VL's flat patches (n * rows * cols, 3 * 2 * 14 * 14) of frames (n, 3, H, W) in 0..1.

    Patches come in blocks of 2 x 2, the blocks that the tower merges into one token; the picture is repeated once
    along time, as for a still.
    """
    mean, std = (
        torch.tensor(v, dtype=frames.dtype, device=frames.device)[:, None, None] for v in (_MEAN, _STD)
    )
    x = (frames - mean) / std
    n, _, height, width = x.shape
    rows, cols = height // FRAME_MULTIPLE_PX, width // FRAME_MULTIPLE_PX
    x = x.reshape(n, 3, rows, MERGE, PATCH_PX, cols, MERGE, PATCH_PX)
    x = x.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(-1, 3, 1, PATCH_PX, PATCH_PX)
    return x.expand(-1, -1, 2, -1, -1).flatten(1)


def resize_frame(rgb: Tensor, frame_wh: tuple[int, int]) -> Tensor:
    """Return a picture (3, h, w) of 0..255 as a frame (3, H, W) of 0..1."""
    size = (frame_wh[1], frame_wh[0])
    resized = F.interpolate(
        rgb[None].float(), size=size, mode="bicubic", align_corners=False, antialias=True
    )[0]
    return (resized / 255).clamp(0, 1)
