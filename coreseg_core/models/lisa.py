"""LISA (arXiv 2308.00692): a model writes `[SEG]`, and the state that predicts it becomes the prompt of a SAM.

The language model is any image-text-to-text model of transformers that was tuned so. Beside it, in its folder, lies
`lisa.safetensors` with LISA's own names: `text_hidden_fcs.0.0` and `.2`, the two linear layers from the state to the
prompt, and `visual_model.*`, the SAM with the mask decoder that was tuned with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from coreseg_core.errors import CheckpointError
from coreseg_core.models.image_text import ImageTextModel, load_image_text
from coreseg_core.models.sam import SamSizes, build_sam
from coreseg_core.models.segmenter import SamSegmenter

FILE_NAME = "lisa.safetensors"
SEG_TOKEN = "[SEG]"
_PROJECTION, _SAM = "text_hidden_fcs.0.", "visual_model."
_SQUARE_PIXELS = (1.0, 1.0)
"""LISA knows no millimetres: the longer side in pixels fills SAM's square."""


@dataclass(frozen=True)
class LisaAnswer:
    """What LISA says to one prompt.

    Attributes:
        text: As written.
        mask: (h, w) union of the masks of all `[SEG]`, None without one.
    """

    text: str
    mask: NDArray[np.bool_] | None


class Lisa:
    """A language model, the projection of its states, and a SAM.

    Args:
        language: Writes `[SEG]`.
        projection: From states (n, d) to prompts (n, prompt_dim).
        segmenter: SAM, normalised as SAM's authors do.
    """

    def __init__(self, *, language: ImageTextModel, projection: nn.Module, segmenter: SamSegmenter) -> None:
        self.language = language
        self.projection = projection.eval()
        self.segmenter = segmenter.eval()
        self._seg_id = language.token_id(SEG_TOKEN)

    @torch.inference_mode()
    def answer(
        self, rgb: NDArray[np.uint8], prompts: Sequence[str], *, shown: NDArray[np.uint8], max_tokens: int
    ) -> list[LisaAnswer]:
        """Return what it says to each prompt about a picture, which SAM encodes once.

        Args:
            rgb: (h, w, 3) picture that is outlined.
            prompts: What is asked.
            shown: (H, W, 3) the same picture at the size that the language model is shown.
            max_tokens: Of an answer.
        """
        square, view = self.segmenter.prepare(rgb, pixel_mm=_SQUARE_PIXELS)
        embedding = self.segmenter.encode(square[None].to(self.segmenter.device))
        answers = []
        for prompt in prompts:
            written = self.language.write(shown, prompt, max_tokens=max_tokens, keep_states=True)
            states = self.seg_states(written.ids, written.states)
            if not len(states):
                answers.append(LisaAnswer(written.text, None))
                continue
            logits, _ = self.segmenter.decode(
                embedding.float().expand(len(states), -1, -1, -1), self.projection(states)[:, None]
            )
            mask = (view.logits_to_native(logits) > 0).any(dim=0)
            answers.append(LisaAnswer(written.text, mask.cpu().numpy()))
        return answers

    def seg_states(self, ids: Sequence[int], states: Tensor | None) -> Tensor:
        """Return the states (m, d) that predict `[SEG]` among those (L, d) that predict the tokens of an answer."""
        if states is None:
            raise ValueError("the states of the answer were not kept")
        here = torch.tensor([token == self._seg_id for token in ids], dtype=torch.bool, device=states.device)
        return states[here].float().to(self.segmenter.device)


def load_lisa(folder: Path, *, sizes: SamSizes, device: str = "cpu") -> Lisa:
    """Return the LISA of a folder.

    Args:
        folder: The language model as transformers writes it, and `lisa.safetensors`.
        sizes: Of its SAM.
        device: Where it runs.

    Raises:
        CheckpointError: A file is missing, damaged or of another model.
    """
    language = load_image_text(folder, device=device)
    tensors = _tensors(folder / FILE_NAME)
    segmenter = build_sam(sizes, normalisation="imagenet")
    projection = nn.Sequential(
        nn.Linear(language.dim, language.dim), nn.ReLU(), nn.Linear(language.dim, segmenter.prompt_dim)
    )
    for part, prefix in ((projection, _PROJECTION), (segmenter, _SAM)):
        _fill(part, {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}, prefix)
    where = torch.device(device)
    return Lisa(language=language, projection=projection.to(where), segmenter=segmenter.to(where))


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path.name} is missing or damaged.",
            remedy="It holds text_hidden_fcs.0.0, text_hidden_fcs.0.2 and visual_model.* of a trained LISA.",
        ) from error


def _fill(part: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    expected = {(name, tensor.shape) for name, tensor in part.state_dict().items()}
    odd = sorted({name for name, _ in expected ^ {(name, tensor.shape) for name, tensor in tensors.items()}})
    if odd:
        raise CheckpointError(
            f"{FILE_NAME} does not fit: {len(odd)} tensors of {prefix}* differ, first {odd[0][:80]!r}.",
            remedy="Name the sizes of its SAM in the configuration, and the language model it was trained with.",
        )
    part.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
