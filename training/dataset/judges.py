"""Who judges a reasoning: normal anatomy, lesion, logic (0.3, 0.3, 0.4), at least 0.8 (CORE-Seg, arXiv 2603.05911)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from training.dataset.asked import PLAIN, Asked
from training.dataset.chat import ChatServer, estimated_tokens
from training.dataset.instructions import VERSION, json_object, judge_messages

WEIGHTS = {"normal_anatomy": 0.3, "lesion": 0.3, "logic": 0.4}
BAR = 0.8
EXPECTED_REPLY_TOKENS = 80
MAX_COMMENT_CHARS = 400
_DENIALS = ("no ", "nothing", "not ", "cannot", "does not", "something else", "another kind")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a judge says of a reasoning, each from 0 to 1."""

    normal_anatomy: float
    lesion: float
    logic: float
    comment: str = ""

    @property
    def total(self) -> float:
        """The weighted mean."""
        return round(sum(weight * getattr(self, name) for name, weight in WEIGHTS.items()), 6)


class Judge(Protocol):
    """Scores a reasoning."""

    @property
    def identity(self) -> str:
        """What decides its scores, besides what is judged."""
        ...

    def judge(self, asked: Asked, reasoning: str, *, tries: int) -> Scores | None:
        """Return the scores, None where no usable ones came in so many tries.

        Raises:
            Refused: A server will not judge this, which says nothing of the reasoning.
        """
        ...

    def estimate(self, asked: Asked, reasoning: str) -> tuple[int, int, int]:
        """Return about how many requests, tokens in and tokens out it still costs."""
        ...


@dataclass(frozen=True)
class MeasuredJudge:
    """Judges without a server by what can be measured.

    Normal anatomy: modality and anatomy are named. Lesion: the share of the statements about number, side, place, size,
    contrast and outline that the mask supports. Logic: the conclusion names the class that was asked for, or denies it
    where that is right.
    """

    @property
    def identity(self) -> str:
        """Its version."""
        return "measured 1"

    def judge(self, asked: Asked, reasoning: str, *, tries: int) -> Scores | None:
        """Return the scores."""
        said = reasoning.lower()
        named = [word.lower() in said for word in (asked.row.modality, asked.row.anatomy)]
        claims = asked.claims(reasoning)
        right = [claim.verdict == "supported" for claim in claims if claim.verdict != "unchecked"]
        if asked.kind == "present":
            lesion = sum(right) / len(right) if right else 0.0
            logic = 1.0 if asked.question.class_name.lower() in said else 0.0
        else:
            lesion = logic = 1.0 if any(word in said for word in _DENIALS) else 0.0
        wrong = ", ".join(claim.text for claim in claims if claim.verdict == "contradicted")
        return Scores(
            normal_anatomy=sum(named) / len(named),
            lesion=round(lesion, 6),
            logic=logic,
            comment=f"not so: {wrong}" if wrong else "",
        )

    def estimate(self, asked: Asked, reasoning: str) -> tuple[int, int, int]:
        """Return zeros: it is free."""
        return 0, 0, 0


@dataclass(frozen=True, kw_only=True)
class ServerJudge:
    """Lets a second model judge; questions that do not fit their picture are judged by what is measured."""

    server: ChatServer
    measured: MeasuredJudge

    @property
    def identity(self) -> str:
        """Server, model and instructions."""
        plan = self.server.plan
        return f"{plan.base_url} {plan.model} {plan.temperature} {VERSION}"

    def judge(self, asked: Asked, reasoning: str, *, tries: int) -> Scores | None:
        """Return the scores, None where the replies cannot be used.

        Raises:
            Refused: The server will not judge this.
            ServerError: The server cannot be used.
        """
        if asked.kind not in PLAIN:
            return self.measured.judge(asked, reasoning, tries=tries)
        messages = judge_messages(asked, reasoning)
        for attempt in range(tries):
            reply = self.server.ask(messages, attempt=attempt)
            scores = read_scores(reply.text) if reply.complete else None
            if scores is not None:
                return scores
        return None

    def estimate(self, asked: Asked, reasoning: str) -> tuple[int, int, int]:
        """Return what is not in the cache of a first judgement."""
        if asked.kind not in PLAIN:
            return 0, 0, 0
        messages = judge_messages(asked, reasoning)
        if self.server.known(messages):
            return 0, 0, 0
        return 1, estimated_tokens(messages, self.server.plan), EXPECTED_REPLY_TOKENS


def read_scores(text: str) -> Scores | None:
    """Return the scores of a reply, None where it is not of the form that was asked for."""
    values = json_object(text) or {}
    numbers = [_share(values.get(name)) for name in WEIGHTS]
    if any(number is None for number in numbers):
        return None
    normal_anatomy, lesion, logic = (float(number or 0.0) for number in numbers)
    comment = values.get("comment")
    return Scores(
        normal_anatomy=normal_anatomy,
        lesion=lesion,
        logic=logic,
        comment=" ".join(comment.split())[:MAX_COMMENT_CHARS] if isinstance(comment, str) else "",
    )


def _share(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= 1 else None
