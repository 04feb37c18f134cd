"""What is remembered between sessions: questions, servers, settings, where images may go. Never a token or a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from CORESegLib.address import ServerAddress
from CORESegLib.transport import Timeouts

MAX_QUESTIONS = 20
MAX_SERVERS = 10
MAX_LENGTH = 2000
TEMPLATES = (
    "Is there a lesion here, and where?",
    "Is there a tumor on this slice, and where?",
    "Where is the lesion, and does it have a smooth outline?",
    "How many lesions are there?",
)
REASONING = ("", "brief", "full", "none")
"""How much the model is to write before its answer; the first leaves it to the server."""
MAX_CONNECT_S = 60.0
MAX_READ_S = 600.0
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
    def server(self) -> str:
        """The address that stands in the strip at first; empty for the one that answered last."""
        return str(self._settings.value("CORESeg/server", "") or "")[:MAX_LENGTH]

    @server.setter
    def server(self, address: str) -> None:
        self._settings.setValue("CORESeg/server", address.strip()[:MAX_LENGTH])

    @property
    def timeouts(self) -> Timeouts:
        """How long a server may be silent."""
        usual = Timeouts()
        return Timeouts(
            connect_s=self._seconds("CORESeg/connectSeconds", usual.connect_s, MAX_CONNECT_S),
            read_s=self._seconds("CORESeg/readSeconds", usual.read_s, MAX_READ_S),
        )

    @timeouts.setter
    def timeouts(self, timeouts: Timeouts) -> None:
        self._settings.setValue("CORESeg/connectSeconds", f"{timeouts.connect_s:g}")
        self._settings.setValue("CORESeg/readSeconds", f"{timeouts.read_s:g}")

    @property
    def reasoning(self) -> str:
        """One of `REASONING`."""
        kept = str(self._settings.value("CORESeg/reasoning", "") or "")
        return kept if kept in REASONING else REASONING[0]

    @reasoning.setter
    def reasoning(self, mode: str) -> None:
        self._settings.setValue("CORESeg/reasoning", mode)

    @property
    def questions(self) -> tuple[str, ...]:
        """The last questions, the newest first."""
        return self._texts("CORESeg/questions", MAX_QUESTIONS)

    def add_question(self, text: str) -> None:
        """Remember a question."""
        self._add("CORESeg/questions", " ".join(text.split()), MAX_QUESTIONS)

    @property
    def servers(self) -> tuple[str, ...]:
        """The server of the settings, then the last ones, the newest first."""
        last = self._texts("CORESeg/serverHistory", MAX_SERVERS)
        return (self.server, *(one for one in last if one != self.server)) if self.server else last

    def add_server(self, address: ServerAddress) -> None:
        """Remember a server that answered."""
        self._add("CORESeg/serverHistory", address.url, MAX_SERVERS)

    def may_send_to(self, address: ServerAddress) -> bool:
        """Return whether images may be sent to a server without asking: the person said so, or it is this machine."""
        return address.this_machine or address.url in self.consents

    @property
    def consents(self) -> tuple[str, ...]:
        """Servers that images may be sent to without asking, besides those of this machine."""
        return self._texts("CORESeg/consents", 100)

    def allow(self, address: ServerAddress) -> None:
        """Remember that images may be sent to a server."""
        self._add("CORESeg/consents", address.url, 100)

    def revoke(self) -> None:
        """Forget all such permissions."""
        self._settings.setValue("CORESeg/consents", "[]")

    def _seconds(self, key: str, usual: float, most: float) -> float:
        try:
            seconds = float(str(self._settings.value(key, "") or usual))
        except ValueError:
            return usual
        return seconds if 1 <= seconds <= most else usual

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
