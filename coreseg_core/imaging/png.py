"""PNG files of grey, colour and one-bit pictures, written without an image library."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GREY, _COLOUR = 0, 2


def png_bytes(picture: NDArray[Any]) -> bytes:
    """Return a PNG file of (h, w) uint8 grey, (h, w, 3) uint8 colour, or an (h, w) bool mask (0 and 255)."""
    if picture.dtype == np.bool_:
        picture = picture.astype(np.uint8) * np.uint8(255)
    height, width = picture.shape[:2]
    rows = np.ascontiguousarray(picture, dtype=np.uint8).reshape(height, -1)
    # Each row starts with its filter type; 0 means unfiltered.
    scanlines = np.hstack([np.zeros((height, 1), dtype=np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR if picture.ndim == 3 else _GREY, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(scanlines, 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
