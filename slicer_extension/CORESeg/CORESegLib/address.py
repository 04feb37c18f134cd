"""The address of a server as a person types it, and what it means for what is sent there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from CORESegLib.trouble import Trouble

DEFAULT = "http://127.0.0.1:8000"
_PORTS = {"http": 80, "https": 443}
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_REMEDY = f"Write it like {DEFAULT} or https://server.hospital.org."


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """Where a server listens.

    Attributes:
        secure: Whether the way there is encrypted.
        host: A name or an IP address, without brackets.
        port: Of the server.
        prefix: What stands before every path, without a slash at its end; mostly empty.
        note: What was mended in what the person typed; mostly empty.
    """

    secure: bool
    host: str
    port: int
    prefix: str = ""
    note: str = ""

    @property
    def url(self) -> str:
        """The address in its one spelling, under which consent and history are kept."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.prefix}"

    @property
    def this_machine(self) -> bool:
        """Whether nothing that is sent there leaves this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    @property
    def readable_on_the_way(self) -> bool:
        """Whether images would travel through a network unencrypted."""
        return not self.secure and not self.this_machine


def read_address(text: str) -> ServerAddress:
    """Return the server that a person means.

    Takes `host`, `host:port` and full URLs; an address to listen on becomes the one to speak to.

    Raises:
        Trouble: No address can be made of it.
    """
    typed = text.strip() or DEFAULT
    scheme, separator, _ = typed.partition("://")
    if not separator:
        scheme, typed = "http", f"http://{typed}"
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise Trouble("address", f"{scheme[:12]!r} is no way to a server.", remedy=_REMEDY)
    parts, port = _split(typed)
    host = (parts.hostname or "").lower()
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise Trouble("address", "The address names no server.", remedy=_REMEDY)
    if parts.username is not None or parts.query or parts.fragment:
        raise Trouble(
            "address",
            "The address holds more than a server.",
            remedy="Leave out user, '?' and '#'; the token has a field of its own.",
        )
    note = ""
    if host in _UNSPECIFIED:
        note = f"{host} is an address to listen on; asking {_UNSPECIFIED[host]} instead."
        host = _UNSPECIFIED[host]
    prefix = parts.path.rstrip("/")
    if not re.fullmatch(r"(/[\w.~-]+)*", prefix):
        raise Trouble("address", "The path in the address cannot be used.", remedy=_REMEDY)
    return ServerAddress(
        secure=scheme == "https", host=host, port=port or _PORTS[scheme], prefix=prefix, note=note
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise Trouble("address", "The address cannot be read.", remedy=_REMEDY) from None
