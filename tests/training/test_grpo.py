"""Learning by reward: the loss is what its formula says, what earns more becomes likelier, and a run can be cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy
from torch import Tensor

from coreseg_core.checkpoint import load_weights
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mask_prompts import MASK_PROMPTS, MaskPrompt
from coreseg_core.models.mllm import sequence_positions
from training.asking import Asked, QuestionSource
from training.groups import GroupBatch, GroupLearner, group_batch
from training.grpo import PolicyLosses, development_answers, questions_of_step
from training.grpo_config import GRPOConfig
from training.grpo_math import PolicyLossConfig, policy_terms
from training.lessons import Lesson, lesson_shares
from training.loop import LoopConfig, TrainingLoop
from training.losses import cross_entropy_loss, dice_loss
from training.reference import Reference
from training.rewards import RewardConfig
from training.rollouts import Group, sample_group
from training.samples import square_mask
from training.sft import parameter_groups

PACE = LoopConfig(
    steps=4, together=2, warmup_steps=1, log_every=1, evaluate_every=4, save_every=2, mixed_precision="no"
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _learner(model: CoreSegModel, *, shared: bool = True, mask_gradient: bool = True) -> GroupLearner:
    return GroupLearner(model, temperature=1.0, shared=shared, mask_gradient=mask_gradient)


def _losses(config: GRPOConfig, learner: GroupLearner) -> PolicyLosses:
    return PolicyLosses(config, learner, Reference(learner.model))


class _Again:
    """Asks the toy's question again and again, other answers being drawn each time."""

    def asked(self, number: int) -> Asked:
        return _seeded("a", number)


def _train(
    config: GRPOConfig, *, source: QuestionSource | _Again | None = None, stop_at: int | None = None
) -> list[dict[str, float]]:
    """Return the log lines of a run on the toy's lesion; `stop_at` breaks it there."""
    model = toy.taught_model()
    learner = GroupLearner(model, temperature=config.temperature, shared=True, mask_gradient=True)
    loop = TrainingLoop(
        learner, parameter_groups(model, config.learning_rates), config=config.loop, folder=config.out
    )
    source = source or toy.source(config, views=toy.VIEWS[:1])

    def batch(step: int, process: int) -> tuple[Asked, ...]:
        if step == stop_at:
            raise KeyboardInterrupt
        return questions_of_step(source, config, step=step, process=process)

    loop.run(batch, _losses(config, learner), lambda: development_answers(model, source, config))
    return [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]


def _group(model: CoreSegModel, name: str = "a", *, size: int = 6, seed: int = 3) -> Group:
    return sample_group(
        model,
        toy.asked(name),
        size=size,
        temperature=1.0,
        max_tokens=40,
        rewards=RewardConfig(),
        generator=torch.Generator().manual_seed(seed),
    )


def _batch(model: CoreSegModel, group: Group) -> GroupBatch:
    return group_batch(group, model.language, side_px=toy.SIDE)


def _in_double_precision(model: CoreSegModel) -> CoreSegModel:
    model.double()
    # SAM makes the places of its grid in single precision, whatever the model is in.
    model.segmenter.prompt_encoder.pe_layer.float()
    return model


def _gradients(model: CoreSegModel) -> dict[str, Tensor]:
    found = {
        name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad and p.grad is not None
    }
    model.zero_grad(set_to_none=True)
    return found


def _assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Compare gradients; what has none is taken as zero. Some parts, such as positions, are in single precision."""
    assert any(gradient.any() for gradient in first.values())
    largest = max(float(gradient.abs().max()) for gradient in first.values())
    for name in first.keys() | second.keys():
        one, other = first.get(name), second.get(name)
        one = torch.zeros_like(other) if one is None else one
        other = torch.zeros_like(one) if other is None else other
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6 * largest), name


def _mixed_group(model: CoreSegModel, *, size: int = 6) -> Group:
    """Return a group of the toy's answers in which some draw and some do not."""
    for seed in range(20):
        group = _group(model, size=size, seed=seed)
        if _draws_and_denies(group):
            return group
    raise AssertionError("the toy has made up its mind")


def test_reward_rises_on_what_is_learned_again_and_again(tmp_path: Path) -> None:
    pace = replace(PACE, steps=16, together=1, save_every=16, evaluate_every=16)
    lines = _train(toy.config(tmp_path, loop=pace, temperature=0.7), source=_Again())
    rewards = [line["reward"] for line in lines if "reward" in line]
    assert len(rewards) == 16
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.8
    assert lines[-1]["dev/reward"] > sum(rewards[:4]) / 4
    learned = [line for line in lines if "policy_loss" in line]
    assert all(line["ratio_mean"] == pytest.approx(1, abs=1e-6) for line in learned)
    assert learned[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert learned[-1]["kl"] > 0
    assert learned[0]["grad_norm/words_at_states"] > 0
    assert max(line["grad_norm/masks_at_states"] for line in learned) > 0


def test_resumed_run_equals_the_uninterrupted_one_bitwise(tmp_path: Path) -> None:
    _train(toy.config(tmp_path / "whole", loop=PACE))
    with pytest.raises(KeyboardInterrupt):
        _train(toy.config(tmp_path / "cut", loop=PACE), stop_at=3)
    lines = _train(toy.config(tmp_path / "cut", loop=PACE))
    whole, cut = (
        load_weights(tmp_path / name / "checkpoints" / "step_000004")[0] for name in ("whole", "cut")
    )
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    # The second step of a pair learns from the answers of the first, which another policy wrote by then.
    steps = [line for line in lines if "policy_loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 3, 4]
    assert steps[1]["reward"] == steps[0]["reward"]
    assert steps[0]["ratio_mean"] == pytest.approx(1, abs=1e-6)
    assert steps[1]["ratio_mean"] != pytest.approx(1, abs=1e-6)


def test_loss_and_gradients_are_those_of_one_plain_pass_an_answer() -> None:
    """Two questions in double precision against a loop that reads every dialogue whole and by itself."""
    config = toy.config(
        Path("unused"), questions=2, mask_weights={"dice": 0.7, "cross_entropy": 0.4, "iou": 0.0}
    )
    model = _in_double_precision(toy.taught_model())
    losses = _losses(config, _learner(model))
    with torch.no_grad():
        for parameter in model.language.text.layers.parameters():
            parameter.mul_(1.01)
    seed = next(seed for seed in range(20) if _draws_and_denies(losses._answer(_seeded("a", seed))))
    asked = (_seeded("a", seed), _seeded("free", seed))
    terms = list(losses(losses._learner, asked))
    total = sum(torch.as_tensor(term["total"]) for term in terms)
    total.backward()
    found = _gradients(model)

    groups = [losses._answer(question) for question in asked]
    expected = _plain_loss(model, groups, losses._lessons, beta=config.policy.beta)
    expected.backward()
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    _assert_same(found, _gradients(model))


def _seeded(name: str, seed: int) -> Asked:
    return replace(toy.asked(name), seed=seed)


def _draws_and_denies(group: Group) -> bool:
    return len({rollout.mask is not None for rollout in group.rollouts}) == 2


def _plain_loss(model: CoreSegModel, groups: list[Group], lessons: list[Lesson], *, beta: float) -> Tensor:
    """The DAPO loss with k3 KL, on policy, and the mask losses, one answer after the other."""
    language, tokenizer = model.language, model.language.tokenizer
    tokens, policy, masks = 0, torch.zeros((), dtype=torch.float64), []
    for group, lesson in zip(groups, lessons, strict=True):
        rewards = group.rewards
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        view = group.asked.view
        embedding = torch.from_numpy(view.embedding.astype("float64"))[None]
        frame = torch.from_numpy(view.frame).permute(2, 0, 1)[None].double() / 255
        head = tokenizer.prefix_ids(4) + tokenizer.question_ids(group.asked.question, "none")
        for number, rollout in enumerate(group.rollouts):
            ids = head + list(rollout.reply.ids)
            positions = sequence_positions(ids, tokenizer.image_id, (2, 2))[:, None]
            picture = language.visual(frame.float(), embedding)
            states = language.states(
                language.embed_with_picture(torch.tensor([ids]), picture), positions=positions
            )[0]
            for place in range(len(head), len(ids)):
                log_prob = language.logits(states[place - 1]).log_softmax(-1)[ids[place]]
                ahead = lesson.reference[number, place - len(head)] - log_prob
                policy = policy - advantages[number] * (log_prob - log_prob.detach()).exp()
                policy = policy + beta * (ahead.exp() - ahead - 1)
                tokens += 1
            if rollout.reply.answer_states is None or not group.asked.truth.present:
                continue
            read = states[len(ids) - 1 - len(rollout.reply.answer_states) : len(ids) - 1][None]
            seg = torch.zeros(1, read.shape[1], dtype=torch.bool)
            seg[0, -1] = True
            logits, _ = model.segmenter.decode(
                embedding, model.adapter(read, answer=torch.ones_like(seg), seg=seg)
            )
            truth = torch.from_numpy(square_mask(view.mask, toy.SIDE))[None]
            masks.append(0.7 * dice_loss(logits, truth) + 0.4 * cross_entropy_loss(logits, truth))
    assert masks, "no answer drew a mask: the test would prove nothing about it"
    return policy / tokens + torch.cat(masks).mean()


def test_reading_the_prompt_once_gives_the_gradients_of_reading_it_with_every_answer() -> None:
    model = _in_double_precision(toy.new_model(lora=True))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0, 0.05)
    batch = _batch(model, _group(model, size=3))
    found = []
    for shared in (True, False):
        output = _learner(model, shared=shared)(batch)
        weights = torch.linspace(0.5, 1.5, batch.ids.shape[1], dtype=torch.float64)
        (output.log_probs * weights).sum().backward()
        found.append((output.log_probs.detach(), _gradients(model)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-6, atol=1e-8)
    assert any(".lora_A." in name for name in found[0][1])
    _assert_same(found[0][1], found[1][1])


@pytest.mark.parametrize("mask_prompt", MASK_PROMPTS)
def test_the_pass_with_gradients_sees_the_probabilities_and_masks_of_the_roll_outs(
    mask_prompt: MaskPrompt,
) -> None:
    model = toy.taught_model()
    model.mask_prompt = mask_prompt
    group = _mixed_group(model)
    batch = _batch(model, group)
    output = _learner(model)(batch)
    assert len({rollout.reply.text for rollout in group.rollouts}) > 1
    for row, rollout in enumerate(group.rollouts):
        length = len(rollout.reply.ids)
        drawn = torch.tensor(rollout.reply.log_probs)
        torch.testing.assert_close(output.log_probs[row, :length], drawn, rtol=1e-3, atol=1e-3)
        assert not output.log_probs[row, length:].any()
    rows = batch.with_mask.tolist()
    assert rows == [number for number, rollout in enumerate(group.rollouts) if rollout.mask is not None]
    assert rows
    for place, row in enumerate(rows):
        assert torch.equal(output.mask_logits[place] > 0, torch.from_numpy(group.rollouts[row].mask))


def test_no_more_masks_of_a_group_are_learned_than_asked_for() -> None:
    model = toy.taught_model()
    groups = (_group(model, seed=seed) for seed in range(20))
    group = next(group for group in groups if sum(rollout.mask is not None for rollout in group.rollouts) > 1)
    whole, one = (
        group_batch(group, model.language, side_px=toy.SIDE, learned_masks=count) for count in (None, 1)
    )
    assert one.with_mask.tolist() == whole.with_mask.tolist()[:1]
    assert torch.equal(one.answer[one.with_mask], whole.answer[one.with_mask])
    assert torch.equal(one.written, whole.written)
    assert len(_learner(model)(one).mask_logits) == 1


def test_a_group_of_the_likeliest_answers_is_the_one_answer_again_and_again() -> None:
    model = toy.taught_model()
    group = sample_group(
        model, toy.asked(), size=3, temperature=0.0, max_tokens=40, rewards=RewardConfig(), generator=None
    )
    alone = sample_group(
        model, toy.asked(), size=1, temperature=0.0, max_tokens=40, rewards=RewardConfig(), generator=None
    )
    assert {rollout.reply.text for rollout in group.rollouts} == {alone.rollouts[0].reply.text}


def test_masks_can_be_kept_from_teaching_the_language_model() -> None:
    model = toy.taught_model()
    batch = _batch(model, _mixed_group(model))
    norms: dict[str, float] = {}

    def watch(name: str, gradient: Tensor) -> None:
        norms[name] = float(gradient.norm())

    through = _learner(model)(batch, watch)
    dice_loss(through.mask_logits, batch.mask.expand(len(batch.with_mask), -1, -1)).mean().backward()
    with_masks = _gradients(model)
    assert norms["masks"] > 0
    norms.clear()
    stopped = _learner(model, mask_gradient=False)(batch, watch)
    dice_loss(stopped.mask_logits, batch.mask.expand(len(batch.with_mask), -1, -1)).mean().backward()
    without = _gradients(model)
    assert "masks" not in norms
    layer = next(name for name in with_masks if name.startswith("language.text.layers"))
    assert with_masks[layer].any()
    assert not without.get(layer, torch.zeros(1)).any()
    assert torch.equal(with_masks["adapter.queries"], without["adapter.queries"])


def test_masks_that_no_answer_drew_hang_in_the_graph_and_weigh_nothing() -> None:
    model = toy.taught_model()
    losses = _losses(toy.config(Path("unused")), _learner(model))
    seed = next(seed for seed in range(20) if _draws_and_denies(losses._answer(_seeded("free", seed))))
    terms = list(losses(losses._learner, (_seeded("free", seed),)))
    assert terms[0]["mask_loss/dice"] == 0
    total = torch.as_tensor(terms[0]["total"])
    total.backward()
    found = _gradients(model)
    assert "adapter.queries" in found
    assert not found["adapter.queries"].any()


def test_groups_without_spread_are_dropped_and_counted() -> None:
    nothing = RewardConfig(format=0.0, detection=0.0, mask=0.0, absence=0.0)
    losses = _losses(toy.config(Path("unused"), rewards=nothing), _learner(toy.taught_model()))
    (watched,) = list(losses(losses._learner, (_seeded("a", 1),)))
    assert watched["frac_reward_zero_std"] == 1
    assert not torch.as_tensor(watched["total"]).requires_grad


@pytest.mark.parametrize("normaliser", ["dapo", "grpo", "dr_grpo"])
def test_the_groups_losses_add_up_to_that_of_all_answers_together(normaliser: str) -> None:
    model = toy.taught_model()
    policy = PolicyLossConfig(normaliser=normaliser, beta=0.0)  # type: ignore[arg-type]
    lessons, rows = [], []
    for name, seed in (("a", 1), ("free", 2)):
        batch = _batch(model, _group(model, name, size=4, seed=seed))
        lessons.append(Lesson(batch=batch, advantages=torch.linspace(-1, 2, 4)))
        rows.append(batch.written)
    longest = max(written.shape[1] for written in rows)
    written = torch.cat([torch.nn.functional.pad(row, (0, longest - row.shape[1])) for row in rows])

    def loss(mask: Tensor, advantages: Tensor) -> float:
        new = torch.zeros(mask.shape, dtype=torch.float64)
        terms = policy_terms(
            new, old=None, reference=None, written=mask, advantages=advantages, config=policy, max_tokens=40
        )
        return float(terms.loss)

    shares = lesson_shares(lessons, normaliser=policy.normaliser)
    summed = sum(
        share.policy * loss(lesson.batch.written, lesson.advantages)
        for lesson, share in zip(lessons, shares, strict=True)
    )
    together = loss(written, torch.cat([lesson.advantages for lesson in lessons]))
    assert summed == pytest.approx(together, rel=1e-6)
    assert sum(share.tokens for share in shares) == pytest.approx(1)
    assert sum(share.masks for share in shares) == pytest.approx(1)


def test_the_reference_stays_what_it_was_under_autocast_too() -> None:
    model = toy.taught_model()
    batch = _batch(model, _group(model))
    learner, reference = _learner(model), Reference(model)
    with torch.autocast("cpu", torch.bfloat16):
        before = learner.log_probs(batch)
        with torch.no_grad():
            for parameter in model.language.text.layers.parameters():
                parameter.mul_(1.3)
        torch.clear_autocast_cache()
        learner(batch)
        changed = learner.log_probs(batch)
        with reference:
            kept = learner.log_probs(batch)
        again = learner.log_probs(batch)
    assert torch.equal(kept, before)
    assert torch.equal(again, changed)
    assert not torch.equal(kept, changed)
