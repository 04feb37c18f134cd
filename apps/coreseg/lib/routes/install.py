"""Putting this app's gate and routes into MONAI Label's server, before its own, and what they share beside them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from coreseg_core.errors import InputError
from lib.errors import error_json
from lib.guard import Guard
from lib.jobs import JobQueue
from lib.metrics import Metrics
from lib.quiet import keep_names_out_of_logs, keep_results_out_of_logs
from lib.routes import (
    answers,
    datastore,
    jobs,
    learning,
    reading,
    sessions,
    status,
    stock,
    tasks,
    training,
    versions,
)
from lib.settings import ServerSettings
from lib.stopping import end_jobs_on_signals

ROUTERS: tuple[APIRouter, ...] = (
    tasks.router,
    training.router,
    versions.router,
    learning.router,
    answers.router,
    datastore.router,
    reading.router,
    sessions.router,
    jobs.router,
    status.router,
    stock.router,
)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What lives as long as the server does, through every reload of the app.

    Attributes:
        settings: As the server was started with.
        queue: The one way to the device.
        metrics: Since the server was started.
    """

    settings: ServerSettings
    queue: JobQueue
    metrics: Metrics


def install(chosen: ServerSettings, *, device: str) -> None:
    """Put gate and routes before MONAI Label's own; does nothing in its task processes, where no server runs.

    Args:
        chosen: Settings of the server.
        device: What stands behind the queue.
    """
    keep_names_out_of_logs()
    loaded = sys.modules.get("monailabel.app")
    if loaded is None:
        keep_results_out_of_logs()
        return
    server: FastAPI = loaded.app
    if getattr(server.state, "coreseg", None) is None:
        metrics = Metrics()
        queue = JobQueue(device=device, capacity=chosen.queue, on_end=metrics.job_ended)
        server.state.coreseg = Shared(settings=chosen, queue=queue, metrics=metrics)
        _put_gate(server, server.state.coreseg)
        end_jobs_on_signals(queue)
    _put_first(server)


def _put_gate(server: FastAPI, shared: Shared) -> None:
    server.user_middleware.insert(0, Middleware(Guard, chosen=shared.settings, metrics=shared.metrics))
    server.exception_handlers[RequestValidationError] = _say_what_is_wrong
    # The app is made while the server starts: what it passes requests to is built anew, these included.
    server.middleware_stack = None


async def _say_what_is_wrong(request: Request, error: Exception) -> JSONResponse:
    """Return a 422 in the form of every other error; the values that were sent are not repeated."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    places = sorted({".".join(str(part) for part in fault["loc"])[:60] for fault in faults})
    told = InputError(
        f"The request has a wrong or missing {', '.join(places) or 'value'}.",
        remedy="GET /openapi.json says what each route takes.",
    )
    return JSONResponse({"detail": error_json(told)}, status_code=422)


def _put_first(server: FastAPI) -> None:
    routes, state = server.router.routes, server.state
    # A reload builds the app anew in the same server: what the last one put there goes first.
    earlier = getattr(state, "coreseg_routes", [])
    others = [route for route in routes if not any(route is ours for ours in earlier)]
    routes[:] = others
    for router in ROUTERS:
        server.include_router(
            router,
            prefix=settings.MONAI_LABEL_API_STR,
            dependencies=[Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))],
        )
    state.coreseg_routes = routes[len(others) :]
    routes[:] = [*state.coreseg_routes, *others]
    _describe(server, [*others, *state.coreseg_routes])


def _describe(server: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let the server's OpenAPI description speak of the routes that answer: where two are one, the last one counts."""

    def describe() -> dict[str, Any]:
        if server.openapi_schema is None:
            server.openapi_schema = get_openapi(title=server.title, version=server.version, routes=routes)
        return server.openapi_schema

    server.openapi_schema = None
    server.openapi = describe  # type: ignore[method-assign]
