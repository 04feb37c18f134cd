"""GRPO's arithmetic equals TRL's own values and a plain loop written down from the formulas.

The values of TRL 1.16.0 lie in `frozen/trl_grpo.json`. `frozen/freeze_trl.py` made them, in an environment with TRL
installed, by calling TRL's `GRPOTrainer._compute_loss` and TRL's own lines for the advantages on float64 inputs; TRL
itself is not needed here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.grpo_math import (
    PolicyLossConfig,
    group_advantages,
    has_spread,
    k3_kl,
    policy_terms,
)

FROZEN: dict[str, Any] = json.loads(
    (Path(__file__).with_name("frozen") / "trl_grpo.json").read_text(encoding="utf-8")
)
INPUTS = {name: torch.tensor(values, dtype=torch.float64) for name, values in FROZEN["inputs"].items()}
WRITTEN = INPUTS["mask"].bool()
NORMALISERS = ("dapo", "grpo", "dr_grpo")


def _config(case: dict[str, Any]) -> PolicyLossConfig:
    return PolicyLossConfig(
        normaliser=case["loss_type"],
        clip_low=case["clip_low"],
        clip_high=case["clip_high"],
        beta=case["beta"],
    )


@pytest.mark.parametrize(
    "case", FROZEN["losses"], ids=lambda case: f"{case['loss_type']}-{case['clip_high']}-{case['beta']}"
)
def test_loss_gradient_and_watched_values_are_trls(case: dict[str, Any]) -> None:
    new = INPUTS["new"].clone().requires_grad_(True)
    terms = policy_terms(
        new,
        old=INPUTS["old"],
        reference=INPUTS["reference"] if case["beta"] else None,
        written=WRITTEN,
        advantages=INPUTS["advantages"],
        config=_config(case),
        max_tokens=FROZEN["max_tokens"],
    )
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(case["loss"], rel=1e-12)
    assert new.grad is not None
    torch.testing.assert_close(
        new.grad, torch.tensor(case["gradient"], dtype=torch.float64), rtol=1e-12, atol=1e-15
    )
    assert terms.clip_low.item() == pytest.approx(case["logged"]["clip_ratio/low_mean"], abs=1e-6)
    assert terms.clip_high.item() == pytest.approx(case["logged"]["clip_ratio/high_mean"], abs=1e-6)
    assert terms.clip_low > 0
    assert terms.clip_high > 0
    if case["beta"]:
        assert terms.kl.item() == pytest.approx(case["logged"]["kl"], rel=1e-6)


@pytest.mark.parametrize(("scale", "by_std"), [("group", True), ("none", False)])
def test_advantages_are_trls(scale: str, by_std: bool) -> None:
    rewards = torch.tensor(FROZEN["rewards"], dtype=torch.float64)
    expected = torch.tensor(FROZEN["advantages"][scale], dtype=torch.float64).view_as(rewards)
    # TRL takes its variance times a factor n / (n - 1) that it holds in single precision.
    rtol = 1e-7 if by_std else 1e-12
    torch.testing.assert_close(
        group_advantages(rewards, scale_by_std=by_std), expected, rtol=rtol, atol=1e-15
    )


def _loop(
    new: Tensor,
    old: Tensor,
    reference: Tensor,
    written: Tensor,
    advantages: Tensor,
    config: PolicyLossConfig,
    most: int,
) -> float:
    """The loss spelled out token by token with Python's own floats."""
    rows: list[list[float]] = []
    for row in range(len(new)):
        rows.append([])
        for place in range(new.shape[1]):
            if not written[row, place]:
                continue
            n, o, r = (float(values[row, place]) for values in (new, old, reference))
            ratio, advantage = math.exp(n - o), float(advantages[row])
            kept = min(max(ratio, 1 - config.clip_low), 1 + config.clip_high)
            kl = math.exp(r - n) - (r - n) - 1
            rows[-1].append(-min(ratio * advantage, kept * advantage) + config.beta * kl)
    total, count = sum(map(sum, rows)), sum(map(len, rows))
    if config.normaliser == "dapo":
        return total / max(1, count)
    if config.normaliser == "dr_grpo":
        return total / (len(rows) * most)
    return sum(sum(row) / max(1, len(row)) for row in rows) / len(rows)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.sampled_from(NORMALISERS),
    st.floats(0.05, 0.5),
    st.floats(0.05, 0.5),
    st.sampled_from([0.0, 0.04]),
)
def test_loss_is_that_of_a_plain_loop(
    seed: int, normaliser: Any, low: float, high: float, beta: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    new, old, reference = (-torch.rand(4, 5, generator=generator, dtype=torch.float64) * 4 for _ in range(3))
    written = torch.rand(4, 5, generator=generator) < 0.7
    advantages = torch.randn(4, generator=generator, dtype=torch.float64)
    config = PolicyLossConfig(normaliser=normaliser, clip_low=low, clip_high=high, beta=beta)
    terms = policy_terms(
        new, old=old, reference=reference, written=written, advantages=advantages, config=config, max_tokens=9
    )
    expected = _loop(new, old, reference, written, advantages, config, 9)
    assert terms.loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_gradient_is_the_slope_of_the_loss() -> None:
    config = PolicyLossConfig(beta=0.04)
    rest = {
        "reference": INPUTS["reference"],
        "written": WRITTEN,
        "advantages": INPUTS["advantages"],
        "config": config,
        "max_tokens": 12,
    }
    new = INPUTS["new"].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: policy_terms(x, old=INPUTS["old"], **rest).loss, new)


def test_on_policy_the_slope_is_minus_the_advantage_and_nothing_is_clipped() -> None:
    new = INPUTS["new"].clone().requires_grad_(True)
    terms = policy_terms(
        new,
        old=None,
        reference=None,
        written=WRITTEN,
        advantages=INPUTS["advantages"],
        config=PolicyLossConfig(beta=0.0),
        max_tokens=12,
    )
    terms.loss.backward()
    expected = -INPUTS["advantages"][:, None] * WRITTEN / WRITTEN.sum()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, expected)
    assert terms.ratio == 1
    assert terms.clip_low == terms.clip_high == terms.kl == 0


def test_what_stands_behind_an_answers_end_has_no_say() -> None:
    behind = torch.where(WRITTEN, INPUTS["new"], torch.full_like(INPUTS["new"], -1e4)).requires_grad_(True)
    terms = policy_terms(
        behind,
        old=torch.where(WRITTEN, INPUTS["old"], torch.zeros_like(INPUTS["old"])),
        reference=torch.where(WRITTEN, INPUTS["reference"], torch.full_like(INPUTS["reference"], 1e4)),
        written=WRITTEN,
        advantages=INPUTS["advantages"],
        config=PolicyLossConfig(beta=0.04),
        max_tokens=12,
    )
    case = next(case for case in FROZEN["losses"] if case["loss_type"] == "dapo" and case["beta"])
    assert terms.loss.item() == pytest.approx(case["loss"], rel=1e-12)
    terms.loss.backward()
    assert behind.grad is not None
    assert behind.grad.isfinite().all()
    assert not behind.grad[~WRITTEN].any()


@given(st.floats(-30, 0), st.floats(-30, 0))
def test_kl_is_never_below_zero_and_zero_where_both_agree(new: float, reference: float) -> None:
    value = k3_kl(torch.tensor(new, dtype=torch.float64), torch.tensor(reference, dtype=torch.float64))
    assert value >= -1e-12
    assert k3_kl(torch.tensor(new), torch.tensor(new)) == 0


def test_a_group_without_spread_has_no_advantage_and_is_told_apart() -> None:
    rewards = torch.tensor([[2.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 1.0], [0.1, 0.1, 0.1, 0.1]])
    assert has_spread(rewards).tolist() == [False, True, False]
    assert group_advantages(rewards, scale_by_std=True)[[0, 2]].abs().max() < 1e-3
    assert group_advantages(rewards, scale_by_std=True)[1].sum().abs() < 1e-5


def test_normalisers_weigh_long_and_short_answers_as_they_say() -> None:
    # One answer of 6 tokens, one of 2, every token worth 1 and -1.
    written = torch.arange(6) < torch.tensor([6, 2])[:, None]
    losses = {
        name: policy_terms(
            torch.zeros(2, 6),
            old=None,
            reference=None,
            written=written,
            advantages=torch.tensor([-1.0, 1.0]),
            config=PolicyLossConfig(normaliser=name, beta=0.0),
            max_tokens=8,
        ).loss.item()
        for name in NORMALISERS
    }
    assert losses == pytest.approx({"dapo": (6 - 2) / 8, "grpo": 0.0, "dr_grpo": (6 - 2) / 16})
