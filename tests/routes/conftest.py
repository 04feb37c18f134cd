"""The real app behind MONAI Label's own server object, with weights that answer every question alike, and at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server, serve
from spelled import ABSENT, PRESENT, model_that_says

from coreseg_core.checkpoint import save_weights
from coreseg_core.models.build import best_encoder_dtype, build_segmenter
from coreseg_core.models.load import TOKENIZER_NAME
from coreseg_core.models.preset import load_preset
from coreseg_core.phantoms.demo import write_demo
from coreseg_core.versions import Provenance, publish_version


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[Server]:
    """Yield the app with the demo studies and one truncated image; it sees a liver tumor on every slice.

    A version `absent`, not current, sees none.
    """
    lite = load_preset("lite")
    parts = build_segmenter(lite, encoder_dtype=best_encoder_dtype()).eval()
    place, versions = tmp_path_factory.mktemp("weights") / "spelled", tmp_path_factory.mktemp("versions")
    tokenizer = {TOKENIZER_NAME: tokenizer_file.read_bytes()}

    tensors = model_that_says(PRESENT, lite, parts=parts, tokenizer=tokenizer_file).trained_state()
    save_weights(place, tensors, {"preset": "lite", "version": "v0"}, files=tokenizer)
    tensors = model_that_says(ABSENT, lite, parts=parts, tokenizer=tokenizer_file).trained_state()
    absent = publish_version(versions, tensors, Provenance(preset="lite", state="accepted"), files=tokenizer)
    absent.rename(versions / "absent")

    store = tmp_path_factory.mktemp("studies")
    index = json.loads(write_demo(store).read_bytes())
    (store / "broken.nii.gz").write_bytes((store / "demo_ct_liver.nii.gz").read_bytes()[:2000])
    conf = {"weights": str(place), "versions": str(versions)}
    with serve(store, tmp_path_factory.mktemp("sessions"), conf=conf) as http:
        yield Server(http=http, store=store, versions=versions, studies=tuple(index["studies"]))
