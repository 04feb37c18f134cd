"""`GET /coreseg/health`: is the server up, and with which weights and libraries."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from monailabel.interfaces.utils.app import app_instance

import coreseg_core

LIBRARIES = ("monailabel", "torch", "transformers")

router = APIRouter(prefix="/coreseg", tags=["CORE-Seg"])


@router.get("/health", summary="State and versions of this server")
def health(request: Request) -> dict[str, Any]:
    """Return whether the server is up, which weights answer, and the versions of what it is made of."""
    served = app_instance().served_model
    queue = request.app.state.coreseg.queue
    return {
        "status": "ok",
        "model": {**served.card(), "loaded": served.loaded},
        "queue": {"running": queue.running, "waiting": queue.waiting, "capacity": queue.capacity},
        "versions": {"coreseg": coreseg_core.__version__, **{name: version(name) for name in LIBRARIES}},
    }
