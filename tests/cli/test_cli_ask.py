"""`coreseg ask` from the words of the command line to its files, with untrained weights."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coreseg_core.cli import main
from coreseg_core.imaging import read_label, read_volume


def _ask(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[str, str]:
    assert main(["ask", *(str(word) for word in words)]) == 0
    said = capsys.readouterr()
    return said.out, said.err


def test_an_answer_has_words_a_mask_on_the_image_grid_a_record_and_a_picture(
    head: Path, random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, picture = tmp_path / "mask.nii.gz", tmp_path / "answer.png"
    words = [head, "Where is the brain tumor?", "--weights", random_weights, "--reasoning", "none"]
    out, err = _ask(capsys, *words, "--out", mask, "--overlay", picture)
    assert out.split()[0] in ("PRESENT", "COULD", "NO")
    assert "on slice 3 (axial)" in out
    assert "middle one, 3 of 0 to 5" in err
    assert "not a medical device" in out
    record = json.loads((tmp_path / "mask.json").read_text())
    assert record["schema"] == "coreseg.record/1"
    assert record["scope"] == {"axis": "k", "start": 3, "stop": 4}
    assert record["model"]["version"] == "random"
    labels = read_label(mask, read_volume(head).geometry)
    values = sorted({lesion["label_value"] for lesion in record["lesions"]})
    assert sorted(np.unique(labels[labels > 0]).tolist()) == values
    assert Image.open(picture).size[0] > 640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.png", "mask.json", "mask.nii.gz"]


def test_several_slices_show_their_progress_on_stderr_and_nothing_but_the_record_on_stdout(
    head: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--slices", "1:3", "--axis", "k", "--weights", random_weights, "--reasoning", "none", "--json"]
    out, err = _ask(capsys, head, "lesion", *words)
    record = json.loads(out)
    assert [finding["index"] for finding in record["slices"]] == [1, 2]
    assert record["image_id"] == "head"
    assert "2/2" in err
    assert "middle" not in err


def test_a_question_the_words_rule_out_is_answered_for_every_slice_with_the_reason(
    head: Path, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = _ask(capsys, head, "Is there a kidney stone?", "--all", "--weights", random_weights)
    assert out.startswith("NOT TRAINED FOR THIS on slices 0 to 5 (axial)")
    assert "kidney stone" in out
    assert "says nothing about whether a lesion is there" in " ".join(out.split())
    out, _ = _ask(capsys, head, "brain tumor on this CT", "--slice", "2", "--weights", random_weights)
    assert out.startswith("THE QUESTION DOES NOT FIT on slice 2 (axial)")


def test_a_picture_needs_no_slice_and_nothing_is_said_about_one(
    random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "skin.png")
    words = ["kidney stone", "--weights", random_weights, "--json"]
    out, err = _ask(capsys, tmp_path / "skin.png", *words)
    assert json.loads(out)["scope"] == {"axis": "k", "start": 0, "stop": 1}
    assert err == ""


def test_some_voxels_that_are_no_numbers_do_not_hinder_an_answer(
    make_head: Callable[..., Path],
    random_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = make_head(tmp_path / "some.nii.gz", nan="some")
    out, _ = _ask(
        capsys, image, "lesion", "--slice", "3", "--weights", random_weights, "--reasoning", "none", "--json"
    )
    assert json.loads(out)["outcome"] != "error"


class _StopsWhenWorking(io.StringIO):
    """A stderr on which the user presses Ctrl-C as soon as the progress bar appears."""

    def write(self, text: str) -> int:
        if "looking" in text:
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_ctrl_c_at_work_ends_with_130_and_leaves_no_file(
    head: Path, random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", _StopsWhenWorking())
            words = ["--weights", str(random_weights), "--out", str(tmp_path / "mask.nii.gz")]
            assert main(["ask", str(head), "lesion", "--all", *words]) == 130
    finally:
        signal.signal(signal.SIGINT, previous)
    assert list(tmp_path.iterdir()) == []
