"""Stage 2: learning by reward (GRPO), from the weights of stage 1 to better ones, read top to bottom.

What a step does: asks some questions about views that lie embedded on disk (`training.views`), lets the model answer
each of them several times by the very engine that answers in use (`training.rollouts`), rewards every answer for its
form, boxes, mask and denials (`training.rewards`), and makes what did better than its group likelier and what did worse
less likely, within a clipped distance and held near the model of stage 1 by a KL (`training.grpo_math`). Dice and
cross-entropy of the masks stay on, and reach the language model through adapter and `<seg>` (CORE-Seg, stage 2).

    python -m training.grpo --config training/configs/grpo_lite.yaml
    python -m training.grpo --config training/configs/grpo_lite.yaml --minutes 40     # a piece; run it again to go on

A run that is killed goes on from its last checkpoint. On several processes: `accelerate launch -m training.grpo ...`;
they share the questions of a step, so their number changes nothing but rounding.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.allocator import keep_freed_memory
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.lora import fold_updates
from training.asking import Asked, QuestionSource
from training.curves import draw_curves
from training.devices import on_device
from training.groups import GroupBatch, GroupLearner, GroupOutput, group_batch
from training.grpo_config import GRPOConfig, read_config
from training.grpo_math import group_advantages, has_spread, policy_terms
from training.lessons import Lesson, Share, lesson_shares
from training.loop import TrainingLoop
from training.losses import cross_entropy_loss, dice_loss, iou_loss, weighted_mean
from training.processes import gathered, process_count
from training.reference import Reference
from training.rollouts import Group, sample_group
from training.settings import recipe_arguments
from training.sft import parameter_groups
from training.start import choose_attention, require_fitting_views, stage_one_model
from training.views import ViewStore
from training.watched import answer_metrics


def run(config: GRPOConfig, *, minutes: float | None = None) -> None:
    """Train as configured, for at most `minutes`."""
    keep_freed_memory()
    torch.manual_seed(config.seed)
    preset = config.model_preset
    train, development = ViewStore(config.views / "train"), ViewStore(config.views / "dev")
    require_fitting_views(preset, train, development)
    rows = {row.id: row for manifest in config.manifests for row in read_manifest(manifest)}
    model = stage_one_model(preset, start=config.start, base=config.base, folder=config.out)
    model.mask_prompt = config.mask_prompt or model.mask_prompt
    fold_updates(model.language.text)
    choose_attention(model)
    learner = GroupLearner(
        model,
        temperature=config.temperature,
        shared=config.shared_prompt,
        mask_gradient=config.mask_gradient,
    )
    losses = PolicyLosses(config, learner, Reference(model))
    loop = TrainingLoop(
        learner, parameter_groups(model, config.learning_rates), config=config.loop, folder=config.out
    )
    if loop.sharded:
        raise InputError(
            "Roll-outs need the whole model on every card, and its frozen weights lie in shards.",
            remedy="Launch GRPO with training/configs/accelerate/multi_gpu.yaml.",
        )
    drawn = partial(question_source, rows=rows, config=config)
    asked, held_out = drawn(train), drawn(development)
    loop.run(
        lambda step, process: questions_of_step(asked, config, step=step, process=process),
        losses,
        lambda: development_answers(model, held_out, config),
        evaluate_first=True,
        until_s=None if minutes is None else minutes * 60,
    )
    draw_curves(config.out / "log.jsonl", config.out / "curves.png")


def question_source(store: ViewStore, *, rows: Mapping[str, Row], config: GRPOConfig) -> QuestionSource:
    """Return the questions that are asked about the views of a store."""
    return QuestionSource(
        store,
        rows,
        frame=config.model_preset.frame,
        mix=config.mix,
        modes=config.modes,
        balance=config.balance,
        lesion_free_weight=config.lesion_free_weight,
        seed=config.seed,
    )


def questions_of_step(
    source: QuestionSource, config: GRPOConfig, *, step: int, process: int
) -> tuple[Asked, ...]:
    """Return what a process asks in a step; steps that learn from the same answers ask the same."""
    processes = process_count()
    if config.questions % processes:
        raise InputError(
            f"{config.questions} questions a step cannot be shared by {processes} processes.",
            remedy="Choose a multiple for 'questions'.",
        )
    share = config.questions // processes
    first = step // config.loop.together * config.questions + process * share
    return tuple(source.asked(number) for number in range(first, first + share))


class PolicyLosses:
    """Turns the questions of a step into answers, and these into loss terms.

    Args:
        config: Of the run.
        learner: The policy with its pass with gradients.
        reference: The model of stage 1.
    """

    def __init__(self, config: GRPOConfig, learner: GroupLearner, reference: Reference) -> None:
        self._config, self._learner, self._reference = config, learner, reference
        self._lessons: list[Lesson] = []
        self._watched: dict[str, float] = {}
        self._steps = 0

    def __call__(self, learner: nn.Module, asked: tuple[Asked, ...]) -> Iterator[dict[str, Tensor | float]]:
        """Yield the terms of one group after the other, which add up, and at last what is only watched.

        Args:
            learner: The learner as the loop has it, which may be wrapped for several processes.
            asked: The questions; not asked again while steps still learn from their answers.
        """
        if self._steps % self._config.loop.together == 0:
            started = time.perf_counter()
            groups = [self._answer(question) for question in asked]
            seconds = time.perf_counter() - started
            tokens = sum(len(rollout.reply.ids) for group in groups for rollout in group.rollouts)
            self._watched = answer_metrics(groups)
            self._watched |= {"timing_s/gen": seconds, "perf/tokens_per_s": tokens / seconds}
            self._lessons = self._prepare(groups)
        self._steps += 1
        started = time.perf_counter()
        squares = {"words": 0.0, "masks": 0.0}
        shares = lesson_shares(self._lessons, normaliser=self._config.policy.normaliser)
        for lesson, share in zip(self._lessons, shares, strict=True):
            yield self._terms(learner, lesson, share, squares)
        norms = gathered(torch.tensor([list(squares.values())])).sum(dim=0).sqrt() / process_count()
        yield {
            "total": 0.0,
            **self._watched,
            "timing_s/update_actor": time.perf_counter() - started,
            **{f"grad_norm/{name}_at_states": float(norm) for name, norm in zip(squares, norms, strict=True)},
        }

    def _answer(self, asked: Asked) -> Group:
        config, model = self._config, self._learner.model
        return sample_group(
            model,
            asked,
            size=config.answers,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            rewards=config.rewards,
            generator=torch.Generator(model.device).manual_seed(asked.seed),
        )

    def _prepare(self, groups: Sequence[Group]) -> list[Lesson]:
        """Return what is learned from; groups without spread are dropped, but for those that hold what is known."""
        model, policy = self._learner.model, self._config.policy
        lessons = []
        for group in groups:
            rewards = group.rewards[None]
            advantages = group_advantages(rewards, scale_by_std=policy.scale_by_std)[0]
            differs = bool(has_spread(rewards))
            holds = not differs and policy.agreed_advantage > 0 and group.denies_rightly
            if holds:
                advantages = torch.full_like(advantages, policy.agreed_advantage)
            # Several processes make their passes in step, so there a dropped group is passed with a share of nothing.
            if not (differs or holds) and process_count() == 1:
                continue
            batch = group_batch(
                group,
                model.language,
                side_px=model.segmenter.mask_side_px,
                learned_masks=self._config.learned_masks,
            )
            batch = on_device(batch, model.device)
            reference = None
            if policy.beta > 0:
                with self._reference:
                    reference = self._learner.log_probs(batch)
            lessons.append(
                Lesson(
                    batch=batch,
                    advantages=on_device(advantages, batch.ids.device),
                    teaches=differs or holds,
                    reference=reference,
                )
            )
        return lessons

    def _terms(
        self, learner: nn.Module, lesson: Lesson, share: Share, squares: dict[str, float]
    ) -> dict[str, Tensor | float]:
        config, batch = self._config, lesson.batch

        def watch(name: str, gradient: Tensor) -> None:
            squares[name] += float(gradient.float().square().sum())

        output: GroupOutput = learner(batch, watch)
        policy = policy_terms(
            output.log_probs,
            old=lesson.old,
            reference=lesson.reference,
            written=batch.written,
            advantages=lesson.advantages.to(output.log_probs.dtype),
            config=config.policy,
            max_tokens=config.max_tokens,
        )
        if lesson.old is None:
            lesson.old = output.log_probs.detach()
        masks = mask_terms(output, batch)
        weighted = torch.stack([config.mask_weights[name] * term for name, term in masks.items()]).sum()
        return {
            "total": share.policy * policy.loss + share.masks * weighted,
            "policy_loss": share.policy * policy.loss.detach(),
            "kl": share.tokens * policy.kl,
            "clip_ratio/low_mean": share.tokens * policy.clip_low,
            "clip_ratio/high_mean": share.tokens * policy.clip_high,
            "ratio_mean": share.tokens * policy.ratio,
            "entropy": share.tokens * output.entropy / batch.written.sum(),
            **{f"mask_loss/{name}": share.masks * term.detach() for name, term in masks.items()},
        }


def mask_terms(output: GroupOutput, batch: GroupBatch) -> dict[str, Tensor]:
    """Return the means of the mask losses over a group's masks; of none they are 0 and hang in the graph still."""
    rows = batch.with_mask
    masks = batch.mask.expand(len(rows), -1, -1)
    even = torch.ones(len(rows), device=masks.device)
    return {
        "dice": weighted_mean(dice_loss(output.mask_logits, masks), even),
        "cross_entropy": weighted_mean(cross_entropy_loss(output.mask_logits, masks), even),
        "iou": weighted_mean(iou_loss(output.predicted_iou, output.mask_logits, masks), even),
    }


@torch.no_grad()
def development_answers(model: CoreSegModel, source: QuestionSource, config: GRPOConfig) -> dict[str, float]:
    """Return what the likeliest answers to the first questions of the dev part are worth."""
    groups = [
        sample_group(
            model,
            source.asked(number),
            size=1,
            temperature=0.0,
            max_tokens=config.max_tokens,
            rewards=config.rewards,
        )
        for number in range(config.dev_questions)
    ]
    return answer_metrics(groups) if groups else {}


def main(argv: Sequence[str] | None = None) -> None:
    """Run GRPO from the command line."""
    arguments = recipe_arguments(argv, description=__doc__)
    run(read_config(arguments.config, arguments.changes), minutes=arguments.minutes)


if __name__ == "__main__":
    sys.exit(exit_code(main, stopped=GOES_ON)())
