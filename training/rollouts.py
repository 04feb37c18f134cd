"""Roll-outs: a group of answers to one question, sampled by the engine that answers in use, and what each is worth.

The picture is read once and the question once for the whole group; nothing is forced, so the form can fail; the states
up to `<seg>` are kept from decoding, and each answer's mask is decoded from the view's one embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coreseg_core.answer import ANSWER_CLOSE, parse
from coreseg_core.evaluation.metrics import Mask
from coreseg_core.imaging import boxes_to_native
from coreseg_core.inference.decode import DecodeOptions, Reply, decode_replies
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.coreseg import CoreSegModel
from training.asking import Asked
from training.rewards import RewardConfig, RewardTerms, answer_reward
from training.samples import box_tensor
from training.views import EmbeddedView


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One sampled answer.

    Attributes:
        reply: Its text, tokens, and log-probabilities as it was drawn.
        mask: (h, w) of the view, None without `<seg>`.
        terms: What it is worth.
        truncated: Whether it ran into the limit of tokens.
    """

    reply: Reply
    mask: Mask | None
    terms: RewardTerms
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """All sampled answers to one question."""

    asked: Asked
    rollouts: tuple[Rollout, ...]

    @property
    def rewards(self) -> Tensor:
        """Rewards (G,) in double precision."""
        return torch.tensor([rollout.terms.total for rollout in self.rollouts], dtype=torch.float64)

    @property
    def denies_rightly(self) -> bool:
        """Whether no mask is right and every answer says so, in the form that was asked for."""
        truth = self.asked.truth
        return not truth.present and all(
            rollout.terms.format == 1 and parse(rollout.reply.text).kind in truth.right
            for rollout in self.rollouts
        )


@torch.inference_mode()
def sample_group(
    model: CoreSegModel,
    asked: Asked,
    *,
    size: int,
    temperature: float,
    max_tokens: int,
    rewards: RewardConfig,
    generator: torch.Generator | None = None,
) -> Group:
    """Return a group of answers with their masks and rewards; the model is left in the mode it was in.

    Args:
        model: The policy.
        asked: The question.
        size: Answers.
        temperature: 0 takes the likeliest token, which makes all answers one.
        max_tokens: Tokens of an answer at most.
        rewards: Weights and prices.
        generator: Source of the draws.
    """
    was_training = model.training
    model.eval()
    device = model.device
    embedding, frame = view_tensors(asked.view)
    embedding, frame = embedding.to(device), None if frame is None else frame.to(device)
    language = model.language
    picture = language.visual(frame, embedding)
    prefix = language.prefill_pictures(picture, language.visual_tokens.grid_hw(asked.frame_wh))
    options = DecodeOptions(
        reasoning=asked.mode, force_tags=False, max_tokens=max_tokens, temperature=temperature
    )
    replies = decode_replies(language, prefix, asked.question, options, copies=size, generator=generator)
    masks = _masks(model, embedding, replies, asked)
    model.train(was_training)
    # What was cast to a lower precision here has no gradient and must not be found again by what is trained next.
    torch.clear_autocast_cache()
    return Group(
        asked=asked,
        rollouts=tuple(
            Rollout(
                reply=reply,
                mask=mask,
                terms=answer_reward(reply.text, mask, asked.truth, reasoning=asked.mode, config=rewards),
                truncated=_is_truncated(reply, language.tokenizer, max_tokens),
            )
            for reply, mask in zip(replies, masks, strict=True)
        ),
    )


def view_tensors(view: EmbeddedView) -> tuple[Tensor, Tensor | None]:
    """Return the embedding (1, C, H, W) of a view and its frame (1, 3, h, w) of 0..1, if it has one."""
    embedding = torch.from_numpy(view.embedding.astype("float32"))[None]
    if view.frame is None:
        return embedding, None
    return embedding, torch.from_numpy(view.frame.copy()).permute(2, 0, 1)[None].float() / 255


def written_boxes(reply: Reply, asked: Asked) -> Tensor:
    """Return the boxes (k, 4) that an answer writes, xyxy in pixels of the mask logits."""
    height, width = asked.view.mask.shape
    boxes = parse(reply.text).boxes_xyxy_px
    return box_tensor(boxes_to_native(boxes, (width, height), asked.frame_wh))


def _masks(
    model: CoreSegModel, embedding: Tensor, replies: tuple[Reply, ...], asked: Asked
) -> list[Mask | None]:
    """Return the mask (h, w) of each reply with `<seg>`, all decoded in one go."""
    states = {number: reply.answer_states for number, reply in enumerate(replies)}
    drawn = {number: found for number, found in states.items() if found is not None}
    masks: list[Mask | None] = [None] * len(replies)
    if not drawn:
        return masks
    padded = torch.nn.utils.rnn.pad_sequence(list(drawn.values()), batch_first=True)
    lengths = torch.tensor([len(found) for found in drawn.values()], device=padded.device)[:, None]
    places = torch.arange(padded.shape[1], device=padded.device)[None]
    boxes = [written_boxes(replies[number], asked).to(padded.device) for number in drawn]
    logits, _ = model.masks(
        embedding.expand(len(drawn), -1, -1, -1),
        padded,
        answer=places < lengths,
        seg=places == lengths - 1,
        boxes=boxes,
    )
    height, width = asked.view.mask.shape
    for number, found in zip(drawn, (logits > 0).cpu().numpy(), strict=True):
        masks[number] = found[:height, :width]
    return masks


def _is_truncated(reply: Reply, tokenizer: ChatTokenizer, max_tokens: int) -> bool:
    ended = reply.ids[-1] in (tokenizer.seg_id, tokenizer.end_id) or reply.text.endswith(ANSWER_CLOSE)
    return len(reply.ids) >= max_tokens and not ended
