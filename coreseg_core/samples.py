"""Real public studies for those who have a network: a small table, and fetching that trusts only hashes.

A file is seen under its name only after its SHA-256 was compared with the table's. A broken transfer leaves a
partial file from which the next attempt goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from coreseg_core.download import Opener, Progress, download, file_sha256, open_address, require_safe_name
from coreseg_core.errors import InputError

SCHEMA = "coreseg.samples/1"
ORIGINALS_FOLDER = "originals"

Unpack = Literal["none", "nifti"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One row of the table.

    Attributes:
        address: Where the file lies, https.
        sha256: Its hash, None where it is not known.
        bytes: Its exact size, None where it is not known.
        max_bytes: The transfer is cut off beyond this.
        file: Name the file gets.
        unpack: "nifti" makes a NIfTI copy for servers that read nothing else, "none" leaves the file as is.
    """

    name: str
    what: str
    modality: str
    anatomy: str
    query: str
    licence: str
    citation: str
    address: str
    sha256: str | None
    bytes: int | None
    max_bytes: int
    file: str
    unpack: Unpack

    def __post_init__(self) -> None:
        require_safe_name(self.name)
        require_safe_name(self.file)
        if self.unpack not in ("none", "nifti"):
            raise InputError(f"Sample {self.name}: unpack is not known.", remedy="Use none or nifti.")


@dataclass(frozen=True, kw_only=True)
class FetchedSample:
    """A sample on the disk: the image to open, the hash of the file as it came, whether the table knew it."""

    path: Path
    sha256: str
    verified: bool


def read_table(text: str) -> Mapping[str, Sample]:
    """Return the samples of a table in JSON, by name.

    Raises:
        InputError: The text is not a `coreseg.samples/1` table.
    """
    try:
        table = json.loads(text)
        if table["schema"] != SCHEMA:
            raise InputError(f"The table of samples is not {SCHEMA}.", remedy="Install again.")
        rows = [Sample(**row) for row in table["samples"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("The table of samples cannot be read.", remedy="Install again.") from error
    return MappingProxyType({row.name: row for row in rows})


@cache
def samples() -> Mapping[str, Sample]:
    """Return the table that ships with the package, by name."""
    return read_table(resources.files("coreseg_core").joinpath("data/samples.json").read_text("utf-8"))


def fetch(
    name: str,
    folder: str | Path,
    *,
    progress: Progress | None = None,
    base_url: str | None = None,
    opener: Opener = open_address,
    accept_unverified: bool = False,
    table: Mapping[str, Sample] | None = None,
) -> FetchedSample:
    """Return a sample that lies, checked, in `folder`; it is transferred only when it is not there yet.

    Args:
        progress: Called with bytes so far and bytes in all (None when the server does not say).
        base_url: A mirror that holds the files under the last part of their addresses.
        opener: What opens an address; another one only in tests.
        accept_unverified: Take a file whose hash the table does not know.
        table: Another table than the package's.

    Raises:
        InputError: Unknown name, refused address, failed transfer, or a hash other than the table's.
        LimitError: The file is larger than the table allows.
    """
    known = samples() if table is None else table
    if name not in known:
        names = ", ".join(sorted(known))
        raise InputError("This sample is not in the table.", remedy=f"Choose one of {names}.")
    sample = known[name]
    if sample.sha256 is None and not accept_unverified:
        raise InputError(
            f"The hash of sample {name} is not known, so an altered file could not be told.",
            remedy="Give --accept-unverified if you trust the address, and note the hash that is printed.",
        )
    folder = Path(folder)
    original = folder / (ORIGINALS_FOLDER if sample.unpack == "nifti" else "") / sample.file
    digest = file_sha256(original) if original.is_file() else None
    if digest is None or (sample.sha256 is not None and digest != sample.sha256):
        address = sample.address
        if base_url is not None:
            address = f"{base_url.rstrip('/')}/{address.rsplit('/', 1)[-1]}"
        digest = download(
            address,
            original,
            sha256=sample.sha256,
            size_bytes=sample.bytes,
            max_bytes=sample.max_bytes,
            progress=progress,
            opener=opener,
        )
    path = _unpacked(sample, original, folder)
    return FetchedSample(path=path, sha256=digest, verified=sample.sha256 is not None)


def _unpacked(sample: Sample, original: Path, folder: Path) -> Path:
    """Return the image to open, with its side-car beside it."""
    if sample.unpack == "none":
        stem = sample.file.removesuffix(".gz").rsplit(".", 1)[0]
        _write_sidecar(folder / f"{stem}.json", sample)
        return original
    # Imported here: only this branch needs the image libraries, which take a second to load.
    from coreseg_core.imaging import read_volume, write_volume

    path = folder / f"{sample.name}.nii.gz"
    _write_sidecar(folder / f"{sample.name}.json", sample)
    if not path.is_file() or path.stat().st_mtime_ns < original.stat().st_mtime_ns:
        write_volume(path, read_volume(original))
    return path


def _write_sidecar(path: Path, sample: Sample) -> None:
    values: dict[str, Any] = {
        "modality": sample.modality,
        "licence": sample.licence,
        "citation": sample.citation,
    }
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
