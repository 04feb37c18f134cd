"""What this program agrees to read, and the errors it raises beyond that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from coreseg_core.errors import InputError, LimitError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper bounds that are checked on headers, before any pixel is read.

    Attributes:
        max_voxels: Voxels of one volume or pixels of one picture.
        max_slices: Slices of one volume, along its last array axis.
        max_file_bytes: Bytes of one file as it lies on the disk.
        max_files: Files looked at in one folder.
        max_inflate_ratio: Unpacked bytes for each packed byte; 200 is far above what real images reach.
        inflate_floor_bytes: Below this unpacked size the ratio is not judged: small things may be empty.
    """

    max_voxels: int = 500_000_000
    max_slices: int = 4096
    max_file_bytes: int = 4 * 1024**3
    max_files: int = 20_000
    max_inflate_ratio: int = 200
    inflate_floor_bytes: int = 16 * 1024**2

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value < 1:
                raise InputError(f"limit {item.name} is {value}.", remedy="Give a number of at least 1.")

    def check_shape(self, shape_ijk: Sequence[int]) -> None:
        """Return nothing for a shape that may be read.

        Raises:
            InputError: A side of zero or less.
            LimitError: More voxels or slices than allowed.
        """
        voxels = 1
        for side in shape_ijk:
            if side < 1:
                raise InputError(
                    f"the image announces sides of {_times(shape_ijk)}, one of them below 1.",
                    remedy="The file is damaged; export it again.",
                )
            voxels *= int(side)
        if voxels > self.max_voxels:
            raise LimitError(
                f"the image has {_times(shape_ijk)} = {voxels:.3g} voxels, limit {self.max_voxels:.2g}.",
                remedy="Crop or resample it, or raise max_voxels.",
            )
        if len(shape_ijk) > 2 and shape_ijk[2] > self.max_slices:
            raise LimitError(
                f"the volume announces {shape_ijk[2]} slices, limit {self.max_slices}.",
                remedy="Crop it, or raise max_slices.",
            )

    def check_file_bytes(self, size_bytes: int) -> None:
        """Return nothing for a file that is small enough.

        Raises:
            LimitError: The file is larger than `max_file_bytes`.
        """
        if size_bytes > self.max_file_bytes:
            raise LimitError(
                f"a file has {size_bytes} bytes, limit {self.max_file_bytes}.",
                remedy="Split or crop the image, or raise max_file_bytes.",
            )

    def check_inflation(self, *, packed_bytes: int, unpacked_bytes: int) -> None:
        """Return nothing when unpacking stays in proportion.

        Raises:
            LimitError: More than `inflate_floor_bytes` come out at more than `max_inflate_ratio` to one.
        """
        if unpacked_bytes > self.max_unpacked_bytes(packed_bytes):
            raise LimitError(
                f"{packed_bytes} packed bytes would become {unpacked_bytes}, more than "
                f"{self.max_inflate_ratio} to one.",
                remedy="Store the image uncompressed, or raise max_inflate_ratio if you trust its source.",
            )

    def max_unpacked_bytes(self, packed_bytes: int) -> int:
        """Return how many bytes `packed_bytes` may become."""
        return max(self.inflate_floor_bytes, packed_bytes * self.max_inflate_ratio)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(int(side)) for side in shape)
