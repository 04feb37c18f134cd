"""SAM ViT-B/L/H and MedSAM through Meta's `segment_anything` package."""

from __future__ import annotations

from segment_anything import sam_model_registry

from coreseg_core.errors import ModelError
from coreseg_core.models.segmenter import Normalisation, SamSegmenter

SIDE_PX = 1024


def build_sam(variant: str, *, normalisation: Normalisation) -> SamSegmenter:
    """Return SAM with random weights; load a checkpoint afterwards.

    Args:
        variant: `vit_b`, `vit_l` or `vit_h`; MedSAM is `vit_b` with `minmax` input.
        normalisation: `imagenet` for SAM, `minmax` for MedSAM.

    Raises:
        ModelError: If there is no such variant.
    """
    if variant not in ("vit_b", "vit_l", "vit_h"):
        raise ModelError(f"There is no SAM variant {variant[:20]!r}.", remedy="Use vit_b, vit_l or vit_h.")
    sam = sam_model_registry[variant](checkpoint=None).eval()
    return SamSegmenter(
        image_encoder=sam.image_encoder,
        prompt_encoder=sam.prompt_encoder,
        mask_decoder=sam.mask_decoder,
        side_px=SIDE_PX,
        normalisation=normalisation,
    )
