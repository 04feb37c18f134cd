"""Two processes learn what one does, with whole models and with the frozen weights in shards; the launch files load."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sharded_run
import torch
import toy
import yaml
from accelerate import Accelerator
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from torch import nn

from coreseg_core.checkpoint import load_weights
from coreseg_core.errors import InputError
from training.loop import LoopConfig, TrainingLoop
from training.sft import Learner
from training.sharding import kept_whole, whole_weights

LAUNCHES = sorted((Path(__file__).parents[2] / "training" / "configs" / "accelerate").glob("*.yaml"))


def _lines(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    sharded_run.train(folder)
    torch.set_num_threads(threads)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "sharded"])
def test_two_processes_log_and_learn_what_one_does_in_sft(kind: str, alone: Path, tmp_path: Path) -> None:
    # "Several cards" starts several processes, which find no card and talk through gloo on the processor.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [*launch, "--main_process_port", "0", sharded_run.__file__, str(tmp_path / kind), kind],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = _lines(alone), _lines(tmp_path / kind)
    assert len(one) == len(two) == sharded_run.STEPS + 1
    for whole, shared in zip(one, two, strict=True):
        assert whole.keys() == shared.keys()
        assert shared == pytest.approx(whole, rel=2e-3, abs=2e-4)
    name = f"step_{sharded_run.STEPS:06d}"
    before, after = (load_weights(folder / "checkpoints" / name)[0] for folder in (alone, tmp_path / kind))
    assert before.keys() == after.keys()
    for tensor in before:
        torch.testing.assert_close(after[tensor], before[tensor], rtol=2e-3, atol=2e-4)


def test_what_is_trained_stays_whole_and_no_frozen_layer_does() -> None:
    learner = Learner(toy.new_model(lora=True))
    whole = {id(p) for module in kept_whole(learner) for p in module.parameters()}
    trained = {name for name, p in learner.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in learner.named_parameters() if p.requires_grad and id(p) in whole}
    layers = [
        p
        for layer in (*learner.model.language.text.layers, *learner.model.language.visual.tower.blocks)
        for p in layer.parameters()
        if not p.requires_grad
    ]
    assert layers
    assert not [p for p in layers if id(p) in whole]


def test_an_engine_that_takes_the_steps_itself_is_refused_with_what_to_launch_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.DEEPSPEED)
    model, pace = nn.Linear(2, 2), LoopConfig(steps=1, mixed_precision="no")
    with pytest.raises(InputError, match="DeepSpeed") as refused:
        TrainingLoop(model, [{"params": model.parameters()}], config=pace, folder=tmp_path)
    named = re.findall(r"\w+\.yaml", refused.value.remedy)
    assert named
    assert set(named) <= {path.name for path in LAUNCHES}


def test_a_model_without_shards_is_left_alone() -> None:
    model = nn.Linear(2, 2)
    with whole_weights(model):
        assert model(torch.zeros(1, 2)).shape == (1, 2)


@pytest.mark.parametrize("path", LAUNCHES, ids=lambda path: path.stem)
def test_a_launch_file_is_read_by_accelerate_as_it_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What processes would be started with, and, of FSDP, what the plugin makes of it on a small model."""
    values = yaml.safe_load(path.read_text())
    assert load_config_from_file(str(path)).distributed_type == values["distributed_type"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "script.py"])
    arguments, _, bf16 = _validate_launch_command(arguments)
    assert bf16 == values["mixed_precision"] or arguments.mixed_precision == values["mixed_precision"]
    environment = prepare_multi_gpu_env(arguments)
    sharded = values["distributed_type"] == "FSDP"
    assert (environment.get("ACCELERATE_USE_FSDP") == "true") is sharded
    if sharded:
        for name in [name for name in os.environ if name.startswith(("FSDP_", "ACCELERATE_"))]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            if name.startswith(("FSDP_", "ACCELERATE_")):
                monkeypatch.setenv(name, value)
        plugin = FullyShardedDataParallelPlugin()
        assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
        plugin.set_auto_wrap_policy(Learner(toy.new_model(lora=True)))
        wrapped = {cls.__name__ for cls in plugin.auto_wrap_policy.keywords["transformer_layer_cls"]}
        assert wrapped == {"Qwen2_5_VLDecoderLayer", "Qwen2_5_VLVisionBlock"}
