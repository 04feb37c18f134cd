"""Putting this app's routes into MONAI Label's server, before its own, and what they share beside them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fastapi import APIRouter, Depends, FastAPI
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC

from lib.jobs import JobQueue
from lib.routes import answers, jobs, status
from lib.settings import ServerSettings

ROUTERS: tuple[APIRouter, ...] = (answers.router, jobs.router, status.router)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What lives as long as the server does, through every reload of the app.

    Attributes:
        settings: As the server was started with.
        queue: The one way to the device.
    """

    settings: ServerSettings
    queue: JobQueue


def install(chosen: ServerSettings, *, device: str) -> None:
    """Put these routes before MONAI Label's own; does nothing in its task processes, where no server runs.

    Args:
        chosen: Settings of the server.
        device: What stands behind the queue.
    """
    loaded = sys.modules.get("monailabel.app")
    if loaded is None:
        return
    server: FastAPI = loaded.app
    if getattr(server.state, "coreseg", None) is None:
        server.state.coreseg = Shared(settings=chosen, queue=JobQueue(device=device, capacity=chosen.queue))
    _put_first(server)


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
