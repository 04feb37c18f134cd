"""From an embedded view to a dialogue: which question, which answer, which tokens, which mask."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coreseg_core.claims import Facts, boxes, measure
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import boxes_to_frame
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.coreseg import TeacherBatch
from coreseg_core.models.mllm import sequence_positions
from coreseg_core.models.preset import FrameSpec
from coreseg_core.record import REASONING_MODES, Box, ReasoningMode
from training.described import Described, DescribedBatch, described_batch
from training.shown import Size, frame_size_of
from training.views import EmbeddedView, ViewStore, shown_rows
from training.wording import DEFAULT_MIX, Kind, KindMix, target_text, write_reasoning
from training.written import WrittenWords, question_about, require_usable_words

MODE_WEIGHTS = (0.3, 0.35, 0.35)
"""How often full, brief and no reasoning are asked for."""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """One question about one view with the whole right reply.

    Attributes:
        kind: What kind of question it is.
        question: As asked.
        mode: How much reasoning is asked for.
        reply: The right one.
        boxes_xyxy_px: True boxes at the view's own pitch, that of the mask logits; for a model that draws them.
    """

    kind: Kind
    question: str
    mode: ReasoningMode
    reply: str
    boxes_xyxy_px: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """A teacher-forced batch with the masks behind it.

    Attributes:
        teacher: What the model reads.
        masks: (n, side, side) float, the lesions in the segmenter's square at the pitch of the mask logits.
        token_masks: (n, h, w) float, the lesions over what the visual tokens cover, for the patch loss.
        grid_hw: Rows and columns of the visual tokens.
        weights: (n,) weight of each row.
        kinds: What kind of question each row asks.
        described: Dialogues without pictures that are learned beside, or None.
    """

    teacher: TeacherBatch
    masks: Tensor
    token_masks: Tensor
    grid_hw: Size
    weights: Tensor
    kinds: tuple[Kind, ...]
    described: DescribedBatch | None = None


def write_dialogue(
    rng: random.Random,
    row: Row,
    view: EmbeddedView,
    frame: FrameSpec,
    *,
    kind: Kind | None = None,
    mode: ReasoningMode | None = None,
    mix: KindMix = DEFAULT_MIX,
) -> Dialogue:
    """Return a question about a view and its right reply, drawn at random where kind or mode are not given.

    A row that brings a question and an answer of its own is asked that, unless another kind is given. What a reader
    asked about a picture she corrected is asked every other time, lest its wording be learned by heart.
    """
    height, width = view.mask.shape
    target_wh = frame_size(view, frame)
    question, own = question_about(rng, row, kind=kind, mix=mix)
    mode = mode or rng.choices(REASONING_MODES, weights=MODE_WEIGHTS)[0]
    true_boxes = boxes(view.mask)
    in_frame = boxes_to_frame(true_boxes, (width, height), target_wh)
    facts = measure(view.mask, view.grey) if question.kind == "present" else None
    if own is None:
        reply = target_text(rng, row, facts, in_frame, question.kind, question, mode)
    else:
        reply = own.reply(in_frame, _reasoning(rng, row, own, view, facts, mode))
    return Dialogue(
        kind=question.kind, question=question.text, mode=mode, reply=reply, boxes_xyxy_px=true_boxes
    )


def _reasoning(
    rng: random.Random,
    row: Row,
    own: WrittenWords,
    view: EmbeddedView,
    facts: Facts | None,
    mode: ReasoningMode,
) -> str:
    """Return the row's own reasoning where a full one is asked for, else one of the recipe's.

    A random view may be mirrored or cropped; what is then no longer true is not said of it.
    """
    if mode == "full" and own.reasoning and (view.key.view == 0 or own.fits(facts)):
        return own.reasoning
    asked = own.question
    return write_reasoning(rng, facts, row.modality, row.anatomy, asked.class_name, mode, asked.kind)


def frame_size(view: EmbeddedView, frame: FrameSpec) -> Size:
    """Return the size (W, H) of the picture that answers about a view count boxes in."""
    if view.frame is not None:
        return view.frame.shape[1], view.frame.shape[0]
    height, width = view.mask.shape
    return frame_size_of(height, width, frame)


def collate(
    dialogues: Sequence[Dialogue],
    views: Sequence[EmbeddedView],
    weights: Sequence[float],
    *,
    tokenizer: ChatTokenizer,
    grid_hw: tuple[int, int],
    side_px: int,
) -> TrainingBatch:
    """Return dialogues about views as one padded batch; the views' frames, where they have one, are of one size.

    Args:
        grid_hw: Rows and columns of the visual tokens.
        side_px: Side of the mask logits.
    """
    rows = [_tokens(dialogue, tokenizer, grid_hw) for dialogue in dialogues]
    length = max(len(row.ids) for row in rows)

    def padded(values: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([value + [fill] * (length - len(value)) for value in values])

    positions = torch.stack(
        [
            torch.nn.functional.pad(
                sequence_positions(row.ids, tokenizer.image_id, grid_hw), (0, length - len(row.ids))
            )
            for row in rows
        ],
        dim=1,
    )
    embeddings = torch.from_numpy(np.stack([view.embedding for view in views]))
    teacher = TeacherBatch(
        ids=padded([row.ids for row in rows], tokenizer.pad_id),
        positions=positions,
        real=padded([[1] * len(row.ids) for row in rows], 0).bool(),
        target=padded([row.target for row in rows], 0).bool(),
        answer=padded([row.answer for row in rows], 0).bool(),
        seg=padded([row.seg for row in rows], 0).bool(),
        embeddings=embeddings.float(),
        frames=_frames(views),
        boxes=tuple(box_tensor(dialogue.boxes_xyxy_px) for dialogue in dialogues),
    )
    masks = torch.from_numpy(np.stack([square_mask(view.mask, side_px) for view in views]))
    return TrainingBatch(
        teacher=teacher,
        masks=masks,
        token_masks=masks if teacher.frames is None else _shares(views, grid_hw),
        grid_hw=grid_hw,
        weights=torch.tensor(weights, dtype=torch.float32),
        kinds=tuple(dialogue.kind for dialogue in dialogues),
    )


class BatchSource:
    """Draws training batches; batch number `step` depends on the seed and the step alone, so a run can resume.

    A batch holds views with frames of one size alone, since a vision tower takes no others at once; each view is drawn
    as often as if it did not. A size that few views have makes batches in which these recur.

    Args:
        store: Embedded views.
        rows: Manifest rows by id.
        grid_hw: From the size of a frame to rows and columns of visual tokens.
        side_px: Side of the mask logits.
        batch_size: Dialogues about pictures a batch.
        described_size: Dialogues about described pictures a batch; 0 for none.
        described: How those are described.
        balance: Exponent on a subset's size: 1 draws pictures evenly, 0 draws subsets evenly.
        lesion_free_weight: How much oftener than others a lesion-free picture is drawn.
    """

    def __init__(
        self,
        store: ViewStore,
        rows: Mapping[str, Row],
        *,
        tokenizer: ChatTokenizer,
        frame: FrameSpec,
        grid_hw: Callable[[Size], Size],
        side_px: int,
        batch_size: int,
        described_size: int,
        described: Described,
        balance: float,
        lesion_free_weight: float,
        mix: KindMix,
        seed: int,
    ) -> None:
        self._store, self._rows = store, rows
        self._tokenizer, self._frame, self._grid_hw, self._side_px = tokenizer, frame, grid_hw, side_px
        self._batch_size, self._described_size = batch_size, described_size
        self._mix, self._seed = mix, seed
        self._how = described
        self._described = shown_rows(store, rows)
        require_usable_words(self._described)
        self._chances = drawing_chances(store, rows, balance=balance, lesion_free_weight=lesion_free_weight)
        self._sizes = list(dict.fromkeys(store.frame_whs))
        self._size_of = np.array([self._sizes.index(size) for size in store.frame_whs])

    def batch(self, step: int, process: int = 0) -> TrainingBatch:
        """Return the batch of a step and process."""
        numbers = self._drawn(np.random.default_rng([self._seed, step, process]))
        rng = random.Random(f"{self._seed}/{step}/{process}")
        views = [self._store[int(number)] for number in numbers]
        rows = [self._rows[view.key.row_id] for view in views]
        dialogues = [
            write_dialogue(rng, row, view, self._frame, mix=self._mix)
            for row, view in zip(rows, views, strict=True)
        ]
        batch = collate(
            dialogues,
            views,
            [row.weight for row in rows],
            tokenizer=self._tokenizer,
            grid_hw=self._grid_hw(frame_size(views[0], self._frame)),
            side_px=self._side_px,
        )
        if not self._described_size:
            return batch
        described = described_batch(rng, self._described, self._described_size, self._how, mix=self._mix)
        return replace(batch, described=described)

    def _drawn(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return the numbers of the views of a batch."""
        chances = self._chances
        if len(self._sizes) > 1:
            size = rng.choice(len(self._sizes), p=np.bincount(self._size_of, weights=chances))
            chances = np.where(self._size_of == size, chances, 0.0)
            chances = chances / chances.sum()
        return rng.choice(len(self._store), size=self._batch_size, p=chances)


@dataclass(frozen=True)
class _Tokens:
    ids: list[int]
    target: list[int]
    answer: list[int]
    seg: list[int]


def _tokens(dialogue: Dialogue, tokenizer: ChatTokenizer, grid_hw: tuple[int, int]) -> _Tokens:
    head = tokenizer.prefix_ids(grid_hw[0] * grid_hw[1]) + tokenizer.question_ids(
        dialogue.question, dialogue.mode
    )
    reasoning, answer = tokenizer.reply_ids(dialogue.reply)
    ids = head + reasoning + answer
    start = len(head) + len(reasoning)
    flags, seg = [0] * len(ids), [0] * len(ids)
    if tokenizer.seg_id in answer:
        # The state before a token predicts it, so the state before <seg> is the one that is read.
        predicting = start + answer.index(tokenizer.seg_id) - 1
        seg[predicting] = 1
        flags[start : predicting + 1] = [1] * (predicting + 1 - start)
    target = [0] * len(head) + [1] * (len(ids) - len(head))
    return _Tokens(ids=ids, target=target, answer=flags, seg=seg)


def square_mask(mask: NDArray[np.bool_], side_px: int) -> NDArray[np.float32]:
    """Return a mask (h, w) at the upper left of an empty square, as the segmenter's decoder draws it."""
    square = np.zeros((side_px, side_px), np.float32)
    square[: mask.shape[0], : mask.shape[1]] = mask
    return square


def box_tensor(boxes_xyxy_px: Sequence[Box]) -> Tensor:
    """Return boxes as a tensor (k, 4)."""
    return torch.tensor(boxes_xyxy_px, dtype=torch.float32).reshape(-1, 4)


def _frames(views: Sequence[EmbeddedView]) -> Tensor | None:
    """Return frames (n, 3, H, W) of 0..1, None where the views have none."""
    frames = [view.frame for view in views if view.frame is not None]
    if not frames:
        return None
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def _shares(views: Sequence[EmbeddedView], grid_hw: Size) -> Tensor:
    """Return the lesion's share (n, rows, columns) of what each visual token of a frame covers."""
    masks = [torch.from_numpy(view.mask)[None].float() for view in views]
    return torch.cat([torch.nn.functional.adaptive_avg_pool2d(mask, grid_hw) for mask in masks])


def drawing_chances(
    store: ViewStore, rows: Mapping[str, Row], *, balance: float, lesion_free_weight: float
) -> NDArray[np.float64]:
    """Return the chance (views,) of each view to be drawn; see `BatchSource` for what the numbers mean."""
    subsets = [rows[key.row_id].subset for key in store.keys]
    sizes = {name: subsets.count(name) for name in set(subsets)}
    weights = np.array([sizes[name] ** (balance - 1.0) for name in subsets])
    free = np.array([rows[key.row_id].lesion_free for key in store.keys])
    weights = weights * np.where(free, lesion_free_weight, 1.0)
    return weights / weights.sum()
