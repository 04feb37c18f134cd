"""Coordinates in a reasoning, found and taken out: they would be a short cut to the answer (arXiv 2603.05911)."""

from __future__ import annotations

import re

_NUMBER = r"-?\d+(?:\.\d+)?"
_LEAD = (
    r"(?:\b(?:at|around|near|within|inside|in|about|approximately|spanning|with|the|bounding|box|boxes|located|"
    r"centred|centered)\s+)*"
)
_COORDINATES = re.compile(
    "|".join(
        [
            rf"{_LEAD}(?:\b(?:coordinates?|position|pixels?)\s*)?[\[(]+\s*{_NUMBER}(?:\s*[,;]\s*{_NUMBER})+\s*[\])]+",
            rf"{_LEAD}\b[xy](?:_?[a-z0-9]{{1,3}})?\s*[=:≈~]\s*{_NUMBER}(?:\s*(?:px|pixels?)\b)?",
            rf"{_LEAD}\b(?:pixels?|px|rows?|columns?|coordinates?)\s*[:=#]?\s*{_NUMBER}"
            rf"(?:\s*(?:,|and|to|-|–|x|×)\s*{_NUMBER})*",
            rf"{_LEAD}{_NUMBER}(?:\s*(?:,|and|to|-|–|x|×|by)\s*{_NUMBER})*\s*(?:px|pixels?)\b",
            rf"{_LEAD}\b\d{{1,4}}(?:\s*,\s*\d{{1,4}}){{2,}}\b",
        ]
    ),
    re.IGNORECASE,
)


def has_coordinates(text: str) -> bool:
    """Return whether a text says where something lies in numbers; sizes in millimetres and T1 or T2 are none."""
    return _COORDINATES.search(text) is not None


def without_coordinates(text: str) -> str:
    """Return the text without its coordinates and the little words that led up to them."""
    bare = text
    while (stripped := _COORDINATES.sub(" ", bare)) != bare:
        bare = stripped
    bare = re.sub(r"\(\s*\)|\[\s*\]", " ", bare)
    bare = re.sub(r"\s+([,.;:])", r"\1", re.sub(r"\s+", " ", bare))
    return re.sub(r"[,;:]+(?=[.;,])", "", bare).strip()
