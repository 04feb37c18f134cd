"""A store over a DICOMweb server, as MONAI Label's own settings describe the server."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import requests
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX

from coreseg_core.limits import Limits
from lib.dicomweb import FILTERS, SILENCE_S, DicomWebStore

_STOCK_FILTER = {"Modality": "CT"}
_CONNECT_S = 10


class BoundedSession(requests.Session):
    """Waits for no server without end.

    Args:
        silence_s: How long nothing may come; connecting has ten seconds at most.
    """

    def __init__(self, silence_s: int) -> None:
        super().__init__()
        self._timeout_s = (min(_CONNECT_S, silence_s), silence_s)

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """See `requests.Session.request`."""
        return super().request(*args, **{"timeout": self._timeout_s, **options})


def open_dicomweb(
    address: str, *, extensions: list[str], limits: Limits, silence_s: int = SILENCE_S
) -> DicomWebStore:
    """Return the store of a DICOMweb server; it is asked for nothing yet.

    MONAI Label's `MONAI_LABEL_DICOMWEB_USERNAME`, `_PASSWORD`, `_CACHE_PATH` and `_SEARCH_FILTER` and
    `MONAI_LABEL_QIDO_PREFIX` and `_WADO_PREFIX` count; in place of the stock filter, for CT alone, `FILTERS` do.

    Args:
        address: Where it is.
        extensions: Patterns of image files.
        limits: What may be read.
        silence_s: How long the server may say nothing.
    """
    session = BoundedSession(silence_s)
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    if user and password:
        session.auth = (user, password)
    client = DICOMwebClientX(
        url=address.rstrip("/"),
        session=session,
        qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
        wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
        stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
    )
    # It would ask a silent server five times.
    client.set_http_retry_params(retry=False)
    chosen = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
    filters = FILTERS if chosen == _STOCK_FILTER else (chosen,)
    root = settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip() or Path.home() / ".cache" / "coreseg" / "dicomweb"
    folder = Path(root) / hashlib.sha256(client.base_url.encode()).hexdigest()[:16]
    return DicomWebStore(
        client,
        folder,
        filters=filters,
        limits=limits,
        silence_s=silence_s,
        extensions=extensions,
        auto_reload=False,
    )
