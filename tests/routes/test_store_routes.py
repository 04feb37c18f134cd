"""What clients put into the store is checked, whole, and nowhere else; what is not theirs is refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hostile import NAMES
from serving import Server

from coreseg_core.imaging import VolumeGeometry, write_label


def files(server: Server) -> set[str]:
    root = server.store.parent
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"
    }


def put_label(server: Server, content: bytes, name: str = "label.nii.gz", **query: str) -> httpx.Response:
    where = {"image": "demo_us_breast", "tag": "final", **query}
    return server.http.put("/datastore/label", params=where, files={"label": (name, content)})


def refused(response: httpx.Response, *statuses: int) -> None:
    assert response.status_code in (statuses or (400, 404)), (response.status_code, response.text)
    assert "Traceback" not in response.text and ".py" not in response.text


@pytest.fixture
def truth(server: Server) -> bytes:
    return (server.store / server.study("demo_us_breast")["truth"]).read_bytes()


def test_a_label_on_the_grid_of_its_image_is_saved_and_read_back(server: Server, truth: bytes) -> None:
    response = put_label(server, truth, tag="reader-1")
    assert response.json() == {"image": "demo_us_breast", "label": "demo_us_breast"}
    where = {"label": "demo_us_breast", "tag": "reader-1"}
    assert server.http.get("/datastore/label", params=where).content == truth
    info = {"info": json.dumps({"segmentationMeta": {"status": "approved"}})}
    assert server.http.put("/datastore/label/info", params=where, data=info).status_code == 200
    assert (
        server.http.get("/datastore/label/info", params=where).json()["segmentationMeta"]["status"]
        == "approved"
    )
    assert (
        server.http.delete("/datastore/label", params={"id": "demo_us_breast", "tag": "reader-1"}).status_code
        == 200
    )
    assert server.http.get("/datastore/label", params=where).status_code == 404


@pytest.mark.parametrize("tag", [*NAMES, "coreseg-1", "a b"])
def test_no_tag_leads_out_of_the_labels_or_into_the_servers_own(
    server: Server, truth: bytes, tag: str
) -> None:
    before = files(server)
    refused(put_label(server, truth, tag=tag))
    for method, path, query in (
        ("DELETE", "/datastore/label", {"id": "demo_us_breast", "tag": tag}),
        ("GET", "/datastore/label", {"label": "demo_us_breast", "tag": tag}),
        ("PUT", "/datastore/label/info", {"label": "demo_us_breast", "tag": tag}),
    ):
        refused(server.http.request(method, path, params=query))
    assert files(server) == before


@pytest.mark.parametrize("name", NAMES)
def test_no_id_leads_out_of_the_store(server: Server, truth: bytes, name: str) -> None:
    before = files(server)
    image = (server.store / "demo_us_breast.nii.gz").read_bytes()
    sent = server.http.put("/datastore/image", params={"image": name}, files={"file": ("x.nii.gz", image)})
    refused(sent)
    refused(server.http.put("/datastore/image", files={"file": (f"{name}.exe", image)}), 400, 422)
    refused(put_label(server, truth, image=name))
    for method, path, key in (
        ("DELETE", "/datastore/image", "id"),
        ("GET", "/datastore/image", "image"),
        ("PUT", "/datastore/image/info", "image"),
    ):
        refused(server.http.request(method, path, params={key: name}))
    refused(server.http.post("/infer/coreseg", params={"image": name}, data={"params": '{"query": "x"}'}))
    assert files(server) == before


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b half", b"text"])
def test_what_is_no_label_is_not_saved(server: Server, content: bytes) -> None:
    before = files(server)
    refused(put_label(server, content))
    refused(put_label(server, content, name="label.pt"))
    assert files(server) == before


def test_a_label_of_another_image_is_not_saved(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "label.nii.gz"
    write_label(path, np.ones((4, 4, 4), np.uint8), VolumeGeometry((4, 4, 4), np.eye(4)))
    response = put_label(server, path.read_bytes())
    assert response.status_code == 400
    assert response.json()["detail"]["code"] == "bad_geometry"


def test_an_image_is_added_under_a_name_and_removed_again(server: Server) -> None:
    content = (server.store / "demo_us_breast.nii.gz").read_bytes()
    added = server.http.put(
        "/datastore/image", params={"image": "new-1"}, files={"file": ("Doe.nii.gz", content)}
    )
    assert added.json() == {"image": "new-1"}
    assert server.http.get("/datastore/image", params={"image": "new-1"}).content == content
    assert server.http.delete("/datastore/image", params={"id": "new-1"}).status_code == 200
    assert not [name for name in files(server) if "new-1" in name]


def test_an_image_that_cannot_be_read_is_not_added(server: Server) -> None:
    before = files(server)
    for name, content in (("x.nii.gz", b"no image"), ("x.exe", b"MZ"), ("x.png", b"\x89PNG\r\n\x1a\nhalf")):
        refused(
            server.http.put("/datastore/image", params={"image": "bad"}, files={"file": (name, content)}), 400
        )
    assert files(server) == before


@pytest.mark.parametrize("text", ["{", "[]", "NaN", '{"a": NaN}', '{"a": 1e999}', r'{"a": "\ud800"}'])
def test_params_and_info_are_strict_json(server: Server, truth: bytes, text: str) -> None:
    where = {"image": "demo_us_breast"}
    refused(server.http.put("/datastore/image/info", params=where, data={"info": text}), 400)
    sent = server.http.put(
        "/datastore/label", params=where, data={"params": text}, files={"label": ("l.nii.gz", truth)}
    )
    refused(sent, 400)


@pytest.mark.parametrize(
    "info",
    [{"params": "abc"}, {"segmentationMeta": "done"}, {"params": {"record": {"query": "x", "slices": None}}}],
)
def test_a_label_about_which_nothing_readable_is_said_is_not_saved(
    server: Server, truth: bytes, info: dict[str, Any]
) -> None:
    before = files(server)
    where, said = {"image": "demo_us_breast"}, json.dumps(info)
    put = server.http.put(
        "/datastore/label", params=where, data={"params": said}, files={"label": ("l.nii.gz", truth)}
    )
    refused(put, 400)
    assert " is not an object" in put.json()["detail"]["reason"]
    assert files(server) == before
    where = {"label": "demo_us_breast", "tag": "final"}
    laid = server.http.put("/datastore/label/info", params=where, data={"info": said})
    assert laid.json()["detail"]["reason"] == put.json()["detail"]["reason"]


def test_an_archive_becomes_a_session_and_one_that_swells_does_not(server: Server) -> None:
    def send(members: dict[str, bytes]) -> httpx.Response:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        files = {"files": ("sent.zip", packed.getvalue())}
        return server.http.put("/session/", params={"uncompress": "true"}, files=files)

    image = (server.store / "demo_us_breast.nii.gz").read_bytes()
    made = send({"../../Doe^Jane.nii.gz": image}).json()
    assert "Doe" not in json.dumps(made) and str(server.store.parent) not in json.dumps(made)
    where = f"/session/{made['session_id']}"
    assert server.http.get(where, params={"image": "true"}).content == image
    assert server.http.delete(where).status_code == 200
    assert server.http.get(where).status_code == 404
    refused(send({}), 400)
    refused(
        server.http.put("/session/", params={"uncompress": "true"}, files={"files": ("x.zip", b"no zip")}),
        400,
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_session_id_leads_anywhere(server: Server, name: str) -> None:
    before = files(server)
    for method in ("GET", "DELETE"):
        refused(server.http.request(method, f"/session/{quote(name, safe='').replace('.', '%2e')}"), 404, 405)
    refused(
        server.http.post("/infer/coreseg", params={"session_id": name}, data={"params": '{"query": "x"}'})
    )
    assert files(server) == before


STARTS = ["/train/nobody", "/scoring/nobody", "/batch/infer/nobody", "/activelearning/nobody"]


@pytest.mark.parametrize("path", STARTS)
def test_nothing_is_started_that_is_not_there(server: Server, path: str) -> None:
    response = server.http.post(path, json={})
    assert response.status_code == 404
    assert response.json()["detail"]["code"] == "not_found"


RESERVED = [{"model": "x"}, {"images": ["x"]}, {"session": {"image": "/etc/passwd"}}, {"bundle_path": "/tmp"}]


@pytest.mark.parametrize("params", [*RESERVED, {"client_id": "x" * 70_000}])
def test_a_body_overwrites_no_name_and_no_path(server: Server, params: dict[str, Any]) -> None:
    refused(server.http.post("/batch/infer/coreseg", json={"query": "x", **params}), 400, 413)


def test_weights_and_slides_are_none_of_http(server: Server) -> None:
    before = files(server)
    for method in ("GET", "PUT", "DELETE"):
        assert server.http.request(method, "/model/coreseg", files={"file": b"x"}).status_code == 403
    assert server.http.post("/infer/wsi/coreseg", json={}).status_code == 404
    assert server.http.get("/proxy/dicom/qido/studies").status_code == 404
    assert files(server) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/logs/?lines=-1"),
        ("GET", "/logs/?lines=99999999999999999999"),
        ("GET", "/datastore/?output=nothing"),
        ("GET", "/datastore/label?label=x"),
        ("HEAD", "/datastore/image?image=demo_us_breast&check_sum=ROT13:x"),
        ("GET", "/datastore/dataset?limit_cases=0"),
        ("PUT", "/datastore/label?image=demo_us_breast"),
        ("POST", "/infer/coreseg?image=demo_us_breast&output=text"),
    ],
)
def test_what_is_asked_wrongly_is_no_fault_of_the_server(server: Server, method: str, path: str) -> None:
    response = server.http.request(method, path)
    assert 400 <= response.status_code < 500
    if method != "HEAD":
        assert set(response.json()["detail"]) == {"code", "reason", "remedy"}


def test_other_machines_see_nothing_of_the_app(server: Server) -> None:
    stranger = TestClient(server.http.app, base_url="http://127.0.0.1", client=("192.168.1.9", 50000))
    paths = server.http.get("/openapi.json").json()["paths"]
    assert len(paths) > 25
    for path in (
        *paths,
        "/",
        "/docs",
        "/openapi.json",
        "/static/favicon.ico",
        "/ohif/",
        "/reload",
        "/nothing",
    ):
        for method in paths.get(path, {"get": {}, "post": {}}):
            assert stranger.request(method, path).status_code == 401, path


def test_the_description_speaks_of_the_routes_that_answer(server: Server) -> None:
    paths = server.http.get("/openapi.json").json()["paths"]
    assert {"/coreseg/jobs", "/coreseg/jobs/{job_id}/events", "/coreseg/health", "/coreseg/metrics"} <= set(
        paths
    )
    assert "question" in paths["/infer/{model}"]["post"]["description"]
    assert paths["/model/{model}"]["put"]["summary"].startswith("Refused")
