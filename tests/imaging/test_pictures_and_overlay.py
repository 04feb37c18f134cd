from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_up_volumes import asymmetric_volume
from PIL import Image

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging import SliceImage, extract_slice, overlay_png, read_volume
from coreseg_core.imaging.overlay_panel import MASK, OUTCOME_WORDS
from coreseg_core.limits import Limits
from coreseg_core.record import OUTCOMES


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1"])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_picture_is_shown_as_it_is(mode: str, ending: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    if ending == ".jpg" and mode not in ("L", "RGB"):
        return
    picture.save(tmp_path / f"a{ending}")
    volume = read_volume(tmp_path / f"a{ending}")
    shown = extract_slice(volume, volume.geometry.array_axis("axial"), 0)
    np.testing.assert_array_equal(shown.rgb, np.asarray(Image.open(tmp_path / f"a{ending}").convert("RGB")))
    assert volume.voxels.shape == (20, 12, 1, 3)
    assert not shown.located
    mask = np.zeros((12, 20), bool)
    mask[3, 15] = True
    assert shown.mask_to_voxels(mask)[15, 3]
    assert shown.points_to_voxels([(15, 3)]).tolist() == [[15, 3, 0]]


def test_16_bit_grey_keeps_its_values(tmp_path: Path) -> None:
    pixels = (np.arange(240).reshape(12, 20) * 200).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.voxels[:, :, 0], pixels.T)


def huge_png(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 4) + b"IDAT1234" + b"\0" * 40


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_a_huge_picture_is_refused_at_once(side: int, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(huge_png(side, side))
    started = time.process_time()
    with pytest.raises(LimitError):
        read_volume(tmp_path / "a.png")
    assert time.process_time() - started < 0.2


def test_every_truncation_of_a_picture_is_named(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for kind in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format=kind)
        whole = stream.getvalue()
        for length in range(0, len(whole) - 20, 97):
            (tmp_path / "cut").write_bytes(whole[:length])
            with pytest.raises(InputError):
                read_volume(tmp_path / "cut")


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + b"\0" * 50, b"\0" * 1000])
def test_names_what_is_no_image(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"kind|empty"):
        read_volume(tmp_path / "a.bin")


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    with pytest.raises(LimitError, match="bytes, limit 10"):
        read_volume(tmp_path / "a.png", limits=Limits(max_file_bytes=10))
    with pytest.raises(InputError, match="limit max_slices is 0"):
        Limits(max_slices=0)


@pytest.fixture
def slice_image() -> SliceImage:
    return extract_slice(asymmetric_volume(np.diag([-1.0, -1.0, 2.0, 1.0])), 2, 1)


@pytest.mark.parametrize("outcome", [*OUTCOMES, None])
def test_an_overlay_is_readable_whatever_was_found(
    outcome: str | None, slice_image: SliceImage, tmp_path: Path
) -> None:
    mask = np.zeros((7, 5), bool)
    mask[2:5, 1:4] = True
    path = tmp_path / "overlay.png"
    lines = ["Is there a tumour?", "word " * 300, "x" * 400, "", "ünïcödé 病変"]
    overlay_png(path, slice_image, mask, [(1, 2, 4, 5)], lines, outcome=outcome)  # type: ignore[arg-type]
    picture = Image.open(path)
    assert picture.width >= 900
    assert picture.height >= 512
    assert [file.name for file in tmp_path.iterdir()] == ["overlay.png"]


def test_mask_and_box_are_drawn_where_they_belong(slice_image: SliceImage, tmp_path: Path) -> None:
    mask = np.zeros((7, 5), bool)
    mask[2, 1] = True
    overlay_png(tmp_path / "with.png", slice_image, mask, [], [])
    overlay_png(tmp_path / "without.png", slice_image, None, [], [])
    with_mask, without = (
        np.asarray(Image.open(tmp_path / f"{name}.png"), dtype=int)[:640, :640]
        for name in ("with", "without")
    )
    rows, columns = np.nonzero(np.abs(with_mask - without).sum(-1))
    # 7 rows of 1 mm on 640 px, in the middle of the field: a pixel is 91 px, the slice 457 px wide.
    assert (rows.min() // 91, rows.max() // 92) == (2, 2)
    assert 91 + 91 - 3 <= columns.min() <= columns.max() <= 91 + 2 * 92 + 3
    assert (with_mask == MASK).all(-1).any()


def test_absence_is_said_for_the_outcome_absent_alone() -> None:
    assert [outcome for outcome, words in OUTCOME_WORDS.items() if words.startswith("Not seen")] == ["absent"]
    assert set(OUTCOME_WORDS) == set(OUTCOMES)


def test_refuses_an_overlay_with_the_mask_of_another_slice(slice_image: SliceImage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mask of"):
        overlay_png(tmp_path / "a.png", slice_image, np.zeros((5, 7), bool), [], [])
    assert not list(tmp_path.iterdir())
