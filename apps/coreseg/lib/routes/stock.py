"""MONAI Label's routes that have no business here, or that would fail where they should refuse."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from monailabel.config import settings
from monailabel.endpoints import logs
from monailabel.endpoints.datastore import download_image
from monailabel.interfaces.utils.app import app_instance
from starlette.background import BackgroundTask

from coreseg_core.errors import ForbiddenError, InputError, NotFoundError
from lib.errors import spoken_errors

MAX_LOG_LINES = 10_000
CHECK_SUMS = ("SHA256", "SHA512", "MD5")

router = APIRouter()


@router.put("/model/{model}", tags=["Model"], summary="Refused: weights come by versions")
@router.delete("/model/{model}", tags=["Model"], summary="Refused: weights come by versions")
@router.get("/model/{model}", tags=["Model"], summary="Refused: weights come by versions")
@router.get("/model/info/{model}", tags=["Model"], summary="Refused: weights come by versions")
def refuse_weights(model: str) -> None:
    """Refuse: whoever may ask questions may not exchange what answers them."""
    with spoken_errors():
        raise ForbiddenError(
            "Weights are neither given nor taken over HTTP.",
            remedy="Whoever runs the server chooses among the folders of its versions.",
        )


@router.post("/infer/wsi/{model}", tags=["Infer"], summary="Refused: no slides")
@router.post("/infer/wsi_v2/{model}", tags=["Infer"], summary="Refused: no slides")
def refuse_slides(model: str) -> None:
    """Refuse: no model here was made for slides of tissue."""
    with spoken_errors():
        raise NotFoundError(
            "The models of this server read no slides of tissue.", remedy="Use POST /infer/{model}."
        )


@router.get("/datastore/dataset", tags=["Datastore"], summary="Download full dataset as ZIP archive")
def download_dataset(limit_cases: Annotated[int | None, Query(ge=1)] = None) -> FileResponse:
    """Return images with their final labels as an archive, which goes once it is sent."""
    store = app_instance().datastore()
    with spoken_errors():
        if not store.datalist():
            raise NotFoundError(
                "No image has a final label yet.", remedy="Submit one with PUT /datastore/label."
            )
    path = Path(store.get_dataset_archive(limit_cases))
    return FileResponse(
        path, media_type="application/zip", filename="dataset.zip", background=BackgroundTask(path.unlink)
    )


@router.head("/datastore/image", tags=["Datastore"], summary="Check If Image Exists")
def check_image(image: str, check_sum: str | None = None) -> Any:
    """Say whether an image is there, with the very content that a checksum names."""
    with spoken_errors():
        kind, colon, _ = (check_sum or "").partition(":")
        if colon and kind not in CHECK_SUMS:
            raise InputError("The checksum is of an unknown kind.", remedy=f"Use {', '.join(CHECK_SUMS)}.")
    return download_image(image, check_only=True, check_sum=check_sum)


@router.get("/logs/", tags=["Others"], summary="Get Logs")
def read_logs(
    lines: Annotated[int, Query(ge=0, le=MAX_LOG_LINES)] = 300,
    html: bool = True,
    text: bool = False,
    refresh: Annotated[int, Query(ge=0, le=3600)] = 0,
) -> Any:
    """Return the last lines of the log, all of them for 0."""
    path = Path(settings.MONAI_LABEL_APP_DIR) / "logs" / "app.log"
    with spoken_errors():
        if not path.is_file():
            raise NotFoundError("This server writes no log file.", remedy="Look at what it prints.")
    return logs.get_logs(str(path), lines, html, text, refresh)


@router.get("/logs/gpu", tags=["Others"], summary="Get GPU Info (nvidia-smi)")
async def read_gpu() -> Any:
    """Return what nvidia-smi says."""
    with spoken_errors():
        if shutil.which("nvidia-smi") is None:
            raise NotFoundError(
                "This machine has no nvidia-smi.", remedy="GET /coreseg/health names the device."
            )
    return await logs.gpu_info()


@router.get("/proxy/dicom/{place:path}", include_in_schema=False)
@router.post("/proxy/dicom/{place:path}", include_in_schema=False)
def refuse_proxy(place: str) -> None:
    """Refuse: MONAI Label's own would write to a DICOMweb server, wait for it without end, and tell it our token."""
    with spoken_errors():
        raise NotFoundError(
            "This server passes nothing on to a DICOMweb server.",
            remedy="Ask that one itself; GET /datastore/?output=all lists its series that can be asked about here.",
        )
