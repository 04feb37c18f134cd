"""A toy to learn by reward on: a tiny model, two made-up views, and two answers that it finds equally likely."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tiny_core_seg import TOKENIZER, tiny_core_seg

from coreseg_core.answer import compose_absent, compose_present
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.preset import Preset
from training.asking import Asked, QuestionSource, ask_about
from training.grpo_config import GRPOConfig
from training.grpo_math import PolicyLossConfig
from training.loop import LoopConfig
from training.losses import token_loss
from training.samples import Dialogue, collate
from training.views import EmbeddedView, ViewKey
from training.wording import KindMix

SIDE = 32
FRAME_PX = 56
BOX = (7, 14, 28, 35)
"""Of the lesion, in pixels of the frame."""


def preset(*, lora: bool = False) -> Preset:
    """Return two layers of each part; without low-rank updates the language model is trained whole."""
    tiny = tiny_core_seg()
    return tiny if lora else replace(tiny, language=replace(tiny.language, lora=None))


def new_model(*, lora: bool = False) -> CoreSegModel:
    """Return the model with random weights, the same ones each time."""
    return new_model_of(preset(lora=lora))


def new_model_of(made: Preset) -> CoreSegModel:
    """Return a model of any preset, the same one each time."""
    torch.manual_seed(0)
    return build_coreseg(made, tokenizer=TOKENIZER).eval()


def row(name: str, *, lesion_free: bool) -> Row:
    return Row(
        id=name,
        image="a.png",
        split="train",
        subset="busi",
        modality="ultrasound",
        anatomy="breast",
        disease="none" if lesion_free else "tumor",
        target="breast tumor",
        mask="a.png",
        area_frac=0.0 if lesion_free else 0.1,
        folder=Path(),
    )


def view(name: str, *, lesion_free: bool) -> EmbeddedView:
    """Return a view whose lesion can be seen in embedding and frame."""
    mask = np.zeros((SIDE, SIDE), bool)
    if not lesion_free:
        mask[8:20, 4:16] = True
    coarse = mask.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    rng = np.random.default_rng(len(name))
    embedding = rng.normal(0, 0.1, (32, 8, 8)) + 2 * coarse
    frame = np.kron(mask, np.ones((2, 2), bool))[:FRAME_PX, :FRAME_PX]
    return EmbeddedView(
        key=ViewKey(name, 0),
        embedding=embedding.astype(np.float16),
        grey=np.where(mask, 160, 80).astype(np.uint8),
        mask=mask,
        frame=np.repeat(np.where(frame, 220, 20).astype(np.uint8)[..., None], 3, axis=2),
    )


class Store:
    """Views held in memory."""

    def __init__(self, views: list[EmbeddedView]) -> None:
        self._views = views
        self.keys = [view.key for view in views]
        self.frame_whs = [(FRAME_PX, FRAME_PX)] * len(views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, number: int) -> EmbeddedView:
        return self._views[number]


VIEWS = [view("a", lesion_free=False), view("free", lesion_free=True)]
ROWS = {"a": row("a", lesion_free=False), "free": row("free", lesion_free=True)}


def asked(name: str = "a") -> Asked:
    """Return the toy's question about one of the views."""
    seen = next(view for view in VIEWS if view.key.row_id == name)
    kind = "lesion_free" if name == "free" else "present"
    return ask_about(random.Random(0), ROWS[name], seen, preset().frame, kind=kind, mode="none")


def config(folder: Path, **changes: object) -> GRPOConfig:
    """Return a short run on the toy."""
    plain = GRPOConfig(
        preset=preset(),
        start=folder / "start",
        manifests=(),
        views=folder / "views",
        out=folder,
        seed=5,
        questions=1,
        answers=8,
        temperature=1.0,
        max_tokens=40,
        balance=1.0,
        lesion_free_weight=1.0,
        mix=KindMix(plain=1.0, wrong_disease=0.0, wrong_organ=0.0, wrong_modality=0.0),
        modes=(0.0, 0.0, 1.0),
        dev_questions=1,
        policy=PolicyLossConfig(beta=0.01),
        mask_weights={"dice": 1.0, "cross_entropy": 1.0, "iou": 0.1},
        learning_rates={"language": 1e-3, "adapter": 1e-3, "decoder": 1e-3},
        loop=LoopConfig(
            steps=8, warmup_steps=1, log_every=1, evaluate_every=100, save_every=2, mixed_precision="no"
        ),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def source(settings: GRPOConfig, *, views: list[EmbeddedView] = VIEWS) -> QuestionSource:
    """Return the questions of a run on the toy's views."""
    return QuestionSource(
        Store(views),  # type: ignore[arg-type]
        ROWS,
        frame=preset().frame,
        mix=settings.mix,
        modes=settings.modes,
        balance=settings.balance,
        lesion_free_weight=settings.lesion_free_weight,
        seed=settings.seed,
    )


@cache
def _taught_weights() -> dict[str, torch.Tensor]:
    """Return the weights of a model that draws the lesion as often as it denies it."""
    model = new_model()
    question = asked()
    replies = [compose_present("breast tumor", [BOX]), compose_absent("breast tumor")]
    batch = collate(
        [Dialogue(kind="present", question=question.question, mode="none", reply=reply) for reply in replies],
        [VIEWS[0]] * 2,
        [1.0] * 2,
        tokenizer=model.language.tokenizer,
        grid_hw=(FRAME_PX // 28, FRAME_PX // 28),
        side_px=SIDE,
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=6e-3)
    for _ in range(160):
        loss = token_loss(model(batch.teacher).token_losses, batch.weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def taught_model() -> CoreSegModel:
    """Return a model that answers in form but cannot make up its mind."""
    model = new_model()
    model.load_state_dict(_taught_weights())
    return model.eval()
