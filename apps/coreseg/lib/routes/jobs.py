"""`/coreseg/jobs`: a question is handed in, followed while it is answered, cancelled, and its answer fetched."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.background import BackgroundTasks
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from monailabel.endpoints.infer import ResultType, send_response
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import InputError
from lib.errors import as_http, spoken_errors
from lib.jobs import Job, JobQueue
from lib.params import read_job_request
from lib.routes.answers import no_dicom_seg
from lib.routes.asked import check_asked
from lib.routes.following import follow

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "model": {"type": "string", "default": "coreseg"},
                        "image": {"type": "string", "description": "an image of the store"},
                        "session_id": {"type": "string", "description": "in place of `image`"},
                        "params": {"type": "object", "description": "as for `POST /infer/{model}`"},
                    },
                }
            }
        },
    }
}

router = APIRouter(prefix="/coreseg/jobs", tags=["CORE-Seg"])


@router.post("", status_code=202, summary="Hand in a question", openapi_extra=_BODY)
async def submit(request: Request, response: Response) -> dict[str, Any]:
    """Return the job of a question, which waits for its turn."""
    body = await request.body()
    with spoken_errors():
        asked_for = read_job_request(body)
        asked = await run_in_threadpool(
            check_asked,
            model=asked_for.model,
            image=asked_for.image,
            session_id=asked_for.session_id,
            params=asked_for.params,
        )
        job = _queue(request).submit(asked.work(), kind=asked_for.model)
    response.headers["Location"] = f"{request.url.path.rstrip('/')}/{job.id}"
    return job.to_json()


@router.get("/{job_id}", summary="Where a job stands")
async def stand(request: Request, job_id: str) -> dict[str, Any]:
    """Return state, position and progress of a job, and its record once it is done."""
    return _find(request, job_id).to_json()


@router.delete("/{job_id}", summary="Cancel a job")
async def cancel(request: Request, job_id: str) -> dict[str, Any]:
    """Ask a job to stop, and return where it stands; what has ended stays as it is."""
    job = _find(request, job_id)
    _queue(request).cancel(job)
    return job.to_json()


@router.get("/{job_id}/events", summary="Follow a job", response_class=StreamingResponse)
async def events(
    request: Request, job_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Stream what the job says, after `Last-Event-ID` if that is given; 204 where nothing is left to say."""
    log = _find(request, job_id).events
    with spoken_errors():
        return follow(log, last_event_id)


@router.get("/{job_id}/result", summary="Fetch the answer of a job that is done")
def result(request: Request, job_id: str, output: ResultType | None = None) -> Any:
    """Return what `POST /infer/{model}` would have answered."""
    status = _find(request, job_id).status
    if status.error is not None:
        raise as_http(status.error)
    with spoken_errors():
        if status.result is None:
            raise InputError(f"The job is {status.state}, not done.", remedy="Wait for its event `done`.")
        if output == ResultType.dicom_seg:
            raise no_dicom_seg()
    # MONAI Label would remove the file after sending it; here it stays until the job is forgotten.
    return send_response(app_instance().datastore(), dict(status.result.answer), output, BackgroundTasks())


def _queue(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.coreseg.queue
    return queue


def _find(request: Request, job_id: str) -> Job:
    with spoken_errors():
        return _queue(request).find(job_id)
