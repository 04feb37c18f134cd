"""Fetching one file over https: capped, resumable, compared with its hash before it gets its name."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from coreseg_core.errors import InputError, LimitError

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Names that Windows keeps for devices, whatever their ending.
_DEVICE_NAMES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")

Progress = Callable[[int, int | None], None]
Opener = Callable[[urllib.request.Request], Any]


def require_safe_name(name: str) -> None:
    """Return nothing for a plain file name; no folders, no hidden files, no device names.

    Raises:
        InputError: Anything else.
    """
    if not _SAFE_NAME.fullmatch(name) or ".." in name or _DEVICE_NAMES.fullmatch(name):
        raise InputError(
            "A name in the table of samples is no plain file name.",
            remedy="Use letters, digits, dot, dash and underscore, at most 100.",
        )


def require_allowed_address(address: str) -> None:
    """Return nothing for https, or for http to this very machine.

    Raises:
        InputError: Any other scheme, a plain-text host elsewhere, or a name and password in the address.
    """
    parts = urllib.parse.urlsplit(address)
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        raise InputError("The address carries a user name.", remedy="Give an address without one.")
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    raise InputError(
        f"Addresses of scheme {parts.scheme[:10]!r} are not fetched.",
        remedy="Use https (http only for a server on this machine).",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _AllowedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to allowed addresses only, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        require_allowed_address(newurl)
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise InputError("The server redirects from https to http.", remedy="Use another mirror.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_address(request: urllib.request.Request) -> Any:
    """Return the open response of a request.

    Raises:
        InputError: The address, or one it redirects to, is not allowed.
    """
    require_allowed_address(request.full_url)
    return urllib.request.build_opener(_AllowedRedirects()).open(request, timeout=TIMEOUT_S)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    address: str,
    path: Path,
    *,
    sha256: str | None,
    size_bytes: int | None,
    max_bytes: int,
    progress: Progress | None = None,
    opener: Opener = open_address,
) -> str:
    """Return the SHA-256 of the file that now lies at `path`.

    What was transferred before a connection broke is kept beside `path` and taken up the next time; what
    fails its check is deleted.

    Raises:
        InputError: Refused address, failed or incomplete transfer, another hash or size than expected.
        LimitError: More than `max_bytes`.
    """
    require_allowed_address(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    if partial.is_symlink():
        partial.unlink()
    limit = max_bytes if size_bytes is None else min(max_bytes, size_bytes)
    try:
        _transfer(address, partial, limit=limit, progress=progress, opener=opener)
    except LimitError:
        partial.unlink(missing_ok=True)
        raise
    digest = file_sha256(partial)
    if sha256 is not None and digest != sha256:
        partial.unlink()
        raise InputError(
            f"The file that came has SHA-256 {digest[:12]}..., not {sha256[:12]}...; it was deleted.",
            remedy="Try again; if it happens again the address no longer serves the file that was checked.",
        )
    os.replace(partial, path)
    return digest


def _transfer(address: str, partial: Path, *, limit: int, progress: Progress | None, opener: Opener) -> None:
    """Append to `partial` what is missing, or start anew where the server cannot go on."""
    have = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": "coreseg", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, headers=headers)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with opener(request) as response:
            have = have if _goes_on(response, have) else 0
            with partial.open("ab" if have else "wb") as file:
                _copy(response, file, have=have, limit=limit, progress=progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            # Nothing is left to send: the partial file is whole, or of another file. The hash will tell.
            return
        raise InputError(
            f"The server answered {error.code} for this sample.", remedy="Try later or give a mirror."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            "The transfer failed or broke off; what came is kept.",
            remedy="Check the network and the space on the disk, then run the command again to go on.",
        ) from error


def _goes_on(response: Any, have: int) -> bool:
    """True when the response starts exactly where the partial file ends."""
    if not have or response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _copy(response: Any, file: BinaryIO, *, have: int, limit: int, progress: Progress | None) -> None:
    announced = response.headers.get("Content-Length")
    total = have + int(announced) if announced is not None and announced.isdigit() else None
    done = have
    if total is not None and total > limit:
        raise LimitError(f"The file has {total} bytes, limit {limit}.", remedy="Use another source.")
    while chunk := response.read(CHUNK_BYTES):
        done += len(chunk)
        if done > limit:
            raise LimitError(f"The file has more than {limit} bytes.", remedy="Use another source.")
        file.write(chunk)
        if progress is not None:
            progress(done, total)
    if total is not None and done < total:
        raise ConnectionError("fewer bytes than announced")
