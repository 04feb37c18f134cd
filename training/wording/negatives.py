"""How often each kind of question is asked: about a quarter of all cannot be answered with a mask."""

from __future__ import annotations

import random
from dataclasses import dataclass

from coreseg_core.evaluation.rows import Row
from training.wording.catalogue import Kind, subject_of


@dataclass(frozen=True, kw_only=True)
class KindMix:
    """Shares of the kinds of question among those asked of one picture.

    Attributes:
        plain: The picture's own class ("present", or "lesion_free" where there is none).
        wrong_disease: Another disease of the same modality and anatomy.
        wrong_organ: A class of another organ.
        wrong_modality: The right class with the name of another modality.
    """

    plain: float = 0.76
    wrong_disease: float = 0.12
    wrong_organ: float = 0.06
    wrong_modality: float = 0.06


DEFAULT_MIX = KindMix()


def choose_kind(rng: random.Random, row: Row, mix: KindMix = DEFAULT_MIX) -> Kind:
    """Return a kind of question that fits the picture, drawn with the shares of `mix`."""
    kinds = subject_of(row).kinds
    shares = {
        "wrong_disease": mix.wrong_disease,
        "wrong_organ": mix.wrong_organ,
        "wrong_modality": mix.wrong_modality,
    }
    return rng.choices(kinds, weights=[shares.get(kind, mix.plain) for kind in kinds])[0]
