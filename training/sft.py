"""Stage 1: supervised fine-tuning, from a manifest to weights, read top to bottom.

What it does: draws a view of a picture whose embedding lies on disk (`training.views`), asks a question about it,
writes the right reply from what is measured in picture and mask (`training.wording`), and minimises the cross-entropy
of the reply plus Dice and cross-entropy of the mask that the `<seg>` state leads to (CORE-Seg, stage 1).

A preset that stands on published weights (`core-seg-3b`) keeps these frozen: low-rank updates, `<seg>`, adapter and
mask decoder are trained.

    python -m training.sft --config training/configs/sft_lite.yaml
    python -m training.sft --config training/configs/sft_lite.yaml --minutes 40     # a piece; run it again to go on

A run that is killed goes on from its last checkpoint. On several processes: `accelerate launch -m training.sft ...`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coreseg_core.checkpoint import load_weights
from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.allocator import keep_freed_memory
from coreseg_core.models.coreseg import CoreSegModel, TeacherOutput
from coreseg_core.models.load import lay_over
from coreseg_core.models.mask_prompts import MaskPrompt, require_mask_prompt
from coreseg_core.models.preset import Preset, load_preset
from training.curves import draw_curves
from training.described import Described, described_losses
from training.development import development_scores
from training.loop import LoopConfig, TrainingLoop, decaying_groups
from training.losses import (
    cross_entropy_loss,
    dice_loss,
    iou_loss,
    mean_dice,
    patch_loss,
    presence_loss,
    token_loss,
    weighted_mean,
)
from training.samples import BatchSource, TrainingBatch
from training.settings import read_values, recipe_arguments
from training.start import choose_attention, require_fitting_views, starting_model
from training.views import ViewStore, shown_rows
from training.wording import KindMix
from training.words import WordsConfig, learn_words


@dataclass(frozen=True, kw_only=True)
class SFTConfig:
    """One SFT run.

    Attributes:
        preset: The model preset or its name.
        tokenizer: `tokenizer.json` in Qwen2 format; None for a preset that stands on published weights, its own then.
        base: Folder or hub id of the published weights that the preset stands on; by default the environment variable
            `CORESEG_BASE_WEIGHTS`.
        manifests: Manifests whose rows the views were made from.
        views: Folder of view stores, one sub-folder a part.
        out: Folder of the run.
        seed: Of the weights and of every draw.
        batch_size: Dialogues about pictures a step and process.
        described_size: Dialogues about described pictures a step and process (`training.described`).
        balance: Exponent on the size of a subset when pictures are drawn.
        lesion_free_weight: How much oftener a lesion-free picture is drawn.
        mix: Shares of the kinds of question.
        learning_rates: Of `language` (with its visual tokens and `<seg>`), `adapter`, `decoder`.
        loss_weights: Of `text`, `described`, `dice`, `cross_entropy`, `iou`, `patch`, `presence`.
        loop: Length and pace.
        words: The stage on described pictures alone that comes first, or None.
        start: Published weight folder to begin from, or None for a random start.
        mask_prompt: What the segmenter is prompted with (`coreseg_core.models.mask_prompts`).
    """

    preset: str | Preset
    tokenizer: Path | None = None
    base: str | None = None
    manifests: tuple[Path, ...]
    views: Path
    out: Path
    seed: int
    batch_size: int
    described_size: int
    balance: float
    lesion_free_weight: float
    mix: KindMix
    learning_rates: Mapping[str, float]
    loss_weights: Mapping[str, float]
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3000))
    words: WordsConfig | None = None
    start: Path | None = None
    mask_prompt: MaskPrompt = "attended"

    def __post_init__(self) -> None:
        require_mask_prompt(self.mask_prompt)

    @property
    def model_preset(self) -> Preset:
        """The preset itself."""
        return load_preset(self.preset) if isinstance(self.preset, str) else self.preset


def read_config(path: Path, changes: Sequence[str] = ()) -> SFTConfig:
    """Return the configuration of a YAML file with some values changed (`training.settings`)."""
    values = read_values(path, changes, config=SFTConfig)
    tokenizer, words, start = (values.get(name) for name in ("tokenizer", "words", "start"))
    return SFTConfig(
        **{
            **values,
            "tokenizer": tokenizer and Path(tokenizer),
            "manifests": tuple(Path(manifest) for manifest in values["manifests"]),
            "views": Path(values["views"]),
            "out": Path(values["out"]),
            "mix": KindMix(**values["mix"]),
            "loop": LoopConfig(**values["loop"]),
            "words": words and WordsConfig(**{**words, "loop": LoopConfig(**words["loop"])}),
            "start": start and Path(start),
        }
    )


@dataclass(frozen=True, kw_only=True)
class LearnerOutput:
    """What a step's losses are made of.

    Attributes:
        model: The model's own output.
        patches: (n, tokens) logits of the lesion share of each visual token.
        presence: (n,) logits of a lesion being anywhere.
        described: (m, L - 1) token losses of the described dialogues, or None without any.
    """

    model: TeacherOutput
    patches: Tensor
    presence: Tensor
    described: Tensor | None


class Learner(nn.Module):
    """The model and the auxiliary heads that only training has: lesion share per visual token, and any lesion at all.

    They teach the visual tokens where lesions are long before the text does.
    """

    def __init__(self, model: CoreSegModel) -> None:
        super().__init__()
        self.model = model
        self.patch_head = nn.Linear(model.language.dim, 1)
        self.presence_head = nn.Linear(model.language.dim, 1)

    def forward(self, batch: TrainingBatch) -> LearnerOutput:
        """Return what the losses need."""
        output = self.model(batch.teacher)
        # A frozen vision tower may speak another dtype than what is trained beside it.
        picture = output.picture.to(self.patch_head.weight.dtype)
        return LearnerOutput(
            model=output,
            patches=self.patch_head(picture)[..., 0],
            presence=self.presence_head(picture.mean(dim=1))[:, 0],
            described=None if batch.described is None else described_losses(self.model, batch.described),
        )


def sft_losses(weights: Mapping[str, float]) -> Callable[[nn.Module, TrainingBatch], dict[str, Tensor]]:
    """Return the function that turns a batch into its loss terms."""

    def losses(learner: nn.Module, batch: TrainingBatch) -> dict[str, Tensor]:
        learned: LearnerOutput = learner(batch)
        output, described = learned.model, learned.described
        rows = output.with_mask
        masks, row_weights = batch.masks[rows], batch.weights[rows]
        terms = {
            "text": token_loss(output.token_losses, batch.weights),
            "dice": weighted_mean(dice_loss(output.mask_logits, masks), row_weights),
            "cross_entropy": weighted_mean(cross_entropy_loss(output.mask_logits, masks), row_weights),
            "iou": weighted_mean(iou_loss(output.predicted_iou, output.mask_logits, masks), row_weights),
            "patch": patch_loss(learned.patches, batch.token_masks, batch.grid_hw),
            "presence": presence_loss(learned.presence, batch.masks),
        }
        if described is not None:
            terms["described"] = token_loss(described, torch.ones(len(described), device=described.device))
        terms["total"] = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        with torch.no_grad():
            terms["mask_dice"] = weighted_mean(mean_dice(output.mask_logits, masks), row_weights)
        return terms

    return losses


def parameter_groups(model: CoreSegModel, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return optimizer groups of everything that is trained; norms, biases and single vectors do not decay."""
    parts = {"language": model.language, "adapter": model.adapter, "decoder": model.segmenter.mask_decoder}
    return [
        group for name, part in parts.items() for group in decaying_groups(part.parameters(), lr=rates[name])
    ]


def run(config: SFTConfig, *, minutes: float | None = None) -> None:
    """Train as configured, for at most `minutes`."""
    keep_freed_memory()
    torch.manual_seed(config.seed)
    preset = config.model_preset
    store, development = ViewStore(config.views / "train"), ViewStore(config.views / "dev")
    require_fitting_views(preset, store, development)
    model = starting_model(preset, tokenizer=config.tokenizer, base=config.base, folder=config.out)
    rows: dict[str, Row] = {row.id: row for manifest in config.manifests for row in read_manifest(manifest)}
    if config.start is not None:
        lay_over(model, load_weights(config.start)[0])
    model.mask_prompt = config.mask_prompt
    choose_attention(model)
    started = time.monotonic()
    if not _words_learned(config, model, store, rows, minutes):
        return
    learner = Learner(model)
    source = BatchSource(
        store,
        rows,
        tokenizer=model.language.tokenizer,
        frame=preset.frame,
        grid_hw=model.language.visual_tokens.grid_hw,
        side_px=model.segmenter.mask_side_px,
        batch_size=config.batch_size,
        described_size=config.described_size,
        described=Described.to(model),
        balance=config.balance,
        lesion_free_weight=config.lesion_free_weight,
        mix=config.mix,
        seed=config.seed,
    )
    groups = parameter_groups(model, config.learning_rates)
    heads = [*learner.patch_head.parameters(), *learner.presence_head.parameters()]
    groups.append({"params": heads, "lr": config.learning_rates["adapter"]})
    loop = TrainingLoop(learner, groups, config=config.loop, folder=config.out)
    loop.run(
        source.batch,
        sft_losses(config.loss_weights),
        lambda: development_scores(model, development, rows),
        until_s=None if minutes is None else minutes * 60 - (time.monotonic() - started),
    )
    draw_curves(config.out / "log.jsonl", config.out / "curves.png")


def _words_learned(
    config: SFTConfig, model: CoreSegModel, store: ViewStore, rows: Mapping[str, Row], minutes: float | None
) -> bool:
    """Go through the stage before pictures, where there is one, and return whether it is behind us."""
    if config.words is None or (config.out / "checkpoints").exists():
        return True
    # Only the pictures of the train part are described: the views of dev lie in a store of their own.
    return learn_words(
        model,
        shown_rows(store, rows),
        config.words,
        mix=config.mix,
        seed=config.seed,
        folder=config.out / "words",
        until_s=None if minutes is None else minutes * 60,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run SFT from the command line."""
    arguments = recipe_arguments(argv, description=__doc__)
    run(read_config(arguments.config, arguments.changes), minutes=arguments.minutes)


if __name__ == "__main__":
    sys.exit(exit_code(main, stopped=GOES_ON)())
