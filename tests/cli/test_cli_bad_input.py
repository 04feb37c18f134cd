"""What cannot be asked ends with exit code 2, a reason, a remedy, and no file; most of it before any model is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coreseg_core.cli import main

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Call the program, check that it refuses properly, and return what it said on stderr."""

    def call(*words: str | Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("coreseg: ")
        assert "What to do:" in said.err
        assert "Traceback" not in said.err
        assert sorted(tmp_path.rglob("*")) == before
        return said.err

    return call


def test_a_missing_image_is_refused_without_repeating_its_name(refused: Refused, tmp_path: Path) -> None:
    said = refused("ask", tmp_path / "Jane_Doe_1961.nii.gz", "lesion?")
    assert "no such file" in said
    assert "Jane" not in said


@pytest.mark.parametrize("kept", [0, 200, 2000])
def test_a_truncated_image_is_refused(kept: int, refused: Refused, head: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(head.read_bytes()[:kept])
    refused("ask", broken, "lesion?")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--slice", "6"], "slice 6"),
        (["--slice", "-1"], "slice -1"),
        (["--slices", "4:9"], "slices 4:9"),
        (["--slices", "4:4"], "slices 4:4"),
        (["--slice", "40", "--axis", "i"], "slice 40"),
    ],
)
def test_a_slice_that_is_not_there_is_refused_with_those_that_are(
    words: list[str], asked: str, refused: Refused, head: Path
) -> None:
    said = refused("ask", head, "lesion?", *words)
    assert asked in said
    assert "slices 0 to" in said


@pytest.mark.parametrize(
    "words", [["--slices", "3"], ["--slices", "a:b"], ["--slice", "x"], ["--axis", "up"]]
)
def test_an_option_that_is_not_understood_ends_with_exit_code_2(words: list[str], head: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["ask", str(head), "lesion?", *words])
    assert stop.value.code == 2


@pytest.mark.parametrize("question", ["", "   ", "\x00\x1b", "<seg>"])
def test_an_empty_question_is_refused(question: str, refused: Refused, head: Path) -> None:
    assert "empty" in refused("ask", head, question)


def test_a_question_of_ten_kilobytes_is_refused_with_its_length_and_the_limit(
    refused: Refused, head: Path
) -> None:
    said = refused("ask", head, "lesion " * 1463)
    assert "10241" in said
    assert "1000" in said


def test_an_image_without_a_single_finite_voxel_is_refused(
    refused: Refused, make_head: Callable[..., Path], tmp_path: Path
) -> None:
    assert "finite" in refused("ask", make_head(tmp_path / "nan.nii.gz", nan="all"), "lesion?")


@pytest.mark.parametrize("option", ["--out", "--overlay"])
@pytest.mark.parametrize("place", ["missing folder", "file as a folder", "folder", "unknown ending"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    option: str, place: str, refused: Refused, head: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    ending = ".nii.gz" if option == "--out" else ".png"
    (tmp_path / f"folder{ending}").mkdir()
    path = {
        "missing folder": tmp_path / "missing" / f"result{ending}",
        "file as a folder": tmp_path / "file" / f"result{ending}",
        "folder": tmp_path / f"folder{ending}",
        "unknown ending": tmp_path / "result.tiff",
    }[place]
    assert option in refused("ask", head, "lesion?", option, path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_an_output_folder_without_permission_is_refused(refused: Refused, head: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert "Permission" in refused("ask", head, "lesion?", "--out", folder / "mask.nii.gz")


def test_the_image_is_never_replaced_by_its_own_answer(
    refused: Refused, make_head: Callable[..., Path], tmp_path: Path
) -> None:
    image = make_head(tmp_path / "own.nii.gz")
    (tmp_path / "own.json").write_text('{"schema": "coreseg.record/1"}')
    content = image.read_bytes()
    assert "input of this command" in refused("ask", image, "lesion?", "--out", image)
    assert image.read_bytes() == content


def test_a_json_file_that_is_no_record_is_never_replaced_by_one(
    refused: Refused, head: Path, tmp_path: Path
) -> None:
    other = tmp_path / "mask.json"
    other.write_text('{"modality": "MR"}')
    assert ".json" in refused("ask", head, "lesion?", "--out", tmp_path / "mask.nii.gz")
    assert other.read_text() == '{"modality": "MR"}'


def test_missing_weights_are_refused_with_what_is_missing(
    refused: Refused, head: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "weights"
    empty.mkdir()
    assert "manifest.json is missing" in refused("ask", head, "lesion?", "--slice", "3", "--weights", empty)


def test_an_altered_weight_file_is_refused(
    refused: Refused, head: Path, random_weights: Path, tmp_path: Path
) -> None:
    altered = tmp_path / "altered"
    altered.mkdir()
    for path in random_weights.iterdir():
        (altered / path.name).write_bytes(path.read_bytes())
    weights = bytearray((altered / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (altered / "weights.safetensors").write_bytes(weights)
    assert "SHA-256 differs" in refused("ask", head, "lesion?", "--slice", "3", "--weights", altered)


def test_an_unknown_preset_is_refused_with_those_there_are(refused: Refused, head: Path) -> None:
    assert "lite, core-seg-3b" in refused("ask", head, "lesion?", "--slice", "3", "--preset", "huge")


def test_a_gpu_that_is_not_there_is_refused(refused: Refused, head: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "--device auto" in refused("ask", head, "lesion?", "--slice", "3", "--device", "cuda")


def test_evaluate_refuses_what_is_no_manifest(refused: Refused, tmp_path: Path) -> None:
    assert "cannot be read" in refused("evaluate", tmp_path / "none.jsonl")
    (tmp_path / "odd.jsonl").write_text("not json\n")
    assert "Line 1" in refused("evaluate", tmp_path / "odd.jsonl")


def test_an_unknown_sample_is_refused_and_no_folder_is_made(refused: Refused, tmp_path: Path) -> None:
    assert "MRHead" in refused("samples", "MRTail", "--out", tmp_path / "samples")


def test_phantoms_refuse_a_folder_that_cannot_be(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused("phantoms", tmp_path / "file" / "demo")
