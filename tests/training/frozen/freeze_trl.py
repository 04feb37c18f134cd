"""Writes `trl_grpo.json`: losses, gradients and advantages that TRL itself computes, frozen for `test_grpo_math.py`.

Needs `pip install trl==1.16.0 torch`, which this project does not; run it by hand after a change of the cases:

    python tests/training/frozen/freeze_trl.py

The loss is TRL's own `GRPOTrainer._compute_loss`, called on an object that has only the settings it reads and returns
given log-probabilities. The advantages come from TRL's own lines in `_generate_and_score_completions`, cut out of its
source and run, since the method around them generates.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import trl
from trl.trainer import grpo_trainer
from trl.trainer.grpo_trainer import GRPOTrainer

OUT = Path(__file__).with_name("trl_grpo.json")
CASES = (
    {"loss_type": "dapo", "clip_low": 0.2, "clip_high": 0.28, "beta": 0.0},
    {"loss_type": "dapo", "clip_low": 0.2, "clip_high": 0.28, "beta": 0.04},
    {"loss_type": "grpo", "clip_low": 0.2, "clip_high": 0.2, "beta": 0.04},
    {"loss_type": "grpo", "clip_low": 0.1, "clip_high": 0.3, "beta": 0.0},
    {"loss_type": "dr_grpo", "clip_low": 0.2, "clip_high": 0.28, "beta": 0.01},
    {"loss_type": "dr_grpo", "clip_low": 0.2, "clip_high": 0.2, "beta": 0.0},
)
MAX_TOKENS = 12


class _Accelerator:
    num_processes = 1
    process_index = 0

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def reduce(self, values: torch.Tensor, reduction: str) -> torch.Tensor:
        return values


def _inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(20)
    rows, length = 6, 7
    new = -torch.rand(rows, length, generator=generator, dtype=torch.float64) * 3
    return {
        "new": new,
        "old": new + 0.35 * torch.randn(rows, length, generator=generator, dtype=torch.float64),
        "reference": new + 0.5 * torch.randn(rows, length, generator=generator, dtype=torch.float64),
        "mask": (torch.arange(length) < torch.tensor([7, 5, 1, 6, 3, 4])[:, None]).long(),
        "advantages": torch.tensor([1.2, -0.7, 0.4, -1.5, 0.9, -0.3], dtype=torch.float64),
    }


def _loss(case: dict[str, Any], inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    new = inputs["new"].clone().requires_grad_(True)
    metrics: dict[str, Any] = {"train": defaultdict(list)}
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (new, torch.zeros_like(new), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=case["beta"],
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        loss_type=case["loss_type"],
        epsilon_low=case["clip_low"],
        epsilon_high=case["clip_high"],
        use_vllm=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        max_completion_length=MAX_TOKENS,
        accelerator=_Accelerator(),
        _entropy_bonus_enabled=False,
        _metrics=metrics,
    )
    empty = torch.zeros(len(new), 1, dtype=torch.long)
    loss = GRPOTrainer._compute_loss(
        trainer,
        None,
        {
            "prompt_ids": empty,
            "prompt_mask": empty + 1,
            "completion_ids": torch.zeros_like(inputs["mask"]),
            "completion_mask": inputs["mask"],
            "advantages": inputs["advantages"],
            "old_per_token_logps": inputs["old"],
            "ref_per_token_logps": inputs["reference"],
            "num_items_in_batch": inputs["mask"].sum(),
        },
    )
    loss.backward()
    logged = {name: values[0] for name, values in metrics["train"].items() if name != "entropy"}
    return {**case, "loss": loss.item(), "gradient": new.grad.tolist(), "logged": logged}


def _advantages(rewards: torch.Tensor, group: int, scale: str) -> list[float]:
    lines = inspect.getsource(GRPOTrainer._generate_and_score_completions).splitlines()
    start = next(n for n, line in enumerate(lines) if "mean_grouped_rewards = torch.nanmean" in line)
    end = next(n for n, line in enumerate(lines) if "is_std_zero = torch.isclose" in line)
    scope = {
        **vars(grpo_trainer),
        "self": SimpleNamespace(scale_rewards=scale),
        "rewards": rewards,
        "num_generations": group,
    }
    exec(textwrap.dedent("\n".join(lines[start:end])), scope)
    return scope["advantages"].tolist()


def main() -> None:
    """Write the file."""
    inputs = _inputs()
    rewards = torch.tensor(
        [1.0, 4.5, -0.25, 3.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 1.0], dtype=torch.float64
    )
    frozen = {
        "trl": trl.__version__,
        "max_tokens": MAX_TOKENS,
        "inputs": {name: values.tolist() for name, values in inputs.items()},
        "losses": [_loss(case, inputs) for case in CASES],
        "rewards": rewards.view(3, 4).tolist(),
        "advantages": {scale: _advantages(rewards, 4, scale) for scale in ("group", "none")},
    }
    OUT.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
