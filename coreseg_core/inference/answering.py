"""From slices and a question to findings: encode, prefill, decode, prompt, mask, boxes, claims, confidence.

Every step that does not depend on the question is cached by the content of the slice and the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coreseg_core.answer import ParsedAnswer, parse
from coreseg_core.claims import check_claims, measure, read_claims
from coreseg_core.errors import Cancelled
from coreseg_core.imaging import SliceImage, boxes_to_native, frame_wh
from coreseg_core.inference.cache import ByteLRU
from coreseg_core.inference.confidence import (
    LOOK_KIND,
    MASK_KIND,
    box_mask_iou,
    mask_confidence,
)
from coreseg_core.inference.counts import OperationCounts
from coreseg_core.inference.decode import DecodeOptions, Reply, decode_replies
from coreseg_core.inference.fitting import FAMILY_NAMES, misreading, strays
from coreseg_core.inference.reader_boxes import outline_boxes
from coreseg_core.inference.second_look import Chances, second_look
from coreseg_core.inference.second_thoughts import rethought
from coreseg_core.inference.specks import without_specks
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import KeyValues
from coreseg_core.models.segmenter import Segmenter, SquareView
from coreseg_core.models.visual_tokens import resize_frame
from coreseg_core.record import Box, Outcome, Query, ReaderPrompts, SliceFinding
from coreseg_core.scaling import Scaling, scaled

UNCERTAIN_BELOW = 0.1
"""A mask trusted less than this is reported as `uncertain`: could not tell, never "no lesion"."""
CACHE_BYTES = 512 * 2**20
"""What each of the two caches holds at most: embeddings of slices, and what the language model made of them."""
TokenSink = Callable[[int, str], None]


@dataclass(frozen=True)
class PreparedSlice:
    """A slice as the model takes it in.

    Attributes:
        image: The slice itself.
        square: (3, side, side) input of the segmenter.
        view: The way back from the square.
        frame_wh: Size of the picture the language model sees.
        key: Content of slice and weights.
    """

    image: SliceImage
    square: Tensor
    view: SquareView
    frame_wh: tuple[int, int]
    key: str


class Answering:
    """Answers questions about slices with one model; safe to share, since its caches hold values, not state.

    Args:
        model: The model, in evaluation mode.
        fingerprint: SHA-256 of its weights, part of every cache key.
        scalings: What makes its confidences hold, by outcome; none where that was never fitted.
        published: What outlines a reader's boxes (`reader_boxes`); the model's own segmenter by default.
        cache_bytes: See `CACHE_BYTES`.
    """

    def __init__(
        self,
        model: CoreSegModel,
        *,
        fingerprint: str,
        scalings: Mapping[Outcome, Scaling] | None = None,
        published: Segmenter | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.model = model
        self.fingerprint = fingerprint
        self._scalings = dict(scalings or {})
        self.published = published or model.segmenter
        self.counts = OperationCounts()
        self._embeddings: ByteLRU[Tensor] = ByteLRU(cache_bytes)
        self._prefixes: ByteLRU[KeyValues] = ByteLRU(cache_bytes)

    @property
    def caches(self) -> Mapping[str, ByteLRU[Any]]:
        """What is kept between questions, by name."""
        return {"embedding": self._embeddings, "prefix": self._prefixes}

    def prepare(self, image: SliceImage) -> PreparedSlice:
        """Return a slice ready for the model."""
        square, view = self.model.segmenter.prepare(image.rgb, pixel_mm=image.pixel_mm)
        spec = self.model.preset.frame
        size = frame_wh(
            image.height,
            image.width,
            image.pixel_mm,
            min_long_side_px=spec.min_long_side_px,
            max_long_side_px=spec.max_long_side_px,
        )
        key = f"{self.fingerprint}/{image.content_hash}"
        return PreparedSlice(image=image, square=square, view=view, frame_wh=size, key=key)

    @torch.inference_mode()
    def answer(
        self,
        slices: Sequence[PreparedSlice],
        query: Query | Sequence[Query],
        *,
        on_token: TokenSink | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> tuple[SliceFinding, ...]:
        """Return one finding for each slice; all slices of one call have frames of one size.

        Args:
            slices: What is looked at; the same slice may stand several times.
            query: What is asked of every slice, or one question a slice, all with one way of reasoning.
            on_token: Called with (place in `slices`, new text).
            should_stop: Asked before every encode and every step.

        Raises:
            Cancelled: If `should_stop` said so.
            InputError, LimitError: If a question cannot be asked.
        """
        queries = [query] * len(slices) if isinstance(query, Query) else list(query)
        embedded, prefixes = [], []
        for prepared in slices:
            if should_stop is not None and should_stop():
                raise Cancelled("The question was cancelled before all slices were looked at.")
            embedded.append(self._embedding(prepared))
            prefixes.append(self._prefix(prepared))
        embeddings, prefix = torch.cat(embedded), _join(prefixes)
        options = DecodeOptions(
            reasoning=queries[0].reasoning, max_tokens=self.model.preset.max_answer_tokens
        )
        self.counts.question_prefills += 1
        texts = [asked.text for asked in queries]
        replies = decode_replies(
            self.model.language, prefix, texts, options, on_token=on_token, should_stop=should_stop
        )
        anew = rethought(self.model.language, prefixes, texts, replies, options, should_stop=should_stop)
        self.counts.question_prefills += len(anew)
        looks = self._looks(prefix, queries)
        return tuple(
            self._finding(prepared, embedding[None], anew.get(place, reply), asked, chances)
            for place, (prepared, embedding, reply, asked, chances) in enumerate(
                zip(slices, embeddings, replies, queries, looks, strict=True)
            )
        )

    @torch.inference_mode()
    def sampled(
        self, prepared: PreparedSlice, query: Query, *, count: int, temperature: float = 0.8, seed: int = 0
    ) -> tuple[SliceFinding, ...]:
        """Return several answers to one question, each drawn by chance: what votes are counted from.

        Args:
            prepared: What is looked at.
            query: What is asked.
            count: Answers.
            temperature: Above 0; the higher, the more they differ.
            seed: Of the draws.
        """
        options = DecodeOptions(
            reasoning=query.reasoning,
            max_tokens=self.model.preset.max_answer_tokens,
            temperature=temperature,
        )
        self.counts.question_prefills += 1
        prefix = self._prefix(prepared)
        replies = decode_replies(
            self.model.language,
            prefix,
            query.text,
            options,
            copies=count,
            generator=torch.Generator(self.model.device).manual_seed(seed),
        )
        embedding = self._embedding(prepared)
        (chances,) = self._looks(prefix, [query])
        return tuple(self._finding(prepared, embedding, reply, query, chances) for reply in replies)

    def chances(self, prepared: PreparedSlice, questions: Sequence[str]) -> tuple[Chances, ...]:
        """Return how likely each form of answer to each question is at a second look; nothing is written."""
        prefix = _join([self._prefix(prepared)] * len(questions))
        self.counts.second_looks += 1
        return second_look(self.model.language, prefix, questions)

    def _looks(self, prefix: KeyValues, queries: Sequence[Query]) -> Sequence[Chances | None]:
        """Return the chances of each answer at a second look, None where the reader points.

        There, whether there is a lesion is the reader's word and not the model's.
        """
        if not any(query.prompts.empty for query in queries):
            return [None] * len(queries)
        self.counts.second_looks += 1
        looks = second_look(self.model.language, prefix, [query.text for query in queries])
        return [
            chances if query.prompts.empty else None for query, chances in zip(queries, looks, strict=True)
        ]

    def _embedding(self, prepared: PreparedSlice) -> Tensor:
        def encode() -> Tensor:
            self.counts.encodes += 1
            return self.model.segmenter.encode(prepared.square[None].to(self.model.device)).float()

        return self._embeddings.get_or_make(prepared.key, encode)

    def _prefix(self, prepared: PreparedSlice) -> KeyValues:
        def prefill() -> KeyValues:
            self.counts.picture_prefills += 1
            language = self.model.language
            frame = None
            if self.model.preset.visual_tokens.source == "qwen":
                rgb = torch.from_numpy(prepared.image.rgb).permute(2, 0, 1).to(self.model.device)
                frame = resize_frame(rgb, prepared.frame_wh)[None]
            picture = language.visual(frame, self._embedding(prepared))
            return language.prefill_pictures(picture, language.visual_tokens.grid_hw(prepared.frame_wh))

        return self._prefixes.get_or_make(prepared.key, prefill)

    def _finding(
        self,
        prepared: PreparedSlice,
        embedding: Tensor,
        reply: Reply,
        query: Query,
        chances: Chances | None,
    ) -> SliceFinding:
        if chances is None:
            return self._outlined(prepared, embedding, reply, query)
        parsed = parse(reply.text)
        astray = strays(query.text, reasoning=parsed.reasoning, class_name=parsed.class_name)
        misread = _misread(prepared.image, parsed)
        # Where the header says so, it is the reply that is wrong about the image, and the question was held against
        # the header before.
        to_blame = not (misread and prepared.image.modality in FAMILY_NAMES)
        if astray and to_blame and parsed.kind in ("present", "absent"):
            if misread:
                return self._unmarked(prepared, reply, outcome="uncertain", confidence=0.0, reason=misread)
            return self._unmarked(
                prepared, reply, outcome="mismatch", confidence=chances["mismatch"], reason=astray
            )
        if reply.answer_states is None:
            finding = self._denial(prepared, reply, chances)
        else:
            outlined = self._outlined(prepared, embedding, reply, query)
            finding = replace(
                outlined,
                confidence=outlined.confidence * chances["present"],
                confidence_kind=f"{MASK_KIND} x {LOOK_KIND}",
            )
        return scaled(finding, self._scalings)

    def _outlined(
        self, prepared: PreparedSlice, embedding: Tensor, reply: Reply, query: Query
    ) -> SliceFinding:
        parsed = parse(reply.text)
        native_wh = (prepared.image.width, prepared.image.height)
        boxes = boxes_to_native(parsed.boxes_xyxy_px, prepared.frame_wh, native_wh)
        mask, predicted_iou = self._mask(prepared, embedding, reply.answer_states, boxes, query)
        agreement = box_mask_iou(boxes, mask)
        drawn_in = query.prompts.boxes_xyxy_px
        confidence = mask_confidence(predicted_iou, box_mask_iou(drawn_in, mask) if drawn_in else agreement)
        facts = measure(mask, prepared.image.rgb)
        sure = bool(mask.any()) and confidence >= UNCERTAIN_BELOW
        return SliceFinding(
            axis=prepared.image.axis,
            index=prepared.image.index,
            outcome="present" if sure else "uncertain",
            mask=mask,
            reasoning=parsed.reasoning,
            answer_text=_answer_text(reply.text),
            boxes_xyxy_px=parsed.boxes_xyxy_px,
            box_frame_wh=prepared.frame_wh,
            confidence=confidence,
            confidence_kind=MASK_KIND,
            box_mask_iou=agreement,
            claims=check_claims(read_claims(parsed.reasoning), facts),
            reason=_doubts(sure=sure, named=reply.answer_states is not None, marks=query.prompts),
        )

    def _denial(self, prepared: PreparedSlice, reply: Reply, chances: Chances) -> SliceFinding:
        parsed = parse(reply.text)
        doubt = "The model's reply does not follow the grammar."
        if parsed.kind in ("absent", "mismatch"):
            doubt = _misread(prepared.image, parsed)
        if doubt or parsed.kind is None:
            return self._unmarked(prepared, reply, outcome="uncertain", confidence=0.0, reason=doubt)
        return self._unmarked(prepared, reply, outcome=parsed.kind, confidence=chances[parsed.kind])

    def _unmarked(
        self, prepared: PreparedSlice, reply: Reply, *, outcome: Outcome, confidence: float, reason: str = ""
    ) -> SliceFinding:
        """Return what a reply says, without a mask."""
        reasoning = parse(reply.text).reasoning
        return SliceFinding(
            axis=prepared.image.axis,
            index=prepared.image.index,
            outcome=outcome,
            mask=np.zeros((prepared.image.height, prepared.image.width), dtype=bool),
            reasoning=reasoning,
            answer_text=_answer_text(reply.text),
            box_frame_wh=prepared.frame_wh,
            confidence=confidence,
            confidence_kind=LOOK_KIND,
            claims=check_claims(read_claims(reasoning), None),
            reason=reason,
        )

    def _mask(
        self,
        prepared: PreparedSlice,
        embedding: Tensor,
        answer_states: Tensor | None,
        boxes: Sequence[Box],
        query: Query,
    ) -> tuple[np.ndarray, float]:
        """Return the mask (h, w) of the native slice and the segmenter's own IoU estimate.

        It follows from the reader's boxes where there are any. Else it follows from what was answered and from the
        reader's clicks; from the clicks alone where the answer was that nothing is seen, since a reader who clicks a
        lesion wants it outlined.
        """
        self.counts.mask_decodes += 1
        segmenter = self.model.segmenter
        marks = segmenter.reader_tokens(query.prompts, prepared.view)
        written = prepared.view.boxes_at_mask_pitch(boxes, mask_side_px=segmenter.mask_side_px)
        # A model that draws the boxes of its answers has said nothing without one.
        silent = self.model.mask_prompt == "boxes" and not boxes and not query.prompts.empty
        if query.prompts.boxes_xyxy_px:
            logits, predicted_iou = outline_boxes(self.published, embedding, query.prompts, prepared.view)
        elif answer_states is None or silent:
            logits, predicted_iou = segmenter.decode(embedding, marks)
        else:
            seg = torch.zeros(1, len(answer_states), dtype=torch.bool, device=answer_states.device)
            seg[0, -1] = True
            logits, predicted_iou = self.model.masks(
                embedding,
                answer_states[None],
                answer=torch.ones_like(seg),
                seg=seg,
                boxes=[written.to(embedding.device)],
                reader=marks,
            )
        native = (prepared.view.logits_to_native(logits)[0] > 0).cpu().numpy()
        # Beside a reader's marks nothing is taken for a speck: what was pointed at may be small.
        if query.prompts.empty:
            pixel_mm = prepared.image.pixel_mm if prepared.image.located else None
            native = without_specks(native, pixel_mm=pixel_mm)
        return native, float(predicted_iou[0])


def _misread(image: SliceImage, parsed: ParsedAnswer) -> str:
    """Return why a reply takes an image for what it cannot be; empty if it does not."""
    grey = bool((image.rgb == image.rgb[..., :1]).all())
    return misreading(parsed.modality or parsed.reasoning, modality=image.modality, grey=grey)


def _doubts(*, sure: bool, named: bool, marks: ReaderPrompts) -> str:
    """Return what a reader should know of a mask before trusting it."""
    told = [] if named else ["The model itself saw no lesion; the mask follows the reader's marks alone."]
    if named and marks.boxes_xyxy_px:
        told = ["The mask follows the reader's box, not the model's words."]
    if not sure:
        told.append(f"The mask is empty or trusted less than {UNCERTAIN_BELOW}.")
    return " ".join(told)


def _answer_text(reply: str) -> str:
    """Return what stands between the answer's tags."""
    return reply.partition("<answer>")[2].partition("</answer>")[0].strip()


def _join(prefixes: Sequence[KeyValues]) -> KeyValues:
    """Return the prefixes of several slices, all of one length, as one batch."""
    layers = tuple(
        (torch.cat([key for key, _ in layer]), torch.cat([value for _, value in layer]))
        for layer in zip(*(prefix.layers for prefix in prefixes), strict=True)
    )
    return KeyValues(layers=layers, next_position=prefixes[0].next_position)
