"""Does the question fit the image and the preset, as far as words and header tell, before any model is asked?

And does what a model then says of the image?
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coreseg_core.record import Outcome
from coreseg_core.taught import Taught
from coreseg_core.terms import terms, understand

FAMILY_NAMES = {
    "CT": "CT",
    "MR": "MRI",
    "PT": "PET",
    "US": "ultrasound",
    "XR": "X-ray",
    "OP": "fundus photography",
    "DERM": "dermoscopy",
    "ES": "endoscopy",
}
IN_COLOUR = frozenset({"OP", "DERM", "ES"})
LITE_MODALITIES = frozenset({"CT", "MR", "PT", "US", "OP", "DERM", "ES"})


@dataclass(frozen=True)
class Refusal:
    """An outcome that needs no model, and why."""

    outcome: Outcome
    reason: str


def refusal(
    question: str, *, modality: str | None, preset: str, taught: Taught | None = None
) -> Refusal | None:
    """Return why a question is not put to the model, None if it is.

    Args:
        question: What is asked.
        modality: Of the image as its header says; None if nothing says it.
        preset: `lite` refuses what it was never trained for; other presets are taken to know more than the list.
        taught: What these weights of `lite` learned since from corrections.
    """
    taught = taught or Taught()
    named = understand(question)
    if modality in FAMILY_NAMES and named.modality_family not in (None, modality):
        asked = FAMILY_NAMES.get(named.modality_family or "", named.modality_family)
        return Refusal(
            "mismatch", f"The question speaks of {asked}, but this image is {FAMILY_NAMES[modality]}."
        )
    if preset != "lite":
        return None
    if modality in FAMILY_NAMES and modality not in LITE_MODALITIES | taught.families:
        return Refusal("unsupported", f"The preset lite was never trained on {FAMILY_NAMES[modality]}.")
    if not named.supported and taught.targets.isdisjoint(named.untaught):
        terms = ", ".join(named.unsupported_terms or named.foils)
        return Refusal("unsupported", f"The preset lite was never trained to find: {terms}.")
    return None


def contradicts_itself(question: str, *, modality: str, anatomy: str) -> bool:
    """Return whether a reply that a question does not fit says of the picture what the question said itself.

    Only where the question names a part of the body or what is found there alone, and nothing else: words that are not
    understood may be what does not fit.

    Args:
        question: What was asked.
        modality: What the picture is, in the reply's words.
        anatomy: What it shows, in the reply's words.
    """
    asked, seen = understand(question), understand(f"{modality} of {anatomy}")
    table = terms()
    # "us" may be us, or ultrasound as it is typed in haste.
    in_haste = {word.lower() for word in table.exact_case}.intersection(
        re.findall(r"[a-z0-9]+", question.lower())
    )
    organ_of = {words.name: words.group for words in table.anatomies}
    organs = {table.target(name).organ for name in asked.targets}
    if asked.anatomy is not None:
        organs.add(organ_of[asked.anatomy])
    return (
        seen.anatomy is not None
        and organs == {organ_of[seen.anatomy]}
        and not asked.untaught
        and (asked.modality_family is not None or not in_haste)
        and asked.modality_family in (None, seen.modality_family)
    )


def misreading(said: str, *, modality: str | None, grey: bool) -> str:
    """Return why an image cannot be what a reply says it is; empty where nothing speaks against it.

    A denial about something that is not there to be seen denies nothing.

    Args:
        said: The modality in the reply's words, or all of its words.
        modality: Of the image as its header says; None if nothing says it.
        grey: Whether the image has no colour.
    """
    family = understand(said).modality_family
    if family is None or family not in FAMILY_NAMES:
        return ""
    if modality in FAMILY_NAMES and family != modality:
        return f"The reply speaks of {FAMILY_NAMES[family]}, but this image is {FAMILY_NAMES[modality]}."
    if grey and family in IN_COLOUR:
        return f"The reply speaks of {FAMILY_NAMES[family]}, but this image has no colour."
    return ""
