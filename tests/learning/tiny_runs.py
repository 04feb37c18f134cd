"""Runs in which all is real but what costs minutes: tiny weights, a recipe that learns nothing, marks by rule.

    python tests/learning/tiny_runs.py RUN

performs a run as `python -m training.tuning RUN` does.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from coreseg_core.checkpoint import load_weights, save_weights
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.corrections import CHANGED_WEIGHT
from coreseg_core.evaluation.manifest import Row, write_manifest
from coreseg_core.imaging.png import png_bytes
from coreseg_core.runs import Order, RunFolder
from training.tuning.course import Tools, perform
from training.tuning.judging import Marks
from training.tuning.learning import LogFollower, learn
from training.tuning.recipe import Recipes

STEPS = 3
HERE = Path(__file__).resolve().parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        [str(HERE.parents[1]), str(HERE), str(HERE.parents[1] / "apps" / "coreseg")]
    ),
}


def command(run: RunFolder) -> Sequence[str]:
    """Return the command that performs a run."""
    return [
        "env",
        f"PYTHONPATH={ENVIRONMENT['PYTHONPATH']}",
        sys.executable,
        str(Path(__file__)),
        str(run.path),
    ]


def marks_by_rule(folder: Path, asks: Sequence[Ask]) -> Marks:
    """Return marks that follow the first weight: 0 is as good as it gets, and every bit away from it is worse."""
    tensors, _ = load_weights(folder)
    worth = 0.8 - min(0.8, float(tensors["x"][0]))
    return Marks(
        dice=tuple(worth if ask.kind == "present" else float("nan") for ask in asks),
        right=(1.0,) * len(asks),
    )


def no_views(rows: Sequence[Row], views: Sequence[int], folder: Path, **_: Any) -> None:
    """Make nothing: the recipe looks at nothing."""


def learn_here(run: RunFolder, module: str, config: Mapping[str, Any], path: Path) -> None:
    """Let the recipe learn in this process, which is started already."""
    follow = LogFollower(run, Path(config["out"]) / "log.jsonl")
    run.change(steps=config["loop"]["steps"])
    importlib.import_module(module).main(["--config", str(path)])
    follow()


def tools(folder: Path, *, apart: bool = False) -> Tools:
    """Return what tiny runs are performed with; the templates lie beside the runs.

    Args:
        folder: Of the runs.
        apart: Whether the recipe learns in processes of its own, as real ones do.
    """
    recipes = Recipes(modules={"sft": "tiny_recipe"}, templates=folder / "templates")
    return Tools(recipes=recipes, judge=marks_by_rule, embed=no_views, learn=learn if apart else learn_here)


def make_place(folder: Path, *, added: float = 0.0, pause_s: float = 0.0) -> Path:
    """Return a folder with tiny parent weights, a template, base data to guard by, and a manifest of corrections."""
    save_weights(folder / "parent", {"x": torch.zeros(4)}, {"preset": "lite", "version": "v0"})
    (folder / "runs" / "templates").mkdir(parents=True)
    template = {"loop": {"steps": STEPS}, "added": added, "pause_s": pause_s}
    (folder / "runs" / "templates" / "sft_lite.yaml").write_text(yaml.safe_dump(template))
    write_rows(folder / "base", patients=24, split="val")
    return folder


def order_in(folder: Path, **values: Any) -> Order:
    """Return an order for what `make_place` made."""
    made = Order(
        recipe="sft",
        preset="lite",
        parent="v0",
        parent_folder=str(folder / "parent"),
        versions_dir=str(folder / "versions"),
        guard=str(folder / "base" / "manifest.jsonl"),
        replay_share=0.0,
        device="cpu",
    )
    return replace(made, **values)


def write_rows(folder: Path, *, patients: int, split: str = "train", shift_px: int = 0) -> Path:
    """Write pictures of bright discs with their masks, moved to the right or not, and return their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(patients):
        rng = np.random.default_rng(number)
        ys, xs = np.mgrid[:48, :64]
        disc = np.hypot(ys - rng.uniform(16, 32), xs - rng.uniform(20, 44)) < 7
        grey = np.clip(80 + rng.normal(0, 8, disc.shape) + 60 * disc, 0, 255).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(png_bytes(grey))
        (folder / f"{number}.mask.png").write_bytes(png_bytes(np.roll(disc, shift_px, axis=1)))
        rows += [
            Row(
                id=f"{split}-{number}",
                image=f"{number}.png",
                mask=f"{number}.mask.png",
                split=split,
                subset="discs",
                modality="CT",
                anatomy="liver",
                disease="liver lesion",
                target="liver lesion",
                patient=f"p{number}",
                area_frac=0.05,
                query="Is there a liver lesion?" if split == "train" else None,
                weight=CHANGED_WEIGHT if split == "train" else 1.0,
                origin="correction" if split == "train" else "public",
            )
        ]
    write_manifest(folder / "manifest.jsonl", rows)
    return folder / "manifest.jsonl"


def write_corrections(manifest: Path) -> None:
    """Write ten corrections where a run looks for them."""
    write_rows(manifest.parent, patients=10)


def versions_told(folder: Path) -> list[dict[str, Any]]:
    """Return the manifests of all versions that are not hidden, whole or not."""
    found = [path for path in (folder / "versions").glob("[!.]*") if path.is_dir()]
    return [json.loads((path / "manifest.json").read_bytes()) for path in sorted(found)]


if __name__ == "__main__":
    perform(RunFolder(Path(sys.argv[1])), tools(Path(sys.argv[1]).parent, apart=True))
