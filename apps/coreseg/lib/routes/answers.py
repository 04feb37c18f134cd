"""`POST /infer/{model}`, as stock clients send it: a job like any other, for whose end the request waits.

MONAI Label's own runs on the event loop, so that nobody else is answered meanwhile, and lets `params` overwrite image,
model and label. Here nothing waits but the request itself; a client that leaves stops its job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.concurrency import run_in_threadpool
from monailabel.endpoints.infer import ResultType, send_response
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import Cancelled, InputError
from lib.errors import as_http, spoken_errors
from lib.found import image_path
from lib.jobs import Job, JobQueue
from lib.jobs.stream import until_closed
from lib.params import read_params
from lib.passing import passing_folder
from lib.routes.asked import Asked, check_asked
from lib.uploads import save_upload

router = APIRouter()


@router.post("/infer/{model}", tags=["Infer"], summary="Run Inference for supported model")
async def infer(
    request: Request,
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
    queue: JobQueue = request.app.state.coreseg.queue
    with passing_folder() as place:
        with spoken_errors():
            asked = await run_in_threadpool(
                _read, model, image, session_id, params, file, label, output, place
            )
            job = queue.submit(asked.work(), kind=model)
        if not await until_closed(job.events, gone=request.is_disconnected):
            queue.cancel(job)
            raise as_http(Cancelled("The client left before the answer was there."))
    if job.status.error is not None:
        queue.forget(job)
        raise as_http(job.status.error)
    # Nobody else knows this job: once its answer is sent, it and its label file go.
    background_tasks.add_task(queue.forget, job)
    return await run_in_threadpool(_respond, job, output, background_tasks)


def _read(
    model: str,
    image: str,
    session_id: str,
    params: str,
    file: UploadFile | None,
    label: UploadFile | None,
    output: ResultType | None,
    place: Path,
) -> Asked:
    """Return the checked request, an image that came along being saved at `place`."""
    values = read_params(params, model=model)
    app_instance().task(model)
    if label is not None:
        raise InputError(
            "The models of this server take no label file.", remedy="Send the request without `label`."
        )
    if output == ResultType.dicom_seg:
        raise no_dicom_seg()
    sent_along = save_upload(file.file, file.filename, folder=place) if file is not None else None
    asked = check_asked(model=model, image=image, session_id=session_id, params=values, sent_along=sent_along)
    if asked.image:
        # The request waits anyway: a series that is fetched now keeps no other question waiting.
        image_path(app_instance().datastore(), asked.image)
    return asked


def _respond(job: Job, output: ResultType | None, background_tasks: BackgroundTasks) -> Any:
    """Return the answer in the form that was asked for; its label file goes once it is sent."""
    result = job.status.result
    assert result is not None
    answer = dict(result.answer)
    store = app_instance().datastore()
    return send_response(store, answer, output, background_tasks)


def no_dicom_seg() -> InputError:
    """Return the error of a client that wants its answer as DICOM SEG."""
    return InputError(
        "This server makes no DICOM SEG and sends none to a DICOMweb server.",
        remedy="Ask for `output=image`; 3D Slicer exports a segmentation as DICOM SEG.",
    )
