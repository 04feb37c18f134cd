"""`/coreseg/versions`: which weights answer, what each version is worth, and the change from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import CheckpointError, InputError, NotFoundError
from coreseg_core.versions import SHIPPED, list_versions, read_current, roll_back, set_current
from lib.errors import spoken_errors

_TOLD = ("version", "parent", "created", "state", "recipe", "data", "scores", "guard", "run")

router = APIRouter(prefix="/coreseg/versions", tags=["CORE-Seg"])


@router.get("", summary="All versions of the weights")
def versions() -> dict[str, Any]:
    """Return which version answers, those that answered before, and all there are with their scores."""
    with _spoken():
        return versions_json(_folder())


@router.post("/roll-back", summary="Go back to what answered before")
def go_back() -> dict[str, Any]:
    """Let what answered before the last change answer again; questions at hand end on the version they began on."""
    with _spoken():
        roll_back(_folder())
        return versions_json(_folder())


@router.post("/{name}/promote", summary="Let a version answer")
def promote(name: str, despite_guard: bool = False) -> dict[str, Any]:
    """Let a version answer from the next question on; one that waits does only with `despite_guard`."""
    folder = _folder()
    with _spoken():
        if name != SHIPPED and name not in {manifest["version"] for manifest in list_versions(folder)}:
            raise NotFoundError(
                "There is no such version.", remedy="GET /coreseg/versions lists them; `v0` is what ships."
            )
        set_current(folder, name, despite_guard=despite_guard)
        return versions_json(folder)


def versions_json(folder: Path) -> dict[str, Any]:
    """Return which version answers, and all there are, without the hashes of patients."""
    current = read_current(folder)
    shipped = {"version": SHIPPED, "parent": None, "state": "shipped"}
    found = [
        shipped,
        *({key: manifest.get(key) for key in _TOLD} for manifest in list_versions(folder)),
    ]
    return {
        "current": current.version,
        "before": list(current.before),
        "versions": [{**one, "answers": one["version"] == current.version} for one in found],
    }


def _folder() -> Path:
    folder: Path = app_instance().learning.versions_dir
    return folder


@contextmanager
def _spoken() -> Iterator[None]:
    with spoken_errors():
        try:
            yield
        except CheckpointError as error:
            # What was asked for cannot be done; the server itself is well.
            raise InputError(error.reason, remedy=error.remedy) from error
