"""Which weights answer is chosen in one file, takes effect without a restart, and is never guessed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server

from coreseg_core.checkpoint import WEIGHTS_NAME, load_weights
from coreseg_core.models.load import TOKENIZER_NAME, packaged_folder
from coreseg_core.versions import CURRENT_NAME, Provenance, publish_version, set_current

ASK = {"query": "breast tumor", "slice": 1, "reasoning": "none"}


@pytest.fixture
def tuned(server: Server) -> Iterator[Path]:
    """Yield a version that holds the shipped weights under a name of its own; what ships answers afterwards."""
    shipped = packaged_folder("lite")
    tensors, _ = load_weights(shipped)
    tokenizer = (shipped / TOKENIZER_NAME).read_bytes()
    provenance = Provenance(preset="lite", parent="v0", state="accepted")
    yield publish_version(server.versions, tensors, provenance, files={TOKENIZER_NAME: tokenizer})
    (server.versions / CURRENT_NAME).unlink(missing_ok=True)
    for folder in filter(Path.is_dir, server.versions.iterdir()):
        shutil.rmtree(folder)


def version_that_answers(server: Server, tmp_path: Path) -> str:
    return str(server.ask("demo_us_breast", tmp_path, **ASK).params["record"]["model"]["version"])


def test_the_next_question_is_answered_by_the_version_that_is_current_then(
    server: Server, tuned: Path, tmp_path: Path
) -> None:
    assert version_that_answers(server, tmp_path) == "v0"
    set_current(server.versions, tuned.name)
    told = server.http.get("/coreseg/health").json()["model"]
    assert (told["version"], told["next"]["version"]) == ("v0", tuned.name)
    assert version_that_answers(server, tmp_path) == tuned.name
    assert server.http.get("/coreseg/health").json()["model"]["version"] == tuned.name
    set_current(server.versions, "v0")
    assert version_that_answers(server, tmp_path) == "v0"


def test_altered_weights_of_the_current_version_are_not_answered_with(server: Server, tuned: Path) -> None:
    set_current(server.versions, tuned.name)
    weights = tuned / WEIGHTS_NAME
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0xFF
    weights.write_bytes(bytes(content))
    before = server.labels()
    refused = server.post(query={"image": "demo_us_breast"}, params=ASK)
    assert refused.status_code == 503
    assert refused.json()["detail"]["code"] == "checkpoint"
    assert WEIGHTS_NAME in refused.json()["detail"]["reason"]
    assert server.labels() == before


def test_a_current_version_that_is_gone_is_an_error_and_not_the_shipped_model(
    server: Server, tuned: Path
) -> None:
    set_current(server.versions, tuned.name)
    tuned.rename(server.versions / "elsewhere")
    refused = server.post(query={"image": "demo_us_breast"}, params=ASK)
    assert refused.status_code == 503
    assert refused.json()["detail"]["remedy"]
    assert server.http.get("/coreseg/health").json()["model"]["next"]["error"] == refused.json()["detail"]
