"""Voxels on their way to a server: an id that comes from them alone, and an NRRD file that says nothing but them.

The file is written here and not by Slicer, so that it happens in a worker, without a name and without tags.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CORESegLib.stopping import CancelToken
from CORESegLib.trouble import Trouble

if TYPE_CHECKING:
    from numpy.typing import NDArray

Matrix = tuple[tuple[float, ...], ...]
"""4 x 4, rows first."""

SLAB_BYTES = 1 << 22
_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


@dataclass(frozen=True, kw_only=True, eq=False)
class VoxelImage:
    """An image to be asked about; see `asking.Image`.

    Attributes:
        voxels_kji: As Slicer holds them; not copied.
        ijk_to_ras: From voxel indices to millimetres, right, front and up.
        info: Sent beside it.
        folder: Where files may lie for a moment.
        known_as: Its id in a server's store if it came from there, with the digest of what came.
    """

    voxels_kji: NDArray[Any]
    ijk_to_ras: Matrix
    folder: Path
    info: Mapping[str, str] = field(default_factory=dict)
    known_as: tuple[str, str] | None = None

    def identify(self, cancel: CancelToken) -> str:
        """Return its id: that of the store it came from if it is still what came, else one of its content."""
        digest = content_digest(self.voxels_kji, self.ijk_to_ras, cancel.check)
        if self.known_as is not None and self.known_as[1] == digest:
            return self.known_as[0]
        return f"px-{digest[:40]}"

    def write(self, cancel: CancelToken) -> Path:
        """Return a new file that holds it."""
        path = self.folder / f"coreseg-{secrets.token_hex(8)}.nrrd"
        write_nrrd(path, self.voxels_kji, self.ijk_to_ras, cancel.check)
        return path


def content_digest(
    voxels_kji: NDArray[Any], ijk_to_ras: Matrix, keep_going: Callable[[], None] = lambda: None
) -> str:
    """Return the SHA-256 of voxels and their place, in hexadecimal digits."""
    places = [f"{value:.6g}" for row in ijk_to_ras for value in row]
    digest = hashlib.sha256(repr((voxels_kji.shape, voxels_kji.dtype.name, places)).encode())
    for slab in _slabs(voxels_kji, keep_going):
        digest.update(slab)
    return digest.hexdigest()


def write_nrrd(
    path: Path,
    voxels_kji: NDArray[Any],
    ijk_to_ras: Matrix,
    keep_going: Callable[[], None] = lambda: None,
) -> None:
    """Write voxels with their place to a compressed NRRD file.

    Raises:
        Trouble: Voxels that such a file does not hold, or no room for it.
    """
    kind = voxels_kji.dtype.newbyteorder("<")
    if voxels_kji.ndim != 3 or voxels_kji.dtype.name not in _TYPES:
        raise Trouble(
            "local",
            "This image has no single grey value a voxel.",
            remedy="Choose a scalar volume of three dimensions.",
        )
    whole = False
    try:
        with path.open("wb") as target:
            target.write(_header(voxels_kji, ijk_to_ras))
            # Fast rather than small: the network is rarely slower than the strongest compression.
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            for slab in _slabs(voxels_kji.astype(kind, copy=False), keep_going):
                target.write(packer.compress(slab))
            target.write(packer.flush())
        whole = True
    except OSError as fault:
        raise Trouble(
            "local",
            "The image cannot be written to this machine's disk.",
            remedy="Make room, then ask again.",
        ) from fault
    finally:
        if not whole:
            path.unlink(missing_ok=True)


def _header(voxels_kji: NDArray[Any], ijk_to_ras: Matrix) -> bytes:
    to_lps = [[-value for value in row] if axis < 2 else list(row) for axis, row in enumerate(ijk_to_ras[:3])]
    columns = [_vector([row[column] for row in to_lps]) for column in range(4)]
    lines = (
        "NRRD0004",
        f"type: {voxels_kji.dtype.name.replace('float32', 'float').replace('float64', 'double')}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(side) for side in reversed(voxels_kji.shape))}",
        f"space directions: {' '.join(columns[:3])}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {columns[3]}",
    )
    return "\n".join((*lines, "", "")).encode()


def _vector(values: list[float]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _slabs(voxels_kji: NDArray[Any], keep_going: Callable[[], None]) -> Any:
    """Yield the bytes of slices, a few at a time, i fastest."""
    a_slice = max(1, voxels_kji[0].nbytes) if len(voxels_kji) else 1
    step = max(1, SLAB_BYTES // a_slice)
    for start in range(0, len(voxels_kji), step):
        keep_going()
        yield voxels_kji[start : start + step].tobytes()
