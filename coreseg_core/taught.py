"""What weights were taught after they shipped: targets and kinds of images of the place that corrected them.

Kept in the manifest of the weights. `inference.fitting` turns questions away that the preset was never trained for;
what readers have taught it since is asked like anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coreseg_core.errors import CheckpointError

FACT = "taught"
"""Where a manifest of weights says it."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What was learned from corrections, beyond what the preset was trained for.

    Attributes:
        targets: Names, as in the table of terms.
        families: Modality families ("XR").
    """

    targets: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()

    def __or__(self, other: Taught) -> Taught:
        """Return what either was taught."""
        return Taught(targets=self.targets | other.targets, families=self.families | other.families)

    def to_json(self) -> dict[str, list[str]]:
        """Return it as JSON values."""
        return {"targets": sorted(self.targets), "families": sorted(self.families)}


def read_taught(manifest: Mapping[str, Any]) -> Taught:
    """Return what some weights were taught, nothing where their manifest does not say.

    Raises:
        CheckpointError: The manifest says it in a way that cannot be read.
    """
    stated = manifest.get(FACT)
    if stated is None:
        return Taught()
    try:
        names = {key: stated[key] for key in ("targets", "families")}
        if not all(isinstance(name, str) for found in names.values() for name in found):
            raise TypeError("a name is no text")
        return Taught(**{key: frozenset(found) for key, found in names.items()})
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            "The manifest of the weights says in a way that cannot be read what they were taught.",
            remedy=f"Take {FACT!r} out of the manifest, or train the version again.",
        ) from error
