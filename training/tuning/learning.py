"""The stage that learns: the recipe in processes of its own, followed by its log, stopped, and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from coreseg_core.errors import Cancelled, ModelError
from coreseg_core.runs import RunFolder

RETRIES = 2
LOOK_S = 0.5
MIN_MINUTES = 0.2
OUTPUT = "output.log"
_DICE = "dev/dice/"
_REWARDS = ("reward", "dev/reward")


def learn(run: RunFolder, module: str, config: Mapping[str, Any], path: Path) -> None:
    """Let a recipe learn to its last step, or until its time is over; what it says goes into the run's state.

    Args:
        run: Whose recipe.
        module: The recipe's program.
        config: Its configuration.
        path: Where that lies.

    Raises:
        Cancelled: Somebody wants the run to stop; the last whole checkpoint stays.
        ModelError: The recipe ended before its time, more than once.
    """
    out, steps = Path(config["out"]), int(config["loop"]["steps"])
    run.change(steps=steps)
    for attempt in range(RETRIES + 1):
        done = checkpoint_step(out)
        minutes = run.order.minutes - run.state.learned_s / 60
        if done >= steps or (done > 0 and minutes < MIN_MINUTES):
            return
        code = _one_attempt(run, module, path, out / "log.jsonl", minutes=max(minutes, MIN_MINUTES))
        if code == 0:
            if checkpoint_step(out) == 0:
                break
            return
        run.tell("progress", {"stage": "learn", "interrupted": attempt + 1})
    raise ModelError(
        f"The recipe ended {RETRIES + 1} times before it was done (last with code {code}).",
        remedy=f"Its own words are in {OUTPUT} of the run; with too little memory, choose a smaller batch.",
    )


def checkpoint_step(out: Path) -> int:
    """Return the step of a recipe's newest whole checkpoint, 0 without one."""
    newest = newest_checkpoint(out)
    return 0 if newest is None else int(newest.name.removeprefix("step_"))


def newest_checkpoint(out: Path) -> Path | None:
    """Return a recipe's newest whole checkpoint; None without one."""
    return max((out / "checkpoints").glob("step_??????"), default=None)


def launch_command(module: str, path: Path, *, minutes: float, processes: int, cpu: bool) -> list[str]:
    """Return the command that launches a recipe on a number of processes."""
    where = ["--cpu"] if cpu else ["--multi_gpu"] if processes > 1 else []
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", *where),
        *("--num_processes", str(processes), "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("-m", "training.tuning.launched", module, "--config", str(path), "--minutes", f"{minutes:.3f}"),
    ]


def _one_attempt(run: RunFolder, module: str, path: Path, log: Path, *, minutes: float) -> int:
    """Return the exit code of the recipe."""
    order = run.order
    cpu = order.device == "cpu" or not torch.cuda.is_available()
    command = launch_command(module, path, minutes=minutes, processes=order.processes, cpu=cpu)
    environment = dict(os.environ)
    if cpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    # Its launcher would give every process all cores divided by the processes; what was chosen stays.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // order.processes)))
    follow = LogFollower(run, log)
    with (
        (run.path / OUTPUT).open("ab") as output,
        _group(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        ) as process,
    ):
        while (code := process.poll()) is None:
            if run.stopping:
                raise stopped()
            follow()
            time.sleep(LOOK_S)
        follow()
        return code


def stopped() -> Cancelled:
    """Return what ends a run that somebody wants to stop."""
    return Cancelled(
        "The training was stopped; its last whole checkpoint is kept.",
        remedy="Go on with it by `resume`, or start another one.",
    )


@contextmanager
def _group(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that leads a group of its own, and leave nothing of the group behind."""
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


class LogFollower:
    """Brings what a recipe logs into the state and events of its run.

    Args:
        run: Whose state.
        log: `log.jsonl` of the recipe; lines of earlier attempts are passed over.
        clock: Seconds that only rise.
    """

    def __init__(self, run: RunFolder, log: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._log, self._clock = run, log, clock
        self._read = log.stat().st_size if log.exists() else 0
        self._before_s = run.state.learned_s
        self._first: tuple[int, float] | None = None

    def __call__(self) -> None:
        """Read the lines that are new."""
        if not self._log.exists():
            return
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue
            self._note(values)

    def _note(self, values: Mapping[str, Any]) -> None:
        state = self._run.state
        changed: dict[str, Any] = {}
        if "seconds" in values:
            step, seconds = int(values["step"]), float(values["seconds"])
            first = self._first = self._first or (step, seconds)
            pace = (seconds - first[1]) / (step - first[0]) if step > first[0] else seconds / max(1, step)
            left_s = self._run.order.minutes * 60 - self._before_s - seconds
            changed |= {
                "step": step,
                "learned_s": round(self._before_s + seconds, 1),
                "eta_s": round(max(0.0, min((state.steps - step) * pace, left_s)), 1),
                "loss": _rounded(values.get("total")),
            }
        rewards = [values[name] for name in _REWARDS if name in values]
        if rewards:
            changed["reward"] = _rounded(rewards[0])
        dices = [
            value for name, value in values.items() if name.startswith(_DICE) and name != f"{_DICE}macro"
        ]
        if dices:
            changed["dice"] = _rounded(sum(dices) / len(dices))
        if changed:
            state = self._run.change(**changed)
            told = {name: getattr(state, name) for name in ("step", "loss", "reward", "dice")}
            self._run.tell(
                "progress",
                {"stage": "learn", "done": state.step, "total": state.steps, "eta_s": state.eta_s, **told},
            )


def _rounded(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else float("nan")
    return round(number, 5) if abs(number) < float("inf") else None
