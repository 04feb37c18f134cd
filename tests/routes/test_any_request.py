"""Whatever is sent to whichever route: no fault of the server, and nothing of its inside in an answer."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Server

# They start processes, or leave the app (the static pages of OHIF).
LEFT_OUT = ("/scoring/{method}", "/batch/infer/{model}", "/ohif/")
NAMES = st.one_of(
    st.sampled_from(
        ["demo_ct_liver", "coreseg", "coreseg_click", "final", "..", "%", "0", "-1", "NaN", "x" * 300]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["query", "slice", "scope", "axis", "foreground", "boxes", "roi", "label_tag", "image", "params", "model"]
)
BODIES = st.one_of(
    JSON.map(json.dumps).map(str.encode),
    st.dictionaries(KEYS, JSON, max_size=4).map(json.dumps).map(str.encode),
    st.binary(max_size=40),
)
FORMS = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]


@cache
def operations(http: TestClient) -> list[tuple[str, str, list[str]]]:
    """Return path, method and names of the query parameters of every route that is described."""
    found = []
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        if not path.startswith(LEFT_OUT):
            for method, told in methods.items():
                names = [given["name"] for given in told.get("parameters", ()) if given["in"] == "query"]
                found.append((path, method.upper(), names))
    return found


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_is_a_fault_of_the_server(server: Server, data: st.DataObject) -> None:
    path, method, names = data.draw(st.sampled_from(operations(server.http)))
    # Removing what other tests need would be no fault.
    known = NAMES.filter(lambda name: method != "DELETE" or not name.startswith("demo"))
    parts = [quote(data.draw(known), safe="") if part.startswith("{") else part for part in path.split("/")]
    query = {name: data.draw(known) for name in names if data.draw(st.booleans())}
    headers: dict[str, Any] = {"Content-Type": data.draw(st.sampled_from(FORMS))}
    sent = {"params": query, "content": data.draw(BODIES), "headers": headers}
    response = server.http.request(method, "/".join(parts), **sent)
    assert response.status_code < 500 or response.status_code == 503, (response.status_code, response.text)
    if response.status_code >= 400:
        assert str(server.store) not in response.text
        assert "Traceback" not in response.text and "site-packages" not in response.text
