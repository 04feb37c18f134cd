"""The server as a client sees it: images in, questions, final labels, trainings and versions."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from coreseg_core.errors import CoreSegError

LONG_S = 600.0


class ServerError(CoreSegError):
    """What a server answered in place of what was asked for."""

    code = "server"


class Client:
    """Speaks to a server.

    Args:
        address: As in `http://127.0.0.1:8000`.
        token: That it wants; empty for none.
    """

    def __init__(self, address: str, *, token: str = "") -> None:
        self._address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ready(self) -> bool:
        """Return whether the server is up."""
        try:
            return bool(self.get("/coreseg/health")["status"] == "ok")
        except (OSError, ServerError):
            return False

    def get(self, path: str) -> Any:
        """Return what a route tells."""
        return json.loads(self._send("GET", path))

    def post(self, path: str, values: Mapping[str, Any]) -> Any:
        """Return what a route answers to a JSON object."""
        body = json.dumps(values).encode()
        return json.loads(self._send("POST", path, body, content_type="application/json"))

    def put_image(self, name: str, content: bytes, info: Mapping[str, Any]) -> None:
        """Add a PNG to the studies."""
        fields = {"params": (None, json.dumps(info).encode()), "file": (f"{name}.png", content)}
        self._form("PUT", f"/datastore/image?image={urllib.parse.quote(name)}", fields)

    def ask(self, image: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of a question."""
        fields = {"params": (None, json.dumps(params).encode())}
        place = f"/infer/coreseg?image={urllib.parse.quote(image)}&output=json"
        told = json.loads(self._form("POST", place, fields))
        record: dict[str, Any] = told.get("params", told)["record"]
        return record

    def label(self, image: str, *, tag: str) -> bytes:
        """Return the file of a label."""
        return self._send("GET", f"/datastore/label?label={urllib.parse.quote(image)}&tag={tag}")

    def submit(self, image: str, label: bytes, params: Mapping[str, Any]) -> None:
        """Submit a final label, a NIfTI file."""
        fields = {"params": (None, json.dumps(params).encode()), "label": ("label.nii.gz", label)}
        self._form("PUT", f"/datastore/label?image={urllib.parse.quote(image)}&tag=final", fields)

    def train(self, model: str, params: Mapping[str, Any], *, look_s: float = 2.0) -> dict[str, Any]:
        """Return where a training stands after its end."""
        run = self.post(f"/train/{model}", params)["id"]
        while True:
            state: dict[str, Any] = self.get(f"/coreseg/training/{run}")
            if state["state"] in ("done", "failed", "stopped"):
                return state
            time.sleep(look_s)

    def _form(self, method: str, path: str, fields: Mapping[str, tuple[str | None, bytes]]) -> bytes:
        boundary = secrets.token_hex(16)
        parts = []
        for name, (file_name, content) in fields.items():
            named = f'; filename="{file_name}"' if file_name else ""
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
            parts.append(head.encode() + content + b"\r\n")
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return self._send(method, path, body, content_type=f"multipart/form-data; boundary={boundary}")

    def _send(self, method: str, path: str, body: bytes | None = None, *, content_type: str = "") -> bytes:
        headers = {**self._headers, **({"Content-Type": content_type} if content_type else {})}
        request = urllib.request.Request(self._address + path, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LONG_S) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")[:500]
            raise ServerError(f"{method} {path.partition('?')[0]} answered {error.code}: {told}") from error
