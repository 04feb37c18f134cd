"""What a GRPO run is configured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coreseg_core.errors import InputError
from coreseg_core.models.mask_prompts import MaskPrompt, require_mask_prompt
from coreseg_core.models.preset import Preset, load_preset
from training.grpo_math import PolicyLossConfig
from training.loop import LoopConfig
from training.rewards import Prices, RewardConfig
from training.settings import read_values
from training.wording import KindMix


@dataclass(frozen=True, kw_only=True)
class GRPOConfig:
    """One GRPO run.

    Attributes:
        preset: The model preset or its name.
        start: Weight folder of stage 1, as `training.publish` writes it; also the reference of the KL.
        base: Folder or hub id of the published weights that the preset stands on, as for SFT.
        manifests: Manifests whose rows the views were made from.
        views: Folder of view stores, `train` and `dev`.
        out: Folder of the run.
        seed: Of every draw.
        questions: Questions a step, shared out among the processes.
        answers: Answers to each: the size of a group.
        temperature: At which they are drawn.
        max_tokens: Tokens of an answer at most.
        shared_prompt: Read a question once a group in the pass with gradients; off, once an answer, for small cards.
        balance: Exponent on the size of a subset when pictures are drawn.
        lesion_free_weight: How much oftener a lesion-free picture is drawn.
        mix: Shares of the kinds of question.
        modes: Shares of full, brief and no reasoning.
        dev_questions: Questions of the dev part that every evaluation asks, answered by the likeliest tokens.
        rewards: Weights and prices of what an answer earns.
        policy: How the policy is moved.
        mask_weights: Of `dice`, `cross_entropy` and `iou` of the masks beside the policy loss; all 0 takes them out.
        learned_masks: Of a group's masks at most so many are learned, all by default: they are of one view, so a few
            teach nearly what all do, and the mask decoder is what a step of a small language model costs.
        mask_gradient: Whether what the masks teach goes on into the language model, or stops at the adapter.
        mask_prompt: What the segmenter is prompted with (`coreseg_core.models.mask_prompts`); by default what stage 1
            was trained with.
        learning_rates: Of `language` (with its visual tokens and `<seg>`), `adapter`, `decoder`.
        loop: Length and pace; `together` is how many steps learn from the same answers.
    """

    preset: str | Preset
    start: Path
    base: str | None = None
    manifests: tuple[Path, ...]
    views: Path
    out: Path
    seed: int
    questions: int
    answers: int
    temperature: float
    max_tokens: int
    shared_prompt: bool = True
    balance: float
    lesion_free_weight: float
    mix: KindMix
    modes: tuple[float, float, float]
    dev_questions: int
    rewards: RewardConfig = field(default_factory=RewardConfig)
    policy: PolicyLossConfig = field(default_factory=PolicyLossConfig)
    mask_weights: Mapping[str, float]
    learned_masks: int | None = None
    mask_gradient: bool = True
    mask_prompt: MaskPrompt | None = None
    learning_rates: Mapping[str, float]
    loop: LoopConfig

    def __post_init__(self) -> None:
        if self.mask_prompt is not None:
            require_mask_prompt(self.mask_prompt)
        if self.answers < 2 or self.temperature <= 0:
            raise InputError(
                f"Groups of {self.answers} answers at temperature {self.temperature} cannot differ in worth.",
                remedy="Draw at least 2 answers at a temperature above 0.",
            )
        if self.loop.steps % self.loop.together or self.loop.save_every % self.loop.together:
            raise InputError(
                f"{self.loop.together} steps learn together, which divides not both {self.loop.steps} steps and "
                f"{self.loop.save_every} between checkpoints.",
                remedy="Choose multiples of 'together' for 'steps' and 'save_every'.",
            )

    @property
    def model_preset(self) -> Preset:
        """The preset itself."""
        return load_preset(self.preset) if isinstance(self.preset, str) else self.preset


def read_config(path: Path, changes: Sequence[str] = ()) -> GRPOConfig:
    """Return the configuration of a YAML file with some values changed (`training.settings`)."""
    values = read_values(path, changes, config=GRPOConfig)
    rewards = dict(values.get("rewards", {}))
    return GRPOConfig(
        **{
            **values,
            "start": Path(values["start"]),
            "manifests": tuple(Path(manifest) for manifest in values["manifests"]),
            "views": Path(values["views"]),
            "out": Path(values["out"]),
            "mix": KindMix(**values["mix"]),
            "modes": tuple(values["modes"]),
            "rewards": RewardConfig(**{**rewards, "prices": Prices(**rewards.get("prices", {}))}),
            "policy": PolicyLossConfig(**values.get("policy", {})),
            "loop": LoopConfig(**values["loop"]),
        }
    )
