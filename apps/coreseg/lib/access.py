"""Who is answered: whoever bears the token, or, where none is set, this machine alone."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from coreseg_core.errors import AccessError

_LOCAL_NAMES = ("localhost", "localhost.localdomain")
_SCHEME = "bearer"


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
    if not _names_this_machine(headers.get("host", "")):
        raise AccessError(
            "Without a token this server answers to its address only, not to a name.",
            remedy="Use http://127.0.0.1 with its port, or start it with a token.",
        )
    origin = headers.get("origin")
    if origin is not None and not _names_this_machine(urlsplit(origin).netloc):
        raise AccessError(
            "Without a token this server answers no pages of other sites.", remedy="Start it with a token."
        )


def is_this_machine(client: str | None, *, server: str | None) -> bool:
    """Return whether an address is a loopback one, or the very one that the request came to."""
    if client is None:
        return False
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback) or client == server


def _names_this_machine(netloc: str) -> bool:
    """Return whether a host, with or without port, is an IP address or a name of the loopback."""
    try:
        name = urlsplit(f"//{netloc}").hostname or ""
        return name in _LOCAL_NAMES or bool(ip_address(name))
    except ValueError:
        return False
