"""Trains the toy in a folder: what several processes are started with, and one.

accelerate launch --multi_gpu --num_processes 2 tests/training/toy_run.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]


def train(folder: Path) -> None:
    """Take three steps, each of four questions about both views, the last ones off policy."""
    import torch
    import toy

    from training.groups import GroupLearner
    from training.grpo import PolicyLosses, questions_of_step
    from training.loop import LoopConfig, TrainingLoop
    from training.reference import Reference
    from training.sft import parameter_groups

    torch.set_num_threads(1)
    pace = LoopConfig(
        steps=4, together=2, warmup_steps=1, log_every=1, evaluate_every=9, save_every=4, mixed_precision="no"
    )
    config = toy.config(folder, questions=4, answers=4, loop=pace)
    model = toy.taught_model()
    learner = GroupLearner(model, temperature=1.0, shared=True, mask_gradient=True)
    loop = TrainingLoop(
        learner, parameter_groups(model, config.learning_rates), config=config.loop, folder=folder
    )
    source = toy.source(config)
    loop.run(
        lambda step, process: questions_of_step(source, config, step=step, process=process),
        PolicyLosses(config, learner, Reference(model)),
        dict,
    )


if __name__ == "__main__":
    train(Path(sys.argv[1]))
