"""What goes wrong between panel and server, in words for the person in front of it."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "address",
    "name_not_found",
    "refused",
    "tls",
    "timeout",
    "cut",
    "access",
    "not_found",
    "too_large",
    "busy",
    "bad_request",
    "server",
    "not_our_server",
    "version",
    "model",
    "local",
    "cancelled",
]

RETRYABLE: frozenset[Kind] = frozenset({"name_not_found", "refused", "timeout", "cut", "busy", "server"})
"""Kinds that may be gone a little later, without anybody changing the request."""


class Trouble(Exception):
    """An expected failure: what happened, what to do, and what a supporter wants to know. As `str`, the first two.

    Args:
        kind: Tells panel and outbox what they may do about it.
        said: What happened and in whose hands it lies, in a sentence or two; never patient data.
        remedy: What the person can do.
        status: Of the HTTP response, where there was one.
        code: The server's own name of the failure, where it gave one.
        retry_after_s: When the server says it is worth to ask again.
    """

    def __init__(
        self,
        kind: Kind,
        said: str,
        *,
        remedy: str = "",
        status: int | None = None,
        code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{said} {remedy}".strip())
        self.kind: Kind = kind
        self.said = said
        self.remedy = remedy
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in RETRYABLE

    @property
    def details(self) -> str:
        """What goes into a report to whoever runs the server: kind, status and code, nothing of the patient."""
        status = "no response" if self.status is None else f"HTTP {self.status}"
        return ", ".join(part for part in (self.kind, status, self.code) if part)


def cancelled() -> Trouble:
    """Return what a worker raises once its task was cancelled."""
    return Trouble("cancelled", "Cancelled.", remedy="What has arrived is kept.")
