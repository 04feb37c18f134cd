"""`coreseg info`, `samples` and `phantoms`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from coreseg_core import __version__
from coreseg_core.cli import main
from coreseg_core.samples import samples
from coreseg_core.terms import terms


def test_info_tells_the_weights_by_hash_and_what_they_were_trained_for(
    random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--json", "--weights", str(random_weights)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["coreseg"] == __version__
    assert facts["weights"]["verified"] is True
    expected = hashlib.sha256((random_weights / "weights.safetensors").read_bytes()).hexdigest()
    assert facts["weights"]["sha256"] == expected
    assert facts["weights"]["calibrated"] is False
    trained = facts["trained_for"]
    named = {*trained["targets"], *trained["targets_on_generated_studies_only"]}
    assert named == {target.name for target in terms().targets}
    assert not named & set(trained["refused"])
    assert facts["device"]["encoder_dtype"] in ("float32", "bfloat16", "float16")
    assert facts["model_card"] is None


def test_info_names_the_model_card_that_lies_beside_the_weights(
    random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in random_weights.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "MODEL_CARD.md").write_text("# Model card\n")
    assert main(["info", "--weights", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "MODEL_CARD.md" in said
    assert "lite random" in said
    assert "polyp" in said
    assert "not a medical device" in said


def test_info_tells_that_weights_are_missing_and_what_to_do_instead_of_failing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--weights", str(tmp_path / "none"), "--preset", "core-seg-3b"]) == 0
    said = capsys.readouterr().out
    assert "NOT USABLE" in said
    assert "core-seg-3b" in said


@pytest.mark.parametrize("words", [[], ["--list"], ["MRHead", "--list"]])
def test_samples_are_listed_with_licence_and_citation(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["samples", *words]) == 0
    said = capsys.readouterr().out
    for sample in samples().values():
        assert sample.name in said
        assert sample.licence in said
        assert sample.citation in said


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A server on this machine that holds a file under the address of MRHead, but not the right one."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / samples()["MRHead"].address.rsplit("/", 1)[-1]).write_bytes(b"another file")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(shelf)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_sample_that_is_not_the_file_of_the_table_is_refused_and_deleted(
    mirror: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "samples"
    assert main(["samples", "MRHead", "--out", str(out), "--mirror", mirror]) == 2
    assert "SHA-256" in capsys.readouterr().err
    assert [path for path in out.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_phantoms_are_made_and_each_is_named_with_the_question_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["phantoms", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr()
    index = json.loads((tmp_path / "demo" / "demo.json").read_text())
    for entry in index["studies"]:
        assert entry["query"] in said.out
        assert (tmp_path / "demo" / entry["image"]).is_file()
    assert f"{len(index['studies'])}study" in said.err.replace(" ", "")
