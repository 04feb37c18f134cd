"""The language model, its visual tokens and its tokenizer give what transformers' own Qwen2.5-VL gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from jinja2 import Environment
from tiny_core_seg import ROWS, TOKENIZER, oracle, tiny_core_seg, write_base_folder
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from coreseg_core.errors import ModelError
from coreseg_core.models.base_files import find_base_files
from coreseg_core.models.base_weights import read_base_weights
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.chat import SPECIAL_TOKENS, ChatTokenizer
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import sequence_positions
from coreseg_core.models.visual_tokens import patchify
from coreseg_core.prompts import chat_messages

QUESTION = "is there a polyp?"
QWEN_WORDS, QWEN_ROWS = 151_643, 151_936
QWEN_TAGS = (
    *("endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end"),
    *("quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"),
    *("fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name", "file_sep"),
)
QWEN_ADDED = [f"<|{tag}|>" for tag in QWEN_TAGS]
QWEN_ADDED[14:14] = ["<tool_call>", "</tool_call>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What Qwen2.5-VL's chat template writes of a system message and a question about one picture."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> CoreSegModel:
    """The weights of the oracle, read from files as published, in float32."""
    files = find_base_files(tiny_core_seg(), base=write_base_folder(tmp_path_factory.mktemp("base") / "qwen"))
    model = build_coreseg(tiny_core_seg(), tokenizer=files.tokenizer, initialise=False)
    read_base_weights(model, files)
    return model.eval()


def _frames(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(8))


def _ids(model: CoreSegModel, grid: tuple[int, int]) -> list[int]:
    tokenizer = model.language.tokenizer
    return tokenizer.prefix_ids(grid[0] * grid[1]) + tokenizer.question_ids(QUESTION, "brief")


def _oracle_logits(ids: list[int], frames: torch.Tensor) -> torch.Tensor:
    tokens = torch.tensor([ids])
    with torch.inference_mode():
        out = oracle()(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            mm_token_type_ids=(tokens == oracle().config.image_token_id).int(),
            pixel_values=patchify(frames),
            image_grid_thw=torch.tensor([[1, frames.shape[2] // 14, frames.shape[3] // 14]]),
        )
    logits: torch.Tensor = out.logits[0]
    return logits


def _without_seg(model: CoreSegModel, logits: torch.Tensor) -> torch.Tensor:
    kept = torch.arange(ROWS) != model.language.tokenizer.seg_id
    return logits[..., kept]


@pytest.mark.parametrize(("height", "width"), [(84, 112), (140, 84), (28, 28)])
def test_prefill_then_question_gives_the_logits_of_transformers_own_forward(
    small: CoreSegModel, height: int, width: int
) -> None:
    language, frames = small.language, _frames(height, width)
    grid = language.visual.grid_hw((width, height))
    ids = _ids(small, grid)
    with torch.inference_mode():
        prefix = language.prefill_pictures(language.visual(frames, torch.empty(0)), grid)
        rest = torch.tensor([ids[prefix.length :]])
        positions = (torch.arange(rest.shape[1]) + prefix.next_position).expand(3, 1, -1)
        states = language.states(language.embed(rest), positions=positions, cache=prefix.to_cache())
        found = language.logits(states)[0]
    expected = _oracle_logits(ids, frames)[prefix.length :]
    assert expected.std() > 0.1
    torch.testing.assert_close(
        _without_seg(small, found), _without_seg(small, expected), atol=1e-4, rtol=1e-4
    )


def test_one_pass_over_everything_gives_the_logits_of_transformers_own_forward(small: CoreSegModel) -> None:
    language, frames = small.language, _frames(84, 112)
    grid = language.visual.grid_hw((112, 84))
    ids = _ids(small, grid)
    positions = sequence_positions(ids, language.tokenizer.image_id, grid)[:, None]
    with torch.inference_mode():
        picture = language.visual(frames, torch.empty(0))
        states = language.states(
            language.embed_with_picture(torch.tensor([ids]), picture), positions=positions
        )
        found = language.logits(states)[0]
    torch.testing.assert_close(
        _without_seg(small, found), _without_seg(small, _oracle_logits(ids, frames)), atol=1e-4, rtol=1e-4
    )


def test_pictures_of_a_batch_give_the_tokens_of_each_alone(small: CoreSegModel) -> None:
    frames = torch.rand(2, 3, 84, 112, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        both = small.language.visual(frames, torch.empty(0))
        alone = torch.cat([small.language.visual(frame[None], torch.empty(0)) for frame in frames])
    assert both.shape == (2, 12, 64)
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(56, 84), (84, 28)])
def test_patches_are_those_of_the_image_processor(height: int, width: int) -> None:
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    rgb = np.random.default_rng(10).integers(0, 256, (height, width, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil(patch_size=14, temporal_patch_size=2, merge_size=2)
    out = processor(images=[Image.fromarray(rgb)], do_resize=False, return_tensors="pt")
    found = patchify(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255)
    assert out["image_grid_thw"].tolist() == [[1, height // 14, width // 14]]
    torch.testing.assert_close(found, out["pixel_values"], atol=2e-6, rtol=0)


def test_seg_changes_its_own_row_and_column_and_nothing_else(small: CoreSegModel) -> None:
    language, seg_id = small.language, small.language.tokenizer.seg_id
    ids = torch.arange(ROWS)[None]
    table = language.text.embed_tokens.weight
    embedded = language.embed(ids)[0]
    others = torch.arange(ROWS) != seg_id
    assert torch.equal(embedded[others], table[others])
    assert torch.equal(embedded[seg_id], language.seg.input_row)
    states = torch.randn(3, language.dim, generator=torch.Generator().manual_seed(12))
    logits, plain = language.logits(states), language.head(states)
    assert torch.equal(logits[:, others], plain[:, others])
    torch.testing.assert_close(logits[:, seg_id], states @ language.seg.output_row)


def test_seg_is_learned_in_its_own_vectors_alone(small: CoreSegModel) -> None:
    language, seg_id = small.language, small.language.tokenizer.seg_id
    small.zero_grad()
    embedded = language.embed(torch.tensor([[seg_id, 5]]))
    language.logits(embedded)[..., seg_id].sum().backward()
    moved = {name for name, p in small.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"language.seg.input_row", "language.seg.output_row"}
    small.zero_grad()


def test_seg_is_one_token_and_is_shown_again(tokenizer_file: Path) -> None:
    tokenizer = ChatTokenizer.from_file(tokenizer_file, vocab_rows=ROWS)
    ids = tokenizer.encode("The mask is <seg>.</answer>")
    assert ids.count(tokenizer.seg_id) == 1
    assert tokenizer.encode("<seg>") == [tokenizer.seg_id]
    assert tokenizer.decode(ids) == "The mask is <seg>.</answer>"


@pytest.fixture(scope="module")
def qwen_sized() -> str:
    """The JSON of a tokenizer as large as Qwen2.5's: 151,643 words and 22 added tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"word{number}" for number in range(QWEN_WORDS - len(letters)))]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(token, normalized=False, special="|" in token) for token in QWEN_ADDED])
    return str(tokenizer.to_str())


def test_seg_takes_the_first_row_that_qwens_tokenizer_leaves_free(qwen_sized: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(qwen_sized)
    tokenizer = ChatTokenizer.from_file(path, vocab_rows=QWEN_ROWS)
    assert tokenizer.seg_id == 151_665
    assert (tokenizer.image_id, tokenizer.end_id, tokenizer.pad_id) == (151_655, 151_645, 151_643)
    assert tokenizer.encode("<seg>") == [151_665]


def test_a_table_without_a_spare_row_is_refused(qwen_sized: str) -> None:
    with pytest.raises(ModelError, match="151665"):
        ChatTokenizer(Tokenizer.from_str(qwen_sized), vocab_rows=151_665)


def test_a_tokenizer_without_the_chat_formats_tags_is_refused() -> None:
    with pytest.raises(ModelError, match="lacks <|endoftext|>".replace("|", r"\|")):
        ChatTokenizer(Tokenizer(models.BPE(vocab={"a": 0}, merges=[])), vocab_rows=10)


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"model": 3})])
def test_a_damaged_tokenizer_file_is_a_typed_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        ChatTokenizer.from_file(path, vocab_rows=10)


@pytest.mark.parametrize("mode", ["full", "brief", "none"])
@pytest.mark.parametrize("question", [QUESTION, "Segment the polyp, 12 mm; état?"])
def test_prefix_and_question_are_what_the_chat_template_writes(mode: str, question: str) -> None:
    tokenizer = ChatTokenizer.from_file(TOKENIZER, vocab_rows=ROWS)
    messages = chat_messages(question, mode)  # type: ignore[arg-type]
    text = Environment().from_string(TEMPLATE).render(messages=messages, add_generation_prompt=True)
    pictured = text.replace("<|image_pad|>", "<|image_pad|>" * 6)
    found = tokenizer.prefix_ids(6) + tokenizer.question_ids(question, mode)  # type: ignore[arg-type]
    assert found == tokenizer.encode(pictured)
    assert found.count(tokenizer.image_id) == 6
    assert not set(SPECIAL_TOKENS[:3]) & {tokenizer.decode([token]) for token in found}
