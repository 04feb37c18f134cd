"""Does the question fit the image and the preset, as far as words and header tell, before any model is asked?

And does what a model then says of the image?
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coreseg_core.record import Outcome
from coreseg_core.taught import Taught
from coreseg_core.terms import Understanding, terms, understand

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
MAX_HEADING_WORDS = 8
"""Of what a picture is, before a colon; more are prose."""
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
    # "us" may be us, or ultrasound as it is typed in haste.
    in_haste = {word.lower() for word in terms().exact_case}.intersection(
        re.findall(r"[a-z0-9]+", question.lower())
    )
    return (
        bool(_organs(asked))
        and _organs(asked) == _organs(seen)
        and not asked.untaught
        and (asked.modality_family is not None or not in_haste)
        and asked.modality_family in (None, seen.modality_family)
    )


def strays(question: str, *, reasoning: str, class_name: str) -> str:
    """Return why a reply is none to the question, empty where it may be one.

    Asked for a haemorrhage on a picture that it calls dermoscopy of skin, a model may mark, or deny, a skin lesion.
    Whether a haemorrhage is there has not been answered.

    Args:
        question: What was asked.
        reasoning: Of the reply; a few words before a colon say what the picture is, as `lite` begins.
        class_name: What was marked or denied.
    """
    heading, colon, _ = reasoning.partition(":")
    titled = bool(colon) and len(heading.split()) <= MAX_HEADING_WORDS
    asked, seen = understand(question), understand(heading if titled else "")
    families = (asked.modality_family, seen.modality_family)
    if None not in families and families[0] != families[1]:
        named = [FAMILY_NAMES.get(family or "", family) for family in families]
        return f"The question speaks of {named[0]}, but the model takes the image for {named[1]}."
    # "Known breast cancer, anything new?" asks for more than it names.
    if asked.generic or not _organs(asked):
        return ""
    for said in (seen, understand(class_name)):
        if _organs(said) and not _organs(asked) & _organs(said):
            about = class_name or said.anatomy
            return f"The question is about another part of the body than the model's reply ({about})."
    return ""


def _organs(named: Understanding) -> set[str]:
    """Return the organs that targets and anatomy belong to."""
    table = terms()
    found = {table.target(name).organ for name in named.targets}
    return found | {words.group for words in table.anatomies if words.name == named.anatomy}


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
