"""A run that is stopped and resumed ends with the very weights of a run that was not."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from tqdm import tqdm

from coreseg_core.checkpoint import load_weights
from coreseg_core.errors import CheckpointError
from training.loop import LoopConfig, Terms, TrainingLoop

STEPS = 24


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def _loop(folder: Path, steps: int = STEPS, **pace: int) -> TrainingLoop:
    torch.manual_seed(3)
    model = _Line()
    fixed = {"warmup_steps": 3, "log_every": 1, "evaluate_every": 8, "save_every": 4, "keep": 2}
    config = LoopConfig(steps=steps, mixed_precision="no", **{**fixed, **pace})
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


def test_each_batch_is_made_once_and_none_behind_the_last(tmp_path: Path) -> None:
    made: list[int] = []

    def noted(number: int, process: int) -> tuple[Tensor, Tensor]:
        made.append(number)
        return _batch(number, process)

    threads = threading.active_count()
    _loop(tmp_path, accumulate=2).run(noted, _losses, dict)
    assert made == list(range(2 * STEPS))
    assert threading.active_count() == threads


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


def test_terms_that_come_one_after_the_other_add_up(tmp_path: Path) -> None:
    def in_two_pieces(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Iterator[Terms]:
        for half in (slice(0, 3), slice(3, 8)):
            yield {"total": ((model(batch[0][half]) - batch[1][half]) ** 2).sum() / batch[1].numel()}
        yield {"total": 0.0, "watched": 0.25}

    _loop(tmp_path / "whole").run(_batch, _losses, dict)
    _loop(tmp_path / "pieces").run(_batch, in_two_pieces, dict)
    whole, pieces = _final(tmp_path / "whole"), _final(tmp_path / "pieces")
    for name, tensor in whole.items():
        torch.testing.assert_close(pieces[name], tensor, rtol=1e-4, atol=1e-6)
    line = json.loads((tmp_path / "pieces" / "log.jsonl").read_text().splitlines()[0])
    assert line["watched"] == 0.25


def test_accumulated_batches_weigh_what_one_batch_of_all_of_them_weighs(tmp_path: Path) -> None:
    def half(number: int, process: int) -> tuple[Tensor, Tensor]:
        x, y = _batch(number // 2, process)
        part = slice(number % 2 * 4, number % 2 * 4 + 4)
        return x[part], y[part]

    _loop(tmp_path / "whole").run(_batch, _losses, dict)
    _loop(tmp_path / "halves", accumulate=2).run(half, _losses, dict)
    norms = [
        json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[0])["grad_norm"]
        for name in ("whole", "halves")
    ]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


def test_steps_that_go_together_are_neither_parted_by_a_checkpoint_nor_by_the_clock(tmp_path: Path) -> None:
    loop = _loop(tmp_path, together=3, save_every=4, steps=24)
    loop.run(_batch, _losses, dict, until_s=0.0)
    assert loop.step == 3
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000003"]


def _forked(run: Callable[[Path], None], folder: Path) -> multiprocessing.process.BaseProcess:
    """Return a process that is a copy of this one and runs; the imports are done."""

    def run_alone() -> None:
        # The bar's lock is shared by forked processes: one that is killed while it holds it would stop all others.
        tqdm.set_lock(threading.RLock())
        run(folder)

    return multiprocessing.get_context("fork").Process(target=run_alone)


def _run_slowly(folder: Path) -> None:
    def slow(step: int, process: int) -> tuple[Tensor, Tensor]:
        time.sleep(0.004)
        return _batch(step, process)

    _loop(folder, save_every=1).run(slow, _losses, dict)


@pytest.mark.slow
def test_run_killed_twenty_times_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    """The kills fall anywhere; with a checkpoint after every step, most fall into a save."""
    _run_slowly(tmp_path / "whole")
    rng, folder = random.Random(8), tmp_path / "killed"
    killed = 0
    for attempt in range(200):
        process = _forked(_run_slowly, folder)
        process.start()
        time.sleep(rng.uniform(0.01, 0.4))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        if (folder / "checkpoints" / f"step_{STEPS:06d}").exists() and killed < 20:
            # It got to its end too soon: back to somewhere before it.
            for place in (folder / "checkpoints").glob("step_*"):
                place.rename(folder / f"old-{attempt}-{place.name}")
        if killed == 20:
            break
    assert killed == 20
    _run_slowly(folder)
    whole, resumed = _final(tmp_path / "whole"), _final(folder)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def _run_on_a_full_disk(folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # No file can grow beyond this: what is written of the weights breaks off, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
    try:
        _loop(folder, log_every=100, evaluate_every=100).run(_batch, _losses, dict)
    except Exception:
        os._exit(7)
    os._exit(0)


def test_a_full_disk_leaves_the_previous_checkpoint_whole(tmp_path: Path) -> None:
    def failing(step: int, process: int) -> tuple[Tensor, Tensor]:
        if step == 9:
            raise KeyboardInterrupt
        return _batch(step, process)

    with pytest.raises(KeyboardInterrupt):
        _loop(tmp_path).run(failing, _losses, dict)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    process = _forked(_run_on_a_full_disk, tmp_path)
    process.start()
    process.join()
    assert process.exitcode == 7
    assert (
        sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
        == kept
        == ["step_000004", "step_000008"]
    )
    _, facts = load_weights(tmp_path / "checkpoints" / "step_000008")
    assert facts["step"] == 8


def test_a_flipped_byte_anywhere_in_a_checkpoint_is_detected(tmp_path: Path) -> None:
    _loop(tmp_path, steps=4).run(_batch, _losses, dict)
    place = tmp_path / "checkpoints" / "step_000004"
    rng = random.Random(2)
    load_weights(place)
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        for at in {0, len(content) - 2, *rng.sample(range(len(content)), 40)}:
            flipped = bytearray(content)
            flipped[at] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            if _says_the_same(path.name, content, bytes(flipped)):
                continue
            with pytest.raises(CheckpointError):
                load_weights(place)
        path.write_bytes(content)
    load_weights(place)


def _says_the_same(name: str, before: bytes, after: bytes) -> bool:
    """Return whether a manifest's flipped byte was one of its white space, which says nothing."""
    if name != "manifest.json":
        return False
    try:
        return bool(json.loads(before) == json.loads(after))
    except ValueError:
        return False
