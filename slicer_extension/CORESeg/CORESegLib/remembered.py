"""What is remembered between sessions: questions, servers, and where images may go. Never a token, never a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from CORESegLib.address import ServerAddress

MAX_QUESTIONS = 20
MAX_SERVERS = 10
MAX_LENGTH = 2000
TEMPLATES = (
    "Is there a lesion here, and where?",
    "Is there a tumor on this slice, and where?",
    "Where is the lesion, and does it have a smooth outline?",
    "How many lesions are there?",
)
LOCKED_SERVER = "CORESeg/lockedServer"
"""Set by an administrator: the one server this panel speaks to."""


class Settings(Protocol):
    """Where texts are kept, as `QSettings` does."""

    def value(self, key: str, default: str = "") -> object:
        """Return what is kept under a key."""

    def setValue(self, key: str, value: str) -> None:
        """Keep a text under a key."""


class Remembered:
    """Questions, servers and consents of a person on this machine.

    Args:
        settings: Where they are kept.
        environment: Returns an environment variable, or an empty text.
    """

    def __init__(self, settings: Settings, environment: Callable[[str], str] = lambda name: "") -> None:
        self._settings = settings
        self._environment = environment

    @property
    def locked_server(self) -> str:
        """The one server that an administrator allows; empty where any may be chosen."""
        return self._environment("CORESEG_LOCKED_SERVER") or str(
            self._settings.value(LOCKED_SERVER, "") or ""
        )

    @property
    def questions(self) -> tuple[str, ...]:
        """The last questions, the newest first."""
        return self._texts("CORESeg/questions", MAX_QUESTIONS)

    def add_question(self, text: str) -> None:
        """Remember a question."""
        self._add("CORESeg/questions", " ".join(text.split()), MAX_QUESTIONS)

    @property
    def servers(self) -> tuple[str, ...]:
        """The last servers, the newest first."""
        return self._texts("CORESeg/serverHistory", MAX_SERVERS)

    def add_server(self, address: ServerAddress) -> None:
        """Remember a server that answered."""
        self._add("CORESeg/serverHistory", address.url, MAX_SERVERS)

    def may_send_to(self, address: ServerAddress) -> bool:
        """Return whether images may be sent to a server without asking: the person said so, or it is this machine."""
        return address.this_machine or address.url in self._texts("CORESeg/consents", 100)

    def allow(self, address: ServerAddress) -> None:
        """Remember that images may be sent to a server."""
        self._add("CORESeg/consents", address.url, 100)

    def revoke(self) -> None:
        """Forget all such permissions."""
        self._settings.setValue("CORESeg/consents", "[]")

    def _texts(self, key: str, limit: int) -> tuple[str, ...]:
        try:
            values = json.loads(str(self._settings.value(key, "") or "[]"))
        except ValueError:
            return ()
        if not isinstance(values, list):
            return ()
        return tuple(value for value in values if isinstance(value, str) and len(value) <= MAX_LENGTH)[:limit]

    def _add(self, key: str, text: str, limit: int) -> None:
        if not text or len(text) > MAX_LENGTH:
            return
        others = [value for value in self._texts(key, limit) if value != text]
        self._settings.setValue(key, json.dumps([text, *others][:limit], ensure_ascii=False))
