"""Half a megabyte that would swell to half a gigabyte is refused in little memory, whatever it is packed as."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from peak_memory import Measured, measure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc"),
]

SWOLLEN = 500 * 10**6
HONEST, SMALL = (1000, 1000, 500), (10, 10, 10)
ALLOWED_MIB = 64
MIB = 1024**2
Write = Callable[[bytes], object]


def nifti(path: Path, shape: tuple[int, int, int], content: int) -> Path:
    """Write a packed NIfTI that says `shape` and holds so many bytes of voxels."""
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    header.set_sform(np.eye(4), code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = path.with_suffix(".nii.gz")
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header.binaryblock + bytes(4))
        swell(file.write, content)
    return path


def nrrd(path: Path, shape: tuple[int, int, int], content: int) -> Path:
    sizes = " ".join(map(str, shape))
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
    head += "encoding: gzip\nspace origin: (0,0,0)\n\n"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    path = path.with_suffix(".nrrd")
    with path.open("wb") as file:
        file.write(head.encode())
        swell(lambda part: file.write(packer.compress(part)), content)
        file.write(packer.flush())
    return path


def mha(path: Path, shape: tuple[int, int, int], content: int) -> Path:
    packer, packed = zlib.compressobj(9), bytearray()
    swell(lambda part: packed.extend(packer.compress(part)), content)
    packed += packer.flush()
    sizes = " ".join(map(str, shape))
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    head += f"CompressedData = True\nCompressedDataSize = {len(packed)}\n"
    head += "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\n"
    head += f"DimSize = {sizes}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    path = path.with_suffix(".mha")
    path.write_bytes(head.encode() + packed)
    return path


def swell(write: Write, content: int) -> None:
    for _ in range(content // 10**6):
        write(bytes(10**6))
    write(bytes(range(256)) * (content % 10**6 // 256 + 1))


def read(harmless: Path, bomb: Path) -> Measured:
    return measure(
        before="from coreseg_core.imaging import read_volume\nread_volume(Path(sys.argv[1]))",
        work="'x'.join(map(str, read_volume(Path(sys.argv[2])).voxels.shape))",
        arguments=(harmless, bomb),
    )


@pytest.mark.parametrize("make", [nifti, nrrd, mha])
@pytest.mark.parametrize("said", [HONEST, SMALL], ids=["honest", "lying"])
def test_what_swells_is_refused_in_little_memory(
    make: Callable[[Path, tuple[int, int, int], int], Path], said: tuple[int, int, int], tmp_path: Path
) -> None:
    bomb = make(tmp_path / "bomb", said, SWOLLEN)
    assert bomb.stat().st_size < 600_000
    came = read(make(tmp_path / "harmless", SMALL, 1000), bomb)
    print(f"{make.__name__} that says {said}: {came.said}, {came.grown_mib:.1f} MiB more")
    assert came.grown_mib < ALLOWED_MIB
    if said == HONEST:
        assert came.said == "too_large"
    else:
        # Of a MetaImage ITK takes what was announced and leaves the rest packed.
        assert came.said == ("10x10x10" if make is mha else "bad_input")


def test_the_measure_sees_what_is_unpacked(tmp_path: Path) -> None:
    came = measure(before="import gzip", work="len(gzip.open(sys.argv[1]).read())",
                   arguments=(nifti(tmp_path / "bomb", HONEST, SWOLLEN),))  # fmt: skip
    assert int(came.said) > SWOLLEN and came.grown_mib > SWOLLEN / MIB


def test_an_archive_that_swells_is_refused_in_little_memory(tmp_path: Path) -> None:
    bomb, harmless = tmp_path / "bomb.zip", tmp_path / "harmless.zip"
    for path, content in ((bomb, SWOLLEN), (harmless, 1000)):
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
            archive.open("x.nii", "w") as member,
        ):
            swell(member.write, content)
    assert bomb.stat().st_size < 600_000
    into = tmp_path / "into"
    into.mkdir()
    (tmp_path / "warm").mkdir()
    came = measure(
        before="from coreseg_core.limits import Limits\nfrom lib.archives import unpack\n"
        "options = {'limit_bytes': 2048 * 1024**2, 'limits': Limits()}\n"
        "unpack(Path(sys.argv[1]), Path(sys.argv[3]), **options)",
        work="unpack(Path(sys.argv[2]), Path(sys.argv[4]), **options)",
        arguments=(harmless, bomb, tmp_path / "warm", into),
    )  # fmt: skip
    print(f"zip: {came.said}, {came.grown_mib:.1f} MiB more")
    assert came.grown_mib < ALLOWED_MIB
    assert came.said == "too_large" and not list(into.iterdir())
