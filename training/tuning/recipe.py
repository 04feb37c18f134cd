"""The recipe of a run: a program of this package with its configuration, filled in for what is to be learned."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import InputError
from coreseg_core.models.base_files import TOKENIZER_NAME
from coreseg_core.runs import Order
from training.settings import read_values

MODULES: Mapping[str, str] = {"sft": "training.sft", "grpo": "training.grpo"}
"""Programs that take `--config YAML --minutes N` and leave `log.jsonl` and checkpoints as `training.loop` does."""
_WITH_TOKENIZER = ("training.sft",)


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """Which program each recipe is, and what it begins with.

    Attributes:
        modules: By name of the recipe.
        templates: Folder of `<recipe>_<preset>.yaml`.
    """

    modules: Mapping[str, str] = field(default_factory=lambda: dict(MODULES))
    templates: Path = field(
        default_factory=lambda: Path(str(resources.files("training") / "tuning" / "recipes"))
    )

    def module(self, recipe: str) -> str:
        """Return the program of a recipe.

        Raises:
            InputError: It is not part of this installation.
        """
        name = self.modules.get(recipe, "")
        if not name or importlib.util.find_spec(name) is None:
            raise InputError(
                f"The recipe {recipe!r} is not part of this installation.",
                remedy=f"Use one of {', '.join(sorted(self.installed)) or 'none'}.",
            )
        return name

    @property
    def installed(self) -> list[str]:
        """Names of the recipes whose programs are there."""
        return [name for name, module in self.modules.items() if importlib.util.find_spec(module) is not None]

    def template(self, recipe: str, preset: str) -> dict[str, Any]:
        """Return what a recipe begins with for a preset.

        Raises:
            InputError: There is nothing for this preset.
        """
        path = self.templates / f"{recipe}_{preset.replace('-', '_')}.yaml"
        if not path.is_file():
            raise InputError(
                f"There are no settings to train {preset!r} by {recipe!r}.",
                remedy="Choose another recipe, or write such settings.",
            )
        return read_values(path)


def write_config(
    path: Path, order: Order, recipes: Recipes, *, manifests: Sequence[Path], views: Path, out: Path
) -> dict[str, Any]:
    """Return the configuration of a run's recipe, after writing it where the program reads it."""
    values = recipes.template(order.recipe, order.preset)
    parent = Path(order.parent_folder)
    values |= {
        "preset": order.preset,
        "start": str(parent),
        "manifests": [str(manifest) for manifest in manifests],
        "views": str(views),
        "out": str(out),
        "seed": order.seed,
    }
    if order.base is not None:
        values["base"] = order.base
    if recipes.module(order.recipe) in _WITH_TOKENIZER and (parent / TOKENIZER_NAME).is_file():
        values["tokenizer"] = str(parent / TOKENIZER_NAME)
    if order.steps is not None:
        values["loop"] = {**values["loop"], "steps": order.steps}
    replace_file(path, yaml.safe_dump(values, sort_keys=True).encode())
    return values
