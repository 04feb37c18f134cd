"""MONAI Label's routes that start something by name: the name is looked up first, and nothing overwrites it.

And those that have no business here: weights and slides come and go by other ways.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter, Body
from monailabel.endpoints import activelearning, batch_infer, scoring, train
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import ForbiddenError, InputError, NotFoundError
from lib.errors import spoken_errors

router = APIRouter()
Params = Annotated[dict[str, Any] | None, Body()]


@router.post("/activelearning/{strategy}", tags=["ActiveLearning"], summary="Get next sample")
def next_sample(strategy: str, params: Params = None) -> dict[str, Any]:
    """Return the image to look at next, by a strategy."""
    with spoken_errors():
        _check("strategy", strategy, app_instance()._strategies)
        _check_params(params, {"strategy"})
        sample: dict[str, Any] = activelearning.sample(strategy, params, None)
    return sample


@router.post("/train/{model}", tags=["Train"], summary="Run Training Task for specific model")
def start_training(model: str, params: Params = None, run_sync: bool = False, enqueue: bool = False) -> Any:
    """Start a training."""
    with spoken_errors():
        _check("trainer", model, app_instance()._trainers)
        _check_params(params, {"model"})
        return train.run_model(model, params, run_sync, enqueue)


@router.post("/batch/infer/{model}", tags=["Infer"], summary="Run Batch Inference Task")
def start_batch(
    model: str,
    images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
    params: Params = None,
    run_sync: bool = False,
) -> Any:
    """Start asking many images one question."""
    with spoken_errors():
        _check("model", model, app_instance()._infers)
        _check_params(params, {"model", "images", "image"})
        return batch_infer.run(model, images, params, run_sync)


@router.post("/scoring/{method}", tags=["Scoring"], summary="Run Scoring Task for specific method")
def start_scoring(method: str, params: Params = None, run_sync: bool = False) -> Any:
    """Start comparing labels."""
    with spoken_errors():
        _check("scoring method", method, app_instance()._scoring_methods)
        _check_params(params, {"method"})
        return scoring.run_method(method, params, run_sync)


@router.put("/model/{model}", tags=["Model"], summary="Refused: weights come by versions")
@router.delete("/model/{model}", tags=["Model"], summary="Refused: weights come by versions")
@router.get("/model/{model}", tags=["Model"], summary="Refused: weights come by versions")
@router.get("/model/info/{model}", tags=["Model"], summary="Refused: weights come by versions")
def refuse_weights(model: str) -> None:
    """Refuse: whoever may ask questions may not exchange what answers them."""
    with spoken_errors():
        raise ForbiddenError(
            "Weights are neither given nor taken over HTTP.",
            remedy="Whoever runs the server chooses among the folders of its versions.",
        )


@router.post("/infer/wsi/{model}", tags=["Infer"], summary="Refused: no slides")
@router.post("/infer/wsi_v2/{model}", tags=["Infer"], summary="Refused: no slides")
def refuse_slides(model: str) -> None:
    """Refuse: no model here was made for slides of tissue."""
    with spoken_errors():
        raise NotFoundError(
            "The models of this server read no slides of tissue.", remedy="Use POST /infer/{model}."
        )


def _check(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise NotFoundError(
            f"There is no {what} {name[:40]!r}.",
            remedy=f"This server has: {', '.join(sorted(known)) or 'none'}.",
        )


def _check_params(params: dict[str, Any] | None, reserved: set[str]) -> None:
    if taken := sorted(reserved & (params or {}).keys()):
        raise InputError(
            f"The body may not set {', '.join(taken)}.", remedy="Name them in the address of the request."
        )
