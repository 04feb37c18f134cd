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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from coreseg_core.checkpoint import load_weights, save_weights
from training.devices import on_device

AVERAGE_PREFIX = "average."
_OPTIMIZER, _MODEL = "optimizer.", "model."


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
            gradient_accumulation_steps=config.accumulate,
            cpu=not torch.cuda.is_available(),
        )
        self.config = config
        self.folder = folder
        self.step = 0
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_share)
        self._raw_optimizer, self._schedule = optimizer, schedule
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}

    def run(
        self,
        batch: Callable[[int, int], Any],
        losses: Callable[[nn.Module, Any], Mapping[str, Tensor]],
        evaluate: Callable[[], Mapping[str, float]],
        *,
        until_s: float | None = None,
    ) -> None:
        """Train to the last step, or until `until_s` seconds have passed; then save.

        Args:
            batch: (step, process) -> batch; called `accumulate` times a step with distinct numbers.
            losses: (model, batch) -> terms; `total` is what is minimised.
            evaluate: Scores of the averaged weights, called with these in place.
        """
        self._resume()
        batch = _Ahead(batch)
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
                bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items()})
            if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                with self.averaged():
                    self._log({"step": self.step, **{f"dev/{k}": v for k, v in evaluate().items()}})
            late = until_s is not None and time.monotonic() - started > until_s
            if self.step % self.config.save_every == 0 or self.step == self.config.steps or late:
                self._save()
            if late:
                return

    def averaged(self) -> _Swapped:
        """Return a context in which the model has its averaged weights."""
        return _Swapped(self._parameters, self._average)

    def adopt_average(self) -> None:
        """Leave the model with its averaged weights, for what comes after this loop."""
        for name, parameter in self._parameters.items():
            parameter.data.copy_(self._average[name])

    def _one_step(
        self, batch: Callable[[int, int], Any], losses: Callable[[nn.Module, Any], Mapping[str, Tensor]]
    ) -> dict[str, float]:
        self.model.train()
        sums: dict[str, float] = {}
        for part in range(self.config.accumulate):
            number = self.step * self.config.accumulate + part
            with self.accelerator.autocast():
                drawn = on_device(batch(number, self.accelerator.process_index), self.accelerator.device)
                terms = losses(self.model, drawn)
            self.accelerator.backward(terms["total"] / self.config.accumulate)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value) / self.config.accumulate
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

    def _lr_share(self, step: int) -> float:
        if step < self.config.warmup_steps:
            return (step + 1) / self.config.warmup_steps
        done = (step - self.config.warmup_steps) / max(1, self.config.steps - self.config.warmup_steps)
        floor = self.config.final_lr_share
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

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
    """Makes the batch that comes next in the background while a step runs."""

    def __init__(self, batch: Callable[[int, int], Any]) -> None:
        self._batch = batch
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        self._coming: dict[int, Future[Any]] = {}

    def __call__(self, number: int, process: int) -> Any:
        ready = self._coming.pop(number, None) or self._pool.submit(self._batch, number, process)
        self._coming[number + 1] = self._pool.submit(self._batch, number + 1, process)
        return ready.result()


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
