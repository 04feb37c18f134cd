"""Reading an image, whatever it is stored as."""

from __future__ import annotations

import re
from pathlib import Path

from coreseg_core.errors import InputError
from coreseg_core.imaging.dicom_file import is_dicom
from coreseg_core.imaging.read_dicom import read_dicom
from coreseg_core.imaging.read_itk import NRRD_MAGIC, read_itk
from coreseg_core.imaging.read_nifti import read_nifti
from coreseg_core.imaging.read_picture import PICTURE_MAGIC, read_picture
from coreseg_core.imaging.volume import Volume
from coreseg_core.limits import Limits

_GZIP_MAGIC = b"\x1f\x8b"
_NIFTI_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))
_META_IMAGE = re.compile(rb"^\s*(ObjectType|NDims|Comment)\s*=", re.MULTILINE)
_KINDS = "Give .nii, .nii.gz, .nrrd, .mha, PNG, JPEG, a DICOM file or a folder with one DICOM series."


def read_volume(path: str | Path, *, limits: Limits | None = None, series_uid: str | None = None) -> Volume:
    """Return the image at `path`; its first bytes, not its name, tell what it is.

    Args:
        path: NIfTI, NRRD, MetaImage, PNG or JPEG file, DICOM file, or DICOM folder.
        limits: What may be read; the defaults of `Limits` if not given.
        series_uid: Which series, where a DICOM folder holds several.

    Raises:
        LimitError: Larger than the limits, or swelling beyond them when unpacked.
        GeometryError: Orientation or spacing missing, singular or contradictory.
        InputError: Missing, unreadable, damaged, or of another kind.
    """
    path = Path(path)
    limits = limits or Limits()
    try:
        if path.is_dir():
            return read_dicom(path, limits=limits, series_uid=series_uid)
        return _read_file(path, limits=limits, series_uid=series_uid)
    except FileNotFoundError as error:
        raise InputError("there is no such file or folder.", remedy="Check the path.") from error
    except OSError as error:
        raise InputError(
            f"the image cannot be opened ({error.strerror}).", remedy="Check its permissions."
        ) from error


def _read_file(path: Path, *, limits: Limits, series_uid: str | None) -> Volume:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(PICTURE_MAGIC):
        return read_picture(path, limits=limits)
    if start.startswith(NRRD_MAGIC) or _META_IMAGE.match(start):
        return read_itk(path, limits=limits)
    if start.startswith((_GZIP_MAGIC, *_NIFTI_STARTS)):
        return read_nifti(path, limits=limits)
    if is_dicom(path):
        return read_dicom(path, limits=limits, series_uid=series_uid)
    what = "empty" if not start else "of a kind that is not read here"
    raise InputError(f"the file is {what}.", remedy=_KINDS)
