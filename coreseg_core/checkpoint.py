"""Weights as a folder: safetensors and a manifest that names the SHA-256 of every file; nothing is pickled.

A folder appears whole or not at all: it is written under a temporary name, flushed to the disk and then
renamed. It is verified before a single tensor is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from coreseg_core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "coreseg.weights/1"
WEIGHTS_NAME = "weights.safetensors"
MANIFEST_NAME = "manifest.json"
UNPUBLISHED_PREFIX = ".publishing-"
"""Of folders that are being made; one that stays is what a killed process left."""
CHUNK_BYTES = 1 << 20
RESTORE = "Copy the folder again from where it came, or install the package again."


def save_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """Write a new weight folder in one step and return its manifest.

    Args:
        folder: The folder to make; it must not exist, because published weights never change.
        tensors: Parameter name to tensor; copied to the CPU as they are.
        facts: What the manifest says besides the hashes (preset, version, data, scores ...); JSON values.
        files: Further files that belong to the weights (a tokenizer, say), name to content.

    Raises:
        CheckpointError: The folder exists already.
    """
    folder = Path(folder)

    def fill(place: Path) -> str:
        write_tensors(place, tensors)
        for name, content in (files or {}).items():
            (place / name).write_bytes(content)
        write_manifest(place, facts)
        return folder.name

    return read_manifest(publish_folder(folder.parent, fill))


def load_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) and the manifest of a weight folder, after every hash was checked.

    Raises:
        CheckpointError: A file is missing, altered, truncated or not of this manifest.
    """
    folder = Path(folder)
    manifest = verify_folder(folder)
    try:
        with safe_open(folder / WEIGHTS_NAME, framework="pt", device="cpu") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}, manifest  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{WEIGHTS_NAME} is not a safetensors file ({error}).", remedy=RESTORE
        ) from error


def verify_folder(folder: Path) -> dict[str, Any]:
    """Return the manifest of a weight folder whose every file has the size and SHA-256 that it names."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        _verify_file(folder / name, expected)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a weight folder, checked against its own digest; the files are not read."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"There is no weight folder {folder.name!r}.", remedy=RESTORE)
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{MANIFEST_NAME} is missing in {folder.name!r}.", remedy=RESTORE) from error
    except ValueError as error:
        raise CheckpointError(f"{MANIFEST_NAME} in {folder.name!r} is not JSON.", remedy=RESTORE) from error
    _check_manifest(manifest, folder.name)
    return manifest


def publish_folder(parent: Path, fill: Callable[[Path], str]) -> Path:
    """Return a folder that appeared under `parent` in one step; on any error nothing is left.

    Args:
        parent: Where the folder is to stand; made if it is not there.
        fill: Writes the files into the folder it is given and returns the name that folder is to have.

    Raises:
        CheckpointError: A folder of that name exists; published weights never change.
    """
    parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=UNPUBLISHED_PREFIX, dir=parent))
    try:
        folder = parent / fill(workplace)
        if folder.exists():
            raise CheckpointError(
                f"The folder {folder.name!r} exists already; published weights never change.",
                remedy="Choose another name, or remove the folder first.",
            )
        workplace.chmod(0o755)
        for path in workplace.iterdir():
            _flush(path)
        _flush(workplace)
        os.replace(workplace, folder)
        _flush(parent)
        return folder
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def write_tensors(place: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as `weights.safetensors` into a folder that is being made."""
    # Imported here because it loads torch, which reading a manifest does not need.
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, place / WEIGHTS_NAME, metadata={"format": "pt"})


def write_manifest(place: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of a folder that is being made: the facts, and the hash of every file in it."""
    files = {
        path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(place.iterdir())
    }
    manifest: dict[str, Any] = {**facts, "schema": SCHEMA, "files": files}
    manifest["digest"] = _digest(manifest)
    (place / MANIFEST_NAME).write_bytes(_written(manifest))


def replace_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Change some of what the manifest of a folder says besides its files; it changes in one step.

    Raises:
        CheckpointError: The folder has no manifest, or one that was altered.
    """
    manifest: dict[str, Any] = {**read_manifest(folder), **facts}
    manifest["digest"] = _digest(manifest)
    replace_file(Path(folder) / MANIFEST_NAME, _written(manifest))


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step: readers see the old content or the new, never a part."""
    descriptor, name = tempfile.mkstemp(prefix=".replacing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        _flush(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check_manifest(manifest: object, folder_name: str) -> None:
    where = f"{MANIFEST_NAME} in {folder_name!r}"
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise CheckpointError(f"{where} is not of schema {SCHEMA}.", remedy=RESTORE)
    if manifest.get("digest") != _digest(manifest):
        raise CheckpointError(f"{where} was altered after it was written.", remedy=RESTORE)
    files = manifest.get("files")
    if not isinstance(files, dict) or WEIGHTS_NAME not in files:
        raise CheckpointError(f"{where} does not list {WEIGHTS_NAME}.", remedy=RESTORE)
    for name, expected in files.items():
        if name != Path(name).name or name in {"", ".", ".."}:
            raise CheckpointError(f"{where} lists a file outside its folder.", remedy=RESTORE)
        if not isinstance(expected, dict) or not {"sha256", "bytes"} <= expected.keys():
            raise CheckpointError(f"{where} does not say size and SHA-256 of every file.", remedy=RESTORE)


def _verify_file(path: Path, expected: Mapping[str, Any]) -> None:
    where = f"{path.name} in {path.parent.name!r}"
    if not path.is_file():
        raise CheckpointError(f"{where} is missing.", remedy=RESTORE)
    size_bytes = path.stat().st_size
    if size_bytes != expected["bytes"]:
        raise CheckpointError(
            f"{where} has {size_bytes} bytes; its manifest says {expected['bytes']}.", remedy=RESTORE
        )
    if sha256_of(path) != expected["sha256"]:
        raise CheckpointError(
            f"{where} is not the file its manifest names (SHA-256 differs).", remedy=RESTORE
        )


def _written(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the manifest without its own digest, in one canonical writing."""
    body = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
