"""Tuples as the paper has them become a manifest again, and one command measures a model on them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coreseg_core.answer import compose_absent, compose_present
from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from training.comlesion import UNKNOWN, main, read_tuples
from training.dataset.exports import export_huggingface, export_tuples

WORDS = ("id", "split", "subset", "modality", "anatomy", "disease", "target", "query", "reasoning", "answer")


def _picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _rows(folder: Path) -> list[Row]:
    """Return one row with a polyp and one without, of two splits."""
    rng = np.random.default_rng(1)
    rows = []
    for number, (split, free) in enumerate([("test", False), ("train", True)]):
        _picture(folder / f"images/{number}.png", rng.integers(0, 255, (40, 56, 3), dtype=np.uint8))
        mask = np.zeros((40, 56), np.uint8)
        if not free:
            mask[8:20, 10:30] = 255
            _picture(folder / f"masks/{number}.png", mask)
        rows.append(
            Row(
                id=f"row-{number}",
                image=f"images/{number}.png",
                mask=None if free else f"masks/{number}.png",
                split=split,
                subset="made-up",
                modality="endoscopy",
                anatomy="colon",
                disease="none" if free else "polyp",
                target="polyp",
                query="Where is the polyp?",
                reasoning="Smooth folds, but a round bump.",
                answer=compose_absent("polyp") if free else compose_present("polyp", [(10, 8, 30, 20)]),
                folder=folder,
            )
        )
    return rows


@pytest.mark.parametrize("export", [export_tuples, export_huggingface])
def test_what_is_exported_is_read_again(export: object, tmp_path: Path) -> None:
    rows = _rows(tmp_path / "set")
    (tmp_path / "copy").mkdir()
    export(rows, tmp_path / "copy", title="t", step=lambda: None)  # type: ignore[operator]
    assert main([str(tmp_path / "copy")]) == 0
    found = {row.id: row for row in read_manifest(tmp_path / "copy" / "manifest.jsonl")}
    for row in rows:
        again = found[row.id]
        assert {word: getattr(again, word) for word in WORDS} == {word: getattr(row, word) for word in WORDS}
        assert again.lesion_free == row.lesion_free
        one, other = load_picture(row), load_picture(again)
        assert np.array_equal(one.rgb, other.rgb) and np.array_equal(one.mask, other.mask)


def test_bare_tuples_under_other_names_say_what_their_answer_says(tmp_path: Path) -> None:
    _rows(tmp_path)
    answer = (
        "<think>A bump.</think><answer>The Liver_Tumor are located at [[10, 8, 30, 20]]. The mask is <seg>."
    )
    record = {"img": "images/0.png", "seg": "masks/0.png", "question": "Liver tumor?", "response": answer}
    (tmp_path / "Test.json").write_text(json.dumps([{**record, "modality": "XRay"}]))
    with pytest.raises(InputError, match="no mask") as refused:
        read_tuples(tmp_path)
    assert "--field mask=COLUMN" in refused.value.remedy
    (row,) = read_tuples(tmp_path, fields={"mask": "seg"}).rows
    assert (row.target, row.disease, row.split) == ("Liver_Tumor", "Liver_Tumor", "test")
    assert (row.modality, row.anatomy) == ("chest X-ray", UNKNOWN)
    assert row.reasoning == "A bump."
    assert row.answer == compose_present("Liver_Tumor", [(10, 8, 30, 20)])


def test_an_answer_in_no_form_is_counted_and_its_row_still_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _rows(tmp_path)
    record = {"image": "images/0.png", "mask": "masks/0.png", "query": "Polyp?", "answer": "Somewhere left."}
    (tmp_path / "tuples.jsonl").write_text(json.dumps(record) + "\n")
    assert main([str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "1 answers are in no form" in told and "2421" in told
    (row,) = read_manifest(tmp_path / "manifest.jsonl")
    assert (row.query, row.answer) == ("Polyp?", None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image": "../outside.png"}, "not in the folder"),
        ({"image": "images/none.png"}, "not in the folder"),
        ({"query": ""}, "no query"),
        ({"split": "maybe"}, "maybe"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named(change: dict[str, str], told: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    _rows(folder)
    _picture(tmp_path / "outside.png", np.zeros((4, 4), np.uint8))
    record = {"image": "images/0.png", "mask": "masks/0.png", "query": "Polyp?"}
    (folder / "tuples.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({**record, **change}) + "\n")
    with pytest.raises(InputError, match="Row 2") as refused:
        read_tuples(folder)
    assert told in refused.value.reason


def test_a_folder_without_tables_and_a_field_that_is_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert "Parquet" in capsys.readouterr().err
    assert main([str(tmp_path), "--field", "colour=red"]) == 2
    assert "colour" in capsys.readouterr().err


def test_one_command_reads_and_measures_with_the_papers_rows_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    export_tuples(_rows(tmp_path / "set"), folder, title="t", step=lambda: None)
    report = tmp_path / "report.json"
    assert main([str(folder), "evaluate", "--preset", "lite", "--out", str(report)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"\| CORE-Seg +\|", told) and "| **this model** " in told
    # The test row alone, and its own question alone.
    values = json.loads(report.read_text())
    assert (values["questions"], values["answerable"]) == (1, 1)
