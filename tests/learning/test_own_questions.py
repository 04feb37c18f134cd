"""A corrected picture is asked what its reader asked, but not always: other words and denials are learned on it too."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np

from coreseg_core.evaluation.rows import Row
from coreseg_core.models.preset import load_preset
from training.samples import write_dialogue
from training.views import EmbeddedView, ViewKey
from training.written import P_OWN_QUESTION

ROW = Row(
    id="x",
    image="x.png",
    mask="m.png",
    split="train",
    subset="corrections",
    modality="MRI FLAIR",
    anatomy="brain",
    disease="brain tumor",
    target="brain tumor",
    area_frac=0.1,
    query="anything odd on the left?",
    answer="<answer>The brain tumor is located at [[10,10,30,30]]. The mask is <seg>.</answer>",
    origin="correction",
)


def view() -> EmbeddedView:
    mask = np.zeros((64, 64), bool)
    mask[10:30, 10:30] = True
    grey = np.where(mask, 200, 80).astype(np.uint8)
    return EmbeddedView(key=ViewKey("x", 0), embedding=np.zeros((1, 1, 1), np.float16), grey=grey, mask=mask)


def test_about_half_of_the_questions_are_the_readers_own_and_some_of_the_others_are_denied() -> None:
    rng, frame = random.Random(1), load_preset("lite").frame
    asked = [write_dialogue(rng, ROW, view(), frame) for _ in range(600)]
    own = sum(dialogue.question == ROW.query for dialogue in asked)
    assert abs(own / len(asked) - P_OWN_QUESTION) < 0.08
    kinds = Counter(dialogue.kind for dialogue in asked)
    assert kinds["present"] > 450
    assert kinds["wrong_modality"] > 0 and kinds["wrong_disease"] > 0
