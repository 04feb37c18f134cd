"""Who writes the reasoning: free and offline from what is measured, or a server in two steps as in the paper."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from coreseg_core.answer import TAGS
from training.dataset.asked import PLAIN, Asked
from training.dataset.chat import ChatServer, Refused, estimated_tokens
from training.dataset.coordinates import has_coordinates, without_coordinates
from training.dataset.instructions import (
    MAX_CHARS,
    MIN_CHARS,
    VERSION,
    description_messages,
    json_object,
    reasoning_messages,
)
from training.wording import write_reasoning

EXPECTED_REPLY_TOKENS = 300
MAX_DESCRIPTIONS = 3


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a writer gave.

    Attributes:
        reasoning: Without coordinates and tags; empty where nothing usable came.
        fault: Why it is not usable, in words; empty where it is.
        refused: Whether the server would not answer, which another day it may.
    """

    reasoning: str = ""
    fault: str = ""
    refused: bool = False


class Writer(Protocol):
    """Writes the reasoning for a question about a picture."""

    @property
    def identity(self) -> str:
        """What decides its words, besides what is asked."""
        ...

    def write(self, asked: Asked, *, attempt: int, feedback: str = "") -> Draft:
        """Return a draft; another attempt gives other words."""
        ...

    def estimate(self, asked: Asked) -> tuple[int, int, int]:
        """Return about how many requests, tokens in and tokens out a first attempt still costs."""
        ...


@dataclass(frozen=True, kw_only=True)
class OfflineWriter:
    """Writes from what is measured, with the words of the SFT recipe."""

    seed: int = 0

    @property
    def identity(self) -> str:
        """The seed."""
        return f"offline {self.seed}"

    def write(self, asked: Asked, *, attempt: int, feedback: str = "") -> Draft:
        """Return a draft drawn by seed, row and attempt."""
        rng = random.Random(f"{self.seed}/{asked.row.id}/{attempt}")
        row = asked.row
        text = write_reasoning(
            rng, asked.facts, row.modality, row.anatomy, asked.question.class_name, "full", asked.kind
        )
        return Draft(reasoning=text)

    def estimate(self, asked: Asked) -> tuple[int, int, int]:
        """Return zeros: it is free."""
        return 0, 0, 0


@dataclass(frozen=True, kw_only=True)
class ServerWriter:
    """Asks for a description, then for the reasoning that leads to it.

    Questions that do not fit their picture are written offline: there is nothing to describe in them.
    """

    server: ChatServer
    offline: OfflineWriter

    @property
    def identity(self) -> str:
        """Server, model and instructions."""
        plan = self.server.plan
        return f"{plan.base_url} {plan.model} {plan.temperature} {plan.max_tokens} {VERSION} {self.offline.identity}"

    def write(self, asked: Asked, *, attempt: int, feedback: str = "") -> Draft:
        """Return a draft, or why none came that can be used.

        Raises:
            ServerError: The server cannot be used.
        """
        if asked.kind not in PLAIN:
            return self.offline.write(asked, attempt=attempt)
        try:
            description = self._description(asked, attempt=attempt, feedback=feedback)
            if not description:
                return Draft(fault="the description is no JSON of the form asked for, or breaks off")
            told = self.server.ask(reasoning_messages(asked, description, feedback), attempt=attempt)
        except Refused as error:
            return Draft(fault=error.reason, refused=True)
        values = json_object(told.text) if told.complete else None
        return checked(values.get("reasoning") if values else None)

    def _description(self, asked: Asked, *, attempt: int, feedback: str) -> str:
        """Return the first description that can be used, empty where none came in as many tries as drafts."""
        messages = description_messages(asked, feedback)
        for number in range(min(attempt + 1, MAX_DESCRIPTIONS)):
            described = self.server.ask(messages, attempt=number)
            values = json_object(described.text) if described.complete else None
            parts = [values.get(name) for name in ("normal_anatomy", "lesion")] if values else []
            if parts and all(isinstance(part, str) and part.strip() for part in parts):
                return without_coordinates("\n".join(str(part) for part in parts))
        return ""

    def estimate(self, asked: Asked) -> tuple[int, int, int]:
        """Return what is not in the cache of a first attempt."""
        if asked.kind not in PLAIN:
            return 0, 0, 0
        first = description_messages(asked)
        second = reasoning_messages(asked, " " * EXPECTED_REPLY_TOKENS * 4)
        # The second request depends on the first reply: where that is missing, so is this.
        missing = [] if self.server.known(first) else [first, second]
        tokens = sum(estimated_tokens(messages, self.server.plan) for messages in missing)
        return len(missing), tokens, EXPECTED_REPLY_TOKENS * len(missing)


def checked(text: object) -> Draft:
    """Return a reasoning without coordinates and tags, or why it cannot be used."""
    if not isinstance(text, str):
        return Draft(fault="the reasoning is no JSON of the form asked for, or breaks off")
    bare = without_coordinates(" ".join(text.split()))
    for tag in TAGS:
        bare = bare.replace(tag, " ")
    bare = " ".join(bare.split())
    if not MIN_CHARS <= len(bare) <= MAX_CHARS:
        return Draft(fault=f"a reasoning of {len(bare)} characters, allowed are {MIN_CHARS} to {MAX_CHARS}")
    if has_coordinates(bare):
        return Draft(fault="coordinates in the reasoning")
    return Draft(reasoning=bare)
