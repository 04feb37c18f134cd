"""What a client gets wrong is answered with a reason, the limit and a remedy; nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from serving import Server

GOOD = {"query": "Is there a liver tumor?", "slice": 10}
IMAGE = {"image": "demo_ct_liver"}


def refusal(
    server: Server, status: int, *, query: dict[str, str], params: Any, model: str = "coreseg"
) -> dict:
    before = server.labels()
    response = server.post(model, query=query, params=params)
    assert response.status_code == status, response.text
    detail = response.json()["detail"]
    assert set(detail) == {"code", "reason", "remedy"}
    assert all(detail.values())
    assert str(server.store) not in response.text
    assert server.labels() == before
    return detail


@pytest.mark.parametrize("key", ["image", "model", "label", "session", "image_id", "in_store"])
def test_params_cannot_point_the_request_at_another_image_model_or_label(server: Server, key: str) -> None:
    detail = refusal(server, 400, query=IMAGE, params={**GOOD, key: "demo_us_breast"})
    assert key in detail["reason"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '"query"', "null", '{"slice": NaN}', '{"slice": Infinity}', "[" * 9999]
)
def test_params_must_be_one_strict_json_object(server: Server, text: str) -> None:
    refusal(server, 400, query=IMAGE, params=text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scope", "everything"),
        ("axis", "diagonal"),
        ("reasoning", "long"),
        ("reasoning", 3),
        ("result_extension", ".exe"),
        ("result_extension", "/../../x.nrrd"),
        ("slice", 1.5),
        ("slice", True),
        ("slice", "ten"),
        ("slice", [1, 2, 3]),
        ("slice", {"start": 1}),
        ("query", ["liver tumor"]),
        ("query", None),
    ],
)
def test_an_option_of_the_wrong_kind_is_named(server: Server, key: str, value: Any) -> None:
    assert key in refusal(server, 400, query=IMAGE, params={**GOOD, key: value})["reason"]


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b"])
def test_an_empty_question_is_refused(server: Server, text: str) -> None:
    assert "empty" in refusal(server, 400, query=IMAGE, params={**GOOD, "query": text})["reason"]


def test_a_question_of_ten_kilobytes_is_refused_with_the_limit(server: Server) -> None:
    detail = refusal(server, 413, query=IMAGE, params={**GOOD, "query": "tumor " * 1700})
    assert any(character.isdigit() for character in detail["reason"])


NOT_THERE = [("slice", -1), ("slice", 20), ("slice", "999")]
NOT_THERE += [("range", "5:99"), ("range", "9:3"), ("range", "4:4"), ("range", [-2, 3])]


@pytest.mark.parametrize(("scope", "asked"), NOT_THERE)
def test_a_slice_that_is_not_there_is_refused_with_the_range_that_is(
    server: Server, scope: str, asked: Any
) -> None:
    params = {**GOOD, "scope": scope, "slice": asked}
    assert "0 to 19" in refusal(server, 400, query=IMAGE, params=params)["reason"]


def test_along_another_axis_the_limit_is_that_of_the_axis(server: Server) -> None:
    params = {**GOOD, "axis": "coronal", "slice": 500}
    assert "0 to 191" in refusal(server, 400, query=IMAGE, params=params)["reason"]


def test_a_volume_asked_without_a_slice_is_not_answered_from_some_slice(server: Server) -> None:
    assert "0 to 19" in refusal(server, 400, query=IMAGE, params={"query": "liver tumor"})["reason"]


def test_a_range_is_not_taken_for_a_slice(server: Server) -> None:
    refusal(server, 400, query=IMAGE, params={**GOOD, "slice": "3:9"})


@pytest.mark.parametrize(
    "image",
    ["nobody", "../demo_ct_liver", "/etc/passwd", "demo_ct_liver.nii.gz", "labels", ".", "~", "a\x00b"],
)
def test_only_images_of_the_store_are_opened(server: Server, image: str) -> None:
    refusal(server, 404, query={"image": image}, params=GOOD)


@pytest.mark.parametrize("session", ["nobody", "../..", "/etc", "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_session_is_named_as_such(server: Server, session: str) -> None:
    refusal(server, 404, query={"session_id": session}, params=GOOD)


def test_a_request_without_an_image_says_what_is_missing(server: Server) -> None:
    refusal(server, 400, query={}, params=GOOD)


def test_an_unknown_model_is_answered_with_those_there_are(server: Server) -> None:
    assert "coreseg" in refusal(server, 404, model="spleen", query=IMAGE, params=GOOD)["remedy"]


def test_a_truncated_image_is_refused_without_its_name(server: Server) -> None:
    detail = refusal(server, 400, query={"image": "broken"}, params=GOOD)
    assert "broken" not in detail["reason"].lower()
