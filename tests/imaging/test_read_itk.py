from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from made_up_volumes import affine_of, asymmetric_volume, asymmetric_voxels

from coreseg_core.errors import CoreSegError, GeometryError, InputError, LimitError
from coreseg_core.imaging import VolumeGeometry, read_label, read_volume, write_label, write_volume
from coreseg_core.limits import Limits


def save(path: Path, array_kji: np.ndarray, *, vector: bool = False) -> Path:
    image = sitk.GetImageFromArray(array_kji, isVector=vector)
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_reads_what_itk_writes_at_the_same_place(ending: str, tmp_path: Path) -> None:
    values = asymmetric_voxels()
    volume = read_volume(save(tmp_path / f"a{ending}", values.transpose(2, 1, 0)))
    np.testing.assert_array_equal(volume.voxels, values)
    assert volume.geometry.axis_codes == "LPS"
    np.testing.assert_allclose(volume.geometry.to_world([1, 1, 1]), (-10.5, 19.25, 33.0))


def test_colour_is_kept(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    volume = read_volume(save(tmp_path / "a.nrrd", rgb, vector=True))
    np.testing.assert_array_equal(volume.voxels, rgb.transpose(2, 1, 0, 3))


def test_sheared_axes_survive_in_nrrd_and_are_refused_in_nifti(tmp_path: Path) -> None:
    affine = affine_of((0, 1, 2), (-1, -1, 1))
    affine[1, 2] = 0.6
    volume = asymmetric_volume(affine)
    write_volume(tmp_path / "tilted.nrrd", volume)
    read = read_volume(tmp_path / "tilted.nrrd")
    read.geometry.assert_same(volume.geometry)
    with pytest.raises(GeometryError, match="right angles"):
        write_label(tmp_path / "label.nii.gz", np.zeros((5, 7, 4), np.uint8), read.geometry)
    assert [path.name for path in tmp_path.iterdir()] == ["tilted.nrrd"]
    label = (volume.voxels > 0).astype(np.uint8)
    write_label(tmp_path / "label.nrrd", label, read.geometry)
    np.testing.assert_array_equal(read_label(tmp_path / "label.nrrd", read.geometry), label)


def test_refuses_voxels_that_lie_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(b"\1" * 64)
    nrrd = (
        b"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
        b"space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\ndata file: secret.raw\n\n"
    )
    meta = (
        b"ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nDimSize = 4 4 4\n"
        b"ElementType = MET_UCHAR\nElementDataFile = secret.raw\n"
    )
    for name, text in (("a.nrrd", nrrd), ("a.mha", meta)):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(InputError, match="another file"):
            read_volume(tmp_path / name)


def test_refuses_what_has_no_orientation_or_a_singular_one(tmp_path: Path) -> None:
    head = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    (tmp_path / "a.nrrd").write_bytes(head + b"\n" + b"\1" * 8)
    with pytest.raises(GeometryError, match="no orientation"):
        read_volume(tmp_path / "a.nrrd")
    flat = b"space: left-posterior-superior\nspace directions: (1,0,0) (1,0,0) (0,0,1)\n"
    (tmp_path / "b.nrrd").write_bytes(head + flat + b"\n" + b"\1" * 8)
    with pytest.raises(GeometryError):
        read_volume(tmp_path / "b.nrrd")


def test_refuses_a_huge_header_and_a_bomb(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd", asymmetric_voxels().transpose(2, 1, 0))
    text = path.read_bytes().replace(b"sizes: 5 7 4", b"sizes: 60000 60000 60000")
    path.write_bytes(text)
    with pytest.raises(LimitError, match="voxels"):
        read_volume(path)
    image = sitk.GetImageFromArray(np.zeros((80, 512, 512), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "bomb.nrrd"), useCompression=True)
    with pytest.raises(LimitError, match="to one"):
        read_volume(tmp_path / "bomb.nrrd")
    geometry = VolumeGeometry((512, 512, 80), np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert not read_label(tmp_path / "bomb.nrrd", geometry).any()


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_every_truncation_is_named(ending: str, tmp_path: Path) -> None:
    whole = save(tmp_path / f"a{ending}", asymmetric_voxels().transpose(2, 1, 0)).read_bytes()
    path = tmp_path / f"cut{ending}"
    for length in range(0, len(whole) - 1, 13):
        path.write_bytes(whole[:length])
        with pytest.raises(CoreSegError):
            read_volume(path, limits=Limits(max_voxels=10_000))


def test_refuses_four_dimensions(tmp_path: Path) -> None:
    series = sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((2, 3, 4), np.int16))] * 2)
    sitk.WriteImage(series, str(tmp_path / "a.mha"))
    with pytest.raises(InputError, match="dimensions"):
        read_volume(tmp_path / "a.mha")


def test_a_gzipped_file_that_holds_more_than_it_announces_is_named(tmp_path: Path) -> None:
    head = "NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
    head += "encoding: gzip\nspace origin: (0,0,0)\n\n"
    for lines in (head, head.replace("\n", "\r\n")):
        for more_bytes in (0, 1000, 1024**2 + 1):
            path = tmp_path / f"{more_bytes}.nrrd"
            path.write_bytes(lines.encode() + gzip.compress(bytes(64 + more_bytes)))
            if more_bytes <= 1000:
                assert read_volume(path).voxels.shape == (4, 4, 4)
            else:
                with pytest.raises(InputError, match="more voxels than its header"):
                    read_volume(path)
