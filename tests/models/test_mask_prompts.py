"""What the segmenter is prompted with can be switched, and each way reads what it says and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_core_seg import TOKENIZER, tiny_core_seg
from torch import Tensor

from coreseg_core.errors import InputError
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mask_prompts import (
    MASK_PROMPTS,
    MAX_PROMPT_BOXES,
    MaskPrompt,
    read_states,
    require_mask_prompt,
)

ANSWER = torch.tensor([[False, True, True, True, False], [False, False, True, True, True]])
SEG = torch.tensor([[False, False, False, True, False], [False, False, False, False, True]])
BOXES = (torch.tensor([[4.0, 4.0, 12.0, 20.0], [20.0, 20.0, 30.0, 28.0]]), torch.zeros(0, 4))


@pytest.fixture(scope="module")
def model() -> CoreSegModel:
    torch.manual_seed(0)
    return build_coreseg(tiny_core_seg(), tokenizer=TOKENIZER).eval()


def _states(model: CoreSegModel) -> Tensor:
    return torch.randn(2, 5, model.language.dim, generator=torch.Generator().manual_seed(1))


def _masks(model: CoreSegModel, kind: MaskPrompt, states: Tensor, **changes: object) -> Tensor:
    model.mask_prompt = kind
    embeddings = torch.randn(2, *model.segmenter.embedding_chw, generator=torch.Generator().manual_seed(2))
    read = {"answer": ANSWER, "seg": SEG, "boxes": BOXES, **changes}
    return model.masks(embeddings, states, **read)[0]


@pytest.mark.parametrize(
    ("kind", "read"),
    [("attended", ANSWER | SEG), ("seg", SEG), ("pooled", ANSWER | SEG), ("boxes", torch.zeros_like(SEG))],
)
def test_the_mask_follows_from_the_states_that_are_read_and_from_no_others(
    model: CoreSegModel, kind: MaskPrompt, read: Tensor
) -> None:
    states = _states(model).requires_grad_()
    masks = _masks(model, kind, states)
    assert masks.shape == (2, 32, 32)
    masks.square().sum().backward()
    reached = torch.zeros_like(read) if states.grad is None else states.grad.abs().sum(dim=-1) > 0
    assert torch.equal(reached, read)


@given(order=st.permutations([1, 2, 3]))
def test_a_pooled_answer_is_its_mean_in_any_order_and_without_a_favourite(order: list[int]) -> None:
    states = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    mean, answer, seg = read_states("pooled", states, answer=ANSWER, seg=SEG)
    torch.testing.assert_close(mean[0, 0], states[0, 1:4].mean(dim=0))
    assert answer.tolist() == seg.tolist() == [[True], [True]]
    shuffled = states.clone()
    shuffled[0, 1:4] = states[0, order]
    torch.testing.assert_close(read_states("pooled", shuffled, answer=ANSWER, seg=SEG)[0], mean)


def test_one_state_is_read_alike_by_every_way_through_the_adapter(model: CoreSegModel) -> None:
    states = _states(model)
    found = [_masks(model, kind, states, answer=SEG) for kind in ("attended", "seg", "pooled")]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-5)


def test_boxes_are_drawn_each_by_itself_as_sam_draws_them_and_united(model: CoreSegModel) -> None:
    states, segmenter = _states(model), model.segmenter
    masks = _masks(model, "boxes", states)
    embeddings = torch.randn(2, *segmenter.embedding_chw, generator=torch.Generator().manual_seed(2))
    step = segmenter.side_px // segmenter.mask_side_px
    alone = []
    for box in BOXES[0]:
        # SAM's own prompt encoder counts from the centre of the first pixel.
        tokens, _ = segmenter.prompt_encoder(points=None, boxes=box[None] * step - 0.5, masks=None)
        alone.append(segmenter.decode(embeddings[:1], tokens)[0][0])
    torch.testing.assert_close(masks[0], torch.maximum(*alone), rtol=1e-4, atol=1e-5)
    assert not (masks[1] > 0).any()


def test_no_answer_makes_the_decoder_draw_boxes_without_end(model: CoreSegModel) -> None:
    states = _states(model)
    many = BOXES[0][:1].repeat(64, 1)
    many[MAX_PROMPT_BOXES:] = torch.tensor([0.0, 0.0, 32.0, 32.0])
    few = _masks(model, "boxes", states, boxes=(BOXES[0][:1], BOXES[1]))
    torch.testing.assert_close(
        _masks(model, "boxes", states, boxes=(many, BOXES[1])), few, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", MASK_PROMPTS)
def test_a_batch_without_masks_gives_none(model: CoreSegModel, kind: MaskPrompt) -> None:
    model.mask_prompt = kind
    empty = torch.zeros(0, 5, dtype=torch.bool)
    masks, trusted = model.masks(
        torch.zeros(0, *model.segmenter.embedding_chw),
        torch.zeros(0, 5, model.language.dim),
        answer=empty,
        seg=empty,
    )
    assert len(masks) == len(trusted) == 0


@pytest.mark.parametrize("kind", MASK_PROMPTS)
def test_a_readers_marks_lead_the_mask_beside_every_prompt(model: CoreSegModel, kind: MaskPrompt) -> None:
    states = _states(model)
    marks = torch.randn(2, 3, model.segmenter.prompt_dim, generator=torch.Generator().manual_seed(4))
    plain, led = _masks(model, kind, states), _masks(model, kind, states, reader=marks)
    assert not torch.allclose(plain[0], led[0], atol=1e-3)


def test_the_switch_changes_no_weights(model: CoreSegModel) -> None:
    built = {
        kind: build_coreseg(tiny_core_seg(), tokenizer=TOKENIZER, mask_prompt=kind) for kind in MASK_PROMPTS
    }
    shapes = [{name: t.shape for name, t in one.trained_state().items()} for one in built.values()]
    assert all(shape == shapes[0] for shape in shapes)
    assert [one.mask_prompt for one in built.values()] == list(MASK_PROMPTS)


def test_an_unknown_way_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError) as refused:
        require_mask_prompt("telepathy")
    assert "telepathy" in refused.value.reason
    assert all(kind in refused.value.remedy for kind in MASK_PROMPTS)
