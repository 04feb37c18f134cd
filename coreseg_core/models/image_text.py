"""Any image-text-to-text model of transformers, from a local folder: a picture and a prompt in, text and states out.

One adapter for all families, because a folder brings its own processor and chat template with it. Code that a folder
brings is never run, and pickled weights are never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from coreseg_core.errors import CheckpointError

_REMEDY = (
    "Name a folder with config.json, safetensors, tokenizer and processor of a model that transformers has classes of "
    "its own for; models that bring code of their own can be asked through a server instead."
)


@dataclass(frozen=True)
class Written:
    """What a model wrote.

    Attributes:
        text: Without special tokens.
        ids: Tokens (L,), the closing one included.
        states: (L, d) last-layer states that predicted them, or None where they were not asked for.
    """

    text: str
    ids: tuple[int, ...]
    states: Tensor | None


class ImageTextModel:
    """A model with its processor, asked one picture at a time by the likeliest tokens.

    Args:
        model: transformers' image-text-to-text model.
        processor: Its processor, with a chat template.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        if getattr(processor, "chat_template", None) is None:
            raise CheckpointError("The processor has no chat template.", remedy=_REMEDY)
        self.model = model.eval()
        self.processor = processor
        self.tokenizer = processor.tokenizer

    @property
    def dim(self) -> int:
        """Width of its states."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        """Where it takes its input."""
        device: torch.device = self.model.device
        return device

    def token_id(self, token: str) -> int:
        """Return the id of a token that its tokenizer has whole.

        Raises:
            CheckpointError: It has none such, so what was learned of the token cannot be there either.
        """
        ids = self.tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1 or ids[0] == self.tokenizer.unk_token_id:
            raise CheckpointError(
                f"{token!r} is {len(ids)} tokens of this tokenizer, not one.",
                remedy="Name the folder of the model that was tuned with it.",
            )
        return int(ids[0])

    @torch.inference_mode()
    def write(
        self,
        rgb: NDArray[np.uint8],
        prompt: str,
        *,
        max_tokens: int,
        system: str | None = None,
        keep_states: bool = False,
    ) -> Written:
        """Return the likeliest answer to a prompt about a picture.

        Args:
            rgb: (h, w, 3).
            prompt: What is asked.
            max_tokens: Of the answer.
            system: System prompt, if any.
            keep_states: Keep the states that predict its tokens.
        """
        inputs = self.inputs(rgb, prompt, system=system)
        done = self.model.generate(
            **inputs,
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=self._pad_id(),
            return_dict_in_generate=True,
            output_hidden_states=keep_states,
        )
        ids = done.sequences[0, inputs["input_ids"].shape[1] :].tolist()
        states = None
        if keep_states:
            # Of each step the last layer, and of the first step, which reads the prompt, its last place.
            states = torch.stack([step[-1][0, -1] for step in done.hidden_states])
        return Written(self.tokenizer.decode(ids, skip_special_tokens=True), tuple(ids), states)

    def inputs(self, rgb: NDArray[np.uint8], prompt: str, *, system: str | None) -> Any:
        """Return what the model reads: token ids (1, L), pixels, and what else its family wants."""
        asked: list[dict[str, Any]] = []
        if system is not None:
            asked.append({"role": "system", "content": [{"type": "text", "text": system}]})
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        asked.append({"role": "user", "content": content})
        text = self.processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        # Many templates write the token that begins a text themselves; the tokenizer must not write it again.
        begins = self.tokenizer.bos_token
        inputs = self.processor(
            text=[text],
            images=[np.array(rgb)],
            return_tensors="pt",
            add_special_tokens=begins is None or not text.startswith(begins),
        )
        return inputs.to(self.device, self.model.dtype)

    def _pad_id(self) -> int | None:
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        return end if pad is None else pad


def load_image_text(folder: Path, *, device: str = "cpu") -> ImageTextModel:
    """Return the model of a folder; on graphics cards in bfloat16, spread over all of them.

    Raises:
        CheckpointError: There is no folder, or it holds no model that transformers itself knows.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder.name!r}.", remedy=_REMEDY)
    cuda = device == "cuda"
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForImageTextToText.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.bfloat16 if cuda else torch.float32,
            device_map="auto" if cuda else None,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(
            f"The model in {folder.name!r} cannot be read ({type(error).__name__}).", remedy=_REMEDY
        ) from error
    return ImageTextModel(model, processor)
