"""`/session`: images that are asked without being kept, sent under whatever name and stored under none of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import FileResponse
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type

from coreseg_core.errors import InputError, NotFoundError
from lib.archives import unpack
from lib.errors import spoken_errors
from lib.found import session_not_found
from lib.names import ending_of
from lib.sessions import SafeSessions
from lib.settings import ServerSettings
from lib.uploads import copy_at_most

router = APIRouter(prefix="/session", tags=["Session"])


@router.put("/", summary="Create new session with Image")
def create(
    request: Request,
    files: Annotated[list[UploadFile], File()],
    uncompress: bool = False,
    expiry: int = 0,
) -> dict[str, Any]:
    """Keep an image, the files of a DICOM series, or an archive of one, for a while."""
    chosen: ServerSettings = request.app.state.coreseg.settings
    with spoken_errors():
        sessions = _sessions()
        folder = sessions.coming_folder()
        try:
            image = _receive(files, folder, uncompress=uncompress, chosen=chosen)
            info = sessions.keep(folder, image, expiry_s=expiry)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return {"session_id": info.name, "session_info": _told(info.to_json())}


@router.get("/{session_id}", summary="Get Session ID", response_model=None)
def find(session_id: str, update_ts: bool = False, image: bool = False) -> FileResponse | dict[str, Any]:
    """Return what is known of a session, or its image."""
    with spoken_errors():
        info = _sessions().get_session(session_id, update_ts=update_ts)
        if info is None:
            raise session_not_found()
        if not image:
            return _told(info.to_json())
        if not Path(info.image).is_file():
            raise InputError("The session holds a series, not one file.", remedy="Ask about it with /infer.")
    return FileResponse(info.image, media_type=get_mime_type(info.image), filename=Path(info.image).name)


@router.delete("/{session_id}", summary="Delete Session")
def remove(session_id: str) -> dict[str, Any]:
    """Remove a session with its image."""
    with spoken_errors():
        sessions = _sessions()
        info = sessions.get_session(session_id, update_ts=False)
        if info is None:
            raise session_not_found()
        sessions.remove_session(session_id)
    return _told(info.to_json())


def _receive(files: list[UploadFile], folder: Path, *, uncompress: bool, chosen: ServerSettings) -> str:
    """Return the name, in `folder`, of the image that the files are."""
    series = folder / "series"
    if not uncompress and len(files) == 1:
        image = folder / f"image{ending_of(files[0].filename)}"
        if not copy_at_most(files[0].file, image, limit_bytes=None):
            raise InputError("The file is empty.", remedy="Send it again.")
        return image.name
    series.mkdir()
    if uncompress:
        if len(files) != 1:
            raise InputError(f"{len(files)} archives.", remedy="Send one archive at a time.")
        packed = folder / "packed"
        copy_at_most(files[0].file, packed, limit_bytes=None)
        unpack(packed, series, limit_bytes=chosen.max_upload_bytes, limits=chosen.limits)
        packed.unlink()
    else:
        for number, file in enumerate(files, start=1):
            copy_at_most(file.file, series / f"{number:06d}{ending_of(file.filename)}", limit_bytes=None)
    held = list(series.iterdir())
    return str(held[0].relative_to(folder)) if len(held) == 1 else series.name


def _sessions() -> SafeSessions:
    sessions: SafeSessions | None = app_instance().sessions()
    if sessions is None:
        raise NotFoundError("This server keeps no sessions.", remedy="Set MONAI_LABEL_SESSIONS to true.")
    return sessions


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """Return a session as clients see it: where it lies is the server's own affair."""
    return {key: value for key, value in values.items() if key not in ("path", "image")}
