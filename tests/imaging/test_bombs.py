"""Half a megabyte that would swell to half a gigabyte is refused in little memory, whatever it is packed as."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SWOLLEN = 500 * 10**6
ALLOWED_KIB = 64 * 1024

# Peak memory only rises, so each file is read in a process of its own, after a small one of the same kind.
READ = """
import resource, sys
from pathlib import Path
from coreseg_core.errors import CoreSegError
from coreseg_core.imaging import read_volume
read_volume(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_volume(Path(sys.argv[2]))
except CoreSegError as error:
    print(error.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def nifti(path: Path, *, shape: tuple[int, int, int], content: int) -> Path:
    """Write a packed NIfTI that says `shape` and holds so many bytes."""
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 352
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header.binaryblock + bytes(4))
        swell(file.write, content)
    return path


def nrrd(path: Path, *, shape: tuple[int, int, int], content: int) -> Path:
    sizes = " ".join(map(str, shape))
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
    head += "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
    head += "encoding: gzip\nspace origin: (0,0,0)\n\n"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        file.write(head.encode())
        swell(lambda part: file.write(packer.compress(part)), content)
        file.write(packer.flush())
    return path


def swell(write: object, content: int) -> None:
    for _ in range(content // 10**6):
        write(bytes(10**6))  # type: ignore[operator]
    write(bytes(range(256)) * (content % 10**6 // 256 + 1))  # type: ignore[operator]


@pytest.mark.parametrize("make", [nifti, nrrd])
@pytest.mark.parametrize("said", [(1000, 1000, 500), (10, 10, 10)])
def test_what_swells_is_refused_in_little_memory(
    make: type, said: tuple[int, int, int], tmp_path: Path
) -> None:
    ending = ".nii.gz" if make is nifti else ".nrrd"
    harmless = make(tmp_path / f"small{ending}", shape=(10, 10, 10), content=1000)
    bomb = make(tmp_path / f"bomb{ending}", shape=said, content=SWOLLEN)
    assert bomb.stat().st_size < 600_000
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(harmless), str(bomb)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    print(make.__name__, said, ran.stdout.strip())
    grown_kib = ran.stdout.split()[1:] or ["0"]
    assert int(grown_kib[0]) < ALLOWED_KIB
    if said != (10, 10, 10):
        assert ran.stdout.startswith("too_large")
