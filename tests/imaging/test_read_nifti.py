from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_volumes import asymmetric_voxels, save_nifti

from coreseg_core.errors import CoreSegError, GeometryError, InputError, LimitError
from coreseg_core.imaging import read_label, read_volume
from coreseg_core.limits import Limits

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def header_for(shape: tuple[int, ...], dtype: type = np.int16) -> nib.Nifti1Header:
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header["dim"][: len(shape) + 1] = (len(shape), *shape)
    header.set_sform(AFFINE, code=1)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    return header


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_come_back_in_the_narrowest_type(ending: str, dtype: type, tmp_path: Path) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    volume = read_volume(save_nifti(tmp_path / f"a{ending}", values))
    np.testing.assert_array_equal(volume.voxels, values)
    wanted = {np.uint8: np.uint8, np.float32: np.float32, np.float64: np.float32}.get(dtype, np.int16)
    assert volume.voxels.dtype == wanted
    assert volume.geometry.axis_codes == "LPS"


def test_reads_what_slope_and_intercept_mean(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3.0)
    header = image.header.copy()
    raw = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 0.5, -3.0
    (tmp_path / "a.nii").write_bytes(header.binaryblock + b"\0" * 4 + raw.tobytes(order="F"))
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").voxels, raw * 0.5 - 3.0)


def test_reads_nifti_2_and_big_endian(tmp_path: Path) -> None:
    values = asymmetric_voxels()
    nib.save(nib.Nifti2Image(values, AFFINE), tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "two.nii.gz").voxels, values)
    swapped = header_for(values.shape).as_byteswapped(">")
    data = values.astype(">i2").tobytes(order="F")
    (tmp_path / "big.nii").write_bytes(swapped.binaryblock + b"\0" * 4 + data)
    np.testing.assert_array_equal(read_volume(tmp_path / "big.nii").voxels, values)


def test_colour_is_kept(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 2, 3), dtype=np.uint8)
    packed = rgb.view(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))[..., 0]
    volume = read_volume(save_nifti(tmp_path / "a.nii.gz", packed))
    np.testing.assert_array_equal(volume.voxels, rgb)


def test_tells_ct_from_its_values_and_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    body = rng.normal(40, 30, (20, 20, 8)).round()
    ct = np.where(np.arange(20)[:, None, None] < 4, -1000, body)
    assert read_volume(save_nifti(tmp_path / "ct.nii.gz", ct.astype(np.float32))).modality == "CT"
    assert read_volume(save_nifti(tmp_path / "f.nii.gz", (ct + 0.3).astype(np.float32))).modality is None
    assert read_volume(save_nifti(tmp_path / "mr.nii.gz", body.astype(np.int16))).modality is None


def test_sidecar_names_the_modality(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", asymmetric_voxels())
    (tmp_path / "a.json").write_text(json.dumps({"Modality": "MR", "series_uid": "1.2", "study_uid": "1"}))
    volume = read_volume(path)
    assert (volume.modality, volume.series_uid, volume.study_uid) == ("MR", "1.2", "1")


@pytest.mark.parametrize("text", ['{"modality": "XYZ"}', "{", "[" * 100_000])
def test_a_sidecar_that_says_nonsense_is_named(text: str, tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", asymmetric_voxels())
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="JSON beside the image"):
        read_volume(path)


def test_refuses_an_image_without_left_and_right(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(asymmetric_voxels(), None), tmp_path / "a.nii")
    with pytest.raises(GeometryError, match="no orientation"):
        read_volume(tmp_path / "a.nii")


def test_refuses_two_matrices_that_contradict_each_other(tmp_path: Path) -> None:
    image = nib.Nifti1Image(asymmetric_voxels(), AFFINE)
    image.set_sform(AFFINE, code=1)
    image.set_qform(AFFINE @ np.diag([-1.0, 1.0, 1.0, 1.0]), code=1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(GeometryError, match="apart"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(("value", "error"), [(np.nan, GeometryError), (0.0, GeometryError)])
def test_refuses_a_broken_affine(value: float, error: type[CoreSegError], tmp_path: Path) -> None:
    values = asymmetric_voxels()
    header = header_for(values.shape)
    header["srow_x"] = value
    (tmp_path / "a.nii").write_bytes(header.binaryblock + b"\0" * 4 + values.tobytes(order="F"))
    with pytest.raises(error):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 1, 3)])
def test_refuses_more_than_three_dimensions(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dimensions"):
        read_volume(save_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.int16)))


def test_a_single_time_point_is_a_volume(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", asymmetric_voxels()[..., None])
    np.testing.assert_array_equal(read_volume(path).voxels, asymmetric_voxels())


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_header_is_refused_at_once_and_with_little_memory(packed: bool, tmp_path: Path) -> None:
    blob = header_for((32767, 32767, 32767), np.float64).binaryblock + b"\0" * 64
    path = tmp_path / "a.nii"
    path.write_bytes(gzip.compress(blob) if packed else blob)
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(LimitError, match=r"3\.52e\+13 voxels"):
        read_volume(path)
    assert time.process_time() - started < 0.2
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


def test_a_gzip_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    shape = (512, 512, 200)
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header_for(shape, np.uint8).binaryblock + b"\0" * 4)
        for _ in range(shape[2]):
            file.write(b"\0" * (512 * 512))
    tracemalloc.start()
    with pytest.raises(LimitError, match="200 to one"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_holds_more_than_it_announces_is_named(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    for more_bytes in (0, 1000, 1024**2):
        blob = header_for((4, 4, 4), np.uint8).binaryblock + bytes(4 + 64 + more_bytes)
        path.write_bytes(gzip.compress(blob) if packed else blob)
        if more_bytes <= 1000:
            assert read_volume(path).voxels.shape == (4, 4, 4)
        else:
            with pytest.raises(InputError, match="more voxels than its header"):
                read_volume(path)


def test_a_file_that_lies_about_its_length_costs_only_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "short.nii"
    path.write_bytes(header_for((300, 300, 150), np.uint8).binaryblock + b"\0" * 100_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="cut short"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


def test_an_empty_mask_of_a_large_image_is_no_bomb(tmp_path: Path) -> None:
    shape = (512, 512, 80)
    path = save_nifti(tmp_path / "mask.nii.gz", np.zeros(shape, np.uint8), AFFINE)
    with pytest.raises(LimitError):
        read_volume(path)
    small = save_nifti(tmp_path / "image.nii", np.zeros((4, 4, 2), np.int16), AFFINE)
    geometry = type(read_volume(small).geometry)(shape, AFFINE)
    assert not read_label(path, geometry).any()
    with pytest.raises(GeometryError, match="shape"):
        read_label(path, read_volume(small).geometry)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_truncation_is_named(ending: str, tmp_path: Path) -> None:
    whole = save_nifti(tmp_path / f"a{ending}", asymmetric_voxels()).read_bytes()
    path = tmp_path / f"cut{ending}"
    for length in range(0, len(whole) - 8, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_volume(path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_mutated_header_gives_a_volume_or_a_typed_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = asymmetric_voxels()
    blob = bytearray(header_for(values.shape).binaryblock + b"\0" * 4 + values.tobytes(order="F"))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, 351))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated.nii"
    path.write_bytes(blob)
    try:
        assert read_volume(path, limits=Limits(max_voxels=10_000)).voxels.size > 0
    except CoreSegError as error:
        assert error.reason


def test_no_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Jane_Doe.nii.gz"
    path.write_bytes(b"\x1f\x8b rubbish")
    for given_path in (path, tmp_path / "Jane_Doe_missing.nii"):
        with pytest.raises(InputError) as caught:
            read_volume(given_path)
        assert "Jane" not in str(caught.value)
