"""A server on this machine is reached directly, and what it refused is asked again, with nothing paid twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from raw_sets import FREE, LESIONS, lines
from stand_in_server import StandIn, stand_in

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from training.dataset import chat
from training.dataset.chat import ChatServer, ServerError, ServerPlan
from training.dataset.judges import MeasuredJudge, ServerJudge
from training.dataset.judging import Judged, JudgePlan, judge_manifest
from training.dataset.reasoning import Reasoned, ReasonPlan, reason
from training.dataset.writers import OfflineWriter, ServerWriter
from training.journal import LineJournal

ROWS = LESIONS + FREE
WORDS = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_BACK_OFF_S", 0.01)


def server_of(url: str, folder: Path, model: str = "m", **plan: Any) -> ChatServer:
    values = {"model": model, "base_url": url, "timeout_s": 20.0, "retries": 1, **plan}
    return ChatServer(ServerPlan(**values), LineJournal(folder / "replies.jsonl", what="cache"))


def reasoned(state: StandIn, manifest: Path) -> Reasoned:
    writer = ServerWriter(server=server_of(state.url, manifest.parent), offline=OfflineWriter())
    out = manifest.with_name("r.jsonl")
    return reason(manifest, out, writer, plan=ReasonPlan(), server=writer.server, progress=lambda *_: None)


def judged(state: StandIn, manifest: Path) -> Judged:
    writer = ServerWriter(server=server_of(state.url, manifest.parent, "writer"), offline=OfflineWriter())
    judge = ServerJudge(server=server_of(state.url, manifest.parent, "judge"), measured=MeasuredJudge())
    return judge_manifest(
        manifest, manifest.with_name("j.jsonl"), judge, writer,
        plan=JudgePlan(), servers=(), progress=lambda *_: None,
    )  # fmt: skip


@contextmanager
def moved_to(url: str) -> Iterator[str]:
    """Serve redirects to another address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", f"{url}/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_no_proxy_sees_what_goes_to_a_server_on_this_machine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stand_in() as proxy, stand_in() as state:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            for spelled in (variable, variable.lower()):
                monkeypatch.setenv(spelled, proxy.url.removesuffix("/v1"))
        for spelled in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(spelled, raising=False)
        assert server_of(state.url.replace("127.0.0.1", name), tmp_path).ask(WORDS).complete
        assert (proxy.requests, state.requests) == (0, 1)


def test_a_server_on_this_machine_cannot_send_pictures_elsewhere(tmp_path: Path) -> None:
    with stand_in() as elsewhere, moved_to(elsewhere.url) as url:
        with pytest.raises(ServerError, match="HTTP 307"):
            server_of(url, tmp_path).ask(WORDS)
        assert elsewhere.requests == 0


def test_a_server_that_refused_every_picture_is_asked_again_once_it_is_mended(imported: Path) -> None:
    blind = {"now": True}
    with stand_in(trouble=lambda _: "400" if blind["now"] else "") as state:
        with pytest.raises(InputError, match=r"No text could be used.*HTTP 400"):
            reasoned(state, imported)
        blind["now"] = False
        assert len(reasoned(state, imported).rows) == ROWS
        assert set(state.paid.values()) == {1}


def test_a_row_that_was_refused_alone_is_asked_again_and_the_others_are_not(imported: Path) -> None:
    # The description comes, the reasoning is refused in all three tries.
    with stand_in(trouble=lambda n: "400" if n in (1, 2, 3) else "") as state:
        first = reasoned(state, imported)
        assert first.left_out == {"no usable text": 1} and len(first.rows) == ROWS - 1
        asked = state.requests
        again = reasoned(state, imported)
        assert len(again.rows) == ROWS and again.left_out == {}
        assert state.requests == asked + 1 and set(state.paid.values()) == {1}
    assert not (imported.with_name("r") / "left_out.jsonl").read_text()


def test_a_refused_judgement_is_no_low_one_and_is_asked_again(imported: Path) -> None:
    with stand_in(trouble=lambda n: "400" if n == 2 * ROWS else "") as state:
        reasoned(state, imported)
        first = judged(state, imported.with_name("r.jsonl"))
        assert first.left_out == {"no usable text": 1} and len(first.rows) == ROWS - 1
        # One judgement each: nothing was written again for want of one.
        assert state.requests == 3 * ROWS
        (listed,) = lines(imported.with_name("j") / "left_out.jsonl")
        assert "HTTP 400" in listed["detail"]
        again = judged(state, imported.with_name("r.jsonl"))
        assert len(again.rows) == ROWS and again.left_out == {}
        assert state.requests == 3 * ROWS + 1 and set(state.paid.values()) == {1}


def test_a_judge_that_refuses_everything_says_so_and_is_asked_again(imported: Path) -> None:
    blind = {"now": False}
    with stand_in(trouble=lambda _: "400" if blind["now"] else "") as state:
        reasoned(state, imported)
        blind["now"] = True
        with pytest.raises(InputError, match=r"No reasoning passed.*HTTP 400"):
            judged(state, imported.with_name("r.jsonl"))
        assert state.requests == 3 * ROWS
        blind["now"] = False
        assert judged(state, imported.with_name("r.jsonl")).passed_at_once == ROWS


def test_a_rewriting_that_was_refused_is_asked_for_again(imported: Path) -> None:
    wrong = "Several large areas in the lower left part of the picture fit a breast tumor, in ultrasound of breast."
    # The first judgement, then the description for the rewriting.
    with stand_in(trouble=lambda n: "400" if n == 2 * ROWS + 1 else "") as state:
        reasoned(state, imported)
        manifest = imported.with_name("r.jsonl")
        rows = read_manifest(manifest)
        assert not rows[0].lesion_free
        write_manifest(manifest, [replace(rows[0], reasoning=wrong), *rows[1:]])
        assert judged(state, manifest).left_out == {"text contradicts the mask": 1}
        again = judged(state, manifest)
        assert len(again.rows) == ROWS and again.rows[0].reasoning != wrong
        assert set(state.paid.values()) == {1}
