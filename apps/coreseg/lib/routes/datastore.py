"""`/datastore`: what clients put into the store and change there, with names, sizes and contents checked.

What only reads is MONAI Label's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import InputError
from coreseg_core.imaging import read_label, read_volume
from lib.errors import spoken_errors
from lib.found import image_path
from lib.learning.reading import fault_of
from lib.names import LABEL_EXTENSIONS, extension_of, image_id, label_tag
from lib.passing import passing_folder
from lib.records_layout import TAG_PREFIX
from lib.settings import ServerSettings
from lib.strict_json import read_object
from lib.uploads import save_upload

router = APIRouter(prefix="/datastore", tags=["Datastore"])


@router.put("/", include_in_schema=False, deprecated=True)
@router.put("/image", summary="Upload new Image")
def add_image(
    request: Request,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
) -> dict[str, Any]:
    """Add an image that can be read; its id is `image`, or its file's name without the ending."""
    with spoken_errors(), passing_folder() as place:
        info = read_object(params, what="`params`")
        ending = extension_of(file.filename)
        name = image or Path((file.filename or "").replace("\\", "/")).name[: -len(ending)]
        path = save_upload(file.file, file.filename, folder=place)
        image_id(name)
        read_volume(path, limits=_chosen(request).limits)
        return {"image": app_instance().datastore().add_image(name, str(path), info)}


@router.delete("/", include_in_schema=False, deprecated=True)
@router.delete("/image", summary="Remove Image and corresponding labels")
def remove_image(id: str) -> dict[str, Any]:
    """Remove an image with its labels and records."""
    with spoken_errors():
        app_instance().datastore().remove_image(id)
    return {}


@router.put("/image/info", summary="Update Image Info")
def update_image_info(image: str, info: Annotated[str, Form()] = "{}") -> None:
    """Lay `info` over what is known of an image."""
    with spoken_errors():
        app_instance().datastore().update_image_info(image, read_object(info, what="`info`"))


@router.put("/label", summary="Save Finished Label")
def save_label(
    request: Request,
    image: str,
    label: Annotated[UploadFile, File()],
    tag: str = "final",
    params: Annotated[str, Form()] = "{}",
) -> dict[str, Any]:
    """Save a label that lies on the grid of its image."""
    app = app_instance()
    with spoken_errors(), passing_folder() as place:
        info = read_object(params, what="`params`")
        _check_tag(tag or "final")
        _check_label_info(info)
        source = image_path(app.datastore(), image)
        path = save_upload(label.file, label.filename, folder=place, name="label", allowed=LABEL_EXTENSIONS)
        limits = _chosen(request).limits
        read_label(path, read_volume(source, limits=limits).geometry, limits=limits)
        label_id = app.datastore().save_label(image, str(path), tag or "final", info)
        told = app.on_save_label(image, label_id) or {}
    return {**told, "image": image, "label": label_id}


@router.delete("/label", summary="Remove Label")
def remove_label(id: str, tag: str) -> dict[str, Any]:
    """Remove a label and its record."""
    with spoken_errors():
        app_instance().datastore().remove_label(id, tag)
    return {}


@router.put("/label/info", summary="Update Label Info")
def update_label_info(label: str, tag: str, info: Annotated[str, Form()] = "{}") -> None:
    """Lay `info` over what is known of a label."""
    with spoken_errors():
        values = read_object(info, what="`info`")
        _check_label_info(values)
        app_instance().datastore().update_label_info(label, tag, values)


@router.put("/updatelabelinfo", include_in_schema=False, deprecated=True)
def update_label_info_as_before(label: str, tag: str, params: Annotated[str, Form()] = "{}") -> None:
    """Do what `PUT /label/info` does."""
    update_label_info(label, tag, params)


def _check_tag(tag: str) -> None:
    if label_tag(tag).startswith(TAG_PREFIX):
        raise InputError(
            "Tags that begin with 'coreseg-' belong to answers of this server.",
            remedy="Use `final`, `original`, or a name of your own.",
        )


def _check_label_info(info: Mapping[str, Any]) -> None:
    if fault := fault_of(info):
        raise InputError(
            f"In what is said of the label, {fault}.",
            remedy="Leave it out, or send the record as it came with the answer (`coreseg.record/1`).",
        )


def _chosen(request: Request) -> ServerSettings:
    chosen: ServerSettings = request.app.state.coreseg.settings
    return chosen
