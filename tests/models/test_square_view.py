"""From a slice of any size and any pixel to the segmenter's square and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coreseg_core.models.sam import SamSizes, build_sam
from coreseg_core.models.segmenter import SamSegmenter, SquareView, valid_hw

SIDE = 128
TINY = SamSizes(width=16, depth=1, heads=2, global_blocks=(0,), side_px=SIDE, prompt_dim=32, decoder_width=16)
CASES = [
    ((128, 128), (1.0, 1.0)),
    ((200, 90), (1.0, 1.0)),
    ((90, 200), (0.7, 0.7)),
    ((60, 120), (2.0, 0.5)),
    ((120, 60), (0.5, 2.0)),
    ((33, 512), (5.0, 0.8)),
    ((400, 301), (0.31, 0.62)),
]


@pytest.fixture(scope="module")
def segmenter() -> SamSegmenter:
    return build_sam(TINY, normalisation="minmax")


def _ellipse(hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return an ellipse off the centre, down to the lower right."""
    y, x = np.mgrid[: hw[0], : hw[1]]
    return ((y + 0.5) / hw[0] - 0.6) ** 2 / 0.3**2 + ((x + 0.5) / hw[1] - 0.55) ** 2 / 0.25**2 < 1


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize(("native_hw", "pixel_mm"), CASES)
@pytest.mark.parametrize("coarser", [1, 4])
def test_what_is_drawn_in_a_slice_comes_back_from_the_square_in_its_place(
    segmenter: SamSegmenter, native_hw: tuple[int, int], pixel_mm: tuple[float, float], coarser: int
) -> None:
    mask = _ellipse(native_hw)
    rgb = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)
    square, view = segmenter.prepare(rgb, pixel_mm=pixel_mm)
    logits = torch.nn.functional.avg_pool2d(square[:1] - 0.5, coarser)
    native = view.logits_to_native(logits)[0].numpy()
    assert native.shape == native_hw
    assert _dice(native > 0, mask) > (0.985 if coarser == 1 else 0.95)
    centre, found = (np.argwhere(m).mean(axis=0) for m in (mask, native > 0))
    # Within a pixel of the square, whichever way it is squeezed.
    assert np.all(np.abs(centre - found) < 1.0 / np.array(view.scale_yx) + 1e-6)


@pytest.mark.parametrize(("native_hw", "pixel_mm"), CASES)
def test_the_square_shows_a_slice_in_its_physical_shape(
    native_hw: tuple[int, int], pixel_mm: tuple[float, float]
) -> None:
    height, width = valid_hw(native_hw, pixel_mm, SIDE)
    assert max(height, width) == SIDE
    tall, wide = native_hw[0] * pixel_mm[0], native_hw[1] * pixel_mm[1]
    assert height == pytest.approx(SIDE * tall / max(tall, wide), abs=0.5)
    assert width == pytest.approx(SIDE * wide / max(tall, wide), abs=0.5)


def test_pixels_twice_as_tall_give_a_square_twice_as_tall(segmenter: SamSegmenter) -> None:
    rgb = np.full((50, 100, 3), 200, dtype=np.uint8)
    rgb[0, 0] = 0
    _, view = segmenter.prepare(rgb, pixel_mm=(2.0, 1.0))
    assert view.valid_hw == (SIDE, SIDE)
    _, view = segmenter.prepare(rgb, pixel_mm=(1.0, 1.0))
    assert view.valid_hw == (SIDE // 2, SIDE)
    assert view.scale_yx == (1.28, 1.28)


def test_the_padding_holds_nothing_and_the_slice_fills_its_range(segmenter: SamSegmenter) -> None:
    rgb = np.random.default_rng(1).integers(30, 220, (64, 128, 3), dtype=np.uint8)
    square, view = segmenter.prepare(rgb, pixel_mm=(1.0, 1.0))
    assert square.shape == (3, SIDE, SIDE)
    assert not square[:, view.valid_hw[0] :].any()
    assert (float(square.min()), float(square.max())) == (0.0, 1.0)


def test_a_slice_of_one_grey_value_stays_finite(segmenter: SamSegmenter) -> None:
    square, _ = segmenter.prepare(np.full((10, 10, 3), 77, dtype=np.uint8), pixel_mm=(1.0, 1.0))
    assert square.isfinite().all()


@settings(max_examples=40, deadline=None)
@given(
    hw=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    pixel_mm=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)),
)
def test_any_slice_fits_the_square_and_comes_back_in_its_size(
    hw: tuple[int, int], pixel_mm: tuple[float, float]
) -> None:
    size = valid_hw(hw, pixel_mm, SIDE)
    assert min(size) >= 1
    assert max(size) == SIDE
    view = SquareView(native_hw=hw, valid_hw=size, side_px=SIDE)
    logits = torch.ones(2, SIDE // 4, SIDE // 4)
    assert view.logits_to_native(logits).shape == (2, *hw)
    assert (view.logits_to_native(logits) > 0).all()


@pytest.mark.parametrize(("native_hw", "pixel_mm"), CASES)
def test_a_box_of_a_slice_lies_at_the_pitch_of_the_mask_logits_where_its_mask_comes_from(
    segmenter: SamSegmenter, native_hw: tuple[int, int], pixel_mm: tuple[float, float]
) -> None:
    height, width = native_hw
    box = (width // 4, height // 3, width - width // 8, height - height // 5)
    _, view = segmenter.prepare(np.zeros((*native_hw, 3), np.uint8), pixel_mm=pixel_mm)
    side = segmenter.mask_side_px
    found = view.boxes_at_mask_pitch([box], mask_side_px=side)
    assert found.shape == (1, 4)
    x0, y0, x1, y1 = found[0].tolist()
    # How much of each pixel of the logits the box covers, drawn and brought back.
    along_x, along_y = (
        (torch.arange(1, side + 1).clamp(max=high) - torch.arange(side).clamp(min=low)).clamp(0, 1)
        for low, high in ((x0, x1), (y0, y1))
    )
    native = view.logits_to_native((along_y[:, None] * along_x - 0.5)[None])[0].numpy() > 0
    truth = np.zeros(native_hw, bool)
    truth[box[1] : box[3], box[0] : box[2]] = True
    centre, came = (np.argwhere(m).mean(axis=0) for m in (truth, native))
    # Within a pixel of the logits, whichever way the slice is squeezed.
    assert np.all(np.abs(centre - came) < (SIDE / side) / np.array(view.scale_yx) + 1e-6)
    assert view.boxes_at_mask_pitch([], mask_side_px=side).shape == (0, 4)
