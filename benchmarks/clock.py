"""Wall-clock times of repeated runs, honest on devices that work behind the program's back."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Clock = Callable[[], float]


@dataclass(frozen=True)
class Times:
    """Seconds of several runs of one thing."""

    seconds: tuple[float, ...]

    @property
    def best_ms(self) -> float:
        """The fastest run: what the machine can do when nothing else disturbs it."""
        return min(self.seconds) * 1e3

    @property
    def median_ms(self) -> float:
        """The run in the middle: what a user meets."""
        return statistics.median(self.seconds) * 1e3


def wait_for(device: torch.device) -> None:
    """Return once everything that was sent to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_once(run: Callable[[], Any], device: torch.device, *, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of one run, those that passed or, by `time.process_time`, those it had the processor for."""
    wait_for(device)
    started = clock()
    run()
    wait_for(device)
    return clock() - started


def time_runs(run: Callable[[], Any], *, repeats: int, device: torch.device) -> Times:
    """Return the times of `repeats` runs after one that does not count."""
    run()
    return Times(tuple(time_once(run, device) for _ in range(repeats)))


def time_in_turns(
    runs: Sequence[Callable[[], Any]],
    *,
    repeats: int,
    device: torch.device,
    clock: Clock = time.perf_counter,
) -> list[Times]:
    """Return the times of several things run in turns, so that a disturbance meets all of them alike."""
    for run in runs:
        run()
    rounds = [[time_once(run, device, clock=clock) for run in runs] for _ in range(repeats)]
    return [Times(seconds) for seconds in zip(*rounds, strict=True)]
