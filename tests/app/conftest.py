"""The real app behind MONAI Label's own server object, with the demo studies, whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from serving import Server, serve

from coreseg_core.phantoms.demo import write_demo


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the app with the demo studies and one truncated image."""
    store, versions = tmp_path_factory.mktemp("studies"), tmp_path_factory.mktemp("versions")
    index = json.loads(write_demo(store).read_bytes())
    (store / "broken.nii.gz").write_bytes((store / "demo_ct_liver.nii.gz").read_bytes()[:2000])

    with serve(store, tmp_path_factory.mktemp("sessions"), conf={"versions": str(versions)}) as http:
        yield Server(http=http, store=store, versions=versions, studies=tuple(index["studies"]))
