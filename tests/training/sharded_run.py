"""Trains the small `core-seg-3b` on toy dialogues: what one process is started with, several, and several with shards.

accelerate launch --multi_gpu --num_processes 2 tests/training/sharded_run.py FOLDER {plain,sharded}
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
DIALOGUES = 4
STEPS = 3


def act_as_cards() -> None:
    """Let accelerate take processes on a CPU for cards: it knows FSDP on these alone, though torch knows it on both."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["Qwen2_5_VLDecoderLayer", "Qwen2_5_VLVisionBlock"],
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
    )
    Accelerator(cpu=True)
    for state in (PartialState, AcceleratorState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin


def train(folder: Path, *, sharded: bool = False, processes: int = 1) -> None:
    """Take a few steps, each of the same dialogues, shared out among the processes."""
    import torch
    import toy

    from coreseg_core.answer import compose_absent, compose_present
    from training.loop import LoopConfig, TrainingLoop
    from training.samples import Dialogue, TrainingBatch, collate
    from training.sft import Learner, parameter_groups, sft_losses

    torch.set_num_threads(1)
    if sharded:
        act_as_cards()
    # Dropout would be drawn anew by every process.
    preset = toy.preset(lora=True)
    lora = replace(preset.language.lora, dropout=0.0)  # type: ignore[type-var]
    model = toy.new_model_of(replace(preset, language=replace(preset.language, lora=lora)))
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    questions = ("Where is it?", "Is there a lesion?", "Outline the tumor.", "Tumor?")
    replies = (compose_present("breast tumor", [toy.BOX]), compose_absent("breast tumor"))

    def one(number: int) -> TrainingBatch:
        drawn = number % DIALOGUES
        return collate(
            [
                Dialogue(
                    kind="present" if drawn % 2 == 0 else "lesion_free",
                    question=questions[drawn],
                    mode="none",
                    reply=replies[drawn % 2],
                )
            ],
            [toy.VIEWS[drawn % 2]],
            [1.0],
            tokenizer=model.language.tokenizer,
            grid_hw=(toy.FRAME_PX // 28, toy.FRAME_PX // 28),
            side_px=toy.SIDE,
        )

    learner = Learner(model)
    groups = parameter_groups(model, {"language": 1e-3, "adapter": 1e-3, "decoder": 1e-3})
    pace = LoopConfig(
        steps=STEPS,
        accumulate=2 // processes,
        warmup_steps=1,
        log_every=1,
        evaluate_every=STEPS,
        save_every=STEPS,
        mixed_precision="no",
    )
    loop = TrainingLoop(learner, groups, config=pace, folder=folder)
    assert loop.sharded is sharded
    weights = {"text": 1.0, "dice": 1.0, "cross_entropy": 1.0, "iou": 0.1, "patch": 0.0, "presence": 0.0}

    @torch.no_grad()
    def scores() -> dict[str, float]:
        """Return the losses of the model asked by itself, not through the learner that may be wrapped."""
        found = [model(one(number).teacher) for number in range(DIALOGUES)]
        return {
            "text": sum(float(output.token_losses.sum()) for output in found),
            "mask": sum(float(output.mask_logits.square().sum()) for output in found),
        }

    loop.run(lambda number, process: one(number * processes + process), sft_losses(weights), scores)


if __name__ == "__main__":
    train(Path(sys.argv[1]), sharded=sys.argv[2] == "sharded", processes=2)
