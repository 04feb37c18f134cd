"""The train tasks `coreseg_sft` and `coreseg_grpo`: what stock clients start, and what they read of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from coreseg_core.checkpoint import read_manifest
from coreseg_core.evaluation.corrections import split_corrections
from coreseg_core.limits import Limits
from coreseg_core.models.preset import load_preset
from coreseg_core.runs import ENDED, Order, Recipe, RunFolder
from coreseg_core.versions import read_current
from lib.errors import spoken_errors
from lib.learning.corrections import collect, secret_of
from lib.learning.settings import LearningSettings
from lib.learning.trainings import Trainings
from lib.learning.wishes import OPTIONS, Wish, read_wish
from lib.model import ServedModel

DETAIL_LINES = 20
_DESCRIPTIONS: Mapping[Recipe, str] = {
    "sft": "Learns from corrected and accepted labels, beside base data (supervised fine-tuning)",
    "grpo": "Goes on by reward on corrected and accepted labels (GRPO)",
}
_LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class TrainTools:
    """What a train task works with.

    Attributes:
        model: Answers now; what is trained goes on from its weights.
        trainings: Runs.
        settings: Where things lie.
        limits: What may be read.
        before: Called before a run begins.
    """

    model: ServedModel
    trainings: Trainings
    settings: LearningSettings
    limits: Limits
    before: Callable[[], None]


class LearnFromCorrections(TrainTask):
    """Starts runs of one recipe and tells of its last one.

    Args:
        recipe: How it learns.
        tools: What it works with.
    """

    def __init__(self, recipe: Recipe, tools: TrainTools) -> None:
        super().__init__(_DESCRIPTIONS[recipe])
        self.recipe = recipe
        self._tools = tools

    def config(self) -> dict[str, Any]:
        """Return what may be chosen, as stock 3D Slicer shows it."""
        return dict(OPTIONS)

    def stats(self) -> dict[str, Any]:
        """Return where the last run of this recipe stands, in the words that stock 3D Slicer reads."""
        run = self.last()
        return {} if run is None else stats_of(run)

    def last(self) -> RunFolder | None:
        """Return the newest run of this recipe."""
        ours = [run for run in self._tools.trainings.all() if f"-{self.recipe}-" in run.id]
        return ours[-1] if ours else None

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Return what came of a run, after its end.

        Raises:
            HTTPException: With `{code, reason, remedy}`, where it could not begin.
        """
        with spoken_errors():
            run = self.start(request, datastore)
        while run.state.state not in ENDED:
            time.sleep(_LOOK_S)
        return stats_of(run)

    def start(self, request: Mapping[str, Any], datastore: Datastore) -> RunFolder:
        """Return a run that has begun.

        Raises:
            AlreadyRunningError: Another one has not ended.
            InputError: A wish that cannot be used, or too little to learn from or to judge by.
        """
        wish = read_wish(request)
        tools = self._tools
        if wish.resume is not None:
            tools.trainings.find(wish.resume)
            tools.before()
            return tools.trainings.resume(wish.resume)
        order = self._order(wish)
        parent = Path(order.parent_folder)

        def write_corrections(manifest: Path) -> None:
            found = collect(
                datastore,
                manifest,
                preset=load_preset(order.preset),
                limits=tools.limits,
                secret=secret_of(tools.settings.runs_dir),
            )
            split_corrections(found.rows, learned=read_manifest(parent).get("learned", ()))
            tools.before()

        return tools.trainings.start(order, write_corrections)

    def _order(self, wish: Wish) -> Order:
        tools = self._tools
        settings, model = tools.settings, tools.model
        return Order(
            recipe=self.recipe,
            preset=model.preset,
            parent=read_current(settings.versions_dir).version,
            parent_folder=str(model.current_folder().absolute()),
            versions_dir=str(settings.versions_dir),
            base=model.base,
            replay=None if settings.replay is None else str(settings.replay),
            guard=None if settings.guard is None else str(settings.guard),
            replay_share=wish.replay_share,
            learned_share=wish.learned_share,
            minutes=wish.minutes,
            steps=wish.steps,
            guard_pictures=wish.guard_pictures,
            processes=wish.processes,
            device=model.device,
            promote=wish.promote,
            keep=settings.keep,
            seed=wish.seed,
        )


def stats_of(run: RunFolder) -> dict[str, Any]:
    """Return where a run stands: `epoch`, `total_epochs`, `best_metric` and, at its end, `total_time` are what stock
    3D Slicer reads.
    """
    state = run.state
    values = {"run": run.id, "recipe": run.order.recipe, **state.to_json()}
    values |= {
        "epoch": state.step,
        "total_epochs": max(1, state.steps),
        "best_metric": state.dice or 0.0,
        "start_ts": state.started,
    }
    if state.state in ENDED:
        values["total_time"] = _duration(state.started, state.ended)
    return values


def task_of(run: RunFolder) -> dict[str, Any]:
    """Return a run in the form of MONAI Label's background tasks."""
    state = run.state
    words = {"done": "DONE", "failed": "ERROR", "stopped": "STOPPED", "waiting": "SUBMITTED"}
    task = {
        "id": run.id,
        "status": words.get(state.state, "RUNNING"),
        "request": {"model": f"coreseg_{run.order.recipe}"},
        "start_ts": state.started,
        "details": _details(run),
        "progress": stats_of(run),
    }
    return {**task, "end_ts": state.ended} if state.ended else task


def _details(run: RunFolder) -> list[str]:
    """Return the last things a run said, in words; at least one line."""
    state = run.state
    lines = [f"{name}: {_in_words(data)}" for _, name, data in run.events()]
    summary = f"{state.state}: {state.stage}, step {state.step} of {state.steps}"
    if state.eta_s is not None:
        summary += f", {state.eta_s:.0f} s to go"
    return [*lines[-DETAIL_LINES + 1 :], summary]


def _in_words(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in data.items() if isinstance(value, str | int | float))


def _duration(started: str, ended: str) -> str:
    try:
        return str(datetime.fromisoformat(ended) - datetime.fromisoformat(started))
    except ValueError:
        return "0:00:00"
