"""One HTTP request at a time, over a connection of its own that can be cut from another thread.

Standard library only. No redirects are followed and no proxies are taken from the environment: token and images go
to the server that the person chose, or nowhere. Headers are made anew for each request.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from CORESegLib.address import ServerAddress
from CORESegLib.answers import refusal
from CORESegLib.stopping import CancelToken
from CORESegLib.trouble import Trouble, cancelled

READ_BYTES = 1 << 18
MAX_ERROR_BYTES = 1 << 16
_FAULTS = (OSError, http.client.HTTPException)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long the network may be silent, in seconds.

    Attributes:
        connect_s: Until the server takes the call.
        read_s: For every piece of a response.
        stream_s: Between two signs of life of an event stream; the server sends one every 15 s.
    """

    connect_s: float = 5.0
    read_s: float = 30.0
    stream_s: float = 45.0


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a request carries.

    Attributes:
        content_type: Of all of it.
        size_bytes: Of all pieces together.
        pieces: In order; read once.
    """

    content_type: str
    size_bytes: int
    pieces: Iterable[bytes]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request to be made.

    Attributes:
        method: As in HTTP.
        path: Its parts, each quoted before it is sent.
        query: As in HTTP.
        headers: Beside those that every request has.
        body: None for none.
        silence_s: In place of `Timeouts.read_s`.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    silence_s: float | None = None


class Transport:
    """The way to one server.

    Args:
        address: Of the server.
        token: What requests bear; kept in memory only. None for none.
        timeouts: See there.
        trust: Certificates that are trusted; None for those of the system. They are always verified.
    """

    def __init__(
        self,
        address: ServerAddress,
        *,
        token: str | None = None,
        timeouts: Timeouts | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.timeouts = timeouts or Timeouts()
        self._token = token
        self._trust = trust
        if token is not None and not (token.isascii() and token.isprintable()):
            raise Trouble("access", "The token holds characters that no token has.", remedy="Paste it again.")

    def __repr__(self) -> str:
        return f"Transport({self.address.url})"

    @contextmanager
    def open(self, call: Call, cancel: CancelToken) -> Iterator[http.client.HTTPResponse]:
        """Yield the response to a request, its body unread.

        Raises:
            Trouble: The server is not there, refuses, or the request was cancelled.
        """
        connection = self._connection()
        try:
            with self._spoken(cancel):
                cancel.check()
                connection.connect()
                connection.sock.settimeout(call.silence_s or self.timeouts.read_s)
                cancel.watch(connection.sock)
                response = self._exchange(connection, call, cancel)
                self._check(response)
            yield response
        finally:
            cancel.watch(None)
            connection.close()

    def read(self, response: http.client.HTTPResponse, cancel: CancelToken) -> Iterator[bytes]:
        """Yield a response's body piece by piece, as it comes.

        Raises:
            Trouble: It ends before its end, the server falls silent, or the request was cancelled.
        """
        left = response.length
        with self._spoken(cancel):
            while left != 0 and (piece := response.read1(READ_BYTES)):
                if left is not None:
                    left -= len(piece)
                yield piece
            cancel.check()
            if left:
                # `read1` does not mind a body that is shorter than announced.
                raise http.client.IncompleteRead(b"", left)

    def read_at_most(
        self, response: http.client.HTTPResponse, cancel: CancelToken, *, limit_bytes: int
    ) -> bytes:
        """Return a response's whole body.

        Raises:
            Trouble: As `read`, or it is larger than `limit_bytes`.
        """
        pieces, size = [], 0
        for piece in self.read(response, cancel):
            size += len(piece)
            if size > limit_bytes:
                raise Trouble(
                    "not_our_server",
                    f"The server sends more than {limit_bytes >> 20} MiB where a short answer was due.",
                    remedy="Check the address.",
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _connection(self) -> http.client.HTTPConnection:
        place, timeout = self.address, self.timeouts.connect_s
        if place.secure:
            trust = self._trust or ssl.create_default_context()
            return http.client.HTTPSConnection(place.host, place.port, timeout=timeout, context=trust)
        return http.client.HTTPConnection(place.host, place.port, timeout=timeout)

    def _exchange(
        self, connection: http.client.HTTPConnection, call: Call, cancel: CancelToken
    ) -> http.client.HTTPResponse:
        connection.putrequest(call.method, self._target(call), skip_accept_encoding=True)
        for name, value in self._headers(call).items():
            connection.putheader(name, value)
        connection.endheaders()
        if call.body is not None:
            # A server that refuses early says why and stops reading: what it said is worth more than the broken pipe.
            with suppress(BrokenPipeError, ConnectionResetError):
                for piece in call.body.pieces:
                    cancel.check()
                    connection.send(piece)
        return connection.getresponse()

    def _target(self, call: Call) -> str:
        path = "/".join(quote(part, safe="") for part in call.path)
        query = f"?{urlencode(call.query)}" if call.query else ""
        return f"{self.address.prefix}/{path}{query}"

    def _headers(self, call: Call) -> dict[str, str]:
        headers = {"Accept": "application/json", "Connection": "close", **call.headers}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if call.body is not None:
            headers["Content-Type"] = call.body.content_type
            headers["Content-Length"] = str(call.body.size_bytes)
        elif call.method in ("POST", "PUT"):
            headers["Content-Length"] = "0"
        return headers

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status < 300:
            return
        try:
            content = response.read(MAX_ERROR_BYTES)
        except _FAULTS:
            content = b""
        raise refusal(response.status, content, retry_after=response.headers.get("Retry-After"))

    @contextmanager
    def _spoken(self, cancel: CancelToken) -> Iterator[None]:
        try:
            yield
        except _FAULTS as fault:
            # A cancelled wait ends like a broken one.
            raise (cancelled() if cancel.cancelled else self._in_words(fault)) from fault

    def _in_words(self, fault: OSError | http.client.HTTPException) -> Trouble:
        host, port = self.address.host, self.address.port
        if isinstance(fault, ssl.SSLCertVerificationError):
            return Trouble(
                "tls",
                f"{host} cannot prove who it is: {fault.verify_message[:200]}.",
                remedy="Let whoever runs the server install a certificate that this machine trusts.",
            )
        if isinstance(fault, ssl.SSLError):
            return Trouble(
                "tls",
                f"No encrypted connection to {host}:{port} comes about.",
                remedy="Check whether the address begins with http:// or https://.",
            )
        if isinstance(fault, socket.gaierror | UnicodeError):
            return Trouble(
                "name_not_found", f"There is no machine named {host}.", remedy="Check the address."
            )
        if isinstance(fault, TimeoutError):
            return Trouble(
                "timeout", f"{host}:{port} does not answer in time.", remedy="Try again, or ask who runs it."
            )
        if isinstance(fault, ConnectionRefusedError):
            return Trouble(
                "refused",
                f"{host} is there, but no server listens on port {port}.",
                remedy="Start the server, or check the port.",
            )
        if isinstance(fault, http.client.BadStatusLine) and not isinstance(
            fault, http.client.RemoteDisconnected
        ):
            return Trouble(
                "not_our_server",
                f"What listens on {host}:{port} does not speak HTTP.",
                remedy="Check port and http(s).",
            )
        return Trouble(
            "cut", f"The connection to {host}:{port} broke.", remedy="Try again; nothing was changed here."
        )
