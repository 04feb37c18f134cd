"""One question about one picture to any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.download import require_allowed_address
from coreseg_core.errors import ModelError
from training.png import png_bytes

KEY_VARIABLE = "CORESEG_PEER_KEY"
"""Environment variable with the key of a server that wants one."""
MAX_REPLY_BYTES = 1 << 20
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class ChatServer:
    """A server and the model it serves.

    Attributes:
        address: Without `/v1/...`; https, or http to this very machine.
        model: Name that the server knows the model by.
        max_tokens: Of an answer.
        system: System prompt, or none.
        timeout_s: After which a try is given up.
        pause_s: Before a second try, doubled before a third.
    """

    address: str
    model: str
    max_tokens: int
    system: str | None = None
    timeout_s: float = 600.0
    pause_s: float = 2.0

    def ask(self, rgb: NDArray[np.uint8], prompt: str) -> str:
        """Return the answer to a prompt about a picture (h, w, 3), at temperature 0.

        Raises:
            ConnectionError: The server cannot be reached, which is no fault of the model and must not be scored as one.
            ModelError: It answered, but with no answer of the model.
        """
        body = json.dumps(self._request(rgb, prompt)).encode()
        for attempt in range(_TRIES):
            try:
                return _text(json.loads(self._post(body)))
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != 429:
                    raise ModelError(
                        f"The server refused the question (HTTP {error.code}).",
                        remedy=f"Check the model's name, and the key in {KEY_VARIABLE}.",
                    ) from error
            except (OSError, http.client.HTTPException):
                pass
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise ModelError(
                    "The server's reply is no chat completion.",
                    remedy="Name a server that speaks /v1/chat/completions.",
                ) from error
            time.sleep(self.pause_s * 2**attempt if attempt + 1 < _TRIES else 0.0)
        raise ConnectionError(f"the server did not answer in {_TRIES} tries")

    def _request(self, rgb: NDArray[np.uint8], prompt: str) -> dict[str, Any]:
        picture = "data:image/png;base64," + base64.b64encode(png_bytes(rgb)).decode()
        said: list[dict[str, Any]] = (
            [] if self.system is None else [{"role": "system", "content": self.system}]
        )
        content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": prompt}]
        return {
            "model": self.model,
            "messages": [*said, {"role": "user", "content": content}],
            "max_tokens": self.max_tokens,
            "temperature": 0,
        }

    def _post(self, body: bytes) -> bytes:
        require_allowed_address(self.address)
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self.address.rstrip('/')}/v1/chat/completions", data=body, headers=headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=self.timeout_s) as reply:
            content: bytes = reply.read(MAX_REPLY_BYTES)
        return content


def _text(reply: Any) -> str:
    text = reply["choices"][0]["message"]["content"]
    if not isinstance(text, str):
        raise TypeError("no text")
    return text
