"""A store over a DICOMweb server, as MONAI Label's own settings describe the server."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX

from coreseg_core.limits import Limits
from lib.dicomweb import FILTERS, DicomWebStore

_STOCK_FILTER = {"Modality": "CT"}


def open_dicomweb(address: str, *, extensions: list[str], limits: Limits) -> DicomWebStore:
    """Return the store of a DICOMweb server; it is asked for nothing yet.

    MONAI Label's `MONAI_LABEL_DICOMWEB_USERNAME`, `_PASSWORD`, `_CACHE_PATH` and `_SEARCH_FILTER` and
    `MONAI_LABEL_QIDO_PREFIX` and `_WADO_PREFIX` count; in place of the stock filter, for CT alone, `FILTERS` do.

    Args:
        address: Where it is.
        extensions: Patterns of image files.
        limits: What may be read.
    """
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    client = DICOMwebClientX(
        url=address.rstrip("/"),
        session=create_session_from_user_pass(user, password) if user and password else None,
        qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
        wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
        stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
    )
    chosen = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
    filters = FILTERS if chosen == _STOCK_FILTER else (chosen,)
    root = settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip() or Path.home() / ".cache" / "coreseg" / "dicomweb"
    folder = Path(root) / hashlib.sha256(client.base_url.encode()).hexdigest()[:16]
    return DicomWebStore(
        client, folder, filters=filters, limits=limits, extensions=extensions, auto_reload=False
    )
