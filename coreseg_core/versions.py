"""Model versions: which weights answer now, where they came from, and the way back.

    versions/<utc>-<sha8>/{weights.safetensors, manifest.json}    never changed once they exist
    versions/current.json                                         names one of them; replaced in one step

`v0` is what ships in the package, read-only; without a `current.json` it is the one that answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from coreseg_core.checkpoint import (
    WEIGHTS_NAME,
    publish_folder,
    read_manifest,
    replace_file,
    sha256_of,
    write_manifest,
    write_tensors,
)
from coreseg_core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = "v0"
CURRENT_NAME = "current.json"
CURRENT_SCHEMA = "coreseg.current/1"

Default = TypeVar("Default", bound=Path | None)
State = Literal["candidate", "accepted", "rejected"]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a model version came from and how it did.

    Attributes:
        preset: The preset the weights belong to.
        base: Name and SHA-256 of the weights that training began from, or of the frozen parts they need.
        parent: The version this one was fine-tuned from, None for a first one.
        data: For each manifest of training rows, its SHA-256.
        scores: What was measured, on which rows.
        guard: What the comparison with the parent said; None where none was made.
        state: `accepted` versions may become current.
    """

    preset: str
    base: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, Any] | None = None
    state: State = "candidate"


def publish_version(
    versions_dir: Path,
    tensors: Mapping[str, Tensor],
    provenance: Provenance,
    *,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Return the folder of a new, immutable version; it does not answer until `set_current` names it."""
    now = datetime.now(UTC)

    def fill(place: Path) -> str:
        write_tensors(place, tensors)
        for name, content in (files or {}).items():
            (place / name).write_bytes(content)
        version = f"{now:%Y%m%dT%H%M%SZ}-{sha256_of(place / WEIGHTS_NAME)[:8]}"
        created = now.isoformat(timespec="seconds")
        write_manifest(place, {**asdict(provenance), "version": version, "created": created})
        return version

    return publish_folder(Path(versions_dir), fill)


def set_current(versions_dir: Path, name: str) -> None:
    """Make version `name` (or `v0`, what shipped) the one that answers from the next question on.

    Raises:
        CheckpointError: There is no such version, it is altered, or it was rejected.
    """
    versions_dir = Path(versions_dir)
    choice: dict[str, Any] = {"schema": CURRENT_SCHEMA, "version": name}
    if name != SHIPPED:
        manifest = read_manifest(_folder_of(versions_dir, name))
        if manifest.get("state") == "rejected":
            raise CheckpointError(
                f"Version {name!r} was rejected by its guard.", remedy="Choose an accepted version."
            )
        choice["digest"] = manifest["digest"]
    versions_dir.mkdir(parents=True, exist_ok=True)
    replace_file(versions_dir / CURRENT_NAME, (json.dumps(choice, indent=2) + "\n").encode())


def resolve_current(versions_dir: Path, default: Default) -> Path | Default:
    """Return the weight folder that answers now: the one `current.json` names, else `default`, what shipped.

    Raises:
        CheckpointError: `current.json` is unreadable, or the version it names is missing or another one.
    """
    versions_dir = Path(versions_dir)
    path = versions_dir / CURRENT_NAME
    if not path.exists():
        return default
    remedy = f"Choose a version again, or remove {CURRENT_NAME} to return to the weights that shipped."
    try:
        choice = json.loads(path.read_bytes())
        schema, name = choice["schema"], choice["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{CURRENT_NAME} of the model versions is unreadable.", remedy=remedy
        ) from error
    if schema != CURRENT_SCHEMA or not isinstance(name, str):
        raise CheckpointError(f"{CURRENT_NAME} is not of schema {CURRENT_SCHEMA}.", remedy=remedy)
    if name == SHIPPED:
        return default
    folder = _folder_of(versions_dir, name)
    if read_manifest(folder)["digest"] != choice.get("digest"):
        raise CheckpointError(f"Version {name!r} is not the one that was chosen.", remedy=remedy)
    return folder


def _folder_of(versions_dir: Path, name: str) -> Path:
    if not name or name != Path(name).name or name.startswith("."):
        raise CheckpointError(
            f"{name!r} is not a version name.", remedy="Version names look like 20260131T120000Z-1a2b3c4d."
        )
    folder = versions_dir / name
    if not folder.is_dir():
        raise CheckpointError(
            f"There is no version {name!r}.", remedy=f"Choose one of the folders there, or {SHIPPED!r}."
        )
    return folder
