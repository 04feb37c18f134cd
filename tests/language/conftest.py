"""Manifest rows of every kind of picture the wording knows, made up for the tests."""

from __future__ import annotations

import pytest

from coreseg_core.evaluation.rows import Row

_PICTURES = (
    ("isic2017", "dermoscopy", "skin", "skin lesion", "melanoma"),
    ("isic2017", "dermoscopy", "skin", "skin lesion", "melanocytic nevus"),
    ("kvasir", "endoscopy", "colon", "polyp", "polyp"),
    ("busi", "ultrasound", "breast", "breast tumor", "benign breast tumor"),
    ("busi", "ultrasound", "breast", "breast tumor", "none"),
    ("sts_ct", "CT", "limb soft tissue", "tumor", "soft tissue sarcoma"),
    ("sts_mr_t1", "MRI T1", "limb soft tissue", "tumor", "soft tissue sarcoma"),
    ("sts_mr_t1_neg", "MRI T1", "limb soft tissue", "tumor", "none"),
    ("sts_pet", "PET", "limb soft tissue", "tumor", "soft tissue sarcoma"),
    ("ms_flair", "MRI FLAIR", "brain", "white matter lesions", "multiple sclerosis"),
    ("ms_flair_neg", "MRI FLAIR", "brain", "white matter lesions", "none"),
    ("ms_t2", "MRI T2", "brain", "white matter lesions", "multiple sclerosis"),
    ("mbh", "CT", "head", "intracranial hemorrhage", "subdural hemorrhage"),
    ("phe_sich", "CT", "head", "perihematomal edema", "spontaneous intracerebral hemorrhage with edema"),
    ("cpaisd", "CT", "head", "ischemic stroke lesion", "acute ischemic stroke, core and penumbra"),
    ("brisc", "MRI T1 contrast", "brain", "brain tumor", "meningioma"),
    ("msd_lung", "CT", "lung", "lung tumor", "lung cancer"),
    ("npc_t2", "MRI T2", "nasopharynx", "tumor", "nasopharyngeal carcinoma"),
    ("idrid", "fundus photography", "retina", "hard exudates", "diabetic retinopathy"),
    ("phantom", "CT", "abdomen", "liver lesion", "liver lesion"),
    ("phantom", "CT", "head", "brain tumor", "brain tumor"),
)


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """One manifest row for every kind of picture."""
    return [
        Row(
            id=str(number),
            image=f"{number}.png",
            mask=f"{number}_mask.png",
            split="train",
            subset=subset,
            modality=modality,
            anatomy=anatomy,
            target=target,
            disease=disease,
        )
        for number, (subset, modality, anatomy, target, disease) in enumerate(_PICTURES)
    ]
