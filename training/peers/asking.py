"""One question about one picture to a server or to a model on this machine, as an answerer asks it."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from coreseg_core.models.image_text import ImageTextModel
from training.dataset.chat import ChatServer, Message, Refused, ServerError
from training.dataset.instructions import picture_parts
from training.journal import LineJournal
from training.peers.answerer import Asker
from training.peers.config import PeerConfig


def asker(server: ChatServer, config: PeerConfig) -> Asker:
    """Return what asks a server for the answer to a prompt about a picture.

    It raises `Refused` for a question that the server will not answer, which counts as a failure of the system, and
    `ConnectionError` where the server cannot be used, which is no fault of the system and must not be scored as one.
    """

    def ask(rgb: NDArray[np.uint8], prompt: str) -> str:
        try:
            return server.ask(peer_messages(rgb, prompt, system=config.system)).text
        except Refused:
            raise
        except ServerError as error:
            raise ConnectionError(error.reason) from error

    return ask


def local_asker(model: ImageTextModel, config: PeerConfig, replies: LineJournal) -> Asker:
    """Return what asks a model on this machine; what it has answered before is not asked again."""

    def ask(rgb: NDArray[np.uint8], prompt: str) -> str:
        about = json.dumps([config.model, config.system, config.max_tokens, prompt, list(rgb.shape)])
        key = hashlib.sha256(about.encode() + np.ascontiguousarray(rgb).tobytes()).hexdigest()
        kept = replies.get(key)
        if kept is not None:
            return str(kept["text"])
        written = model.write(rgb, prompt, max_tokens=config.max_tokens, system=config.system)
        replies.add({key: {"text": written.text}})
        return written.text

    return ask


def peer_messages(rgb: NDArray[np.uint8], prompt: str, *, system: str | None) -> list[Message]:
    """Return the messages about a picture (h, w, 3)."""
    said: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    return [*said, {"role": "user", "content": [*picture_parts([rgb]), {"type": "text", "text": prompt}]}]
