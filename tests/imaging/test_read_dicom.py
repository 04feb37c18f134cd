from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_volumes import affine_of, asymmetric_volume
from pydicom.config import disable_value_validation
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from coreseg_core.errors import CoreSegError, GeometryError, InputError, LimitError
from coreseg_core.imaging import Volume, VolumeGeometry, list_series, read_volume, write_dicom_series
from coreseg_core.limits import Limits

LPS = affine_of((0, 1, 2), (-1, -1, 1))
Change = Callable[[int, FileDataset], None]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_dicom_series(tmp_path / "series", asymmetric_volume(LPS), modality="CT", description="test", seed=5)
    return tmp_path / "series"


def rewrite(folder: Path, change: Change) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        with disable_value_validation():
            change(number, dataset)
            dataset.save_as(path)


def set_tag(tag: str, value: object, *, only: int | None = None) -> Change:
    def change(number: int, dataset: FileDataset) -> None:
        if only is None or number == only:
            setattr(dataset, tag, value)

    return change


def delete_tag(tag: str, *, only: int | None = None) -> Change:
    def change(number: int, dataset: FileDataset) -> None:
        if only is None or number == only:
            delattr(dataset, tag)

    return change


def move(offsets_mm: dict[int, tuple[float, float, float]]) -> Change:
    def change(number: int, dataset: FileDataset) -> None:
        shifted = np.array(dataset.ImagePositionPatient, float) + offsets_mm.get(number, (0, 0, 0))
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in shifted]

    return change


def shear(number: int, dataset: FileDataset) -> None:
    move({number: (0, 0.7 * number, 0)})(number, dataset)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (move({2: (0, 0, -2.5)}), GeometryError, "1 slices lie where another one lies"),
        (move({3: (0, 0, 2.5)}), GeometryError, "1 slices are missing"),
        (move({3: (0, 0, 0.9)}), GeometryError, "2.5 to 3.4 mm apart"),
        (move({1: (0, 3, 0)}), GeometryError, "beside one line"),
        (
            set_tag("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], only=1),
            GeometryError,
            "mixes orientations",
        ),
        (set_tag("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), GeometryError, "right angle"),
        (set_tag("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]), GeometryError, "right angle"),
        (set_tag("ImageOrientationPatient", [1, 0, 0]), GeometryError, "6 finite numbers"),
        (set_tag("PixelSpacing", [1.3, 1.2], only=2), GeometryError, "mixes pixel spacings"),
        (set_tag("PixelSpacing", [0, 0]), GeometryError, "mm"),
        (set_tag("PixelSpacing", ["nan", "1"]), GeometryError, "finite"),
        (set_tag("Columns", 4, only=0), GeometryError, "mixes 2 image sizes"),
        (delete_tag("ImagePositionPatient", only=3), GeometryError, "1 of 4 images have no position"),
        (delete_tag("ImageOrientationPatient"), GeometryError, "4 of 4"),
        (delete_tag("PixelSpacing"), GeometryError, "4 of 4"),
        (set_tag("NumberOfFrames", 2, only=0), InputError, "2 frames"),
        (set_tag("RescaleSlope", 0, only=1), InputError, "slope of 0"),
        (set_tag("RescaleIntercept", "inf", only=1), InputError, "not a finite number"),
        (set_tag("PixelData", b"\0" * 10, only=1), InputError, "damaged"),
        (set_tag("SeriesInstanceUID", "1.2.3", only=1), InputError, "holds 2 image series"),
        (set_tag("Rows", 0), InputError, "at least 1"),
        (set_tag("PhotometricInterpretation", "PALETTE COLOR"), InputError, "PALETTE"),
    ],
)
def test_names_the_defect_of_a_series(
    change: Change, error: type[CoreSegError], words: str, series: Path
) -> None:
    rewrite(series, change)
    with pytest.raises(error, match=words):
        read_volume(series)


def test_a_tilted_gantry_gives_a_sheared_grid_at_the_right_place(series: Path) -> None:
    rewrite(series, shear)
    geometry = read_volume(series).geometry
    assert not geometry.orthogonal
    tilted = LPS.copy()
    tilted[1, 2] -= 0.7
    np.testing.assert_allclose(geometry.affine_ras, tilted, atol=1e-6)


def test_sorts_by_position_whatever_the_names_and_numbers_say(series: Path) -> None:
    wanted = read_volume(series)
    for number, path in enumerate(sorted(series.iterdir())):
        path.rename(series / f"{(number * 7 + 3) % 11:02d}.dcm")
    rewrite(series, set_tag("InstanceNumber", 1))
    read = read_volume(series)
    np.testing.assert_array_equal(read.voxels, wanted.voxels)
    read.geometry.assert_same(wanted.geometry)
    assert read.content_hash == wanted.content_hash


def test_each_slice_has_its_own_rescale(series: Path) -> None:
    def change(number: int, dataset: FileDataset) -> None:
        dataset.Modality = "PT"
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{0.5 + number}", f"{number}"

    stored = read_volume(series).voxels.astype(float)
    rewrite(series, change)
    volume = read_volume(series)
    assert volume.modality == "PT"
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, stored * (0.5 + np.arange(4)) + np.arange(4))


def test_fractions_survive_export(tmp_path: Path) -> None:
    values = np.random.default_rng(0).gamma(2, 3, (6, 5, 3)).astype(np.float32)
    volume = Volume(values, VolumeGeometry(values.shape, LPS), "PT")
    write_dicom_series(tmp_path / "pet", volume, modality="PT", description="test", seed=1)
    read = read_volume(tmp_path / "pet")
    np.testing.assert_allclose(read.voxels, values, atol=float(values.max()) / 32_000)


def test_a_negative_picture_is_turned_but_never_a_hounsfield_unit(series: Path, tmp_path: Path) -> None:
    wanted = read_volume(series).voxels
    rewrite(series, set_tag("PhotometricInterpretation", "MONOCHROME1"))
    np.testing.assert_array_equal(read_volume(series).voxels, wanted)
    xray = np.arange(30, dtype=np.uint8).reshape(6, 5, 1)
    volume = Volume(xray, VolumeGeometry(xray.shape, LPS), "XR")
    write_dicom_series(tmp_path / "xray", volume, modality="DX", description="test", seed=1)
    rewrite(tmp_path / "xray", set_tag("PhotometricInterpretation", "MONOCHROME1"))
    read = read_volume(tmp_path / "xray")
    assert read.modality == "XR"
    np.testing.assert_array_equal(read.voxels, 255 - xray)


def test_skips_what_is_no_image_and_chooses_a_series(series: Path, tmp_path: Path) -> None:
    other = asymmetric_volume(LPS, modality="MR")
    other_uid = write_dicom_series(series / "mr", other, modality="MR", description="other", seed=6)
    for name, modality in (("SEG", "SEG"), ("RTSTRUCT", "RTSTRUCT")):
        dataset = pydicom.dcmread(series / "slice_0000.dcm")
        dataset.Modality, dataset.SeriesInstanceUID = modality, "1.9"
        dataset.save_as(series / f"{name}.dcm")
    (series / "README.txt").write_text("not an image")
    with pytest.raises(InputError, match="2 image series") as caught:
        read_volume(series)
    assert other_uid not in str(caught.value)
    assert [(item.modality, item.images) for item in list_series(series)].count(("MR", 4)) == 1
    assert read_volume(series, series_uid=other_uid).modality == "MR"
    with pytest.raises(InputError, match="none of the 2 series"):
        read_volume(series, series_uid="1.2.3.4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no DICOM image"):
        read_volume(tmp_path / "empty")


def test_one_file_is_one_slice(series: Path) -> None:
    volume = read_volume(series / "slice_0002.dcm")
    np.testing.assert_array_equal(volume.voxels, read_volume(series).voxels[:, :, 2:3])
    assert volume.geometry.spacing_mm == pytest.approx((0.9, 1.3, 2.5))


@pytest.mark.parametrize(
    "name", ["SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_ybr_full_422_uncompressed.dcm"]
)
def test_reads_colour_however_it_is_packed(name: str) -> None:
    plain = read_volume(get_testdata_file("SC_rgb_gdcm_KY.dcm")).voxels.astype(int)
    packed = read_volume(get_testdata_file(name))
    assert packed.colour
    assert not packed.geometry.located
    assert np.abs(packed.voxels - plain).mean() < 1.0


@pytest.mark.parametrize("name", ["RLE", "jp2klossless", "jpeg_ls_lossless", "bigendian", "implicit", "expb"])
def test_every_transfer_syntax_gives_the_same_values(name: str) -> None:
    plain = read_volume(get_testdata_file("MR_small.dcm"))
    packed = read_volume(get_testdata_file(f"MR_small_{name}.dcm"))
    np.testing.assert_array_equal(packed.voxels, plain.voxels)
    packed.geometry.assert_same(plain.geometry)


def deflated(path: Path, *, zeros: int) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    file.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(file, meta, enforce_standard=True)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    file.write(packer.compress(struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, zeros)))
    for _ in range(zeros >> 20):
        file.write(packer.compress(b"\0" * (1 << 20)))
    file.write(packer.flush())
    path.write_bytes(file.getvalue())
    return path


def test_a_deflated_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    path = deflated(tmp_path / "bomb.dcm", zeros=64 << 20)
    tracemalloc.start()
    with pytest.raises(LimitError, match="to one"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 64e6
    tracemalloc.stop()


def test_a_deflated_image_is_read() -> None:
    volume = read_volume(get_testdata_file("image_dfl.dcm"))
    assert volume.voxels.shape == (512, 512, 1)
    assert volume.voxels.max() == 255


def test_too_many_slices_are_refused_before_their_pixels_are_read(series: Path) -> None:
    started = time.process_time()
    with pytest.raises(LimitError, match="4 slices, limit 3"):
        read_volume(series, limits=Limits(max_slices=3))
    with pytest.raises(LimitError, match="more than 2 files"):
        read_volume(series, limits=Limits(max_files=2))
    assert time.process_time() - started < 0.4


def test_no_message_and_no_warning_quotes_the_file(series: Path, recwarn: pytest.WarningsRecorder) -> None:
    marked = "SECRETNAME"

    def change(number: int, dataset: FileDataset) -> None:
        dataset.PatientName = dataset.PatientID = marked
        dataset.SeriesInstanceUID = marked
        dataset.PixelSpacing = [1, 1]

    rewrite(series, change)
    path = series / "slice_0001.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    recwarn.clear()
    with pytest.raises(InputError) as caught:
        read_volume(series)
    assert marked not in str(caught.value) + "".join(str(item.message) for item in recwarn)
    assert caught.value.__cause__ is None


SEEDS = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_small_odd.dcm",
    "rtstruct.dcm",
    "UN_sequence.dcm",
)


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_a_mutated_file_gives_a_volume_or_a_typed_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blob = bytearray(Path(get_testdata_file(data.draw(st.sampled_from(SEEDS)))).read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        blob[data.draw(st.integers(128, min(len(blob), 3000) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del blob[data.draw(st.integers(0, len(blob))) :]
    path = tmp_path_factory.getbasetemp() / "mutated.dcm"
    path.write_bytes(blob)
    started = time.process_time()
    try:
        assert read_volume(path).voxels.size > 0
    except CoreSegError as error:
        assert error.reason
    assert time.process_time() - started < 5


def test_mutated_jpegs_never_end_the_program(tmp_path: Path) -> None:
    """Native decoders see these bytes, so that a fault would end the interpreter: it is run apart."""
    rng = np.random.default_rng(0)
    for name in ("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_gdcm.dcm"):
        whole = Path(get_testdata_file(name)).read_bytes()
        for number in range(15):
            blob = bytearray(whole)
            for at in rng.integers(len(blob) // 3, len(blob), 4):
                blob[at] = rng.integers(256)
            (tmp_path / f"{name}-{number}").write_bytes(blob[: rng.integers(len(blob) // 2, len(blob))])
    code = (
        "import pathlib, sys\n"
        "from coreseg_core.errors import CoreSegError\n"
        "from coreseg_core.imaging import read_volume\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try:\n"
        "        read_volume(path)\n"
        "    except CoreSegError:\n"
        "        pass\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
