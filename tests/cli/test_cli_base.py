"""`--base`: the published weights that `core-seg-3b` stands on, named on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coreseg_core.cli import main
from coreseg_core.models.base_files import BASE_VARIABLE, SEGMENTER_VARIABLE


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches a hub or takes what this machine has of one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv(BASE_VARIABLE, raising=False)
    monkeypatch.delenv(SEGMENTER_VARIABLE, raising=False)


def test_info_finds_the_published_weights_that_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "qwen"
    base.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "medsam_vit_b.safetensors"):
        (base / name).touch()
    assert main(["info", "--json", "--preset", "core-seg-3b", "--base", str(base)]) == 0
    assert json.loads(capsys.readouterr().out)["base"] == {
        "found": True,
        "stated": None,
        "folder": str(base),
    }
    (base / "medsam_vit_b.safetensors").unlink()
    assert main(["info", "--preset", "core-seg-3b", "--base", str(base)]) == 0
    assert "medsam_vit_b.safetensors" in capsys.readouterr().out


def test_info_of_lite_speaks_of_no_published_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["base"] is None


def test_ask_looks_for_the_published_weights_where_it_is_told(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ask", str(head), "brain tumor?", "--preset", "core-seg-3b", "--base", str(tmp_path / "nowhere")]
    assert main(words) == 2
    assert "'nowhere'" in capsys.readouterr().err
