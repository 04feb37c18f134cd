"""One token at a time gives the states that transformers' own forward gives."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

from coreseg_core.models.build import add_lora
from coreseg_core.models.preset import LoraSpec
from coreseg_core.models.token_steps import ROOM, TokenSteps

BEFORE, AFTER = 9, ROOM + 5


def _text(key_heads: int) -> Qwen2_5_VLTextModel:
    torch.manual_seed(3)
    config = Qwen2_5_VLTextConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=key_heads,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
    )
    return Qwen2_5_VLTextModel(config).eval()


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("lora", [False, True])
def test_steps_equal_the_forward_of_transformers_beyond_the_first_room(
    key_heads: int, gap: int, lora: bool
) -> None:
    text = _text(key_heads)
    if lora:
        add_lora(text, LoraSpec(r=4, alpha=8, dropout=0.0))
        for name, parameter in text.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    embedded = torch.randn(2, BEFORE + AFTER, 64)
    real = torch.ones(2, BEFORE + AFTER, dtype=torch.bool)
    real[1, :gap] = False
    positions = (real.cumsum(1) - 1).clamp_min(0) + 4
    with torch.inference_mode():
        expected = text(
            inputs_embeds=embedded,
            position_ids=positions.expand(3, -1, -1),
            attention_mask=real.long() if gap else None,
        ).last_hidden_state
        cache = DynamicCache(config=text.config)
        text(
            inputs_embeds=embedded[:, :BEFORE],
            position_ids=positions[:, :BEFORE].expand(3, -1, -1),
            attention_mask=real[:, :BEFORE].long() if gap else None,
            past_key_values=cache,
        )
        steps = TokenSteps(
            text,
            cache,
            positions=positions[:, BEFORE : BEFORE + 1],
            real=real[:, :BEFORE] if gap else None,
        )
        stepped = [steps.extend(embedded[:, at : at + 1]) for at in range(BEFORE, BEFORE + AFTER)]
    torch.testing.assert_close(torch.stack(stepped, dim=1), expected[:, BEFORE:], atol=2e-5, rtol=1e-4)
