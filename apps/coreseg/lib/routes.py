"""Routes of this app: `POST /infer/{model}` with its request checked first, and `GET /coreseg/health`.

MONAI Label's own `/infer` runs on the event loop, so that nobody else is answered meanwhile, and lets
`params` overwrite image, model and label. The route here stands before it, runs in a worker thread and then
calls the same code.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from fastapi.background import BackgroundTasks
from monailabel.config import settings
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils.app import app_instance

import coreseg_core
from coreseg_core.errors import InputError
from lib.errors import NotFoundError, spoken_errors
from lib.params import read_params

LIBRARIES = ("monailabel", "torch", "transformers")

router = APIRouter(dependencies=[Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))])


@router.post("/infer/{model}", tags=["Infer"], summary="Run Inference for supported model")
def infer(
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: ResultType | None = None,
) -> Any:
    """Answer a question about an image of the store, of a session, or sent along."""
    app: MONAILabelApp = app_instance()
    with spoken_errors():
        read_params(params)
        _check_names(app, model=model, image=image, session_id=session_id, sent_along=file is not None)
    return run_inference(background_tasks, model, image, session_id, params, file, label, output)


@router.get("/coreseg/health", tags=["CORE-Seg"], summary="State and versions of this server")
def health() -> dict[str, Any]:
    """Return whether the server is up, which weights answer, and the versions of what it is made of."""
    served = app_instance().served_model
    return {
        "status": "ok",
        "model": {**served.card(), "loaded": served.loaded},
        "versions": {"coreseg": coreseg_core.__version__, **{name: version(name) for name in LIBRARIES}},
    }


def install_routes() -> None:
    """Put these routes before MONAI Label's own; does nothing in its task processes, where no server runs."""
    server = sys.modules.get("monailabel.app")
    if server is None:
        return
    routes, state = server.app.router.routes, server.app.state
    # A reload builds the app anew in the same server: what the last one put there goes first.
    earlier = getattr(state, "coreseg_routes", [])
    others = [route for route in routes if not any(route is ours for ours in earlier)]
    routes[:] = others
    server.app.include_router(router, prefix=settings.MONAI_LABEL_API_STR)
    state.coreseg_routes = routes[len(others) :]
    routes[:] = [*state.coreseg_routes, *others]


def _check_names(app: MONAILabelApp, *, model: str, image: str, session_id: str, sent_along: bool) -> None:
    models = app.info()["models"]
    if model not in models:
        raise NotFoundError(
            f"There is no model {model[:40]!r}.", remedy=f"This server has: {', '.join(sorted(models))}."
        )
    if session_id:
        if not app.sessions().get_session(session_id):
            raise NotFoundError(
                "There is no such session, or it has ended.", remedy="Make one with PUT /session/."
            )
    elif image:
        if image not in app.datastore().list_images():
            raise NotFoundError(
                "There is no such image in the studies of this server.",
                remedy="Use an id that GET /datastore/?output=all lists under `objects`.",
            )
    elif not sent_along:
        raise InputError(
            "The request names no image.", remedy="Give ?image=ID, ?session_id=ID or send a `file`."
        )
