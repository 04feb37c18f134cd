"""The published weights that a preset stands on: which files, where they are looked for, how to get them.

They are not part of this project. `core-seg-3b` stands on Qwen2.5-VL-3B-Instruct, in the files its authors published,
and on MedSAM ViT-B, converted once by `coreseg_core.models.convert`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreseg_core.checkpoint import sha256_of
from coreseg_core.errors import CheckpointError
from coreseg_core.models.preset import Preset

BASE_VARIABLE = "CORESEG_BASE_WEIGHTS"
SEGMENTER_VARIABLE = "CORESEG_SEGMENTER_WEIGHTS"
CONFIG_NAME, TOKENIZER_NAME = "config.json", "tokenizer.json"
INDEX_NAME, SINGLE_NAME = "model.safetensors.index.json", "model.safetensors"
# Weights and plain JSON alone: no pickles, no code.
_HUB_PATTERNS = [CONFIG_NAME, TOKENIZER_NAME, INDEX_NAME, "model*.safetensors"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_HUB_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class BaseFiles:
    """Published files that are there.

    Attributes:
        config: `config.json` of the language model.
        tokenizer: Its `tokenizer.json`.
        shards: Its weights.
        segmenter: The segmenter's weights, None where they ship with a package.
    """

    config: Path
    tokenizer: Path
    shards: tuple[Path, ...]
    segmenter: Path | None

    def sha256(self) -> str:
        """Return one SHA-256 over the content of all weight files; it reads them all."""
        digest = hashlib.sha256()
        for path in (*self.shards, *([self.segmenter] if self.segmenter else [])):
            digest.update(bytes.fromhex(sha256_of(path)))
        return digest.hexdigest()


def find_base_files(
    preset: Preset,
    *,
    base: Path | str | None = None,
    stated: object = None,
    beside: Path | None = None,
    download: bool = True,
) -> BaseFiles:
    """Return the published files of a preset, looked for at the first place that is named.

    Args:
        preset: Whose files.
        base: A folder or a hub id; by default the environment variable `CORESEG_BASE_WEIGHTS`.
        stated: What a manifest of trained parts says of its base (`base_facts`), used where nothing else is named.
        beside: A further folder where the segmenter's file may lie; what `stated` says is relative to it.
        download: False looks no further than this machine, also for a hub id.

    Raises:
        CheckpointError: A file is missing; the message names all that are and says how to get them.
    """
    named = base or os.environ.get(BASE_VARIABLE)
    folder = _named_folder(preset, named, download=download) if named else _stated_folder(stated, beside)
    folder = folder or _cached_folder(preset)
    if folder is None:
        names = [CONFIG_NAME, TOKENIZER_NAME, INDEX_NAME, preset.segmenter.weights_file]
        raise _missing(preset, [name for name in names if name], "no folder is named")
    return _files_of(preset, folder, beside)


def base_facts(preset: Preset, files: BaseFiles, *, base: Path | str | None = None) -> dict[str, str]:
    """Return what a manifest of trained parts says of the published weights beneath them; it reads them all.

    Args:
        preset: Whose files.
        files: What `find_base_files` found for `base`.
        base: As there. Of a folder only its name is told, not where on this machine it lies.
    """
    named = base or os.environ.get(BASE_VARIABLE)
    facts = {"name": preset.language.repository or preset.name, "sha256": files.sha256()}
    if named and Path(named).expanduser().is_dir():
        return {**facts, "folder": files.config.parent.name}
    return {**facts, "repository": str(named or preset.language.repository)}


def how_to_get(preset: Preset) -> str:
    """Return how a user gets the published files of a preset, and under which licence."""
    repository, segmenter = preset.language.repository, preset.segmenter.weights_file
    parts = [
        f"Make one folder with {CONFIG_NAME}, {TOKENIZER_NAME}, {INDEX_NAME} and the model-*.safetensors it lists, "
        f"from {repository}: `hf download {repository} --local-dir FOLDER`."
    ]
    if segmenter:
        source = f"{Path(segmenter).stem}.pth"
        parts.append(
            f"Add {segmenter}: `python -m coreseg_core.models.convert {source} FOLDER/{segmenter}` makes it from the "
            f"{source} that its authors publish."
        )
    parts.append(f"Then set {BASE_VARIABLE}=FOLDER.")
    if preset.language.licence:
        parts.append(preset.language.licence)
    return " ".join(parts)


def _missing(preset: Preset, names: Sequence[str], where: str) -> CheckpointError:
    return CheckpointError(
        f"The published weights that {preset.name!r} stands on are missing ({where}): {', '.join(names)}.",
        remedy=how_to_get(preset),
    )


def _named_folder(preset: Preset, named: Path | str, *, download: bool) -> Path:
    """Return the folder that was named, or the hub's snapshot where the name is no folder but a hub id."""
    folder = Path(named).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(named, str) and _HUB_ID.fullmatch(named):
        found = _snapshot(named, local_files_only=not download)
        if found is not None:
            return found
        where = f"{named[:80]!r} is neither a folder nor a hub id that can be reached from here"
    else:
        where = f"there is no folder {folder.name!r}"
    raise _missing(preset, (CONFIG_NAME, TOKENIZER_NAME, INDEX_NAME), where)


def _stated_folder(stated: object, beside: Path | None) -> Path | None:
    folder = stated.get("folder") if isinstance(stated, Mapping) else stated
    if isinstance(folder, str) and folder:
        found = (beside or Path()) / folder
        return found if found.is_dir() else None
    repository = stated.get("repository") if isinstance(stated, Mapping) else None
    if isinstance(repository, str) and _HUB_ID.fullmatch(repository):
        return _snapshot(repository, local_files_only=True)
    return None


def _cached_folder(preset: Preset) -> Path | None:
    """Return what the hub's cache on this machine holds; nothing is downloaded that was not asked for by name."""
    repository = preset.language.repository
    return None if repository is None else _snapshot(repository, local_files_only=True)


def _snapshot(repository: str, *, local_files_only: bool) -> Path | None:
    import httpx
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            repository,
            allow_patterns=_HUB_PATTERNS,
            etag_timeout=_HUB_TIMEOUT_S,
            local_files_only=local_files_only,
        )
    except (OSError, ValueError, httpx.HTTPError):
        # Offline, unknown, gated, broken off: whatever it was, the files have to come another way.
        return None
    return Path(folder)


def _files_of(preset: Preset, folder: Path, beside: Path | None) -> BaseFiles:
    """Return the files of a folder, or say which are not there."""
    names = (CONFIG_NAME, TOKENIZER_NAME, *_shard_names(folder))
    missing = [name for name in names if not (folder / name).is_file()]
    segmenter, segmenter_name = None, preset.segmenter.weights_file
    if segmenter_name:
        candidates = [folder / segmenter_name, *([beside / segmenter_name] if beside else [])]
        if SEGMENTER_VARIABLE in os.environ:
            candidates.insert(0, Path(os.environ[SEGMENTER_VARIABLE]))
        segmenter = next((path for path in candidates if path.is_file()), None)
        if segmenter is None:
            missing.append(segmenter_name)
    if missing:
        raise _missing(preset, missing, f"looked for in {folder.name!r}")
    return BaseFiles(
        config=folder / CONFIG_NAME,
        tokenizer=folder / TOKENIZER_NAME,
        shards=tuple(folder / name for name in names[2:]),
        segmenter=segmenter,
    )


def _shard_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the weight files that a folder must have."""
    index = folder / INDEX_NAME
    if not index.is_file():
        return (SINGLE_NAME,) if (folder / SINGLE_NAME).is_file() else (INDEX_NAME,)
    try:
        listed: dict[str, Any] = json.loads(index.read_bytes())["weight_map"]
        names = sorted({str(name) for name in listed.values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{INDEX_NAME} is unreadable.", remedy="Download it again.") from error
    odd = [name for name in names if name != Path(name).name or not name.endswith(".safetensors")]
    if odd or not names:
        raise CheckpointError(
            f"{INDEX_NAME} lists {odd[0][:40]!r}, which is no safetensors file beside it."
            if odd
            else f"{INDEX_NAME} lists no file.",
            remedy="Download it again from where the model is published.",
        )
    return tuple(names)
