"""Options of `coreseg dataset reason` and `judge`: who writes, which server, what it costs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from coreseg_core.errors import InputError

if TYPE_CHECKING:
    from training.dataset.chat import ChatServer, ServerPlan
    from training.dataset.writers import Writer


def add_words(parser: argparse.ArgumentParser) -> None:
    """Add what `reason` and `judge` share: who writes, which server, how."""
    parser.add_argument(
        "--writer",
        choices=("offline", "server"),
        default="offline",
        help="offline: free, from what is measured",
    )
    parser.add_argument("--model", metavar="NAME", help="the writer's model, as its server calls it")
    parser.add_argument(
        "--base-url",
        metavar="URL",
        default=os.environ.get("OPENAI_BASE_URL"),
        help="an OpenAI-compatible server",
    )
    parser.add_argument("--allow-upload", action="store_true", help="pictures may go to a server elsewhere")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what a server would be asked for and its price"
    )
    parser.add_argument("--usd-in", type=float, metavar="USD", help="price of a million tokens in")
    parser.add_argument("--usd-out", type=float, metavar="USD", help="price of a million tokens out")
    parser.add_argument("--rpm", type=float, default=0.0, metavar="N", help="requests a minute, at most")
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="of a request (default: 120)"
    )
    parser.add_argument("--retries", type=int, default=5, help="after an error that may pass (default: 5)")
    parser.add_argument("--tries", type=int, default=3, help="replies that cannot be used (default: 3)")
    parser.add_argument("--workers", type=int, default=1, help="rows at the same time (default: 1)")
    parser.add_argument(
        "--cache", type=Path, metavar="FILE", help="replies (default: replies.jsonl beside --out)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the words (default: 0)")


def chosen_writer(chosen: argparse.Namespace) -> tuple[Writer, ChatServer | None]:
    """Return the writer that the options choose, with its server if it has one.

    Raises:
        InputError: A server without a model, or one elsewhere without leave to send pictures.
    """
    from training.dataset.writers import OfflineWriter, ServerWriter

    offline = OfflineWriter(seed=chosen.seed)
    if chosen.writer == "offline":
        return offline, None
    server = chosen_server(chosen, chosen.model)
    return ServerWriter(server=server, offline=offline), server


def chosen_server(
    chosen: argparse.Namespace, model: str | None, *, base_url: str | None = None
) -> ChatServer:
    """Return a server with its cache of replies.

    Raises:
        InputError: It has no model, or is elsewhere without leave to send pictures.
    """
    from training.dataset.chat import ChatServer
    from training.journal import LineJournal

    if not model:
        raise InputError("A server needs the name of a model.", remedy="Add --model or --judge-model.")
    cache = chosen.cache or chosen.out.with_name("replies.jsonl")
    return ChatServer(
        server_plan(chosen, model, base_url=base_url), LineJournal(cache, what="cache of replies")
    )


def server_plan(chosen: argparse.Namespace, model: str | None, *, base_url: str | None = None) -> ServerPlan:
    """Return what the options say about a server; without a model only its prices count."""
    from training.dataset.chat import ServerPlan

    prices = chosen.usd_in, chosen.usd_out
    return ServerPlan(
        model=model or "none",
        base_url=base_url or chosen.base_url,
        api_key=os.environ.get("OPENAI_API_KEY"),
        # Without a server nothing is sent.
        allow_upload=chosen.allow_upload or model is None,
        requests_per_minute=chosen.rpm,
        timeout_s=chosen.timeout,
        retries=chosen.retries,
        usd_per_million=None if None in prices else prices,
    )
