"""Model versions: which weights answer now, where they came from, and the way back.

    versions/<utc>-<sha8>/{weights.safetensors, manifest.json}    never changed once they exist
    versions/current.json                                         names one of them; replaced in one step

`v0` is what ships in the package, read-only; without a `current.json` it is the one that answers. `current.json` also
remembers what answered before, so that the way back is one step. A version whose guard was not passed is a `candidate`:
it waits, and answers only if somebody says so in spite of its guard.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from filelock import FileLock

from coreseg_core.checkpoint import (
    UNPUBLISHED_PREFIX,
    WEIGHTS_NAME,
    publish_folder,
    read_manifest,
    replace_file,
    sha256_of,
    verify_folder,
    write_manifest,
    write_tensors,
)
from coreseg_core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = "v0"
CURRENT_NAME = "current.json"
CURRENT_SCHEMA = "coreseg.current/1"
REMEMBERED = 20
"""Versions that answered before and that one can go back to."""
_LOCK = ".lock"
_PRUNED_PREFIX = ".pruned-"
_STALE_S = 3600
_MEND = f"Choose a version again, or remove {CURRENT_NAME} to return to the weights that shipped."

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
        recipe: How it was trained: settings, steps, seed.
        scores: What was measured, on which rows.
        guard: What the comparison with the parent said; None where none was made.
        learned: Patients, as hashes, that it or a version before it was trained on.
        run: The training run it came of.
        state: `accepted` versions may become current; a `candidate` waits for somebody to decide.
    """

    preset: str
    base: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, Any] | None = None
    learned: tuple[str, ...] = ()
    run: str | None = None
    state: State = "candidate"


@dataclass(frozen=True, kw_only=True)
class Current:
    """Which version answers.

    Attributes:
        version: Its name.
        digest: Of its manifest; None for what shipped.
        before: Names of those that answered before, the latest last.
    """

    version: str = SHIPPED
    digest: str | None = None
    before: tuple[str, ...] = ()


def publish_version(
    versions_dir: Path,
    tensors: Mapping[str, Tensor],
    provenance: Provenance,
    *,
    facts: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Return the folder of a new, immutable version; it does not answer until `set_current` names it.

    Args:
        versions_dir: Where versions lie; made if it is not there.
        tensors: Its weights.
        provenance: Where it comes from.
        facts: What else its manifest says, as whoever loads the weights reads it.
        files: What lies beside the weights, by name.
    """
    now = datetime.now(UTC)

    def fill(place: Path) -> str:
        write_tensors(place, tensors)
        for name, content in (files or {}).items():
            (place / name).write_bytes(content)
        version = f"{now:%Y%m%dT%H%M%SZ}-{sha256_of(place / WEIGHTS_NAME)[:8]}"
        created = now.isoformat(timespec="seconds")
        stated = {**(facts or {}), **asdict(provenance), "version": version, "created": created}
        write_manifest(place, stated)
        return version

    return publish_folder(Path(versions_dir), fill)


def set_current(
    versions_dir: Path, name: str, *, despite_guard: bool = False, instead_of: str | None = None
) -> None:
    """Make version `name` (or `v0`, what shipped) the one that answers from the next question on.

    Args:
        versions_dir: Where versions lie.
        name: Of one of them.
        despite_guard: Take one that waits because of its guard.
        instead_of: Do so only if this one answers now.

    Raises:
        CheckpointError: There is no such version, it is altered, it waits or was rejected, or another one than
            `instead_of` answers now.
    """
    versions_dir = Path(versions_dir)
    digest = None
    if name != SHIPPED:
        manifest = verify_folder(_folder_of(versions_dir, name))
        _require_fit(manifest, despite_guard=despite_guard)
        digest = str(manifest["digest"])
    versions_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(versions_dir / _LOCK):
        now = _readable_current(versions_dir)
        if instead_of is not None and now.version != instead_of:
            raise CheckpointError(
                f"Version {now.version!r} answers now, not {instead_of!r}.",
                remedy="Compare with the one that answers, then choose.",
            )
        before = now.before if name == now.version else (*now.before, now.version)[-REMEMBERED:]
        _write_current(versions_dir, Current(version=name, digest=digest, before=before))


def roll_back(versions_dir: Path) -> str:
    """Return the version that answers from the next question on: the last one before that is still there.

    Raises:
        CheckpointError: None answered before, or what did is altered.
    """
    versions_dir = Path(versions_dir)
    versions_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(versions_dir / _LOCK):
        now = read_current(versions_dir)
        # Those that were pruned since would bar the way to the ones before them for ever.
        before = [name for name in now.before if name == SHIPPED or (versions_dir / name).is_dir()]
        if not before:
            raise CheckpointError(
                f"No version answered before {now.version!r}.", remedy="There is nothing to go back to."
            )
        name = before.pop()
        digest = None
        if name != SHIPPED:
            digest = str(verify_folder(_folder_of(versions_dir, name))["digest"])
        _write_current(versions_dir, Current(version=name, digest=digest, before=tuple(before)))
    return name


def read_current(versions_dir: Path) -> Current:
    """Return which version answers, as `current.json` says; what shipped where there is none.

    Raises:
        CheckpointError: `current.json` is unreadable.
    """
    try:
        values = json.loads((Path(versions_dir) / CURRENT_NAME).read_bytes())
        schema, name, before = values["schema"], values["version"], values.get("before", [])
        digest = values.get("digest")
    except FileNotFoundError:
        return Current()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{CURRENT_NAME} of the model versions is unreadable.", remedy=_MEND) from error
    if schema != CURRENT_SCHEMA or not isinstance(name, str) or not isinstance(before, list):
        raise CheckpointError(f"{CURRENT_NAME} is not of schema {CURRENT_SCHEMA}.", remedy=_MEND)
    return Current(version=name, digest=digest, before=tuple(str(earlier) for earlier in before))


def resolve_current(versions_dir: Path, default: Default) -> Path | Default:
    """Return the weight folder that answers now: the one `current.json` names, else `default`, what shipped.

    Raises:
        CheckpointError: `current.json` is unreadable, or the version it names is missing or another one.
    """
    versions_dir = Path(versions_dir)
    current = read_current(versions_dir)
    if current.version == SHIPPED:
        return default
    folder = _folder_of(versions_dir, current.version)
    if read_manifest(folder)["digest"] != current.digest:
        raise CheckpointError(f"Version {current.version!r} is not the one that was chosen.", remedy=_MEND)
    return folder


def list_versions(versions_dir: Path) -> list[dict[str, Any]]:
    """Return the manifests of all whole versions, the oldest first; one that is damaged is left out."""
    found = []
    for folder in sorted(Path(versions_dir).glob("[!.]*/")):
        with suppress(CheckpointError):
            manifest = read_manifest(folder)
            if manifest.get("version") == folder.name:
                found.append(manifest)
    return found


def prune_versions(versions_dir: Path, *, keep: int, spare: str | None = None) -> list[str]:
    """Return the names of the versions that were removed.

    What answers, all it came from, what answered before it, and the `keep` newest stay, and so does `spare`.
    """
    versions_dir = Path(versions_dir)
    with FileLock(versions_dir / _LOCK):
        manifests = {str(manifest["version"]): manifest for manifest in list_versions(versions_dir)}
        current = read_current(versions_dir)
        needed = {*_lineage(current.version, manifests), *current.before[-1:], spare}
        needed.update(list(manifests)[-keep:] if keep > 0 else ())
        removed = [name for name in manifests if name not in needed]
        for name in removed:
            # In one step first, so that nobody sees half a version.
            (versions_dir / name).rename(versions_dir / f"{_PRUNED_PREFIX}{name}")
    for folder in versions_dir.glob(f"{_PRUNED_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in versions_dir.glob(f"{UNPUBLISHED_PREFIX}*"):
        if folder.stat().st_mtime < time.time() - _STALE_S:
            shutil.rmtree(folder, ignore_errors=True)
    return removed


def _readable_current(versions_dir: Path) -> Current:
    """Return which version answers; whoever chooses another one mends a file that nobody can read."""
    try:
        return read_current(versions_dir)
    except CheckpointError:
        return Current()


def _lineage(name: str, manifests: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return a version and all that it came from."""
    found: set[str] = set()
    parent: str | None = name
    while parent is not None and parent not in found:
        found.add(parent)
        parent = manifests.get(parent, {}).get("parent")
    return found


def _require_fit(manifest: Mapping[str, Any], *, despite_guard: bool) -> None:
    name = manifest.get("version")
    if manifest.get("state") == "rejected":
        raise CheckpointError(
            f"Version {name!r} was rejected by its guard.", remedy="Choose an accepted version."
        )
    if manifest.get("state") == "candidate" and not despite_guard:
        why = (manifest.get("guard") or {}).get("reason") or "nobody has judged it"
        raise CheckpointError(
            f"Version {name!r} waits: {why}.", remedy="Choose an accepted version, or say `despite_guard`."
        )


def _write_current(versions_dir: Path, current: Current) -> None:
    values = {
        "schema": CURRENT_SCHEMA,
        "version": current.version,
        **({} if current.digest is None else {"digest": current.digest}),
        "before": list(current.before),
    }
    replace_file(versions_dir / CURRENT_NAME, (json.dumps(values, indent=2) + "\n").encode())


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
