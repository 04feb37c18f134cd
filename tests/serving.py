"""Talking to the app as a client does, and taking its answers apart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient
from requests_toolbelt import MultipartDecoder

from coreseg_core.imaging import Volume, read_volume

REPOSITORY = Path(__file__).resolve().parents[1]
APP_DIR = REPOSITORY / "apps" / "coreseg"
_CHANGED = (
    "MONAI_LABEL_APP_DIR",
    "MONAI_LABEL_STUDIES",
    "MONAI_LABEL_APP_CONF",
    "MONAI_LABEL_SESSION_PATH",
    "MONAI_LABEL_AUTO_UPDATE_SCORING",
    "MONAI_LABEL_DATASTORE_AUTO_RELOAD",
)


@contextmanager
def serve(store: Path, sessions: Path, *, conf: Mapping[str, str]) -> Iterator[TestClient]:
    """Yield a client of the app behind MONAI Label's own server object; one at a time, for its settings are global."""
    from monailabel.config import settings

    before = {name: getattr(settings, name) for name in _CHANGED}
    settings.MONAI_LABEL_APP_DIR = str(APP_DIR)
    settings.MONAI_LABEL_STUDIES = str(store)
    settings.MONAI_LABEL_APP_CONF = {"device": "cpu", "import_dicom": "false", **conf}
    settings.MONAI_LABEL_SESSION_PATH = str(sessions)
    settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
    settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD = False
    # MONAI Label's task processes want it; unset, they never start and never say so.
    os.environ.setdefault("PYTHONPATH", str(REPOSITORY))

    from monailabel.app import app

    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as http:
        yield http
    for name, value in before.items():
        setattr(settings, name, value)


@dataclass(frozen=True)
class Answer:
    """One answer of `/infer`, taken apart."""

    params: dict[str, Any]
    label: Volume


@dataclass(frozen=True)
class Server:
    """The app with its studies."""

    http: TestClient
    store: Path
    versions: Path
    studies: tuple[Mapping[str, Any], ...]

    def study(self, name: str) -> Mapping[str, Any]:
        """Return what the demo's index says about one study."""
        return next(study for study in self.studies if study["image"] == f"{name}.nii.gz")

    def post(self, model: str = "coreseg", /, *, query: Mapping[str, str], params: Any) -> httpx.Response:
        text = params if isinstance(params, str) else json.dumps(params)
        return self.http.post(f"/infer/{model}", params=dict(query), data={"params": text})

    def ask(self, image: str, tmp_path: Path, **params: Any) -> Answer:
        response = self.post(query={"image": image}, params=params)
        assert response.status_code == 200, response.text
        return take_apart(response, tmp_path)

    def labels(self) -> set[str]:
        folder = self.store / "labels"
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def take_apart(response: httpx.Response, tmp_path: Path) -> Answer:
    """Return the two parts of a multipart answer; the JSON must be strict."""
    parts = {}
    for part in MultipartDecoder(response.content, response.headers["content-type"]).parts:
        disposition = part.headers[b"Content-Disposition"].decode()
        parts[disposition.split('name="')[1].split('"')[0]] = (disposition, part.content)
    name = parts["image"][0].split('filename="')[1].split('"')[0]
    path = tmp_path / name
    path.write_bytes(parts["image"][1])
    return Answer(params=strict_json(parts["params"][1]), label=read_volume(path))


def strict_json(content: bytes) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(content, parse_constant=refuse)
