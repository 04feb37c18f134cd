from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_pictures import row_values

from coreseg_core.errors import InputError, LimitError
from coreseg_core.evaluation import Row, manifest, read_manifest, write_manifest
from coreseg_core.evaluation.rows import Probe, SliceRef


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_field_of_the_schema_is_a_field_of_a_row_and_the_reverse() -> None:
    of_row = {item.name for item in fields(Row)} - {"folder"}
    assert of_row == set(manifest.schema()["properties"]) - {"schema"}


WORDS = st.text(min_size=1, max_size=20)


@given(
    st.builds(
        Row,
        id=WORDS,
        image=st.just("images/a.png"),
        split=st.sampled_from(["train", "dev", "val", "test"]),
        subset=WORDS,
        modality=WORDS,
        anatomy=WORDS,
        disease=WORDS,
        target=WORDS,
        mask=st.sampled_from([None, "masks/a.png"]),
        slice=st.none() | st.builds(SliceRef, axis=st.integers(0, 2), index=st.integers(0, 9999)),
        patient=st.none() | WORDS,
        area_frac=st.none() | st.floats(0, 1),
        boxes_xyxy=st.none() | st.lists(st.tuples(*[st.integers(0, 999)] * 4)).map(tuple),
        pixel_mm=st.none() | st.floats(0.01, 9) | st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)),
        query=st.none() | st.text(max_size=50),
        probe=st.none() | st.just(Probe("wrong_organ", "handwritten")),
        weight=st.floats(0, 1000),
        origin=st.sampled_from(["public", "correction", "replay"]),
        domain=st.sampled_from(["id", "ood"]),
    )
)
def test_a_row_read_back_is_the_row_written(tmp_path_factory: pytest.TempPathFactory, row: Row) -> None:
    path = tmp_path_factory.mktemp("manifest") / "manifest.jsonl"
    write_manifest(path, [row])
    assert read_manifest(path) == (row,)


def test_paths_start_from_the_manifests_folder_or_from_the_root_that_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, row_values(0))
    assert read_manifest(path)[0].image_path == tmp_path / "images/0.png"
    other = tmp_path / "elsewhere"
    other.mkdir()
    row = read_manifest(path, root=other)[0]
    assert row.mask_path == other / "masks/0.png"


@pytest.mark.parametrize("where", ["image", "mask"])
@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "images/../../x.png", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, where: str, path: str) -> None:
    with pytest.raises(InputError, match="leaves the manifest's folder"):
        read_manifest(written(tmp_path, row_values(0, **{where: path})))


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "images").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leaves the manifest's folder"):
        read_manifest(written(inside, row_values(0)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "SECRET"}, "split must keep to enum"),
        ({"patient": 12345678}, "patient"),
        ({"area_frac": 7}, "area_frac must keep to maximum 1"),
        ({"boxes_xyxy": [[1, 2, 3]]}, "boxes_xyxy.0"),
        ({"slice": {"axis": "x", "index": 0}}, "slice"),
        ({"colour": "SECRET"}, "unknown fields: colour"),
        ({"weight": -1}, "weight"),
        ({"sha256": "SECRET"}, "sha256"),
    ],
)
def test_a_broken_row_is_named_by_line_and_field_and_never_quoted(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = written(tmp_path, row_values(0), row_values(1, **changes))
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert "Line 2" in str(caught.value)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value) and "12345678" not in str(caught.value)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    values = row_values(0)
    del values["target"]
    with pytest.raises(InputError, match="lacks target"):
        read_manifest(written(tmp_path, values))


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "{}" * 3, "[" * 100_000])
def test_a_line_that_is_no_row_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="Line 1"):
        read_manifest(path)


def test_other_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="no rows"):
        read_manifest(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_manifest(tmp_path / "binary.jsonl")
    (tmp_path / "long.jsonl").write_text("x" * (manifest.MAX_LINE_CHARS + 2))
    with pytest.raises(LimitError, match="longer than"):
        read_manifest(tmp_path / "long.jsonl")


def test_an_id_may_be_used_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Line 2"):
        read_manifest(written(tmp_path, row_values(0), row_values(0)))


def test_a_manifest_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = written(tmp_path, row_values(0))
    before = path.read_text()
    row = read_manifest(path)[0]
    with pytest.raises(InputError):
        write_manifest(path, [row, replace(row, id="row1", weight=-1.0)])
    assert path.read_text() == before
    assert [item.name for item in tmp_path.iterdir()] == ["manifest.jsonl"]


def test_a_lesion_free_row_is_known_by_disease_area_or_want_of_a_mask(tmp_path: Path) -> None:
    rows = read_manifest(
        written(
            tmp_path,
            row_values(0),
            row_values(1, disease="none"),
            row_values(2, area_frac=0),
            row_values(3, mask=None),
        )
    )
    assert [row.lesion_free for row in rows] == [False, True, True, True]


def test_the_real_manifest_is_read_whole(lesions: Path) -> None:
    rows = read_manifest(lesions)
    assert len(rows) == sum(1 for _ in lesions.open())
    assert {row.split for row in rows} == {"train", "val"}
