"""How much an answer is to be doubted, from what stands in its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NEVER_ASKED = 0.5


def doubt_of(records: Sequence[Mapping[str, Any]]) -> float:
    """Return 0 (nothing speaks against the answers) to 1 of the most doubtful of some records."""
    return max((_of_record(record) for record in records), default=NEVER_ASKED)


def _of_record(record: Mapping[str, Any]) -> float:
    return max((_of_finding(finding) for finding in record.get("slices", ())), default=NEVER_ASKED)


def _of_finding(finding: Mapping[str, Any]) -> float:
    """Return the strongest of: low confidence, box and mask apart, reasoning and mask apart, no answer at all."""
    if finding.get("outcome") in ("uncertain", "error"):
        return 1.0
    if finding.get("outcome") in ("mismatch", "unsupported"):
        # A rule spoke, not the model: there is nothing that a correction would teach it.
        return 0.0
    claims = finding.get("claims") or ()
    against = sum(claim.get("verdict") == "contradicted" for claim in claims)
    return max(
        1.0 - float(finding.get("confidence", 0.0)),
        1.0 - float(finding.get("box_mask_iou", 1.0)),
        against / len(claims) if claims else 0.0,
    )
