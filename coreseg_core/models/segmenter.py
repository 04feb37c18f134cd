"""SAM-family segmenters behind one Protocol: encode a slice once, decode as many prompts as wanted.

`SamSegmenter` serves SAM ViT-B/L/H, MedSAM and LiteMedSAM: they differ in the image encoder, the input side and the
normalisation of the picture, not in the way from prompt to mask.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from coreseg_core.record import Box, ReaderPrompts

Normalisation = Literal["minmax", "imagenet"]
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SquareView:
    """How a native slice lies in the segmenter's square input: resized, at the upper left, zero-padded.

    Attributes:
        native_hw: Rows and columns of the native slice.
        valid_hw: Rows and columns of the resized slice inside the square.
        side_px: Side of the square.
    """

    native_hw: tuple[int, int]
    valid_hw: tuple[int, int]
    side_px: int

    @property
    def scale_yx(self) -> tuple[float, float]:
        """Square pixels per native pixel, down and across."""
        return self.valid_hw[0] / self.native_hw[0], self.valid_hw[1] / self.native_hw[1]

    def boxes_at_mask_pitch(self, boxes_xyxy_px: Sequence[Box], *, mask_side_px: int) -> Tensor:
        """Return boxes of the native slice as (k, 4) in pixels of mask logits (mask_side_px, mask_side_px)."""
        scale_y, scale_x = (scale * mask_side_px / self.side_px for scale in self.scale_yx)
        scaled = [
            [x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y] for x0, y0, x1, y1 in boxes_xyxy_px
        ]
        return torch.tensor(scaled).reshape(-1, 4)

    def logits_to_native(self, logits: Tensor) -> Tensor:
        """Return mask logits (n, side', side') brought to the native slice, (n, h, w), bilinear."""
        square = logits[:, None].float()
        if square.shape[-1] != self.side_px:
            # SAM's logits are coarser than its input; at the input's own pitch the padding is cut off exactly.
            square = F.interpolate(square, size=(self.side_px,) * 2, mode="bilinear", align_corners=False)
        valid = square[..., : self.valid_hw[0], : self.valid_hw[1]]
        return F.interpolate(valid, size=self.native_hw, mode="bilinear", align_corners=False)[:, 0]


class Segmenter(Protocol):
    """Encodes pictures and decodes prompts into masks; the encoder is frozen (CORE-Seg, method).

    What a segmenter of another kind must bring; `SamSegmenter` says what each part does.
    """

    image_encoder: nn.Module
    mask_decoder: nn.Module
    side_px: int
    prompt_dim: int
    embedding_chw: tuple[int, int, int]
    mask_side_px: int

    @property
    def device(self) -> torch.device: ...

    def prepare(
        self, rgb: NDArray[np.uint8], *, pixel_mm: tuple[float, float]
    ) -> tuple[Tensor, SquareView]: ...

    def encode(self, squares: Tensor) -> Tensor: ...

    def reader_tokens(self, prompts: ReaderPrompts, view: SquareView) -> Tensor: ...

    def box_tokens(self, boxes_xyxy: Tensor) -> Tensor: ...

    def decode(self, embeddings: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]: ...

    def twin(self) -> Segmenter: ...

    def state_dict(self, *, keep_vars: bool = ...) -> dict[str, Tensor]: ...


def valid_hw(native_hw: tuple[int, int], pixel_mm: tuple[float, float], side_px: int) -> tuple[int, int]:
    """Return the size, in square pixels, of a slice whose physical long side fills the square."""
    height_mm, width_mm = native_hw[0] * pixel_mm[0], native_hw[1] * pixel_mm[1]
    scale = side_px / max(height_mm, width_mm)
    return max(1, round(height_mm * scale)), max(1, round(width_mm * scale))


class SamSegmenter(nn.Module):
    """A SAM image encoder, prompt encoder and mask decoder with the semantic prompt as extra sparse tokens.

    Args:
        image_encoder: Maps (n, 3, side, side) to (n, C, H, W). Frozen here.
        prompt_encoder: SAM's, for the reader's clicks and boxes. Frozen here.
        mask_decoder: SAM's; the only trained part.
        side_px: Side of the square input.
        normalisation: `minmax` (LiteMedSAM, MedSAM: 0..1) or `imagenet` (SAM).
    """

    def __init__(
        self,
        *,
        image_encoder: nn.Module,
        prompt_encoder: nn.Module,
        mask_decoder: nn.Module,
        side_px: int,
        normalisation: Normalisation,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder.requires_grad_(False)
        self.prompt_encoder = prompt_encoder.requires_grad_(False)
        self.mask_decoder = mask_decoder
        self.side_px = side_px
        self.normalisation = normalisation
        self.prompt_dim: int = int(mask_decoder.transformer_dim)
        grid = tuple(int(side) for side in prompt_encoder.image_embedding_size)
        self.embedding_chw = (self.prompt_dim, grid[0], grid[1])
        self.mask_side_px = 4 * grid[0]

    def twin(self) -> SamSegmenter:
        """Return a segmenter with the same encoders and a copy of the mask decoder as it is now."""
        return SamSegmenter(
            image_encoder=self.image_encoder,
            prompt_encoder=self.prompt_encoder,
            mask_decoder=copy.deepcopy(self.mask_decoder),
            side_px=self.side_px,
            normalisation=self.normalisation,
        )

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        device: torch.device = self.mask_decoder.iou_token.weight.device
        return device

    def prepare(self, rgb: NDArray[np.uint8], *, pixel_mm: tuple[float, float]) -> tuple[Tensor, SquareView]:
        """Return the square input (3, side, side) of a native slice (h, w, 3) and the way back."""
        native = (rgb.shape[0], rgb.shape[1])
        size = valid_hw(native, pixel_mm, self.side_px)
        picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
        resized = F.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)[0]
        return self.normalise(resized), SquareView(native_hw=native, valid_hw=size, side_px=self.side_px)

    def normalise(self, picture: Tensor) -> Tensor:
        """Return a picture (3, h, w) of grey values 0..255 normalised and zero-padded to the square."""
        if self.normalisation == "minmax":
            low, high = picture.min(), picture.max()
            picture = (picture - low) / (high - low).clamp_min(1e-8)
        else:
            mean, std = (
                torch.tensor(v, dtype=picture.dtype)[:, None, None] for v in (_IMAGENET_MEAN, _IMAGENET_STD)
            )
            picture = (picture - mean) / std
        height, width = picture.shape[-2:]
        return F.pad(picture, (0, self.side_px - width, 0, self.side_px - height))

    @torch.no_grad()
    def encode(self, squares: Tensor) -> Tensor:
        """Return embeddings (n, C, H, W) of square inputs (n, 3, side, side)."""
        return self.image_encoder(squares)

    def reader_tokens(self, prompts: ReaderPrompts, view: SquareView) -> Tensor:
        """Return the prompt encoder's tokens (1, k, C) of the reader's clicks and boxes; k = 0 without any."""
        device = self.device
        if prompts.empty:
            return torch.zeros(1, 0, self.prompt_dim, device=device)
        scale_y, scale_x = view.scale_yx
        # The prompt encoder counts from the centre of the first pixel, everything here from its corner.
        boxes = [
            torch.tensor([[x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y]], device=device) - 0.5
            for x0, y0, x1, y1 in prompts.boxes_xyxy_px
        ]
        tokens = []
        if prompts.points_xy_px:
            scaled = [[(x + 0.5) * scale_x - 0.5, (y + 0.5) * scale_y - 0.5] for x, y in prompts.points_xy_px]
            inside = [[int(flag) for flag in prompts.points_inside]]
            points = (torch.tensor([scaled], device=device), torch.tensor(inside, device=device))
            # Clicks and a box together, as SAM knows them; further boxes follow.
            tokens.append(
                self.prompt_encoder(points=points, boxes=boxes.pop(0) if boxes else None, masks=None)[0]
            )
        tokens.extend(self.prompt_encoder(points=None, boxes=box, masks=None)[0] for box in boxes)
        return torch.cat(tokens, dim=1)

    def box_tokens(self, boxes_xyxy: Tensor) -> Tensor:
        """Return the prompt encoder's tokens (k, 2, C) of boxes (k, 4), xyxy in pixels of the square input."""
        # The prompt encoder counts from the centre of the first pixel, boxes here from its corner.
        tokens: Tensor = self.prompt_encoder(points=None, boxes=boxes_xyxy - 0.5, masks=None)[0]
        return tokens

    def decode(self, embeddings: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Return one mask a slice for its own prompt.

        SAM's decoder takes one image and many prompts; a batch of slices has one prompt each, hence the steps of
        `MaskDecoder.predict_masks` spelled out over the batch (parity with the library is tested).

        Args:
            embeddings: (n, C, H, W).
            sparse: (n, k, C) prompt tokens, the semantic ones and the reader's.

        Returns:
            Mask logits (n, 4H, 4W) and predicted IoU (n,).
        """
        decoder: Any = self.mask_decoder
        n = len(embeddings)
        output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(n, -1, -1), sparse.to(output_tokens.dtype)], dim=1)
        dense = self.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        position = self.prompt_encoder.get_dense_pe().expand(n, -1, -1, -1)
        source = embeddings.to(dense.dtype) + dense
        states, source = decoder.transformer(source, position, tokens)
        source = source.transpose(1, 2).reshape(embeddings.shape)
        upscaled = decoder.output_upscaling(source)
        kernel = decoder.output_hypernetworks_mlps[0](states[:, 1])
        logits = torch.einsum("nc,nchw->nhw", kernel, upscaled)
        return logits, decoder.iou_prediction_head(states[:, 0])[:, 0]


def pad_tokens(tokens: Sequence[Tensor]) -> Tensor:
    """Return (n, k, C) from per-slice token lists (1, k, C) of one length.

    Raises:
        ValueError: If slices carry different numbers of tokens; batch only like with like.
    """
    lengths = {token.shape[1] for token in tokens}
    if len(lengths) > 1:
        raise ValueError(
            f"slices of one batch carry {sorted(lengths)} reader tokens; batch only like with like"
        )
    return torch.cat(list(tokens))
