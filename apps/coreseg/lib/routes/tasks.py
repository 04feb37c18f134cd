"""MONAI Label's routes that start something by name: the name is looked up first, and nothing overwrites it."""

from __future__ import annotations

import json
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from fastapi import APIRouter, Body
from monailabel.endpoints import activelearning, batch_infer, scoring
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import InputError, LimitError, NotFoundError
from lib.batch import check_batch
from lib.errors import spoken_errors
from lib.params import RESERVED

MAX_PARAMS_BYTES = 64 * 1024

router = APIRouter()
Params = Annotated[dict[str, Any] | None, Body()]


@router.post("/activelearning/{strategy}", tags=["ActiveLearning"], summary="Get next sample")
def next_sample(strategy: str, params: Params = None) -> dict[str, Any]:
    """Return the image to look at next, by a strategy."""
    with spoken_errors():
        check_known("strategy", strategy, app_instance()._strategies)
        check_params(params, {"strategy"})
        sample: dict[str, Any] = activelearning.sample(strategy, params, None)
    return sample


@router.post("/batch/infer/{model}", tags=["Infer"], summary="Run Batch Inference Task")
def start_batch(
    model: str,
    images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
    params: Params = None,
    run_sync: bool = False,
) -> Any:
    """Start asking many images one question."""
    with spoken_errors():
        check_known("model", model, app_instance()._infers)
        check_params(params, RESERVED | {"images"})
        check_batch(app_instance().task(model), params or {})
        return batch_infer.run(model, images, params, run_sync)


@router.post("/scoring/{method}", tags=["Scoring"], summary="Run Scoring Task for specific method")
def start_scoring(method: str, params: Params = None, run_sync: bool = False) -> Any:
    """Start comparing labels."""
    with spoken_errors():
        check_known("scoring method", method, app_instance()._scoring_methods)
        check_params(params, {"method"})
        return scoring.run_method(method, params, run_sync)


@router.post("/scoring/", include_in_schema=False, deprecated=True)
def start_all_scoring(run_sync: bool = False) -> Any:
    """Start every comparison; what the body says is not looked at."""
    return scoring.run(None, run_sync)


def check_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise NotFoundError(
            f"There is no {what} {name[:40]!r}.",
            remedy=f"This server has: {', '.join(sorted(known)) or 'none'}.",
        )


def check_params(params: dict[str, Any] | None, reserved: AbstractSet[str]) -> None:
    # The last one would put a folder on the import path of the task's process.
    reserved = reserved | {"bundle_path"}
    if taken := sorted(reserved & (params or {}).keys()):
        raise InputError(
            f"The body may not set {', '.join(taken)}.", remedy="Name them in the address of the request."
        )
    # The body travels to the task's process as one argument, which has a limit; beyond it the task never begins.
    size = len(json.dumps(params))
    if size > MAX_PARAMS_BYTES:
        raise LimitError(f"The body has {size} bytes, limit {MAX_PARAMS_BYTES}.", remedy="Send less at once.")
