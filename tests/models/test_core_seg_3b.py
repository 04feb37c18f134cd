"""The preset `core-seg-3b`: the published sizes without a weight, and its whole behaviour on a small one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_core_seg import TOKENIZER, tiny_core_seg, write_base_folder
from torch import nn

from coreseg_core.checkpoint import save_weights
from coreseg_core.imaging.pictures import picture_slice
from coreseg_core.inference.answering import Answering
from coreseg_core.inference.decode import DecodeOptions, decode_replies
from coreseg_core.models.base_files import find_base_files
from coreseg_core.models.base_weights import base_tensors, our_name, read_base_weights
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.coreseg import CoreSegModel, TeacherBatch
from coreseg_core.models.load import build_on_base, load_model
from coreseg_core.models.mllm import sequence_positions
from coreseg_core.models.preset import load_preset
from coreseg_core.record import Query

FRAME_WH = (112, 84)
REPLIES = (
    "<think>Round.</think><answer>The polyp is located at [[3,4,9,9]]. The mask is <seg>.</answer>",
    "<answer>No polyp",
)
PUBLISHED_NAMES = (
    *(
        f"model.layers.{n}.self_attn.{p}_proj.{kind}"
        for n in range(36)
        for p in "qkv"
        for kind in ("weight", "bias")
    ),
    *(f"model.layers.{n}.self_attn.o_proj.weight" for n in range(36)),
    *(f"model.layers.{n}.mlp.{p}_proj.weight" for n in range(36) for p in ("gate", "up", "down")),
    *(f"model.layers.{n}.{norm}_layernorm.weight" for n in range(36) for norm in ("input", "post_attention")),
    *("model.embed_tokens.weight", "model.norm.weight", "visual.patch_embed.proj.weight"),
    *(
        f"visual.blocks.{n}.attn.{p}.{kind}"
        for n in range(32)
        for p in ("qkv", "proj")
        for kind in ("weight", "bias")
    ),
    *(
        f"visual.blocks.{n}.mlp.{p}_proj.{kind}"
        for n in range(32)
        for p in ("gate", "up", "down")
        for kind in ("weight", "bias")
    ),
    *(f"visual.blocks.{n}.norm{i}.weight" for n in range(32) for i in (1, 2)),
    *("visual.merger.ln_q.weight", "visual.merger.mlp.0.weight", "visual.merger.mlp.0.bias"),
    *("visual.merger.mlp.2.weight", "visual.merger.mlp.2.bias"),
)
"""The names in the index of Qwen2.5-VL-3B-Instruct as published; 7,509,245,952 bytes of bfloat16."""


@pytest.fixture(scope="module")
def published() -> CoreSegModel:
    with torch.device("meta"):
        return build_coreseg(load_preset("core-seg-3b"), tokenizer=TOKENIZER)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_folder(tmp_path_factory.mktemp("base") / "qwen")


@pytest.fixture(scope="module")
def small(base: Path) -> CoreSegModel:
    """A small model on published weights, in float32, its trained parts no longer fresh."""
    files = find_base_files(tiny_core_seg(), base=base)
    model = build_coreseg(tiny_core_seg(), tokenizer=files.tokenizer, initialise=False)
    read_base_weights(model, files)
    return _trained(model)


def _trained(model: CoreSegModel) -> CoreSegModel:
    torch.manual_seed(5)
    with torch.no_grad():
        for tensor in model.trained_state().values():
            tensor.add_(torch.randn_like(tensor) * 0.02)
    return model.eval()


def _count(module: nn.Module) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if "lora_" not in name)


def _batch(model: CoreSegModel) -> TeacherBatch:
    """Return two dialogues about two pictures, one with a mask."""
    tokenizer = model.language.tokenizer
    grid = model.language.visual.grid_hw(FRAME_WH)
    head = tokenizer.prefix_ids(grid[0] * grid[1]) + tokenizer.question_ids("is there a polyp?", "brief")
    rows = [head + tokenizer.encode(reply) for reply in REPLIES]
    length = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_id] * (length - len(row)) for row in rows])
    real = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]).bool()
    place = torch.arange(length)
    seg = torch.zeros_like(real)
    seg[0, rows[0].index(tokenizer.seg_id) - 1] = True
    # The answer's last nine states up to the one that predicts <seg>.
    answer = seg.clone()
    answer[0, rows[0].index(tokenizer.seg_id) - 9 : rows[0].index(tokenizer.seg_id)] = True
    positions = sequence_positions([*rows[0]], tokenizer.image_id, grid)
    generator = torch.Generator().manual_seed(6)
    return TeacherBatch(
        ids=ids,
        positions=positions[:, None].expand(3, 2, -1),
        real=real,
        target=real & (place >= len(head)),
        answer=answer,
        seg=seg,
        embeddings=torch.randn(2, *model.segmenter.embedding_chw, generator=generator),
        frames=torch.rand(2, 3, FRAME_WH[1], FRAME_WH[0], generator=generator),
    )


def test_published_sizes_give_the_published_counts(published: CoreSegModel) -> None:
    text, head = published.language.text, published.language.head
    assert head.weight is text.embed_tokens.weight
    assert _count(text) - head.weight.numel() == pytest.approx(2.775e9, rel=1e-3)
    assert head.weight.numel() == 151936 * 2048 == pytest.approx(0.311e9, rel=1e-3)
    assert _count(published.language.visual) == pytest.approx(0.669e9, rel=1e-3)
    assert _count(published.segmenter.image_encoder) == pytest.approx(89.7e6, rel=1e-3)
    assert _count(published.segmenter.mask_decoder) == pytest.approx(4.06e6, rel=1e-3)


def test_every_published_tensor_has_a_place_and_every_place_a_published_tensor(
    published: CoreSegModel,
) -> None:
    places = {name: t for name, t in base_tensors(published).items() if name.startswith("language.")}
    assert len(PUBLISHED_NAMES) == 824
    assert {our_name(name) for name in PUBLISHED_NAMES} == set(places)
    assert 2 * sum(tensor.numel() for tensor in places.values()) == 7_509_245_952


def test_only_low_rank_updates_seg_adapter_and_mask_decoder_are_trained(published: CoreSegModel) -> None:
    trained = re.compile(
        r"language\.text\.layers\.\d+\..*_proj\.lora_[AB]\.default\.weight|language\.seg\.(input|output)_row"
        r"|adapter\..*|segmenter\.mask_decoder\..*"
    )
    names = set(published.trained_state())
    assert {name for name in names if not trained.fullmatch(name)} == set()
    assert sum(".lora_" in name for name in names) == 36 * 7 * 2


def test_loss_is_finite_and_its_gradients_reach_the_trained_parts_alone(small: CoreSegModel) -> None:
    output = small(_batch(small))
    assert output.with_mask.tolist() == [0]
    assert output.mask_logits.shape == (1, 32, 32)
    loss = output.token_losses.sum() + output.mask_logits.square().mean() + output.predicted_iou.sum()
    assert loss.isfinite()
    small.zero_grad()
    loss.backward()
    reached = {name for name, p in small.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    trained = set(small.trained_state())
    assert reached <= trained
    # SAM's decoder has heads for three masks more than are asked for here.
    spare = {name for name in trained - reached if re.search(r"output_hypernetworks_mlps\.[123]\.", name)}
    assert trained - reached == spare
    small.zero_grad()


def test_a_mask_alone_moves_the_language_model(small: CoreSegModel) -> None:
    small.zero_grad()
    small(_batch(small)).mask_logits.square().mean().backward()
    moved = [
        p.grad.abs().sum() for name, p in small.named_parameters() if "lora_B" in name and p.grad is not None
    ]
    assert sum(float(size) > 0 for size in moved) >= 7
    small.zero_grad()


def test_a_question_is_answered_through_the_same_code_as_with_lite(small: CoreSegModel) -> None:
    rgb = np.random.default_rng(7).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    answering = Answering(small, fingerprint="x")
    with torch.no_grad():
        kept = small.language.seg.output_row.clone()
        # Make <seg> likely, so that a random model reaches it.
        small.language.seg.output_row.copy_(small.language.head.weight.abs().mean(0) * 60)
    try:
        prepared = answering.prepare(picture_slice(rgb, pixel_mm=(1.0, 1.0)))
        finding = answering.answer([prepared], Query(text="is there a polyp?", reasoning="none"))[0]
    finally:
        with torch.no_grad():
            small.language.seg.output_row.copy_(kept)
    assert "<seg>" in finding.answer_text
    assert finding.mask.shape == (90, 120)
    assert prepared.frame_wh == (112, 84)
    assert (answering.counts.encodes, answering.counts.picture_prefills) == (1, 1)


def test_saved_trained_parts_and_published_base_give_the_same_model_again(base: Path, tmp_path: Path) -> None:
    fresh, files = build_on_base(tiny_core_seg(), base=base)
    untrained = _outputs(fresh.eval())
    trained = _trained(fresh)
    facts = {"preset": "core-seg-3b", "base": {"name": "tiny", "sha256": files.sha256()}}
    tokenizer = {"tokenizer.json": files.tokenizer.read_bytes()}
    save_weights(tmp_path / "trained", trained.trained_state(), facts, files=tokenizer)
    loaded = load_model(tiny_core_seg(), weights=tmp_path / "trained", base=base).model
    expected, found = _outputs(trained), _outputs(loaded)
    for name, values in expected.items():
        assert torch.equal(found[name], values), name
    assert not torch.equal(expected["keys"], untrained["keys"])
    assert not torch.equal(expected["masks"], untrained["masks"])


def test_a_language_model_in_bfloat16_keeps_its_trained_parts_and_frequencies_in_float32(base: Path) -> None:
    _, files = build_on_base(tiny_core_seg(), base=base)
    model = build_coreseg(
        tiny_core_seg(),
        tokenizer=files.tokenizer,
        language_dtype=torch.bfloat16,
        encoder_dtype=torch.bfloat16,
        initialise=False,
    )
    read_base_weights(model, files)
    assert {t.dtype for t in model.trained_state().values()} == {torch.float32}
    assert _frozen_dtype(model) is torch.bfloat16
    frequencies = [t for name, t in model.named_buffers() if "inv_freq" in name]
    assert frequencies
    assert {t.dtype for t in frequencies} == {torch.float32}
    assert torch.get_default_dtype() is torch.float32
    with torch.no_grad():
        assert model.segmenter.encode(torch.rand(1, 3, 128, 128)).dtype is torch.bfloat16
        output = model(_batch(model))
    assert output.token_losses.isfinite().all()
    assert output.mask_logits.dtype is torch.float32


def _frozen_dtype(model: CoreSegModel) -> torch.dtype:
    dtype: torch.dtype = model.language.text.embed_tokens.weight.dtype
    return dtype


@torch.inference_mode()
def _outputs(model: CoreSegModel) -> dict[str, torch.Tensor]:
    """Return everything a model says: teacher-forced, prefilled and decoded."""
    batch = _batch(model)
    output = model(batch)
    picture = model.language.visual(batch.frames, batch.embeddings)
    prefix = model.language.prefill_pictures(picture, model.language.visual.grid_hw(FRAME_WH))
    options = DecodeOptions(reasoning="none", max_tokens=8)
    replies = decode_replies(model.language, prefix, "is there a polyp?", options)
    return {
        "losses": output.token_losses,
        "masks": output.mask_logits,
        "iou": output.predicted_iou,
        "keys": torch.cat([key.flatten() for key, _ in prefix.layers]),
        "ids": torch.tensor([token for reply in replies for token in reply.ids]),
        "log_probs": torch.tensor([value for reply in replies for value in reply.log_probs]),
    }
