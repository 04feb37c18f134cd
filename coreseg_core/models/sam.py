"""SAM ViT-B/L/H and MedSAM from the classes of Meta's `segment_anything` package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn

from coreseg_core.errors import ModelError
from coreseg_core.models.segmenter import Normalisation, SamSegmenter

PATCH_PX = 16
WINDOW_PATCHES = 14


@dataclass(frozen=True, kw_only=True)
class SamSizes:
    """Sizes of a SAM.

    Attributes:
        width: Of the image encoder.
        depth: Blocks of the image encoder.
        heads: Attention heads of a block.
        global_blocks: Blocks that attend over the whole picture; the others attend within windows.
        side_px: Side of the square input.
        prompt_dim: Channels of the embedding and of the prompt tokens.
        decoder_width: Of the mask decoder's MLPs.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    side_px: int = 1024
    prompt_dim: int = 256
    decoder_width: int = 2048


PUBLISHED_SIZES = {
    "vit_b": SamSizes(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "vit_l": SamSizes(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": SamSizes(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}


def published_sizes(variant: str) -> SamSizes:
    """Return the sizes of a published SAM; MedSAM is `vit_b`.

    Raises:
        ModelError: If there is no such variant.
    """
    if variant not in PUBLISHED_SIZES:
        raise ModelError(f"There is no SAM variant {variant[:20]!r}.", remedy="Use vit_b, vit_l or vit_h.")
    return PUBLISHED_SIZES[variant]


def build_sam(
    sizes: SamSizes, *, normalisation: Normalisation, encoder_dtype: torch.dtype = torch.float32
) -> SamSegmenter:
    """Return SAM with random weights; read published ones into it afterwards.

    Args:
        sizes: What to build.
        normalisation: `imagenet` for SAM, `minmax` for MedSAM.
        encoder_dtype: Of the frozen image encoder.
    """
    grid = sizes.side_px // PATCH_PX
    encoder = ImageEncoderViT(
        img_size=sizes.side_px,
        patch_size=PATCH_PX,
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.heads,
        out_chans=sizes.prompt_dim,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=WINDOW_PATCHES,
        global_attn_indexes=sizes.global_blocks,
    )
    encoder.register_forward_pre_hook(_take_any_dtype)
    prompts = PromptEncoder(
        embed_dim=sizes.prompt_dim,
        image_embedding_size=(grid, grid),
        input_image_size=(sizes.side_px, sizes.side_px),
        mask_in_chans=16,
    )
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=sizes.prompt_dim, num_heads=8, mlp_dim=sizes.decoder_width
    )
    decoder = MaskDecoder(transformer_dim=sizes.prompt_dim, transformer=transformer, num_multimask_outputs=3)
    return SamSegmenter(
        image_encoder=encoder.to(encoder_dtype).eval(),
        prompt_encoder=prompts.eval(),
        mask_decoder=decoder.eval(),
        side_px=sizes.side_px,
        normalisation=normalisation,
    )


def _take_any_dtype(encoder: Any, arguments: tuple[Tensor]) -> tuple[Tensor]:
    """Return the encoder's input in the encoder's own dtype; SAM's encoder does not see to that itself."""
    return (arguments[0].to(encoder.pos_embed.dtype),)
