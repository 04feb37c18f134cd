"""The real app behind MONAI Label's own server object, with the demo studies, whose truth is known."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from serving import APP_DIR, REPOSITORY, Server

from coreseg_core.phantoms.demo import write_demo


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the app with the demo studies and one truncated image."""
    from monailabel.config import settings

    store, versions = tmp_path_factory.mktemp("studies"), tmp_path_factory.mktemp("versions")
    index = json.loads(write_demo(store).read_bytes())
    (store / "broken.nii.gz").write_bytes((store / "demo_ct_liver.nii.gz").read_bytes()[:2000])

    settings.MONAI_LABEL_APP_DIR = str(APP_DIR)
    settings.MONAI_LABEL_STUDIES = str(store)
    settings.MONAI_LABEL_APP_CONF = {"device": "cpu", "versions": str(versions)}
    settings.MONAI_LABEL_SESSION_PATH = str(tmp_path_factory.mktemp("sessions"))
    settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
    settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD = False
    # MONAI Label's task processes want it; unset, they never start and never say so.
    os.environ.setdefault("PYTHONPATH", str(REPOSITORY))

    from monailabel.app import app

    with TestClient(app) as http:
        yield Server(http=http, store=store, versions=versions, studies=tuple(index["studies"]))
