"""A run that is stopped and resumed ends with the very weights of a run that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from coreseg_core.checkpoint import load_weights
from coreseg_core.errors import CheckpointError
from training.loop import LoopConfig, TrainingLoop

STEPS = 24


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def _loop(folder: Path, steps: int = STEPS) -> TrainingLoop:
    torch.manual_seed(3)
    model = _Line()
    config = LoopConfig(
        steps=steps, warmup_steps=3, log_every=1, evaluate_every=8, save_every=4, mixed_precision="no", keep=2
    )
    return TrainingLoop(
        model, [{"params": list(model.parameters()), "lr": 0.05}], config=config, folder=folder
    )


def _batch(step: int, process: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 4, generator=generator)
    return x, x[:, :2] * 2


def _losses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"total": ((model(batch[0]) - batch[1]) ** 2).mean()}


def _final(folder: Path) -> dict[str, Tensor]:
    tensors, facts = load_weights(folder / "checkpoints" / f"step_{STEPS:06d}")
    assert facts["step"] == STEPS
    return tensors


def test_learns(tmp_path: Path) -> None:
    _loop(tmp_path).run(_batch, _losses, lambda: {"score": 1.0})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    totals = [line["total"] for line in lines if "total" in line]
    assert len(totals) == STEPS
    assert totals[-1] < totals[0] / 2
    assert sum("dev/score" in line for line in lines) == STEPS // 8


def test_resumed_run_equals_uninterrupted_run_bitwise(tmp_path: Path) -> None:
    _loop(tmp_path / "whole").run(_batch, _losses, dict)

    def failing(step: int, process: int) -> tuple[Tensor, Tensor]:
        if step == 14:
            raise KeyboardInterrupt
        return _batch(step, process)

    with pytest.raises(KeyboardInterrupt):
        _loop(tmp_path / "cut").run(failing, _losses, dict)
    _loop(tmp_path / "cut").run(_batch, _losses, dict)
    whole, cut = _final(tmp_path / "whole"), _final(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_keeps_the_newest_checkpoints_and_ignores_an_unfinished_one(tmp_path: Path) -> None:
    _loop(tmp_path).run(_batch, _losses, dict)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_??????"))
    assert kept == ["step_000020", "step_000024"]


def test_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    _loop(tmp_path).run(_batch, _losses, dict)
    weights = tmp_path / "checkpoints" / f"step_{STEPS:06d}" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError):
        _loop(tmp_path, steps=STEPS + 4).run(_batch, _losses, dict)


_KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_loop
def batch(step, process):
    if step == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return test_loop._batch(step, process)
test_loop._loop(Path({folder!r})).run(batch, test_loop._losses, dict)
"""


def test_run_killed_with_sigkill_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    _loop(tmp_path / "whole").run(_batch, _losses, dict)
    folder = tmp_path / "killed"
    script = _KILLED.format(tests=str(Path(__file__).parent), folder=str(folder))
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    _loop(folder).run(_batch, _losses, dict)
    whole, resumed = _final(tmp_path / "whole"), _final(folder)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
