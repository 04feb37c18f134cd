"""The real app behind MONAI Label's own server object, with weights that answer every question alike, and at once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from living import Live
from serving import Server, serve
from spelled import ABSENT, PRESENT, model_that_says

from coreseg_core.checkpoint import save_weights
from coreseg_core.models.build import best_encoder_dtype, build_segmenter
from coreseg_core.models.load import TOKENIZER_NAME
from coreseg_core.models.preset import load_preset
from coreseg_core.phantoms.demo import write_demo


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Path:
    """Return a folder of two weight folders: `present` sees a liver tumor on every slice, `absent` on none."""
    lite, place = load_preset("lite"), tmp_path_factory.mktemp("weights")
    parts = build_segmenter(lite, encoder_dtype=best_encoder_dtype()).eval()
    for name, reply in (("present", PRESENT), ("absent", ABSENT)):
        model = model_that_says(reply, lite, parts=parts, tokenizer=tokenizer_file, tied=True)
        facts = {"preset": "lite", "version": name, "state": "accepted"}
        tokenizer = {TOKENIZER_NAME: tokenizer_file.read_bytes()}
        save_weights(place / name, model.trained_state(), facts, files=tokenizer)
    return place


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Server]:
    """Yield the app with the demo studies and one truncated image; the version `absent` is not current."""
    store = tmp_path_factory.mktemp("store") / "studies"
    store.mkdir()
    index = json.loads(write_demo(store).read_bytes())
    (store / "broken.nii.gz").write_bytes((store / "demo_ct_liver.nii.gz").read_bytes()[:2000])
    runs = tmp_path_factory.mktemp("runs")
    conf = {"weights": str(weights / "present"), "versions": str(weights), "runs": str(runs)}
    with serve(store, tmp_path_factory.mktemp("sessions"), conf=conf) as http:
        yield Server(http=http, store=store, versions=weights, studies=tuple(index["studies"]))


@pytest.fixture
def live(tmp_path: Path, weights: Path) -> Iterator[Live]:
    store = tmp_path / "studies"
    store.mkdir()
    write_demo(store)
    made = Live(store=store, weights=weights / "present", log=tmp_path / "server.log")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)
