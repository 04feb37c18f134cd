"""Groups that rightly deny with one voice hold what they know, where that is asked for, and no others do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy

from coreseg_core.errors import InputError
from coreseg_core.models.coreseg import CoreSegModel
from training.asking import Asked
from training.groups import GroupLearner
from training.grpo import PolicyLosses
from training.grpo_config import GRPOConfig
from training.grpo_math import PolicyLossConfig
from training.reference import Reference
from training.rewards import RewardConfig, answer_reward


def _losses(config: GRPOConfig, model: CoreSegModel) -> PolicyLosses:
    learner = GroupLearner(model, temperature=1.0, shared=True, mask_gradient=True)
    return PolicyLosses(config, learner, Reference(model))


def _asked(name: str, seed: int) -> Asked:
    return replace(toy.asked(name), seed=seed)


def test_a_group_that_rightly_denies_with_one_voice_holds_what_it_knows_where_that_is_asked_for() -> None:
    def losses(advantage: float) -> PolicyLosses:
        policy = PolicyLossConfig(beta=0.0, agreed_advantage=advantage)
        return _losses(toy.config(Path("unused"), answers=2, policy=policy), toy.taught_model())

    holding = losses(0.5)
    asked = next(_asked("free", n) for n in range(60) if holding._answer(_asked("free", n)).denies_rightly)
    held, watched = list(holding(holding._learner, (asked,)))
    assert watched["frac_reward_zero_std"] == 1
    assert [lesson.advantages.tolist() for lesson in holding._lessons] == [[0.5, 0.5]]
    # On policy all ratios are 1, so the loss is the advantage; going down its gradient makes the answers likelier.
    assert float(torch.as_tensor(held["total"]).detach()) == pytest.approx(-0.5, abs=1e-5)
    assert torch.as_tensor(held["total"]).requires_grad
    dropping = losses(0.0)
    assert len(list(dropping(dropping._learner, (asked,)))) == 1


def test_denials_without_the_reasoning_that_was_asked_for_hold_nothing() -> None:
    losses = _losses(toy.config(Path("unused"), answers=2), toy.taught_model())
    groups = [losses._answer(_asked("free", seed)) for seed in range(60)]
    denials = next(group for group in groups if group.denies_rightly)
    bare = [
        answer_reward(rollout.reply.text, None, denials.asked.truth, reasoning="full", config=RewardConfig())
        for rollout in denials.rollouts
    ]
    rollouts = tuple(
        replace(rollout, terms=terms) for rollout, terms in zip(denials.rollouts, bare, strict=True)
    )
    assert not replace(denials, rollouts=rollouts).denies_rightly


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_an_advantage_that_would_teach_wrong_answers_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="agreed_advantage"):
        PolicyLossConfig(agreed_advantage=value)


@pytest.mark.parametrize("name", ["a", "free"])
def test_only_denials_in_good_form_that_are_right_hold(name: str) -> None:
    losses = _losses(toy.config(Path("unused"), answers=2), toy.taught_model())
    for seed in range(12):
        group = losses._answer(_asked(name, seed))
        right = [
            rollout.terms.format == 1 and rollout.terms.absence == RewardConfig().prices.bonus
            for rollout in group.rollouts
        ]
        assert group.denies_rightly is (name == "free" and all(right))
