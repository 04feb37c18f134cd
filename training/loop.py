"""The training loop: accumulate, clip, schedule, average, log, save and resume, over accelerate.

A run is a folder: `log.jsonl`, `curves.png` and `checkpoints/step_XXXXXX`, each checkpoint complete or absent. Batches
depend on seed and step alone, so a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor, nn
from tqdm import tqdm

from coreseg_core.checkpoint import load_weights, save_weights
from coreseg_core.errors import InputError
from training.devices import on_device
from training.sharding import kept_whole, mean_gradients, whole_weights

AVERAGE_PREFIX = "average."
_OPTIMIZER, _MODEL = "optimizer.", "model."

Terms = Mapping[str, Tensor | float]


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how fast to learn.

    Attributes:
        steps: Optimizer steps.
        accumulate: Batches per optimizer step.
        warmup_steps: Steps of linear warm-up before the cosine.
        final_lr_share: Share of the learning rate that is left at the end.
        max_grad_norm: Gradients are clipped to this norm.
        average_decay: Decay of the running average of the weights, which is what is evaluated and shipped.
        log_every: Steps between log lines.
        evaluate_every: Steps between evaluations.
        save_every: Steps between checkpoints; at most this much is lost to a kill.
        keep: Newest checkpoints that stay.
        together: Steps that learn from the same roll-outs; a run is saved and stopped between such, never within.
        mixed_precision: `bf16` where the hardware has it, else `no`.
    """

    steps: int
    accumulate: int = 1
    warmup_steps: int = 100
    final_lr_share: float = 0.05
    max_grad_norm: float = 1.0
    average_decay: float = 0.995
    log_every: int = 10
    evaluate_every: int = 500
    save_every: int = 250
    keep: int = 2
    together: int = 1
    mixed_precision: str = "bf16"


def decaying_groups(parameters: Iterable[nn.Parameter], *, lr: float) -> list[dict[str, Any]]:
    """Return optimizer groups of what is trained among these; norms, biases and single vectors do not decay."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": lr},
        {"params": [p for p in trained if p.ndim <= 1], "lr": lr, "weight_decay": 0.0},
    ]


class TrainingLoop:
    """Runs a recipe.

    Args:
        model: The model with everything that is trained; parameters that need no gradient are left alone.
        groups: Optimizer parameter groups, each with its own `lr`.
        config: How long and how fast.
        folder: Where the run is kept.
    """

    def __init__(
        self, model: nn.Module, groups: list[dict[str, Any]], *, config: LoopConfig, folder: Path
    ) -> None:
        self.accelerator = Accelerator(
            mixed_precision=config.mixed_precision,
            cpu=not torch.cuda.is_available(),
            # SAM's decoder has three masks that are never asked for, and a batch may need no decoder at all.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.config = config
        self.folder = folder
        self.step = 0
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_share)
        self._raw_optimizer, self._schedule = optimizer, schedule
        self._prepare_launch(model)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}

    def run(
        self,
        batch: Callable[[int, int], Any],
        losses: Callable[[nn.Module, Any], Terms | Iterable[Terms]],
        evaluate: Callable[[], Mapping[str, float]],
        *,
        evaluate_first: bool = False,
        until_s: float | None = None,
    ) -> None:
        """Train to the last step, or until `until_s` seconds have passed; then save.

        Args:
            batch: (step, process) -> batch; called `accumulate` times a step with distinct numbers.
            losses: (model, batch) -> terms; `total` is what is minimised. Several terms one after the other add up, and
                each is forgotten before the next is made; a `total` without a gradient is for the log alone.
            evaluate: Scores of the averaged weights, called with these in place.
            evaluate_first: Score what the run begins with, too.
            until_s: After which to save and stop, the first evaluation included.
        """
        started = time.monotonic()
        self._resume()
        if evaluate_first and self.step == 0:
            self._log_scores(self._evaluated(evaluate))
        with closing(_Ahead(batch, count=self.config.steps * self.config.accumulate)) as ahead:
            self._run(ahead, losses, evaluate, until=None if until_s is None else started + until_s)

    def _run(
        self,
        batch: Callable[[int, int], Any],
        losses: Callable[[nn.Module, Any], Terms | Iterable[Terms]],
        evaluate: Callable[[], Mapping[str, float]],
        *,
        until: float | None,
    ) -> None:
        started = time.monotonic()
        bar = tqdm(total=self.config.steps, initial=self.step, desc="training", unit="step")
        while self.step < self.config.steps:
            terms = self._one_step(batch, losses)
            bar.update(1)
            if self.step % self.config.log_every == 0:
                seconds = round(time.monotonic() - started, 1)
                self._log(
                    {"step": self.step, "seconds": seconds, "lr": self._schedule.get_last_lr()[0], **terms}
                )
                bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items() if "/" not in name})
            if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                with self.averaged():
                    self._log_scores(self._evaluated(evaluate))
            between = self.step % self.config.together == 0
            late = between and until is not None and time.monotonic() > until
            due = between and self.step % self.config.save_every == 0
            if due or self.step == self.config.steps or late:
                self._save()
            if late:
                return

    @property
    def sharded(self) -> bool:
        """Whether frozen weights lie in shards over the processes."""
        return self.accelerator.distributed_type == DistributedType.FSDP

    def _prepare_launch(self, model: nn.Module) -> None:
        """Tell FSDP what stays whole, and refuse an engine that would take the steps of this loop."""
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            raise InputError(
                "DeepSpeed takes backward passes and steps of its own, which this loop takes itself.",
                remedy="Launch with training/configs/accelerate/fsdp.yaml or multi_gpu.yaml.",
            )
        if self.sharded:
            self.accelerator.state.fsdp_plugin.ignored_modules = kept_whole(model)

    def _evaluated(self, evaluate: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        with whole_weights(self.model):
            return evaluate()

    def averaged(self) -> _Swapped:
        """Return a context in which the model has its averaged weights."""
        return _Swapped(self._parameters, self._average)

    def adopt_average(self) -> None:
        """Leave the model with its averaged weights, for what comes after this loop."""
        for name, parameter in self._parameters.items():
            parameter.data.copy_(self._average[name])

    def _one_step(
        self,
        batch: Callable[[int, int], Any],
        losses: Callable[[nn.Module, Any], Terms | Iterable[Terms]],
    ) -> dict[str, float]:
        self.model.train()
        sums: dict[str, float] = {}
        for part in range(self.config.accumulate):
            number = self.step * self.config.accumulate + part
            drawn = on_device(batch(number, self.accelerator.process_index), self.accelerator.device)
            with self.accelerator.autocast():
                made = losses(self.model, drawn)
            pieces = iter((made,) if isinstance(made, Mapping) else made)
            while True:
                with self.accelerator.autocast():
                    terms = next(pieces, None)
                if terms is None:
                    break
                total = torch.as_tensor(terms["total"])
                if total.requires_grad:
                    self.accelerator.backward(total / self.config.accumulate)
                for name, value in terms.items():
                    plain = float(value.detach() if isinstance(value, Tensor) else value)
                    sums[name] = sums.get(name, 0.0) + plain / self.config.accumulate
        sums = self._over_processes(sums)
        if self.sharded:
            mean_gradients(self._parameters.values())
        norm = self.accelerator.clip_grad_norm_(self._parameters.values(), self.config.max_grad_norm)
        self.optimizer.step()
        self._schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        # A young average follows quickly, so that the random start is forgotten.
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                self._average[name].lerp_(parameter, 1 - decay)
        return {**sums, "grad_norm": float(norm)}

    def _over_processes(self, values: dict[str, float]) -> dict[str, float]:
        """Return the means over all processes, each of which has values of the same names."""
        if self.accelerator.num_processes == 1:
            return values
        names = sorted(values)
        here = torch.tensor([values[name] for name in names], device=self.accelerator.device)
        means: Tensor = self.accelerator.reduce(here, "mean")
        return dict(zip(names, means.tolist(), strict=True))

    def _lr_share(self, step: int) -> float:
        if step < self.config.warmup_steps:
            return (step + 1) / self.config.warmup_steps
        done = (step - self.config.warmup_steps) / max(1, self.config.steps - self.config.warmup_steps)
        floor = self.config.final_lr_share
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _log_scores(self, scores: Mapping[str, float]) -> None:
        self._log({"step": self.step, **{f"dev/{name}": value for name, value in scores.items()}})

    def _log(self, line: Mapping[str, Any]) -> None:
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("step_??????"))

    def _save(self) -> None:
        place = self.folder / "checkpoints" / f"step_{self.step:06d}"
        if not self.accelerator.is_main_process or place.exists():
            return
        tensors = {_MODEL + name: p.detach() for name, p in self._parameters.items()}
        tensors |= {AVERAGE_PREFIX + name: p for name, p in self._average.items()}
        for name, parameter in self._parameters.items():
            for key, value in self._raw_optimizer.state[parameter].items():
                tensors[f"{_OPTIMIZER}{key}.{name}"] = torch.as_tensor(value)
        place.parent.mkdir(parents=True, exist_ok=True)
        save_weights(place, tensors, {"step": self.step})
        for old in self._checkpoints()[: -self.config.keep]:
            shutil.rmtree(old)

    def _resume(self) -> None:
        found = self._checkpoints()
        if not found:
            return
        tensors, facts = load_weights(found[-1])
        self.step = int(facts["step"])
        for name, parameter in self._parameters.items():
            parameter.data.copy_(tensors[_MODEL + name])
            self._average[name].copy_(tensors[AVERAGE_PREFIX + name])
            state = {
                key: tensors[f"{_OPTIMIZER}{key}.{name}"].to(parameter.device if key != "step" else "cpu")
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{_OPTIMIZER}{key}.{name}" in tensors
            }
            if state:
                self._raw_optimizer.state[parameter] = state
        self._schedule.last_epoch = self.step
        for group, base in zip(self._raw_optimizer.param_groups, self._schedule.base_lrs, strict=True):
            group["lr"] = base * self._lr_share(self.step)


class _Ahead:
    """Makes the batch that comes next in the background while a step runs, none behind the last of `count`."""

    def __init__(self, batch: Callable[[int, int], Any], *, count: int) -> None:
        self._batch, self._count = batch, count
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        self._coming: dict[int, Future[Any]] = {}

    def __call__(self, number: int, process: int) -> Any:
        ready = self._coming.pop(number, None) or self._pool.submit(self._batch, number, process)
        if number + 1 < self._count:
            self._coming[number + 1] = self._pool.submit(self._batch, number + 1, process)
        return ready.result()

    def close(self) -> None:
        """Make no more batches."""
        self._pool.shutdown(cancel_futures=True)


class _Swapped:
    """Puts averaged weights into the model on entry and the trained ones back on exit."""

    def __init__(self, parameters: Mapping[str, Tensor], average: Mapping[str, Tensor]) -> None:
        self._parameters, self._average = parameters, average
        self._kept: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        self._kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        for name, parameter in self._parameters.items():
            parameter.data.copy_(self._average[name])

    def __exit__(self, *_: object) -> None:
        for name, parameter in self._parameters.items():
            parameter.data.copy_(self._kept[name])
