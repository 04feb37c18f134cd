"""Decoding gives what a teacher-forced pass over the same tokens gives."""

from __future__ import annotations

import pytest
import torch

from coreseg_core.errors import Cancelled
from coreseg_core.inference.decode import DecodeOptions, decode_replies
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import KeyValues, sequence_positions

GRID = (16, 16)


def _prefix(model: CoreSegModel, n: int = 1) -> tuple[torch.Tensor, KeyValues]:
    torch.manual_seed(1)
    embeddings = torch.randn(n, 256, 64, 64)
    with torch.inference_mode():
        picture = model.language.visual(None, embeddings)
        return picture, model.language.prefill_pictures(picture, GRID)


def _teacher_states(model: CoreSegModel, picture: torch.Tensor, ids: list[int]) -> torch.Tensor:
    tokens = torch.tensor([ids])
    positions = sequence_positions(ids, model.language.tokenizer.image_id, GRID)[:, None]
    with torch.inference_mode():
        return model.language.states(model.language.embed_with_picture(tokens, picture), positions=positions)[
            0
        ]


def test_answer_states_equal_those_of_a_teacher_forced_pass_when_seg_is_reached(model: CoreSegModel) -> None:
    language = model.language
    picture, prefix = _prefix(model)
    # Make <seg> likely after a few tokens, so that a random model reaches it.
    with torch.no_grad():
        kept = language.seg.output_row.clone()
        language.seg.output_row.copy_(language.head.weight.abs().mean(0) * 40)
    try:
        options = DecodeOptions(reasoning="none", max_tokens=60)
        reply = decode_replies(language, prefix, "is there a polyp?", options)[0]
    finally:
        with torch.no_grad():
            language.seg.output_row.copy_(kept)
    if reply.answer_states is None:
        pytest.fail("the raised <seg> row was not chosen within 60 tokens")
    head = language.tokenizer.prefix_ids(256) + language.tokenizer.question_ids("is there a polyp?", "none")
    states = _teacher_states(model, picture, head + list(reply.ids))
    seg_place = len(head) + reply.ids.index(language.tokenizer.seg_id)
    expected = states[len(head) : seg_place]
    assert reply.answer_states.shape == expected.shape
    torch.testing.assert_close(reply.answer_states, expected, atol=2e-4, rtol=1e-3)


def test_greedy_tokens_equal_the_likeliest_of_a_teacher_forced_pass(model: CoreSegModel) -> None:
    picture, prefix = _prefix(model)
    options = DecodeOptions(reasoning="brief", force_tags=False, max_tokens=20)
    reply = decode_replies(model.language, prefix, "outline the tumour", options)[0]
    head = model.language.tokenizer.prefix_ids(256) + model.language.tokenizer.question_ids(
        "outline the tumour", "brief"
    )
    with torch.inference_mode():
        logits = model.language.logits(_teacher_states(model, picture, head + list(reply.ids)))
    likeliest = logits.argmax(-1)[len(head) - 1 : len(head) - 1 + len(reply.ids)].tolist()
    assert list(reply.ids) == likeliest


def test_rows_of_a_batch_equal_rows_alone(model: CoreSegModel) -> None:
    _, both = _prefix(model, n=2)
    options = DecodeOptions(reasoning="brief", max_tokens=24)
    together = decode_replies(model.language, both, "any lesion?", options)
    for row in range(2):
        alone = KeyValues(
            layers=tuple((key[row : row + 1], value[row : row + 1]) for key, value in both.layers),
            next_position=both.next_position,
        )
        assert decode_replies(model.language, alone, "any lesion?", options)[0].ids == together[row].ids


def test_questions_of_different_lengths_are_answered_together_as_alone(model: CoreSegModel) -> None:
    _, one = _prefix(model)
    questions = ["polyp", "is there a tumour on this slice, and if so where does it lie?", "any lesion?"]
    three = KeyValues(
        layers=tuple((key.expand(3, -1, -1, -1), value.expand(3, -1, -1, -1)) for key, value in one.layers),
        next_position=one.next_position,
    )
    options = DecodeOptions(reasoning="none", force_tags=False, max_tokens=16)
    together = decode_replies(model.language, three, questions, options)
    for question, reply in zip(questions, together, strict=True):
        alone = decode_replies(model.language, one, question, options)[0]
        assert reply.ids == alone.ids
        assert torch.allclose(torch.tensor(reply.log_probs), torch.tensor(alone.log_probs), atol=1e-3)


def test_a_prefix_is_unchanged_by_the_questions_asked_behind_it(model: CoreSegModel) -> None:
    _, prefix = _prefix(model)
    before = [key.clone() for key, _ in prefix.layers]
    decode_replies(model.language, prefix, "any lesion?", DecodeOptions(max_tokens=8))
    assert all(torch.equal(key, kept) for (key, _), kept in zip(prefix.layers, before, strict=True))


def test_cancelling_stops_within_one_step(model: CoreSegModel) -> None:
    _, prefix = _prefix(model)
    steps: list[str] = []

    def stop() -> bool:
        return len(steps) >= 3

    with pytest.raises(Cancelled):
        decode_replies(
            model.language,
            prefix,
            "any lesion?",
            DecodeOptions(reasoning="brief", force_tags=False, max_tokens=100),
            on_token=lambda _, text: steps.append(text),
            should_stop=stop,
        )
    assert len(steps) <= 4


def test_reasoning_without_an_end_is_closed_and_answered(model: CoreSegModel) -> None:
    _, prefix = _prefix(model)
    reply = decode_replies(
        model.language, prefix, "any lesion?", DecodeOptions(reasoning="brief", max_tokens=64)
    )[0]
    assert "<answer>" in reply.text


def test_positions_equal_those_of_transformers(model: CoreSegModel) -> None:
    from transformers.models.qwen2_5_vl import Qwen2_5_VLConfig, Qwen2_5_VLModel

    text = dict(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    vision = dict(depth=1, hidden_size=32, intermediate_size=32, num_heads=2, out_hidden_size=32)
    config = Qwen2_5_VLConfig(
        text_config={**text, "num_key_value_heads": 2, "rope_parameters": rope},
        vision_config=vision,
        image_token_id=9,
        video_token_id=10,
        vision_start_token_id=8,
        vision_end_token_id=11,
    )
    ids = [1, 2, 8, *[9] * 12, 11, 3, 4]
    with torch.device("meta"):
        oracle = Qwen2_5_VLModel(config)
    kinds = torch.tensor([[1 if token == 9 else 0 for token in ids]])
    expected, _ = oracle.get_rope_index(torch.tensor([ids]), kinds, torch.tensor([[1, 6, 8]]))
    assert torch.equal(sequence_positions(ids, 9, (3, 4)), expected[:, 0])
