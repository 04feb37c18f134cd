"""Nothing passes the gate that is too large or not allowed, and no fault tells a client of the inside."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.testclient import TestClient
from starlette.middleware import Middleware

from coreseg_core.errors import NotFoundError
from lib.guard import MAX_TEXT_BYTES, Guard
from lib.metrics import Metrics
from lib.settings import ServerSettings

LIMIT = 3 * MAX_TEXT_BYTES


def make(chosen: ServerSettings, metrics: Metrics, *, client: str = "127.0.0.1") -> TestClient:
    app = FastAPI(middleware=[Middleware(Guard, chosen=chosen, metrics=metrics)])

    @app.post("/echo/{name}")
    async def echo(name: str, request: Request) -> int:
        return len(await request.body())

    @app.put("/file")
    def file(file: UploadFile) -> int:
        return len(file.file.read())

    @app.get("/broken")
    def broken() -> None:
        raise KeyError("Doe^Jane")

    @app.get("/missing")
    def missing() -> None:
        raise NotFoundError("There is no such thing.", remedy="Look elsewhere.")

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418, detail="short and stout")

    return TestClient(app, base_url="http://127.0.0.1", client=(client, 50000), raise_server_exceptions=True)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def http(metrics: Metrics) -> Iterator[TestClient]:
    with make(ServerSettings(max_upload_bytes=LIMIT), metrics) as client:
        yield client


def pieces(size: int) -> Iterator[bytes]:
    """Yield a body without saying how long it will be."""
    for start in range(0, size, 65536):
        yield b" " * min(65536, size - start)


@pytest.mark.parametrize("announced", [True, False])
def test_a_text_larger_than_agreed_is_refused_whether_it_says_so_or_not(
    http: TestClient, announced: bool
) -> None:
    size = MAX_TEXT_BYTES + 1
    response = http.post("/echo/x", content=b" " * size if announced else pieces(size))
    assert response.status_code == 413
    assert response.json()["detail"]["code"] == "too_large"
    assert str(MAX_TEXT_BYTES) in response.json()["detail"]["reason"]
    assert http.post("/echo/x", content=pieces(MAX_TEXT_BYTES)).json() == MAX_TEXT_BYTES


def test_files_have_a_limit_of_their_own(http: TestClient) -> None:
    assert http.put("/file", files={"file": b"1" * (2 * MAX_TEXT_BYTES)}).json() == 2 * MAX_TEXT_BYTES
    refused = http.put("/file", files={"file": b"1" * LIMIT})
    assert refused.status_code == 413
    assert refused.json()["detail"]["remedy"]


def test_a_fault_is_answered_without_what_it_quotes_and_logged_without_it(
    http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        response = http.get("/broken")
    assert response.status_code == 500
    assert response.json()["detail"]["code"] == "internal"
    assert "Doe" not in response.text + caplog.text
    assert "KeyError" in caplog.text
    assert __file__ not in response.text


def test_an_expected_error_from_any_depth_keeps_its_status(http: TestClient) -> None:
    response = http.get("/missing")
    assert response.status_code == 404
    assert response.json()["detail"] == {
        "code": "not_found",
        "reason": "There is no such thing.",
        "remedy": "Look elsewhere.",
    }
    assert http.get("/teapot").status_code == 418


@pytest.mark.parametrize("path", ["/echo/x", "/missing", "/openapi.json", "/docs", "/nothing"])
def test_every_route_is_closed_to_other_machines_without_a_token(metrics: Metrics, path: str) -> None:
    with make(ServerSettings(), metrics, client="192.168.1.9") as http:
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            assert http.request(method, path).status_code == 401


def test_a_token_opens_what_it_closes(metrics: Metrics) -> None:
    with make(ServerSettings(token="abc"), metrics, client="192.168.1.9") as http:
        refused = http.get("/teapot")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert http.get("/teapot", headers={"Authorization": "Bearer abc"}).status_code == 418


def test_requests_are_counted_by_the_pattern_of_their_route_not_by_what_they_name(
    http: TestClient, metrics: Metrics
) -> None:
    http.post("/echo/Doe-Jane")
    http.request("BREW", "/teapot")
    lines = list(metrics.render())
    assert 'coreseg_requests_total{route="/echo/{name}",method="POST",status="200"} 1' in lines
    assert not [line for line in lines if "Doe" in line or "BREW" in line]
    assert 'coreseg_request_seconds_count{route="/echo/{name}"} 1' in lines
