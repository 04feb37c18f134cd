"""Times and floors of the stages of one answer, each run by itself on the same slice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from benchmarks.case import Case, Prepared, options_of, prefill, prepare
from benchmarks.clock import Times, time_runs, wait_for
from benchmarks.floor import Work, count_work
from benchmarks.machine import Machine, dtype_name
from coreseg_core.inference.answering import Answering
from coreseg_core.inference.decode import Reply, decode_replies
from coreseg_core.inference.segment import SliceSegmenter
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import KeyValues
from coreseg_core.record import Query

PER_TOKEN = "decode, per token"
_STAND_IN_STATES = 24
"""States of an answer whose mask is timed although the reply at hand has none; values change no time."""


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """One row of the table.

    Attributes:
        name: What was done.
        dtype: Of its matrix products.
        times: How long it took.
        flops: Counted operations.
        bytes: Counted bytes that move at least once.
        floor_ms: The time below which this machine cannot do it.
    """

    name: str
    dtype: str
    times: Times
    flops: int
    bytes: int
    floor_ms: float

    @property
    def ratio(self) -> float:
        """Floor over best time: 1 is the limit of the machine."""
        return self.floor_ms / self.times.best_ms

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "stage": self.name,
            "dtype": self.dtype,
            "best_ms": self.times.best_ms,
            "median_ms": self.times.median_ms,
            "gflop": self.flops / 1e9,
            "mbytes": self.bytes / 1e6,
            "floor_ms": self.floor_ms,
            "ratio": self.ratio,
        }


class StageBench:
    """Measures the stages of a first question about a slice.

    Args:
        model: In evaluation mode.
        machine: Peak rates of the device it runs on.
        repeats: Runs of each stage.
    """

    def __init__(self, model: CoreSegModel, machine: Machine, *, repeats: int) -> None:
        self._model = model
        self._machine = machine
        self._repeats = repeats
        self._device = machine.device

    @torch.inference_mode()
    def measure(self, case: Case, packaged_encode: Callable[[Tensor], Tensor]) -> list[StageResult]:
        """Return the stages in order, then the whole slice, then the encoder as packaged for comparison.

        Args:
            case: What is asked about what.
            packaged_encode: The packaged encoder, from (1, 3, side, side) to (1, C, H, W).
        """
        model, query = self._model, case.first
        ready = prepare(model, case, query)
        reply, question, token = self._decoding(ready, query)
        opening = model.language.tokenizer.question_ids(query.text, query.reasoning)
        states = reply.answer_states
        if states is None:
            states = torch.randn(_STAND_IN_STATES, model.language.dim, device=self._device)
        dtype = encoder_dtype(model)
        stages = [
            self._stage("encode", lambda: model.segmenter.encode(ready.square), dtype=dtype),
            self._stage("visual tokens + picture prefill", lambda: prefill(model, ready.embedding).layers),
            self._row("question prefill", question, self._token_work(ready.prefix, opening)),
            self._row(PER_TOKEN, token, self._token_work(ready.prefix, opening[-1:])),
            self._stage("mask decode", lambda: self._mask(ready, states)),
        ]
        whole = self._whole_slice(case, stages, steps=len(reply.ids) - 1)
        packaged = self._stage("encode, as packaged", lambda: packaged_encode(ready.square), dtype=dtype)
        return [*stages, whole, packaged]

    def _mask(self, ready: Prepared, states: Tensor) -> Tensor:
        seg = torch.zeros(1, len(states), dtype=torch.bool, device=self._device)
        seg[0, -1] = True
        prompt = self._model.adapter(states[None], answer=torch.ones_like(seg), seg=seg)
        logits, _ = self._model.segmenter.decode(ready.embedding, prompt)
        return ready.view.logits_to_native(logits)

    def _decoding(self, ready: Prepared, query: Query) -> tuple[Reply, Times, Times]:
        """Return the reply, the times of the question's prefill, and those of a token (the mean over a reply)."""
        options = options_of(self._model, query)
        questions, tokens = [], []
        for _ in range(self._repeats + 1):
            marks = [self._now()]

            def mark(marks: list[float] = marks) -> bool:
                marks.append(self._now())
                return False

            # The loop asks whether to stop once the question is laid behind the picture, and before each token.
            language = self._model.language
            reply = decode_replies(language, ready.prefix, query.text, options, should_stop=mark)[0]
            questions.append(marks[1] - marks[0])
            # The last token is chosen and not laid in, so that n tokens take n - 1 steps.
            tokens.append((self._now() - marks[1]) / max(1, len(marks) - 2))
        return reply, Times(tuple(questions[1:])), Times(tuple(tokens[1:]))

    def _now(self) -> float:
        wait_for(self._device)
        return time.perf_counter()

    def _token_work(self, prefix: KeyValues, ids: list[int]) -> Work:
        """Return the work of tokens laid behind the prefix, up to the logits of the last one."""
        language = self._model.language
        tokens = torch.tensor([ids], device=self._device)
        positions = (torch.arange(len(ids), device=self._device) + prefix.next_position).expand(3, 1, -1)

        def step() -> Tensor:
            states = language.states(language.embed(tokens), positions=positions, cache=prefix.to_cache())
            return language.logits(states[:, -1])

        return count_work(step, dtype=torch.float32)

    def _whole_slice(self, case: Case, stages: list[StageResult], *, steps: int) -> StageResult:
        """Return the whole way from voxels to a finding; its floor is the sum of its stages' floors."""
        counted = [(steps if stage.name == PER_TOKEN else 1, stage) for stage in stages]

        def whole() -> None:
            list(fresh_segmenter(self._model).segment(case.volume, case.first, case.scope))

        return StageResult(
            name=f"whole slice ({steps} decode steps)",
            dtype="mixed",
            times=time_runs(whole, repeats=self._repeats, device=self._device),
            flops=sum(times * stage.flops for times, stage in counted),
            bytes=sum(times * stage.bytes for times, stage in counted),
            floor_ms=sum(times * stage.floor_ms for times, stage in counted),
        )

    def _stage(self, name: str, run: Callable[[], Any], *, dtype: torch.dtype = torch.float32) -> StageResult:
        times = time_runs(run, repeats=self._repeats, device=self._device)
        return self._row(name, times, count_work(run, dtype=dtype))

    def _row(self, name: str, times: Times, work: Work) -> StageResult:
        return StageResult(
            name=name,
            dtype=dtype_name(work.dtype),
            times=times,
            flops=work.flops,
            bytes=work.bytes,
            floor_ms=work.floor_s(self._machine) * 1e3,
        )


def encoder_dtype(model: CoreSegModel) -> torch.dtype:
    """Return the dtype of the frozen image encoder."""
    encoder = model.segmenter.image_encoder
    return next(chain(encoder.parameters(), encoder.buffers())).dtype


def fresh_segmenter(model: CoreSegModel) -> SliceSegmenter:
    """Return a segmenter that remembers nothing yet."""
    card = {"preset": model.preset.name, "version": "bench", "sha256": ""}
    return SliceSegmenter(Answering(model, fingerprint="bench"), model_card=card, check_words=False)
