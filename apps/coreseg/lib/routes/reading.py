"""MONAI Label's routes that only read, off its event loop: a slow disk or DICOMweb server behind one of them keeps
nobody else waiting, and its fault is told as every other one.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from monailabel.endpoints import datastore as stock
from monailabel.interfaces.utils.app import app_instance

from lib.errors import spoken_errors

router = APIRouter()


@router.get("/info/", tags=["App"], summary="Get App Info")
def info() -> Any:
    """Return what this server offers, and where its trainings and studies stand."""
    with spoken_errors():
        return app_instance().info()


@router.get("/datastore/", tags=["Datastore"], summary="Get All Images/Labels from datastore")
def read_store(output: stock.ResultType | None = None) -> Any:
    """Return how many images and labels there are, or all that is known of them."""
    with spoken_errors():
        return stock.datastore(output)


@router.get("/datastore/image", tags=["Datastore"], summary="Download Image")
def read_image(image: str) -> Any:
    """Return the file of an image; a series of a DICOMweb server is fetched first."""
    with spoken_errors():
        return stock.download_image(image)


@router.get("/datastore/image/info", tags=["Datastore"], summary="Get Image Info")
def read_image_info(image: str) -> Any:
    """Return what is known of an image."""
    with spoken_errors():
        return stock.get_image_info(image)


@router.get("/datastore/label", tags=["Datastore"], summary="Download Label")
def read_label_file(label: str, tag: str) -> Any:
    """Return the file of a label."""
    with spoken_errors():
        return stock.download_label(label, tag)


@router.head("/datastore/label", tags=["Datastore"], summary="Check If Label Exists")
def check_label(image: str, tag: str) -> Any:
    """Say whether an image has a label."""
    with spoken_errors():
        return stock.download_label(image, tag, check_only=True)


@router.get("/datastore/label/info", tags=["Datastore"], summary="Get Label Info")
def read_label_info(label: str, tag: str) -> Any:
    """Return what is known of a label, its record included."""
    with spoken_errors():
        return stock.get_label_info(label, tag)
