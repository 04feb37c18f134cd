"""`GET /coreseg/`: the roll-out watched, as a page for people; `GET /coreseg/learning` is the same as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from monailabel.interfaces.utils.app import app_instance

from lib.errors import spoken_errors
from lib.learning.page import render
from lib.learning.tasks import stats_of
from lib.routes.versions import versions_json

# No script runs there, and nothing is loaded from elsewhere.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'",
    "Cache-Control": "no-store",
}

router = APIRouter(prefix="/coreseg", tags=["CORE-Seg"])


@router.get("/learning", summary="What the loop of corrections does")
def learning(request: Request) -> dict[str, Any]:
    """Return corrections over time, agreement, drift, versions, trainings, latency and queue."""
    app, shared = app_instance(), request.app.state.coreseg
    with spoken_errors():
        versions = versions_json(app.learning.versions_dir)
    queue = shared.queue
    return {
        **app.overview.to_json(),
        "versions": versions,
        "trainings": [stats_of(run) for run in app.trainings.all()] if app.trainings else [],
        "stages_s": shared.metrics.stage_means_s(),
        "queue": {"running": queue.running, "waiting": queue.waiting, "capacity": queue.capacity},
    }


@router.get("/", summary="The same as a page", response_class=HTMLResponse)
def page(request: Request) -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(render(learning(request)), headers=_HEADERS)
