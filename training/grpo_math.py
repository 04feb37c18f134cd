"""The arithmetic of GRPO as pure functions: advantages, clipped token loss, KL, and how tokens are averaged.

    A_i = R_i - mean_G R  (/ (std_G R + 1e-4))
    L   = - min(r A, clip(r, 1 - low, 1 + high) A) + beta KL        of every written token, r = exp(new - old)
    KL  = exp(d) - d - 1,  d = reference - new                      (k3: unbiased, never below zero)

`dapo` is the mean over all tokens (arXiv 2503.14476), `grpo` the mean over answers of their means (2402.03300),
`dr_grpo` the sum over answers by a constant length (2503.20783). Names and conventions are TRL's, whose own values the
tests hold these functions against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from coreseg_core.errors import InputError

STD_FLOOR = 1e-4
ZERO_SPREAD = 1e-6
"""Standard deviation of a group's rewards from which its answers count as different."""

Normaliser = Literal["dapo", "grpo", "dr_grpo"]


@dataclass(frozen=True, kw_only=True)
class PolicyLossConfig:
    """How the policy is moved.

    Attributes:
        normaliser: How tokens are averaged.
        clip_low: A ratio below 1 - `clip_low` moves no token that did badly any further.
        clip_high: A ratio above 1 + `clip_high` moves no token that did well any further; larger than `clip_low`
            it leaves rare tokens room to grow (DAPO, clip-higher).
        beta: Weight of the KL to the reference; 0 asks for no reference.
        scale_by_std: Divide advantages by the group's standard deviation (GRPO, not Dr. GRPO).
        agreed_advantage: Advantage of the answers of a group that rightly denies with one voice; not below 0. At 0 such
            groups are dropped as all others without spread are. Above 0 they count among a step's tokens, so that each
            of the other groups counts less (Le et al., "No Prompt Left Behind", arXiv:2509.21880, learns from every
            group of one voice).

    Raises:
        InputError: `agreed_advantage` is below 0.
    """

    normaliser: Normaliser = "dapo"
    clip_low: float = 0.2
    clip_high: float = 0.28
    beta: float = 0.01
    scale_by_std: bool = True
    agreed_advantage: float = 0.0

    def __post_init__(self) -> None:
        if not self.agreed_advantage >= 0:
            raise InputError(
                f"An agreed_advantage of {self.agreed_advantage} would teach wrong answers.",
                remedy="Choose 0, which drops groups of one voice, or more.",
            )


@dataclass(frozen=True, kw_only=True)
class PolicyTerms:
    """The policy loss with what is watched beside it, all scalars.

    Attributes:
        loss: What is minimised, KL included.
        kl: Mean k3 KL to the reference over all tokens; 0 without a reference.
        clip_low: Share of the tokens held back by the lower bound.
        clip_high: Share held back by the upper bound.
        ratio: Mean ratio of new to old probability.
    """

    loss: Tensor
    kl: Tensor
    clip_low: Tensor
    clip_high: Tensor
    ratio: Tensor


def group_advantages(rewards: Tensor, *, scale_by_std: bool) -> Tensor:
    """Return advantages (g, G) of rewards (g, G), one row a group."""
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if not scale_by_std:
        return centred
    return centred / (rewards.std(dim=1, keepdim=True) + STD_FLOOR)


def has_spread(rewards: Tensor) -> Tensor:
    """Return for each group of rewards (g, G) whether its answers differ in worth."""
    return rewards.std(dim=1) > ZERO_SPREAD


def k3_kl(new: Tensor, reference: Tensor) -> Tensor:
    """Return the low-variance estimate of KL(new || reference) for each token drawn from `new`."""
    ahead = reference - new
    return ahead.exp() - ahead - 1


def clipped_loss(ratio: Tensor, advantages: Tensor, *, low: float, high: float) -> Tensor:
    """Return the clipped policy loss of each token, (n, L), of ratios (n, L) and advantages (n,)."""
    advantage = advantages[:, None]
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def average_tokens(values: Tensor, written: Tensor, *, normaliser: Normaliser, max_tokens: int) -> Tensor:
    """Return token values (n, L) as one number.

    Args:
        values: Anything on tokens that were not written.
        written: (n, L) bool, the tokens that count.
        normaliser: Which average.
        max_tokens: The constant length of `dr_grpo`, the most tokens an answer may have.
    """
    kept = torch.where(written, values, torch.zeros((), dtype=values.dtype, device=values.device))
    if normaliser == "grpo":
        return (kept.sum(dim=1) / written.sum(dim=1).clamp_min(1)).mean()
    if normaliser == "dr_grpo":
        return kept.sum() / (len(values) * max_tokens)
    return kept.sum() / written.sum().clamp_min(1)


def policy_terms(
    new: Tensor,
    *,
    old: Tensor | None,
    reference: Tensor | None,
    written: Tensor,
    advantages: Tensor,
    config: PolicyLossConfig,
    max_tokens: int,
) -> PolicyTerms:
    """Return the policy loss of a batch of answers.

    Args:
        new: (n, L) log-probabilities of the written tokens, with a gradient.
        old: (n, L) those under the policy that wrote them; None where that is this very policy.
        reference: (n, L) those under the reference; None with `beta` 0.
        written: (n, L) bool, the tokens that the policy chose.
        advantages: (n,).
        config: How.
        max_tokens: The most tokens an answer may have.
    """
    log_ratio = new - (new.detach() if old is None else old)
    # What stands behind an answer's end must not turn into infinities, whose gradient would be no number.
    ratio = torch.where(written, log_ratio, torch.zeros_like(log_ratio)).exp()
    losses = clipped_loss(ratio, advantages, low=config.clip_low, high=config.clip_high)
    kl = torch.zeros_like(new)
    if config.beta > 0 and reference is not None:
        kl = k3_kl(torch.where(written, new, reference), reference)
        losses = losses + config.beta * kl
    with torch.no_grad():
        bad, good = advantages[:, None] < 0, advantages[:, None] > 0
        held_low = ((ratio < 1 - config.clip_low) & bad).to(new.dtype)
        held_high = ((ratio > 1 + config.clip_high) & good).to(new.dtype)

    def mean(values: Tensor) -> Tensor:
        return average_tokens(values.detach(), written, normaliser="dapo", max_tokens=max_tokens)

    return PolicyTerms(
        loss=average_tokens(losses, written, normaliser=config.normaliser, max_tokens=max_tokens),
        kl=mean(kl),
        clip_low=mean(held_low),
        clip_high=mean(held_high),
        ratio=mean(ratio),
    )
