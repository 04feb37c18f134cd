"""What a new version says of where it comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from coreseg_core.checkpoint import read_manifest
from coreseg_core.runs import RunFolder
from training.tuning.lessons import Lessons


def base_for(parent: Path, folder: Path) -> dict[str, Any]:
    """Return what a manifest in `folder` says of the published weights that its parent stands on; nothing without any.

    Args:
        parent: Weight folder, whose manifest may name a folder relative to itself.
        folder: Where the new weights lie.
    """
    base = read_manifest(parent).get("base")
    if not isinstance(base, dict) or "sha256" not in base:
        return {}
    facts = dict(base)
    if "/" in str(facts.get("folder", "")):
        facts["folder"] = Path(os.path.relpath(parent / facts["folder"], folder)).as_posix()
    return {"base": facts}


def facts_of(run: RunFolder, lessons: Lessons, *, steps: int, learned_share: float) -> dict[str, Any]:
    """Return how a version was trained, in numbers."""
    order = run.order
    return {
        "name": order.recipe,
        "seed": order.seed,
        "steps": steps,
        "minutes": round(run.state.learned_s / 60, 2),
        "processes": order.processes,
        "replay_share": order.replay_share,
        "learned_share": learned_share,
        "replay": "base data" if order.replay is not None else "phantoms",
        "guard": "base data" if order.guard is not None else "phantoms",
        "slices": len(lessons.learn),
        "patients": len({row.patient_key for row in lessons.learn}),
        "held_slices": len(lessons.held),
        "replay_pictures": len(lessons.replay),
    }
