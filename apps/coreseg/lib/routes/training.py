"""`/train`, as stock clients know it, and `/coreseg/training`: runs that outlive the server, followed like any job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, HTTPException, Response
from fastapi.responses import StreamingResponse
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import NotFoundError
from lib.errors import spoken_errors
from lib.learning.tasks import LearnFromCorrections, stats_of, task_of
from lib.learning.trainings import Trainings
from lib.routes.following import follow
from lib.routes.tasks import check_known, check_params

DEFAULT = "coreseg_sft"

router = APIRouter()
Params = Annotated[dict[str, Any] | None, Body()]


@router.post("/train/{model}", tags=["Train"], summary="Start learning from corrections")
def start(model: str, params: Params = None, run_sync: bool = False, enqueue: bool = False) -> dict[str, Any]:
    """Start a training, unless one runs: then the answer is 429 and says which. `enqueue` is not taken."""
    with spoken_errors():
        check_known("trainer", model, app_instance()._trainers)
        check_params(params, {"model"})
        task: LearnFromCorrections = app_instance()._trainers[model]
        store = app_instance().datastore()
        if run_sync:
            return task(params or {}, store)
        return task_of(task.start(params or {}, store))


@router.post("/train/", include_in_schema=False, deprecated=True)
def start_default(params: Params = None, run_sync: bool = False) -> dict[str, Any]:
    """Start the first trainer: several at once would learn from the same corrections twice."""
    return start(DEFAULT, params, run_sync)


@router.get("/train/", tags=["Train"], summary="Get status of training")
def stand(all: bool = False, check_if_running: bool = False) -> Any:
    """Return where the last training stands, or all of them; 404 where none runs, or none is known."""
    trainings = _trainings()
    if check_if_running:
        run = trainings.running()
        if run is None:
            raise HTTPException(status_code=404, detail="No Train Tasks are currently Running")
        return task_of(run)
    runs = trainings.all()
    if not runs:
        raise HTTPException(status_code=404, detail="No Train Tasks Found")
    return [task_of(run) for run in runs] if all else task_of(runs[-1])


@router.delete("/train/", tags=["Train"], summary="Stop training")
def stop() -> dict[str, Any] | None:
    """Ask the training that runs to stop; its last whole checkpoint stays, and `resume` goes on from it."""
    run = _trainings().stop()
    return None if run is None else task_of(run)


@router.get("/coreseg/training", tags=["CORE-Seg"], summary="All trainings")
def runs() -> dict[str, Any]:
    """Return where each training stands, the oldest first."""
    return {"trainings": [stats_of(run) for run in _trainings().all()]}


@router.get("/coreseg/training/{run_id}", tags=["CORE-Seg"], summary="Where a training stands")
def run_stands(run_id: str) -> dict[str, Any]:
    """Return where a training stands."""
    with spoken_errors():
        return stats_of(_trainings().find(run_id))


@router.delete("/coreseg/training/{run_id}", tags=["CORE-Seg"], summary="Stop a training")
def run_stop(run_id: str) -> dict[str, Any]:
    """Ask a training to stop; one that has ended stays as it is."""
    with spoken_errors():
        run = _trainings().find(run_id)
        running = _trainings().running()
        if running is not None and running.id == run.id:
            _trainings().stop()
        return stats_of(run)


@router.get(
    "/coreseg/training/{run_id}/events",
    tags=["CORE-Seg"],
    summary="Follow a training",
    response_class=StreamingResponse,
)
def events(run_id: str, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    """Stream what a training says, as `/coreseg/jobs/{job_id}/events` does; its numbers outlive the server."""
    with spoken_errors():
        return follow(_trainings().events(_trainings().find(run_id)), last_event_id)


def _trainings() -> Trainings:
    trainings: Trainings | None = app_instance().trainings
    if trainings is None:
        with spoken_errors():
            raise NotFoundError(
                "This server does not learn: its studies lie in a store of MONAI Label's own (XNAT or DSA).",
                remedy="Start it with a folder, or the address of a DICOMweb server, as --studies.",
            )
    return trainings
