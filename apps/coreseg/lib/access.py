"""Who is answered: whoever bears the token, or, where none is set, this machine alone."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from coreseg_core.errors import AccessError

_LOCAL_NAMES = ("localhost", "localhost.localdomain")
_SCHEME = "bearer"
_Address = IPv4Address | IPv6Address


def check_access(
    headers: Mapping[str, str], *, token: str | None, client: str | None, server: str | None
) -> None:
    """Return nothing for a request that may be answered.

    Args:
        headers: By lower-case name.
        token: What requests must bear; None where only this machine is answered.
        client: Address the request comes from, as far as it is known.
        server: Address it came to.

    Raises:
        AccessError: It may not.
    """
    if token is None:
        _check_local(headers, client=client, server=server)
    elif not _bears(headers.get("authorization", ""), token):
        raise AccessError(
            "The request does not bear the token of this server.",
            remedy="Send the header 'Authorization: Bearer TOKEN'; whoever started the server knows the token.",
        )


def _bears(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    # Compared in a time that tells nothing of how much of it was right.
    return scheme.lower() == _SCHEME and hmac.compare_digest(given.strip().encode(), token.encode())


def _check_local(headers: Mapping[str, str], *, client: str | None, server: str | None) -> None:
    if not is_this_machine(client, server=server):
        raise AccessError(
            "Without a token this server answers requests from its own machine only.",
            remedy="Start it with a token (the environment variable CORESEG_TOKEN, or --conf token).",
        )
    # A page from elsewhere, open in a browser on this machine, sends requests from this machine too. It gives itself
    # away by its origin, or by a host name that its owner has pointed here.
    host = headers.get("host", "")
    if not _is_address_or_local(_name_in(host)):
        raise AccessError(
            "Without a token this server answers to its address only, not to a name.",
            remedy="Use http://127.0.0.1 with its port, or start it with a token.",
        )
    origin = headers.get("origin")
    if origin is not None and not _is_ours(origin, host=host):
        raise AccessError(
            "Without a token this server answers no pages of other sites.", remedy="Start it with a token."
        )


def is_this_machine(client: str | None, *, server: str | None) -> bool:
    """Return whether an address is a loopback one, or the very one that the request came to."""
    if client is None:
        return False
    address = _address_of(client.partition("%")[0])
    return address is not None and (_is_loopback(address) or client == server)


def _is_ours(origin: str, *, host: str) -> bool:
    """Return whether a page comes from this machine; a bare address says nothing of it, any site may lie at one."""
    netloc = origin.partition("://")[2].lower()
    name = _name_in(netloc)
    address = _address_of(name)
    return netloc == host.lower() or name in _LOCAL_NAMES or (address is not None and _is_loopback(address))


def _is_address_or_local(name: str) -> bool:
    """Return whether a host is an IP address, which nobody can point elsewhere, or a name of the loopback."""
    return name in _LOCAL_NAMES or _address_of(name) is not None


def _name_in(netloc: str) -> str:
    """Return the host of `host:port`, empty where it is none."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _address_of(name: str) -> _Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _is_loopback(address: _Address) -> bool:
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)
