"""What an operator chooses about learning from corrections, read from `--conf`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coreseg_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """Where runs and versions lie, and what is learned and judged beside corrections.

    `--conf` keys: `versions`, `runs` (folders), `replay`, `guard` (manifests of base data; phantoms where they are not
    named), `keep_versions`.

    Attributes:
        versions_dir: Fine-tuned versions.
        runs_dir: Training runs.
        replay: Base data that is learned beside corrections.
        guard: Base data that a version must not answer worse than its parent.
        keep: Newest versions that stay.
    """

    versions_dir: Path
    runs_dir: Path
    replay: Path | None = None
    guard: Path | None = None
    keep: int = 5

    @classmethod
    def read(cls, conf: Mapping[str, str], app_dir: Path) -> LearningSettings:
        """Return the settings; what is not named takes its default.

        Raises:
            InputError: A manifest that is not there, or no number where one must be.
        """
        keep = conf.get("keep_versions", "5")
        if not (keep.isascii() and keep.isdecimal() and len(keep) < 5):
            raise InputError(
                f"The setting keep_versions is {keep[:40]!r}.", remedy="Give a whole number from 0."
            )
        versions = Path(conf.get("versions", app_dir / "model" / "versions"))
        return cls(
            versions_dir=versions.absolute(),
            runs_dir=Path(conf.get("runs", app_dir / "model" / "runs")).absolute(),
            replay=_manifest(conf, "replay"),
            guard=_manifest(conf, "guard"),
            keep=int(keep),
        )


def _manifest(conf: Mapping[str, str], key: str) -> Path | None:
    if key not in conf:
        return None
    path = Path(conf[key]).absolute()
    if not path.is_file():
        raise InputError(f"The setting {key} names no file.", remedy="Name a manifest of base data.")
    return path
