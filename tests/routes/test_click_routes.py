"""Clicks refine the mask of the slice they were drawn on, with or without words, for stock clients and for ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from following import ASK
from serving import Answer, Server, take_apart

from coreseg_core.imaging import read_label, read_volume
from coreseg_core.versions import CURRENT_NAME, set_current

IMAGE = "demo_ct_liver"


@pytest.fixture
def truth(server: Server) -> np.ndarray:
    study = server.study(IMAGE)
    return read_label(server.store / study["truth"], read_volume(server.store / study["image"]).geometry) > 0


@pytest.fixture
def sees_nothing(server: Server) -> Iterator[None]:
    """Let the version answer that sees no lesion anywhere."""
    set_current(server.versions, "absent")
    yield
    (server.versions / CURRENT_NAME).unlink()


def middle(truth: np.ndarray) -> list[int]:
    """Return a voxel deep in the largest slice of a lesion."""
    index = int(truth.sum((0, 1)).argmax())
    places = np.argwhere(truth[:, :, index])
    nearest = places[np.abs(places - places.mean(0)).sum(1).argmin()]
    return [int(nearest[0]), int(nearest[1]), index]


def click(server: Server, tmp_path: Path, **params: Any) -> Answer:
    response = server.post("coreseg_click", query={"image": IMAGE}, params={"reasoning": "none", **params})
    assert response.status_code == 200, response.text
    return take_apart(response, tmp_path)


def test_stock_slicer_finds_a_click_model(server: Server) -> None:
    model = server.http.get("/info/").json()["models"]["coreseg_click"]
    assert (model["type"], model["dimension"]) == ("deepgrow", 2)
    assert model["config"]["query"] == ""


def test_the_mask_follows_the_click_and_fills_its_slice_alone(
    server: Server, tmp_path: Path, truth: np.ndarray
) -> None:
    i, j, k = middle(truth)
    # As stock Slicer's SmartEdit sends it: the name of the segment, and `slice` beside the points.
    answer = click(
        server,
        tmp_path,
        foreground=[[i, j, k]],
        background=[],
        slice=k,
        label="lesion",
        result_extension=".nrrd",
    )
    assert not np.delete(answer.label.voxels, k, axis=2).any()
    assert answer.params["record"]["scope"] == {"axis": "k", "start": k, "stop": k + 1}
    marks = {"inside_ijk": [[i, j, k]], "outside_ijk": [], "boxes_ijk": []}
    assert answer.params["record"]["marks"] == marks
    other = click(server, tmp_path, foreground=[[i, j, k]], background=[[i, j, k]])
    assert not np.array_equal(answer.label.voxels, other.label.voxels)


def test_a_box_goes_with_the_question(server: Server, tmp_path: Path, truth: np.ndarray) -> None:
    k = middle(truth)[2]
    places = np.argwhere(truth[:, :, k])
    (i0, j0), (i1, j1) = places.min(0), places.max(0) + 1
    box = [int(i0), int(j0), k, int(i1), int(j1), k + 1]
    answer = server.ask(IMAGE, tmp_path, **{**ASK, "boxes": [box]})
    plain = server.ask(IMAGE, tmp_path, **{**ASK, "slice": k})
    assert answer.params["record"]["query"] == ASK["query"]
    assert answer.params["record"]["marks"] == {"inside_ijk": [], "outside_ijk": [], "boxes_ijk": [box]}
    assert "marks" not in plain.params["record"]
    assert answer.params["record"]["scope"]["start"] == k
    assert not np.array_equal(answer.label.voxels, plain.label.voxels)


def test_where_the_model_sees_nothing_the_click_is_outlined_and_its_words_stay(
    server: Server, tmp_path: Path, truth: np.ndarray, sees_nothing: None
) -> None:
    i, j, k = middle(truth)
    plain = server.ask(IMAGE, tmp_path, **{**ASK, "slice": k})
    assert plain.params["outcome"] == "absent" and not plain.label.voxels.any()
    finding = click(server, tmp_path, query="liver tumor", foreground=[[i, j, k]]).params["record"]["slices"][
        0
    ]
    assert finding["outcome"] in ("present", "uncertain")
    assert finding["answer"] == "No liver tumor is seen."
    assert "marks" in finding["reason"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"foreground": []},
        {"foreground": [[1, 2]]},
        {"foreground": [[1, 2, 99]]},
        {"foreground": [[1, 2, 3]], "slice": 4},
        {"foreground": [[1, 2, 3]], "scope": "volume"},
        {"foreground": "[[1, 2, 3]]"},
        {"roi": [1, 2, 3]},
        {"boxes": [[5, 5, 5, 5, 6, 6]]},
    ],
)
def test_marks_that_fit_nothing_are_refused(server: Server, params: dict[str, Any]) -> None:
    response = server.post("coreseg_click", query={"image": IMAGE}, params=params)
    assert response.status_code == 400, response.text
    assert set(response.json()["detail"]) == {"code", "reason", "remedy"}


def test_a_label_name_is_the_clickers_alone(server: Server) -> None:
    response = server.post(query={"image": IMAGE}, params={**ASK, "slice": 3, "label": "lesion"})
    assert response.status_code == 400
