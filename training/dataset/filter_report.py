"""What the filter shows a person: both curves of each set, the kept share, pictures of kept and dropped cases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import overlay_png
from coreseg_core.imaging.pictures import picture_slice
from training.dataset.difficulty import Difficulty
from training.dataset.steps import make_folder, table, write_report

if TYPE_CHECKING:
    from training.dataset.filtering import FilteredSet

PICTURES_EACH = 4
MAX_FOLDER_CHARS = 40
Floats = NDArray[np.float64]


def set_folder(work: Path, name: str) -> Path:
    """Return the folder of a set in the step's folder, whatever the set is called; no two sets share one."""
    words = "".join(letter if letter.isalnum() else "-" for letter in name.lower())[:MAX_FOLDER_CHARS]
    return work / f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_filter_report(work: Path, filtered: Sequence[FilteredSet], *, folds: int) -> None:
    """Write report, curves and pictures into the step's folder.

    Raises:
        InputError: The place cannot be written.
    """
    lines, facts = [], []
    for one in filtered:
        folder = make_folder(set_folder(work, one.name))
        dices = _dices(one)
        if one.scores:
            draw_decision(folder / "curves.png", dices, one.decision, title=one.name)
            _write_pictures(folder, one)
        lesions = sum(not row.lesion_free for row in one.rows)
        free = sum(row.lesion_free for row in one.rows)
        kept_free = sum(row.lesion_free and row.id in one.kept for row in one.rows)
        kept = len(one.kept) - kept_free
        share = kept / max(1, lesions)
        decision = one.decision
        facts.append(
            {
                "set": one.name,
                "folder": folder.name,
                "lesions": lesions,
                "kept": kept,
                "kept_share": round(share, 4),
                "lesion_free": free,
                "kept_lesion_free": kept_free,
                **decision.to_json(),
            }
        )
        alpha = f"{decision.law.alpha:.2f}" if decision.law else "-"
        knee = f"{decision.knee.value:.3f}" if decision.knee else "-"
        lines.append(
            [one.name, lesions, alpha, knee, f"{decision.threshold:.3f}", decision.why, kept, f"{share:.1%}",
             f"{kept_free} of {free}"]
        )  # fmt: skip
    head = ["set", "lesions", "alpha", "knee", "threshold", "by", "kept", "share", "lesion-free kept"]
    text = (
        f"Every picture was scored by a U-Net of those of {folds} folds that do not hold its patient. Pictures "
        "whose Dice is at most the threshold were kept. Each set's folder holds its curves and pictures.\n\n"
        f"{table(head, lines)}"
    )
    write_report(work, "filter", {"folds": folds, "sets": facts}, text)


def draw_decision(path: Path, dices: Floats, decision: Difficulty, *, title: str) -> None:
    """Write a PNG: Dice by rank with knee and threshold, and how often an error is exceeded with the fitted law."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    _draw_ranking(left, dices, decision)
    _draw_law(right, 1.0 - dices, decision)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_ranking(axis: Axes, dices: Floats, decision: Difficulty) -> None:
    axis.plot(np.sort(dices)[::-1], lw=1.2, label="U-Net, out of fold")
    if decision.knee is not None:
        axis.plot(decision.knee.rank, decision.knee.value, "o", label=f"knee {decision.knee.value:.3f}")
    axis.axhline(decision.threshold, color="tab:red", ls="--", label=f"threshold {decision.threshold:.3f}")
    axis.set(xlabel="rank", ylabel="Dice", ylim=(-0.02, 1.02))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)


def _draw_law(axis: Axes, errors: Floats, decision: Difficulty) -> None:
    positive = np.sort(errors[errors > 0])
    if positive.size:
        axis.step(positive, 1.0 - np.arange(positive.size) / positive.size, where="post", label="errors")
    law = decision.law
    if law is not None and positive.size:
        x = np.geomspace(law.minimum, max(1.0, law.minimum * 1.01))
        y = law.above / positive.size * (x / law.minimum) ** (1.0 - law.alpha)
        axis.plot(x, y, "--", color="tab:red", label=f"alpha {law.alpha:.2f} from {law.minimum:.3f}")
    axis.set(xlabel="error 1 - Dice", ylabel="share of errors at least so large", xscale="log", yscale="log")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, which="both")


def _write_pictures(folder: Path, one: FilteredSet) -> None:
    """Write the hardest kept and the easiest dropped pictures with their true outline."""
    scored = [row for row in one.rows if one.scores[row.id].dice is not None]
    ranked = sorted(scored, key=lambda row: (one.scores[row.id].dice or 0.0, row.id))
    kept = [row for row in ranked if row.id in one.kept]
    dropped = [row for row in reversed(ranked) if row.id not in one.kept]
    for name, rows in (("kept", kept), ("dropped", dropped)):
        place = make_folder(folder / name)
        for number, row in enumerate(rows[:PICTURES_EACH]):
            _draw_case(place / f"{number}.png", row, f"{name}; Dice {one.scores[row.id].dice:.3f}")


def _draw_case(path: Path, row: Row, words: str) -> None:
    picture = load_picture(row)
    shown = picture_slice(picture.rgb, pixel_mm=picture.pixel_mm)
    title = f"{row.modality} of {row.anatomy}: {row.target}"
    overlay_png(path, shown, picture.mask, row.boxes_xyxy or (), [title, words])


def _dices(one: FilteredSet) -> Floats:
    values = [score.dice for score in one.scores.values()]
    return np.array([value for value in values if value is not None], dtype=np.float64)
