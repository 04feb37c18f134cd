"""An OpenAI-compatible server: asked once for each thing, within its limits, with every token counted.

What comes back is on the disk before it is used, under a hash of all that was asked: a run that is stopped asks
nothing twice, and a run that is repeated reads the same replies.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai

from coreseg_core.errors import CoreSegError, InputError
from training.journal import LineJournal

MAX_BACK_OFF_S = 8.0
FIRST_BACK_OFF_S = 0.5
CHARS_A_TOKEN = 4.0
Message = Mapping[str, Any]


class ServerError(CoreSegError):
    """A server that cannot be used, or does not answer any more."""

    code = "server"
    http_status = 502


class Refused(ServerError):
    """A request that the server answers, but will not fulfil."""

    code = "refused"


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """Which server is asked and how.

    Attributes:
        model: As the server calls it.
        base_url: Where it is, "/v1" included; OpenAI's own without it.
        api_key: None where the server wants none.
        allow_upload: Whether pictures may leave this machine.
        requests_per_minute: At most; 0 for no limit of ours.
        timeout_s: Of one request.
        retries: After an error that may pass (429, 5xx, no connection, no JSON), with growing pauses.
        temperature: Of the words.
        max_tokens: Of one reply.
        usd_per_million: Price of a million tokens in and out; None where it is not known.
        image_tokens: What one picture counts, for the estimate of `--dry-run` alone.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = None
    allow_upload: bool = False
    requests_per_minute: float = 0.0
    timeout_s: float = 120.0
    retries: int = 5
    temperature: float = 0.7
    max_tokens: int = 800
    usd_per_million: tuple[float, float] | None = None
    image_tokens: int = 765

    def __post_init__(self) -> None:
        if not self.allow_upload and not _on_this_machine(self.base_url):
            raise InputError(
                "The server is not on this machine, so pictures would leave it.",
                remedy="Check that they may, then add --allow-upload; or name a local server with --base-url.",
            )


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that were counted by the server.

    Attributes:
        unknown: Replies whose tokens the server did not count.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    unknown: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            requests=self.requests + other.requests,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            unknown=self.unknown + other.unknown,
        )

    def usd(self, plan: ServerPlan) -> float | None:
        """Return the price, None where the price of a token is not known."""
        if plan.usd_per_million is None:
            return None
        price_in, price_out = plan.usd_per_million
        return round((self.tokens_in * price_in + self.tokens_out * price_out) / 1e6, 6)

    def to_json(self, plan: ServerPlan) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "requests": self.requests,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "replies_without_count": self.unknown,
            "usd": self.usd(plan),
        }


@dataclass(frozen=True)
class Reply:
    """What the server said, and whether it said all of it."""

    text: str
    complete: bool


class ChatServer:
    """A server with its cache; threads may share it.

    Args:
        plan: Which server and how.
        cache: Where replies are kept.
    """

    def __init__(self, plan: ServerPlan, cache: LineJournal) -> None:
        self.plan = plan
        self._cache = cache
        self._client = openai.OpenAI(
            api_key=plan.api_key or "none",
            base_url=plan.base_url,
            timeout=plan.timeout_s,
            max_retries=plan.retries,
            http_client=_direct_client() if _on_this_machine(plan.base_url) else None,
        )
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._next_s = 0.0
        self._used = Usage()
        self._replayed: set[str] = set()

    @property
    def used(self) -> Usage:
        """What this run was counted by the server."""
        return self._used

    @property
    def replayed(self) -> int:
        """How many replies were taken from the cache instead of being paid again."""
        return len(self._replayed)

    def ask(self, messages: Sequence[Message], *, attempt: int = 0) -> Reply:
        """Return the reply to messages; the same messages and attempt have one reply for ever.

        Raises:
            Refused: The server will not answer this.
            ServerError: It cannot be used, or did not answer in all tries.
        """
        key = self.key(messages, attempt)
        with self._lock:
            asking = self._asking[key]
        with asking:
            kept = self._cache.get(key)
            if kept is None:
                kept = self._paid(messages)
                self._cache.add({key: kept})
            else:
                self._replayed.add(key)
        return Reply(text=str(kept["text"]), complete=bool(kept["complete"]))

    def known(self, messages: Sequence[Message], *, attempt: int = 0) -> bool:
        """Return whether the reply is in the cache."""
        return self.key(messages, attempt) in self._cache

    def key(self, messages: Sequence[Message], attempt: int) -> str:
        """Return what a reply is found again by: a hash of all that decides it."""
        plan = self.plan
        asked = [plan.base_url, plan.model, plan.temperature, plan.max_tokens, attempt, list(messages)]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _paid(self, messages: Sequence[Message]) -> dict[str, Any]:
        for again in range(self.plan.retries + 1):
            if again:
                time.sleep(min(MAX_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** (again - 1)))
            self._wait_for_turn()
            values = _reply_values(self._requested(messages))
            if values is not None:
                with self._lock:
                    self._used += _usage(values)
                return values
        raise ServerError(
            f"The server answered {self.plan.retries + 1} times with something that is no chat completion.",
            remedy="Check --base-url (it usually ends in /v1); run again to go on.",
        )

    def _requested(self, messages: Sequence[Message]) -> Any:
        plan = self.plan
        try:
            return self._client.chat.completions.create(
                model=plan.model,
                messages=list(messages),
                temperature=plan.temperature,
                max_tokens=plan.max_tokens,
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            # The body is not repeated: it may quote what was sent.
            raise Refused(f"The server refused a request (HTTP {error.status_code}).") from error
        except openai.APIStatusError as error:
            raise ServerError(
                f"The server answered with HTTP {error.status_code}.",
                remedy="Check model, --base-url and OPENAI_API_KEY; what was done is kept, run again to go on.",
            ) from error
        except openai.APIConnectionError as error:
            raise ServerError(
                f"The server did not answer in {plan.retries + 1} tries of {plan.timeout_s:g} s.",
                remedy="Check --base-url and --timeout; what was done is kept, run again to go on.",
            ) from error
        except (ValueError, openai.APIResponseValidationError):
            # A body that breaks off, or is no JSON at all.
            return None

    def _wait_for_turn(self) -> None:
        if self.plan.requests_per_minute <= 0:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_s)
            self._next_s = turn + 60.0 / self.plan.requests_per_minute
        time.sleep(max(0.0, turn - now))


def estimated_tokens(messages: Sequence[Message], plan: ServerPlan) -> int:
    """Return about how many tokens messages count, before anybody counted them."""
    count = 0.0
    for message in messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            count += plan.image_tokens if part["type"] == "image_url" else len(part["text"]) / CHARS_A_TOKEN
    return round(count)


def _reply_values(completion: Any) -> dict[str, Any] | None:
    """Return what is kept of a completion, None where it is none."""
    choices = getattr(completion, "choices", None)
    if not choices:
        return None
    message = getattr(choices[0], "message", None)
    text = getattr(message, "content", None)
    usage = getattr(completion, "usage", None)
    return {
        "text": text if isinstance(text, str) else "",
        "complete": isinstance(text, str) and getattr(choices[0], "finish_reason", None) in ("stop", None),
        "tokens_in": getattr(usage, "prompt_tokens", None),
        "tokens_out": getattr(usage, "completion_tokens", None),
    }


def _usage(values: Mapping[str, Any]) -> Usage:
    counted = values["tokens_in"] is not None and values["tokens_out"] is not None
    return Usage(
        requests=1,
        tokens_in=int(values["tokens_in"] or 0),
        tokens_out=int(values["tokens_out"] or 0),
        unknown=0 if counted else 1,
    )


def _direct_client() -> Any:
    """Return a client that goes by no proxy of the environment and to no other address: pictures stay here."""
    return openai.DefaultHttpxClient(trust_env=False, follow_redirects=False)


def _on_this_machine(base_url: str | None) -> bool:
    host = urlsplit(base_url or "").hostname
    if host is None:
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
