"""A picture of a run's curves from its JSONL log."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_SKIPPED = frozenset({"step", "seconds", "lr"})


def draw_curves(log: Path, picture: Path) -> None:
    """Write a PNG with one small plot a term, training and development apart."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    names = sorted({name for line in lines for name in line} - _SKIPPED)
    if not names:
        return
    columns = 4
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.4 * rows), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        points = [(line["step"], line[name]) for line in lines if name in line]
        axis.plot(*zip(*points, strict=True), lw=1, marker="." if len(points) < 20 else None)
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=90)
    plt.close(figure)
