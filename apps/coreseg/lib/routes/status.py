"""`GET /coreseg/health` and `GET /coreseg/metrics`: is the server up, with what, and how does it fare."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from monailabel.interfaces.utils.app import app_instance

import coreseg_core
from coreseg_core.errors import CoreSegError
from lib.errors import error_json
from lib.jobs import JobQueue
from lib.learning.trainings import Trainings
from lib.metrics import Metrics, Sample, family
from lib.model import ServedModel

STATM = Path("/proc/self/statm")
"""Where Linux says how much memory a process holds."""
LIBRARIES = ("monailabel", "torch", "transformers")

router = APIRouter(prefix="/coreseg", tags=["CORE-Seg"])


@router.get("/health", summary="State and versions of this server")
def health(request: Request) -> dict[str, Any]:
    """Return whether the server is up, which weights answer now and next, and the versions of what it is made of."""
    served: ServedModel = app_instance().served_model
    queue: JobQueue = request.app.state.coreseg.queue
    return {
        "status": "ok",
        "model": {
            **served.card(),
            "loaded": served.loaded,
            "device": served.device_in_use,
            "next": _next(served),
        },
        "queue": {"running": queue.running, "waiting": queue.waiting, "capacity": queue.capacity},
        "versions": {"coreseg": coreseg_core.__version__, **{name: version(name) for name in LIBRARIES}},
    }


def _next(served: ServedModel) -> Mapping[str, Any]:
    """Return which weights answer the next question, or why none can."""
    try:
        return served.next_card()
    except CoreSegError as error:
        return {"error": error_json(error)}


@router.get("/metrics", summary="Counters in the format of Prometheus", response_class=PlainTextResponse)
def metrics(request: Request) -> PlainTextResponse:
    """Return requests, jobs, outcomes, times of stages, queue, caches and versions, as Prometheus reads them."""
    counted: Metrics = request.app.state.coreseg.metrics
    lines = [
        *counted.render(),
        *_queue_lines(request.app.state.coreseg.queue),
        *_model_lines(app_instance().served_model),
        *_process_lines(app_instance().trainings),
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")


def _queue_lines(queue: JobQueue) -> Iterable[str]:
    places = {"running": queue.running, "waiting": queue.waiting, "capacity": queue.capacity}
    samples = [({"place": place}, count) for place, count in places.items()]
    yield from family("coreseg_queue_jobs", "gauge", "Jobs that run and wait, and how many may wait", samples)


def _model_lines(served: ServedModel) -> Iterable[str]:
    caches = served.caches
    for name, kind, meaning in (
        ("hits", "counter", "Lookups that found what they sought"),
        ("misses", "counter", "Lookups that did not"),
        ("nbytes", "gauge", "Bytes held"),
    ):
        samples = [({"cache": cache}, float(getattr(kept, name))) for cache, kept in caches.items()]
        yield from family(
            f"coreseg_cache_{name}{'_total' if kind == 'counter' else ''}", kind, meaning, samples
        )
    labels = {
        "coreseg": coreseg_core.__version__,
        **{key: str(value) for key, value in served.card().items()},
    }
    loaded = [(labels, float(served.loaded))]
    yield from family("coreseg_model_loaded", "gauge", "Whether the weights are in memory, and which", loaded)
    following = [({"version": _next(served).get("version", "none")}, 1.0)]
    yield from family("coreseg_model_next", "gauge", "Which version answers the next question", following)


def _process_lines(trainings: Trainings | None) -> Iterable[str]:
    running = trainings is not None and trainings.running() is not None
    yield from family("coreseg_training_running", "gauge", "Whether a training runs", [({}, float(running))])
    if STATM.exists():
        pages = int(STATM.read_text().split()[1])
        held: list[Sample] = [({}, float(pages * os.sysconf("SC_PAGE_SIZE")))]
        yield from family("process_resident_memory_bytes", "gauge", "Memory that the server holds", held)
