"""One question from upload to record, against servers that break off, forget, are full, or are killed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rude_server import HEALTH, Exchange, RudeServer, wait_until

from CORESegLib.asking import Came, Message, Question, Stood, ask
from CORESegLib.stopping import CancelToken
from CORESegLib.trouble import Trouble
from CORESegLib.worker import Ended, Pump, Task


@dataclass(frozen=True)
class MadeImage:
    """An image that is a file already, or that must not become one."""

    path: Path | None = None
    info: Mapping[str, str] = field(default_factory=lambda: {"modality": "CT"})

    def identify(self, cancel: CancelToken) -> str:
        return "abc"

    def write(self, cancel: CancelToken) -> Path:
        assert self.path is not None, "the image is on the server already"
        return self.path


def question(path: Path | None = None) -> Question:
    return Question(image=MadeImage(path), params={"query": "tumor?", "slice": 3})


EVENTS = "/coreseg/jobs/j1/events"
RECORD = {"record": {"schema": "coreseg.record/1"}}


def polite(server: RudeServer, events: Callable[[Exchange], None], *, has_image: bool = True) -> None:
    """Let a server do what a CORE-Seg server does, its events being the test's affair."""
    server.manners = {
        ("HEAD", "/datastore/image"): lambda e: e.send(200 if has_image else 404, b"", "application/json"),
        ("PUT", "/datastore/image"): lambda e: (e.body(), e.json(200, {"image": "abc"})),
        ("POST", "/coreseg/jobs"): lambda e: (e.body(), e.json(202, {"id": "j1", "state": "queued"})),
        ("GET", EVENTS): events,
        ("DELETE", "/coreseg/jobs/j1"): lambda e: e.json(200, {"id": "j1"}),
        ("GET", "/coreseg/health"): lambda e: e.json(200, HEALTH),
    }


def whole(exchange: Exchange) -> None:
    exchange.events(
        (1, "queued", {"position": 2}),
        (2, "progress", {"done": 0, "total": 1, "eta_s": None}),
        (3, "token", {"slice": 3, "text": "A spot."}),
        (4, "slice", {"finding": {}, "mask_rle": {}}),
        (5, "done", RECORD),
    )


def story(server: RudeServer, path: Path | None = None) -> list[Message]:
    told: list[Message] = []
    ask(server.client(), question(path), told.append, CancelToken(), pause=lambda seconds: None)
    return told


def came(told: list[Message]) -> list[str]:
    return [message.name for message in told if isinstance(message, Came)]


def test_a_question_is_told_from_its_place_in_the_queue_to_its_record(server: RudeServer) -> None:
    polite(server, whole)
    told = story(server)
    assert came(told) == ["token", "slice", "done"]
    assert Stood(stage="waiting", position=2) in told
    assert Stood(stage="working", done=0, total=1) in told
    assert told[-1] == Came(name="done", data=RECORD)


def test_an_image_that_the_server_lacks_is_sent_under_no_name_and_then_gone(
    server: RudeServer, tmp_path: Path
) -> None:
    sent: list[bytes] = []
    polite(server, whole, has_image=False)
    server.manners["PUT", "/datastore/image"] = lambda e: (
        sent.append(e.body()),
        e.json(200, {"image": "abc"}),
    )
    path = tmp_path / "DOE^JANE.nrrd"
    path.write_bytes(b"v" * 700_000)
    told = story(server, path)
    assert b"DOE" not in sent[0]
    assert b'filename="image.nrrd"' in sent[0]
    assert sent[0].count(b"v" * 700_000) == 1
    assert json.loads(re.search(rb'name="params"\r\n\r\n(.*?)\r\n', sent[0])[1]) == {"modality": "CT"}  # type: ignore[index]
    assert [m.done == m.total for m in told if isinstance(m, Stood) and m.stage == "uploading"][-1]
    assert not path.exists()


def test_a_refused_upload_is_told_in_the_words_of_the_server_though_it_did_not_listen(
    server: RudeServer, tmp_path: Path
) -> None:
    def refuse_unread(exchange: Exchange) -> None:
        exchange.refuse(413, "too_large", "Larger than 10 bytes.")
        exchange.cut()

    polite(server, whole, has_image=False)
    server.manners["PUT", "/datastore/image"] = refuse_unread
    path = tmp_path / "image.nrrd"
    path.write_bytes(bytes(30 << 20))
    with pytest.raises(Trouble) as caught:
        story(server, path)
    assert caught.value.kind in ("too_large", "cut")
    assert server.count("POST", "/coreseg/jobs") == 0
    assert not path.exists()


def test_a_stream_that_breaks_is_taken_up_where_it_broke(server: RudeServer) -> None:
    all_events: list[tuple[int, str, dict[str, Any]]] = [
        (number, "token", {"slice": 3, "text": str(number)}) for number in range(1, 8)
    ]
    all_events.append((9, "done", RECORD))

    def one_more_each_time(exchange: Exchange) -> None:
        last = int(exchange.headers.get("Last-Event-ID", "0"))
        left = [event for event in all_events if event[0] > last]
        exchange.events(*left[:2], whole=False)

    polite(server, one_more_each_time)
    told = story(server)
    assert [m.data["text"] for m in told if isinstance(m, Came) and m.name == "token"] == list("1234567")
    assert came(told)[-1] == "done"


def test_an_event_that_comes_twice_is_told_once(server: RudeServer) -> None:
    def forgetful(exchange: Exchange) -> None:
        # One that ignores `Last-Event-ID`.
        exchange.events((1, "token", {"slice": 3, "text": "a"}), whole=False)

    polite(server, forgetful)
    told: list[Message] = []
    with pytest.raises(Trouble) as caught:
        ask(server.client(), question(), told.append, CancelToken(), pause=lambda seconds: None)
    assert caught.value.kind == "cut"
    assert came(told) == ["token"]


def test_an_event_cut_in_the_middle_is_not_told_by_half(server: RudeServer) -> None:
    def cut_once(exchange: Exchange) -> None:
        if server.count("GET", EVENTS) == 1:
            send = exchange.chunks("text/event-stream")
            send(b'id: 4\nevent: slice\ndata: {"finding": {"out')
            exchange.cut()
        else:
            whole(exchange)

    polite(server, cut_once)
    assert came(story(server)) == ["token", "slice", "done"]


def test_a_server_that_was_started_anew_has_forgotten_the_question_and_that_is_said(
    server: RudeServer,
) -> None:
    def forget_later(exchange: Exchange) -> None:
        if server.count("GET", EVENTS) == 1:
            exchange.events((3, "token", {"slice": 3, "text": "a"}), whole=False)
        else:
            exchange.refuse(404, "not_found", "There is no such job.")

    polite(server, forget_later)
    told: list[Message] = []
    with pytest.raises(Trouble) as caught:
        ask(server.client(), question(), told.append, CancelToken(), pause=lambda seconds: None)
    assert "started anew" in caught.value.said
    assert came(told) == ["token"], "what had arrived was told"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("bad_input", "bad_request"),
        ("too_large", "too_large"),
        ("internal", "server"),
        ("checkpoint", "model"),
    ],
)
def test_a_job_that_fails_says_why_in_the_words_of_the_server(
    server: RudeServer, code: str, kind: str
) -> None:
    error = {"code": code, "reason": "Slice 99 is not there.", "remedy": "Ask about another."}
    polite(server, lambda e: e.events((1, "error", error)))
    with pytest.raises(Trouble) as caught:
        story(server)
    assert (caught.value.kind, caught.value.said) == (kind, "Slice 99 is not there.")


def test_a_full_queue_is_said_with_the_time_to_come_back(server: RudeServer) -> None:
    polite(server, whole)
    server.manners["POST", "/coreseg/jobs"] = lambda e: (
        e.body(),
        e.refuse(503, "busy", "32 questions are waiting already.", Retry_After="12"),
    )
    with pytest.raises(Trouble) as caught:
        story(server)
    assert (caught.value.kind, caught.value.retry_after_s, caught.value.retryable) == ("busy", 12.0, True)


@pytest.mark.parametrize("job_id", ["../../etc", "", "a" * 80, 7, "a/b"])
def test_a_job_id_that_could_lead_elsewhere_is_refused(server: RudeServer, job_id: object) -> None:
    polite(server, whole)
    server.manners["POST", "/coreseg/jobs"] = lambda e: (e.body(), e.json(202, {"id": job_id}))
    with pytest.raises(Trouble) as caught:
        story(server)
    assert caught.value.kind == "not_our_server"
    assert not any("events" in path for _, path in server.seen)


@pytest.mark.parametrize(
    "data",
    [b"data: [1]\n\n", b"data: {\n\n", b"id: x\ndata: {}\n\n", b"id: " + b"9" * 30 + b"\ndata: {}\n\n"],
)
def test_events_that_cannot_be_read_are_not_guessed_at(server: RudeServer, data: bytes) -> None:
    def mumble(exchange: Exchange) -> None:
        exchange.send(200, data, "text/event-stream")

    polite(server, mumble)
    with pytest.raises(Trouble) as caught:
        story(server)
    assert caught.value.kind == "not_our_server"


def test_a_page_in_place_of_events_is_said(server: RudeServer) -> None:
    polite(server, lambda e: e.send(200, b"<html>", "text/html"))
    with pytest.raises(Trouble) as caught:
        story(server)
    assert caught.value.kind == "not_our_server"


def test_signs_of_life_and_foreign_events_are_passed_over(server: RudeServer) -> None:
    def chatty(exchange: Exchange) -> None:
        send = exchange.chunks("text/event-stream")
        for piece in (b": still here\n\n", b"id: 1\neve", b'nt: later\r\ndata: {"a": 1}\r\n\r\n', b": x\n\n"):
            send(piece)
        send(f"id: 2\nevent: done\ndata: {json.dumps(RECORD)}\n\n".encode())
        exchange.cut()

    polite(server, chatty)
    assert came(story(server)) == ["done"]


def heard_by(pump: Pump, work: Callable[..., None]) -> tuple[Task[Message], list[Message | Ended]]:
    heard: list[Message | Ended] = []
    task: Task[Message] = Task(work)
    pump.start(task, heard.append)
    return task, heard


def test_cancelling_is_heard_within_100_ms_and_reaches_the_server(server: RudeServer) -> None:
    polite(server, lambda e: time.sleep(3))
    pump = Pump()
    task, heard = heard_by(pump, lambda tell, cancel: ask(server.client(), question(), tell, cancel))
    wait_until(lambda: server.count("GET", EVENTS) == 1)
    pump.stroke()
    begun = time.monotonic()
    task.cancel()
    pump.stroke()
    assert time.monotonic() - begun < 0.1
    assert isinstance(heard[-1], Ended)
    assert heard[-1].trouble is not None
    assert heard[-1].trouble.kind == "cancelled"
    assert not pump.busy
    wait_until(lambda: server.count("DELETE", "/coreseg/jobs/j1") == 1)
    number = len(heard)
    pump.stroke()
    assert len(heard) == number, "nothing is heard after the end"


def longest_stroke(server: RudeServer) -> float:
    """Return the longest stroke of the pump, in seconds, during half a second in which the server does not answer."""
    pump = Pump()
    heard_by(pump, lambda tell, cancel: ask(server.client(), question(), tell, cancel))
    longest = 0.0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        begun = time.monotonic()
        pump.stroke()
        longest = max(longest, time.monotonic() - begun)
    pump.stop()
    return longest


def test_no_stroke_takes_50_ms_while_the_server_is_slow(server: RudeServer) -> None:
    polite(server, lambda e: time.sleep(0.6))
    # The best of some: the machine may be busy with other things.
    assert min(longest_stroke(server) for _ in range(4)) < 0.05


def test_a_fault_of_our_own_ends_the_task_in_words_without_what_was_sent() -> None:
    def fail(tell: Callable[[Message], None], cancel: CancelToken) -> None:
        raise KeyError("DOE^JANE")

    pump = Pump()
    task, heard = heard_by(pump, fail)
    task.join(2)
    pump.stroke()
    assert isinstance(heard[0], Ended)
    assert heard[0].trouble is not None
    assert heard[0].trouble.kind == "local"
    assert "DOE" not in str(heard[0].trouble)


def test_stopping_the_pump_ends_every_task_and_nothing_is_heard_of_them(server: RudeServer) -> None:
    polite(server, lambda e: time.sleep(3))
    pump = Pump()
    task, heard = heard_by(pump, lambda tell, cancel: ask(server.client(), question(), tell, cancel))
    wait_until(lambda: server.count("GET", EVENTS) == 1)
    pump.stop()
    assert task.join(3)
    assert not any(isinstance(message, Ended) for message in heard)


def test_a_file_is_whole_or_not_there_whatever_the_server_calls_it(
    server: RudeServer, tmp_path: Path
) -> None:
    evil = {"Content_Disposition": 'attachment; filename="../../evil.nrrd"'}
    server.always(lambda e: e.send(200, b"x" * 1000, "application/octet-stream", **evil))
    target = tmp_path / "here" / "label.nrrd"
    target.parent.mkdir()
    server.client().fetch_label("j1", target, CancelToken(), limit_bytes=1 << 20)
    assert target.read_bytes() == b"x" * 1000
    with pytest.raises(Trouble) as caught:
        server.client().fetch_image("abc", target, CancelToken(), limit_bytes=100)
    assert caught.value.kind == "too_large"
    assert target.read_bytes() == b"x" * 1000, "an earlier file stays"
    assert sorted(tmp_path.rglob("*")) == [target.parent, target]
