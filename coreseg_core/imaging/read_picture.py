"""PNG and JPEG pictures as volumes of one slice."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging.geometry import picture_geometry
from coreseg_core.imaging.sidecar import read_sidecar
from coreseg_core.imaging.volume import Volume
from coreseg_core.imaging.voxel_types import compact
from coreseg_core.limits import Limits

PICTURE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_FORMATS = ("PNG", "JPEG")
_WIDE_GREY_MODES = ("I", "I;16", "I;16B", "F")


def read_picture(path: Path, *, limits: Limits) -> Volume:
    """Return a PNG or JPEG as a volume (width, height, 1), pixel (x, y) being voxel (x, y, 0).

    The pixels stay where the file has them: a camera's note on how to turn the picture is not followed, so
    that a mask fits the file. 8-bit pictures become RGB; 16-bit grey keeps its values.

    Raises:
        LimitError: More pixels than allowed.
        InputError: Damaged or cut short.
    """
    packed_bytes = path.stat().st_size
    limits.check_file_bytes(packed_bytes)
    try:
        # The size is judged below against our own limit, before any pixel is read.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=_FORMATS)
        with picture:
            limits.check_shape((picture.width, picture.height, 1))
            unpacked = picture.width * picture.height * len(picture.getbands())
            limits.check_inflation(packed_bytes=packed_bytes, unpacked_bytes=unpacked)
            pixels = _pixels(picture)
    except Image.DecompressionBombError as error:
        raise LimitError("the picture announces too many pixels.", remedy="Make it smaller.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError("the picture is damaged or cut short.", remedy="Export it again.") from error
    sidecar = read_sidecar(path)
    return Volume(
        voxels=pixels,
        geometry=picture_geometry(width=pixels.shape[0], height=pixels.shape[1]),
        modality=sidecar.modality,
        series_uid=sidecar.series_uid,
        study_uid=sidecar.study_uid,
    )


def _pixels(picture: Image.Image) -> NDArray[np.generic]:
    if picture.mode in _WIDE_GREY_MODES:
        return compact(np.asarray(picture).T[:, :, np.newaxis])
    rgb = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    return rgb.transpose(1, 0, 2)[:, :, np.newaxis, :]
