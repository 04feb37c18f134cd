"""What is logged of sampled answers, under the names that TRL and verl use where they have one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from coreseg_core.answer import parse
from coreseg_core.evaluation.metrics import is_failure
from training.grpo_math import has_spread
from training.processes import gathered
from training.rollouts import Group, Rollout

_TERMS = ("format", "detection", "mask", "absence")
_NUMBERS = ("total", *_TERMS, "dice", "failed", "alarm", "length", "truncated", "has_seg")


def answer_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Return means over the answers of all processes; what no answer has a value for is left out.

    `reward` and `rewards/TERM/*` are the rewards, `seg/dice` and `seg/failure_rate` are over questions with a mask,
    `seg/false_alarm_rate` over the others, and `frac_reward_zero_std` is the share of groups whose answers all
    earn the same.
    """
    table = gathered(torch.stack([_table(group) for group in groups]))
    columns = {name: table[..., number] for number, name in enumerate(_NUMBERS)}
    rewards, lengths = columns["total"], columns["length"]
    metrics = {
        "reward": _mean(rewards),
        "reward_std": _mean(rewards.std(dim=1)) if rewards.shape[1] > 1 else math.nan,
        "frac_reward_zero_std": 1 - _mean(has_spread(rewards).double()) if rewards.shape[1] > 1 else math.nan,
        "completions/mean_length": _mean(lengths),
        "completions/max_length": float(lengths.max()),
        "completions/clipped_ratio": _mean(columns["truncated"]),
        "completions/has_seg": _mean(columns["has_seg"]),
        "seg/dice": _mean(columns["dice"]),
        "seg/failure_rate": _mean(columns["failed"]),
        "seg/false_alarm_rate": _mean(columns["alarm"]),
    }
    for name in _TERMS:
        values = columns[name][~columns[name].isnan()]
        metrics[f"rewards/{name}/mean"] = _mean(values)
        metrics[f"rewards/{name}/std"] = float(values.std()) if len(values) > 1 else math.nan
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def _table(group: Group) -> Tensor:
    present = group.asked.truth.present
    rows = [_numbers(rollout, present=present) for rollout in group.rollouts]
    return torch.tensor(rows, dtype=torch.float64)


def _numbers(rollout: Rollout, *, present: bool) -> list[float]:
    terms, parsed = rollout.terms, parse(rollout.reply.text)
    values: dict[str, float | None] = {
        "total": terms.total,
        **{name: getattr(terms, name) for name in _TERMS},
        "dice": terms.dice,
        "failed": None,
        "alarm": None if present else float(parsed.kind == "present"),
        "length": len(rollout.reply.ids),
        "truncated": rollout.truncated,
        "has_seg": rollout.mask is not None,
    }
    if terms.dice is not None:
        values["failed"] = is_failure(terms.dice, readable=parsed.well_formed)
    return [math.nan if values[name] is None else float(values[name] or 0.0) for name in _NUMBERS]


def _mean(values: Tensor) -> float:
    return float(values.nanmean())
