"""Two processes that share the questions of a step learn what one learns that asks them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_run

from coreseg_core.checkpoint import load_weights

# What depends on the clock is not compared.
CLOCKED = ("seconds", "timing_s/", "perf/")


def _lines(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if not name.startswith(CLOCKED)}
        for line in lines
        if "reward" in line
    ]


@pytest.mark.slow
def test_two_processes_log_and_learn_what_one_does(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    toy_run.train(tmp_path / "one")
    torch.set_num_threads(threads)
    # "Several cards" starts several processes, which find no card and talk through gloo on the processor.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, toy_run.__file__, str(tmp_path / "two")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = _lines(tmp_path / "one"), _lines(tmp_path / "two")
    assert len(one) == len(two) == 4
    assert any(line["grad_norm/masks_at_states"] > 0 for line in one)
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        assert shared == pytest.approx(alone, rel=2e-3, abs=2e-4)
    weights = [load_weights(tmp_path / name / "checkpoints" / "step_000004")[0] for name in ("one", "two")]
    for name, tensor in weights[0].items():
        if name.startswith("average."):
            torch.testing.assert_close(weights[1][name], tensor, rtol=2e-3, atol=2e-4)
