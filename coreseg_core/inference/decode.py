"""Decoding: the question is laid behind the cached prefix once, then the reply grows token by token.

Ours and not `generate`, for four reasons: the prefix (system and picture) is computed once for all questions about a
slice; the loop stops at `<seg>`, whose mask needs nothing that would follow; the state that predicts `<seg>` is kept,
so the prompt costs no extra step; and the tags of the grammar can be forced, which saves steps and format failures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from coreseg_core.answer import AFTER_SEG, ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN
from coreseg_core.errors import Cancelled
from coreseg_core.inference.continuation import Continuation
from coreseg_core.models.mllm import KeyValues, LanguageModel
from coreseg_core.record import ReasoningMode

REASONING_TOKENS = {"full": 128, "brief": 48, "none": 0}
"""Tokens of reasoning after which the answer is forced (with `force_tags`), for models as terse as `lite`."""


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How a reply is decoded.

    Attributes:
        reasoning: How much reasoning is asked for.
        force_tags: Write the tags of the grammar for the model; off while training by reward.
        max_tokens: Tokens of the whole reply.
        temperature: 0 takes the likeliest token.
        must_fit: The answer may not be that the question does not fit.
    """

    reasoning: ReasoningMode = "brief"
    force_tags: bool = True
    max_tokens: int = 192
    temperature: float = 0.0
    must_fit: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One decoded reply.

    Attributes:
        text: The whole reply, closed as the grammar wants where decoding stopped at `<seg>`.
        ids: Tokens in order, `<seg>` included.
        log_probs: Log-probability of each token as it was drawn, at the temperature; 0 for forced ones.
        answer_states: (L, d) states from the start of the answer to the one that predicts `<seg>`, or None.
    """

    text: str
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    answer_states: Tensor | None


@dataclass
class _Row:
    """A reply in the making."""

    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    text: str = ""
    answer_start: int | None = None
    done: bool = False
    has_seg: bool = False


@torch.inference_mode()
def decode_replies(
    language: LanguageModel,
    prefix: KeyValues,
    question: str | Sequence[str],
    options: DecodeOptions,
    *,
    copies: int = 1,
    on_token: Callable[[int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Reply, ...]:
    """Return `copies` replies for each row of the prefix, those of one row behind each other.

    Args:
        language: The language model.
        prefix: Keys and values of system and picture, (n, heads, length, dim) a layer.
        question: What is asked of every row, or one question a row.
        options: How to decode.
        copies: Replies to each question, which is read once for all of them; they differ at a temperature above 0.
        on_token: Called with (row, new text) as the replies grow.
        should_stop: Asked before every step.
        generator: For sampling at a temperature above 0.

    Raises:
        Cancelled: If `should_stop` said so; at most one step late.
    """
    tokenizer = language.tokenizer
    n = int(prefix.layers[0][0].shape[0])
    questions = [question] * n if isinstance(question, str) else list(question)
    rows = [_Row() for _ in range(n * copies)]
    forced: list[int] = []
    if options.force_tags:
        forced = tokenizer.encode(ANSWER_OPEN if options.reasoning == "none" else THINK_OPEN)
        for row in rows:
            _append(row, forced, [0.0] * len(forced), language)
    openings = [tokenizer.question_ids(text, options.reasoning) for text in questions]
    continuation = Continuation(language, prefix)
    states = continuation.open([ids + forced for ids in openings])
    continuation.repeat(copies)
    for number, row in enumerate(rows):
        # The state at the last token of the question predicts the first of the reply.
        row.states.extend(states[number // copies, -1 - len(forced) :])
    while True:
        if should_stop is not None and should_stop():
            raise Cancelled("The question was cancelled while its answer was written.")
        chosen = _choose(language, rows, options, generator)
        before = [len(row.text) for row in rows]
        for row, (token, log_prob) in zip(rows, chosen, strict=True):
            if not row.done:
                _take(row, token, log_prob, language, options)
        if on_token is not None:
            for number, row in enumerate(rows):
                if len(row.text) > before[number]:
                    on_token(number, row.text[before[number] :])
        if all(row.done for row in rows):
            return tuple(_reply(row) for row in rows)
        states = continuation.extend([_next_input(row, tokenizer.pad_id) for row in rows])
        for row, state in zip(rows, states, strict=True):
            row.states.append(state)


def _choose(
    language: LanguageModel, rows: Sequence[_Row], options: DecodeOptions, generator: torch.Generator | None
) -> list[tuple[int, float]]:
    """Return for each row the next token and its log-probability."""
    logits = language.logits(torch.stack([row.states[-1] for row in rows])).float()
    if options.must_fit:
        # Of the three forms of an answer, only a mismatch goes on like this behind its first word.
        the, question = language.tokenizer.encode("The question")
        for row, values in zip(rows, logits, strict=True):
            if row.ids[-1:] == [the] and row.text.endswith(f"{ANSWER_OPEN}The"):
                values[question] = -torch.inf
    if options.temperature > 0:
        log_probs = (logits / options.temperature).log_softmax(dim=-1)
        tokens = torch.multinomial(log_probs.exp(), 1, generator=generator)[:, 0]
    else:
        log_probs = logits.log_softmax(dim=-1)
        tokens = log_probs.argmax(dim=-1)
    picked = log_probs.gather(1, tokens[:, None])[:, 0]
    return list(zip(tokens.tolist(), picked.tolist(), strict=True))


def _take(row: _Row, token: int, log_prob: float, language: LanguageModel, options: DecodeOptions) -> None:
    """Add the next token of a row: the one that is due to be forced, or the one the model chose."""
    tokenizer = language.tokenizer
    if row.pending:
        token, log_prob = row.pending.pop(0), 0.0
    _append(row, [token], [log_prob], language)
    if token == tokenizer.seg_id:
        row.has_seg = row.done = True
    elif token == tokenizer.end_id or len(row.ids) >= options.max_tokens or row.text.endswith(ANSWER_CLOSE):
        row.done = True
    elif options.force_tags and row.answer_start is None and not row.pending:
        if row.text.endswith(THINK_CLOSE):
            row.pending = tokenizer.encode(ANSWER_OPEN)
        elif len(row.ids) >= REASONING_TOKENS[options.reasoning]:
            row.pending = tokenizer.encode(THINK_CLOSE) + tokenizer.encode(ANSWER_OPEN)


def _append(row: _Row, ids: Sequence[int], log_probs: Sequence[float], language: LanguageModel) -> None:
    row.ids.extend(ids)
    row.log_probs.extend(log_probs)
    row.text = language.tokenizer.decode(row.ids)
    if row.answer_start is None and row.text.endswith(ANSWER_OPEN):
        row.answer_start = len(row.ids) - len(language.tokenizer.encode(ANSWER_OPEN))


def _next_input(row: _Row, pad_id: int) -> int:
    return row.ids[-1] if not row.done else pad_id


def _reply(row: _Row) -> Reply:
    states = None
    if row.has_seg:
        # row.states[i] predicts row.ids[i]; the answer's own tokens start at answer_start, whose states come one
        # place later, and the last state predicts <seg>.
        start = 0 if row.answer_start is None else row.answer_start + 1
        states = torch.stack(row.states[start : len(row.ids)])
    text = row.text + (AFTER_SEG if row.has_seg else "")
    return Reply(
        text=text,
        ids=tuple(row.ids),
        log_probs=tuple(row.log_probs),
        answer_states=states,
    )
