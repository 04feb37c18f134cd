"""Reasoning from what is measured or from a server: nothing lost, nothing paid twice, the same in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_sets import FREE, LESIONS, lines
from stand_in_server import TOKENS_IN, TOKENS_OUT, Body, StandIn, pictures_of, stand_in, text_of, well

from coreseg_core.answer import parse
from coreseg_core.claims import boxes
from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import load_row
from training.dataset import chat
from training.dataset.chat import ChatServer, ServerError, ServerPlan
from training.dataset.cli import main
from training.dataset.coordinates import has_coordinates, without_coordinates
from training.dataset.reasoning import Reasoned, ReasonPlan, estimate, reason
from training.dataset.writers import OfflineWriter, ServerWriter
from training.journal import LineJournal

REQUESTS = 2 * (LESIONS + FREE)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_BACK_OFF_S", 0.01)


def server_writer(state: StandIn, cache: Path, **plan: Any) -> tuple[ServerWriter, ChatServer]:
    plan = {"model": "m", "base_url": state.url, "timeout_s": 20.0, "usd_per_million": (2.0, 8.0), **plan}
    server = ChatServer(ServerPlan(**plan), LineJournal(cache, what="cache"))
    return ServerWriter(server=server, offline=OfflineWriter()), server


def run(
    manifest: Path, state: StandIn, *, out: str = "r.jsonl", workers: int = 1, **plan: Any
) -> tuple[Reasoned, ChatServer]:
    path = manifest.with_name(out)
    writer, server = server_writer(state, manifest.with_name(f"{out}.cache"), **plan)
    done = reason(
        manifest, path, writer, plan=ReasonPlan(workers=workers), server=server, progress=lambda *_: None
    )
    return done, server


def healthy(manifest: Path) -> bytes:
    """Return the manifest that an untroubled server gives."""
    with stand_in() as state:
        run(manifest, state, out="healthy.jsonl")
    return manifest.with_name("healthy.jsonl").read_bytes()


def test_offline_every_row_gets_a_question_a_checked_reasoning_and_the_right_answer(imported: Path) -> None:
    out = imported.with_name("reasoned.jsonl")
    for _ in range(2):
        done = reason(
            imported, out, OfflineWriter(), plan=ReasonPlan(mixed=True), server=None, progress=lambda *_: None
        )
    rows = read_manifest(out)
    assert rows == done.rows and len(rows) >= LESIONS + FREE
    for row in rows:
        assert row.query and row.reasoning and row.answer and row.probe is not None
        said = parse(row.answer)
        assert said.well_formed and not has_coordinates(row.reasoning)
        if row.probe.kind == "present":
            assert said.kind == "present"
            assert said.boxes_xyxy_px == boxes(load_row(row)[1])
        else:
            assert said.kind in ("absent", "mismatch") and not said.has_seg
    kinds = [row.probe.kind for row in rows if row.probe is not None]
    assert kinds.count("present") == LESIONS and kinds.count("lesion_free") == FREE


def test_a_corrected_mask_gets_a_new_answer_and_the_others_keep_theirs(imported: Path) -> None:
    out = imported.with_name("reasoned.jsonl")

    def reasoned() -> dict[str, str | None]:
        plan = ReasonPlan()
        reason(imported, out, OfflineWriter(), plan=plan, server=None, progress=lambda *_: None)
        return {row.id: row.answer for row in read_manifest(out)}

    before = reasoned()
    corrected = next(row for row in read_manifest(imported) if row.mask_path is not None)
    mask = np.zeros(load_row(corrected)[1].shape, dtype=np.uint8)
    mask[5:25, 5:25] = 255
    assert corrected.mask_path is not None
    Image.fromarray(mask).save(corrected.mask_path)
    after = reasoned()
    assert [key for key in before if before[key] != after[key]] == [corrected.id]
    assert parse(after[corrected.id] or "").boxes_xyxy_px == ((5, 5, 25, 25),)


def test_a_server_is_asked_in_two_steps_with_picture_outline_and_facts(imported: Path) -> None:
    asked: list[tuple[int, str]] = []

    def speak(body: Body) -> str:
        asked.append((pictures_of(body), text_of(body)))
        return well(body)

    with stand_in(speak) as state:
        done, server = run(imported, state)
    assert len(asked) == REQUESTS == server.used.requests
    assert [number for number, _ in asked].count(2) == 2 * LESIONS
    with_lesion = [text for number, text in asked if number == 2]
    assert all("malignant breast tumor" in text and "place of the largest" in text for text in with_lesion)
    assert all("Even tissue, mark" in text for text in with_lesion[1::2]), (
        "step two is told what step one saw"
    )
    assert all(row.reasoning and "mark" in row.reasoning for row in done.rows)
    assert (server.used.tokens_in, server.used.tokens_out) == (REQUESTS * TOKENS_IN, REQUESTS * TOKENS_OUT)
    assert server.used.usd(server.plan) == pytest.approx(REQUESTS * (1000 * 2 + 50 * 8) / 1e6)
    report = json.loads(imported.with_name("r").joinpath("report.json").read_text())
    assert report["server"]["usd"] == server.used.usd(server.plan)


TROUBLES = {
    "too many requests": lambda n: "429" if n % 3 == 0 else "",
    "server errors": lambda n: "500" if n % 3 == 1 else "",
    "bodies that break off": lambda n: "broken" if n % 3 == 0 else "",
    "pages of a proxy": lambda n: "page" if n % 4 == 0 else "",
    "all of them": lambda n: ("429", "500", "broken", "page", "", "")[n % 6],
}


@pytest.mark.parametrize("kind", TROUBLES)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_troubled_server_costs_time_and_nothing_else(imported: Path, kind: str, workers: int) -> None:
    expected = healthy(imported)
    with stand_in(trouble=TROUBLES[kind]) as state:
        # Enough tries: with several workers one of them may meet the same trouble several times over.
        run(imported, state, workers=workers, retries=15)
        assert set(state.paid.values()) == {1} and len(state.paid) == REQUESTS
    assert imported.with_name("r.jsonl").read_bytes() == expected


def test_a_slow_server_is_given_up_and_asked_again(imported: Path) -> None:
    expected = healthy(imported)
    with stand_in(trouble=lambda n: "slow" if n == 2 else "") as state:
        run(imported, state, timeout_s=0.7)
    assert imported.with_name("r.jsonl").read_bytes() == expected


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_stopped_run_pays_nothing_twice_and_ends_the_same(imported: Path, stop_after: int) -> None:
    expected = healthy(imported)

    def stop(done: int, _: int | None) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    with stand_in() as state:
        writer, server = server_writer(state, imported.with_name("r.jsonl.cache"))
        with pytest.raises(KeyboardInterrupt):
            reason(
                imported,
                imported.with_name("r.jsonl"),
                writer,
                plan=ReasonPlan(),
                server=server,
                progress=stop,
            )
        assert state.requests == 2 * stop_after
        assert not imported.with_name("r.jsonl").exists()
        run(imported, state)
        assert state.requests == REQUESTS and set(state.paid.values()) == {1}
    assert imported.with_name("r.jsonl").read_bytes() == expected


def test_replies_are_read_again_from_the_cache_when_drafts_are_lost(imported: Path) -> None:
    with stand_in() as state:
        run(imported, state)
        imported.with_name("r").joinpath("drafts.jsonl").unlink()
        _, server = run(imported, state)
        assert state.requests == REQUESTS
    assert server.used.requests == 0 and server.replayed == REQUESTS


def test_a_server_that_fails_for_good_stops_the_run_and_what_was_paid_is_kept(imported: Path) -> None:
    expected = healthy(imported)
    state_of = {"down": True}
    with stand_in(trouble=lambda n: "500" if state_of["down"] and n >= 5 else "") as state:
        with pytest.raises(ServerError, match="HTTP 500") as raised:
            run(imported, state, retries=2)
        assert "run again" in raised.value.remedy
        assert len(lines(imported.with_name("r.jsonl.cache"))) == 5
        state_of["down"] = False
        run(imported, state)
        assert set(state.paid.values()) == {1}
    assert imported.with_name("r.jsonl").read_bytes() == expected


def test_a_wrong_key_stops_at_once(imported: Path) -> None:
    with stand_in(trouble=lambda _: "401") as state:
        with pytest.raises(ServerError, match="HTTP 401"):
            run(imported, state)
        assert state.requests == 1


def test_words_that_cannot_be_used_are_asked_for_again_and_in_the_end_left_out(imported: Path) -> None:
    bad = ['{"reasoning": "cut o', "no JSON", '{"reasoning": 7}', '{"reasoning": "short"}', '["a list"]']
    seen: dict[str, int] = {}
    first_picture: list[str] = []

    def speak(body: Body) -> str:
        if '"reasoning"' not in text_of(body):
            return well(body)
        picture = body["messages"][-1]["content"][0]["image_url"]["url"]
        first_picture.append(picture)
        seen[picture] = seen.get(picture, 0) + 1
        never = picture == first_picture[0]
        return bad[seen[picture] % len(bad)] if never or seen[picture] == 1 else well(body)

    with stand_in(speak) as state:
        done, _ = run(imported, state)
        assert len(done.rows) == LESIONS + FREE - 1 and done.left_out == {"no usable text": 1}
        assert done.retried == LESIONS + FREE
        # A good description is not paid again because the reasoning after it was bad.
        assert state.requests == (LESIONS + FREE) + 2 * (LESIONS + FREE - 1) + 3
        again, server = run(imported, state)
        assert again == done and server.used.requests == 0
    (listed,) = lines(imported.with_name("r").joinpath("left_out.jsonl"))
    assert listed["reason"] == "no usable text" and listed["detail"]


def test_a_refused_picture_is_left_out_and_the_others_go_on(imported: Path) -> None:
    with stand_in(trouble=lambda n: "400" if n < 3 else "") as state:
        done, _ = run(imported, state)
    assert done.left_out == {"no usable text": 1} and len(done.rows) == LESIONS + FREE - 1


def test_coordinates_in_the_words_of_a_server_are_taken_out(imported: Path) -> None:
    def speak(body: Body) -> str:
        if '"reasoning"' not in text_of(body):
            return well(body)
        return json.dumps(
            {
                "reasoning": "The tissue is even but for a tumor of 12 mm at [12, 30, 44, 60], about x=12 px, in T2."
            }
        )

    with stand_in(speak) as state:
        done, _ = run(imported, state)
    for row in done.rows:
        assert row.reasoning is not None and not has_coordinates(row.reasoning)
        assert "12 mm" in row.reasoning and "T2" in row.reasoning and "44" not in row.reasoning


@pytest.mark.parametrize(
    "text",
    [
        "lies at [12, 30, 44, 60] there", "the box [[1,2,3,4],[5,6,7,8]]", "at (120, 45)", "x = 12, y = 40",
        "from x1=3 to x2=9", "pixels 12 to 40", "row 45", "around column: 12", "40 px wide", "30 x 40 pixels",
        "coordinates 12, 40", "12, 30, 44, 60", "spans 12-40 pixels",
    ],
)  # fmt: skip
def test_coordinates_are_seen_and_taken_out(text: str) -> None:
    assert has_coordinates(text)
    assert not has_coordinates(without_coordinates(text))


@pytest.mark.parametrize(
    "text",
    [
        "A lesion of 12 mm in T1 and T2.", "two lesions, 3 and 5 mm", "In 2 of 3 sequences.", "grade 3, stage 2",
        "a 45-year-old", "one spot in the upper left part of the picture", "FLAIR shows 1.5 cm oedema",
    ],
)  # fmt: skip
def test_sizes_counts_and_sequences_are_no_coordinates(text: str) -> None:
    assert not has_coordinates(text) and without_coordinates(text) == text


def test_a_dry_run_asks_nothing_and_says_the_price(
    imported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stand_in() as state:
        words = ["reason", str(imported), "--out", str(imported.with_name("r.jsonl")), "--writer", "server"]
        words += ["--model", "m", "--base-url", state.url, "--dry-run"]
        assert main(words) == 0
        assert "price unknown" in capsys.readouterr().out
        assert main([*words, "--usd-in", "2.5", "--usd-out", "10"]) == 0
        said = capsys.readouterr().out
        assert state.requests == 0 and f"{REQUESTS} requests" in said and "USD" in said
        assert not imported.with_name("r").exists()
        run(imported, state)
        writer, _ = server_writer(state, imported.with_name("r.jsonl.cache"))
        left = estimate(imported, writer, plan=ReasonPlan(), progress=lambda *_: None)
        assert left.usage.requests == 0


def test_pictures_do_not_leave_this_machine_unless_that_is_said() -> None:
    for url in ("https://api.example.org/v1", None, "http://10.0.0.7/v1"):
        with pytest.raises(InputError, match="not on this machine"):
            ServerPlan(model="m", base_url=url)
        assert ServerPlan(model="m", base_url=url, allow_upload=True).base_url == url
    assert ServerPlan(model="m", base_url="http://localhost:8000/v1").base_url


def test_requests_keep_to_the_rate(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(chat.time, "sleep", slept.append)
    monkeypatch.setattr(chat.time, "monotonic", lambda: 100.0)
    with stand_in() as state:
        run(imported, state, requests_per_minute=30.0)
    assert slept == [2.0 * turn for turn in range(REQUESTS)]


def test_the_key_of_a_reply_changes_with_all_that_decides_it(tmp_path: Path) -> None:
    def key(attempt: int = 0, text: str = "a", **plan: Any) -> str:
        values = {"model": "m", "base_url": "http://127.0.0.1:9/v1", **plan}
        server = ChatServer(ServerPlan(**values), LineJournal(tmp_path / "c.jsonl", what="cache"))
        return server.key([{"role": "user", "content": text}], attempt)

    keys = [key(), key(1), key(text="b"), key(model="n"), key(base_url="http://127.0.0.1:8/v1")]
    keys.append(key(temperature=0.1))
    assert len(set(keys)) == len(keys) and key() == key(retries=1, requests_per_minute=3.0)
