"""Fine-tuning as the panel sees it: followed through broken lines, never stopped by accident, judged in plain sight."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rude_server import Exchange, RudeServer, wait_until
from training_manners import COURSE, NEW, REASON, RUN, TrainingManners

from CORESegLib.event_stream import ServerEvent
from CORESegLib.model_versions import ModelVersion, Versions, read_versions
from CORESegLib.stopping import CancelToken
from CORESegLib.training_client import TrainingClient
from CORESegLib.training_following import Away, follow
from CORESegLib.training_stand import STANDINGS, TrainingStand, read_stand
from CORESegLib.training_view import BARS, SPARK_LENGTH, question_before_use, spark, training_view
from CORESegLib.trouble import Trouble

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=4,
)
STAGES = ("waiting", "prepare", "embed", "learn", "judge", "publish", "ended", "?")


@pytest.fixture
def manners(server: RudeServer) -> TrainingManners:
    return TrainingManners(server)


def client_of(server: RudeServer) -> TrainingClient:
    return server.client().training


def followed(server: RudeServer, **options: Any) -> list[Any]:
    told: list[Any] = []
    follow(client_of(server), RUN, told.append, CancelToken(), pause=lambda seconds: None, **options)
    return told


def test_a_training_is_told_from_its_first_step_to_the_choice_of_versions(
    server: RudeServer, manners: TrainingManners
) -> None:
    manners.begin()
    manners.tell(*COURSE)
    manners.end()
    told = followed(server)
    stands = [one for one in told if isinstance(one, TrainingStand)]
    assert [one.stage for one in stands[1:]] == ["prepare", "embed", "learn", "learn", "judge", "ended"]
    assert stands[3].eta_s == 3.0
    assert stands[4].losses == (1.5, 0.9)
    assert stands[4].dices == (0.6,)
    assert (stands[5].asked, stands[5].to_ask) == (3, 60)
    assert (stands[-1].state, stands[-1].version, stands[-1].promoted) == ("done", NEW, True)
    assert isinstance(told[-1], Versions)
    assert told[-1].current == NEW


def test_a_line_that_breaks_is_taken_up_where_it_broke_and_no_point_of_a_curve_comes_twice(
    server: RudeServer, manners: TrainingManners
) -> None:
    manners.begin()
    manners.tell(*COURSE)
    whole = server.manners["GET", f"/coreseg/training/{RUN}/events"]
    since: list[str | None] = []

    def break_once(exchange: Exchange) -> None:
        since.append(exchange.headers.get("Last-Event-ID"))
        if len(since) == 1:
            name, data = COURSE[2]
            exchange.events((3, name, data), whole=False)
            return
        if len(since) == 2:
            manners.end()
        whole(exchange)

    server.manners["GET", f"/coreseg/training/{RUN}/events"] = break_once
    told = followed(server)
    assert since == [None, "3"]
    assert [type(one) for one in told].count(Away) == 1
    last = [one for one in told if isinstance(one, TrainingStand)][-1]
    assert last.losses == (1.5, 0.9)
    assert last.state == "done"


def test_a_server_that_is_away_for_a_while_is_asked_until_it_is_back(
    server: RudeServer, manners: TrainingManners
) -> None:
    manners.begin()
    manners.tell(*COURSE)
    manners.end()
    there = server.manners["GET", f"/coreseg/training/{RUN}"]
    pauses: list[float] = []
    server.manners["GET", f"/coreseg/training/{RUN}"] = lambda e: e.refuse(503, "busy", "Starting.")

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if sum(pauses) > 60:
            server.manners["GET", f"/coreseg/training/{RUN}"] = there

    told: list[Any] = []
    follow(client_of(server), RUN, told.append, CancelToken(), pause=pause)
    away = [one for one in told if isinstance(one, Away)]
    assert 5 <= len(away) <= 12, "asked again, and not all the time"
    assert isinstance(told[-1], Versions)


def test_a_training_that_the_server_does_not_know_is_not_waited_for(
    server: RudeServer, manners: TrainingManners
) -> None:
    server.manners["GET", f"/coreseg/training/{RUN}"] = lambda e: e.refuse(404, "not_found", "None such.")
    with pytest.raises(Trouble) as caught:
        followed(server)
    assert caught.value.kind == "not_found"


@pytest.mark.parametrize(("code", "state"), [("cancelled", "stopped"), ("model", "failed")])
def test_a_training_that_ends_without_a_version_says_why(
    server: RudeServer, manners: TrainingManners, code: str, state: str
) -> None:
    manners.begin()
    manners.tell(COURSE[0])
    manners.fail(code, "Out of luck.")
    stand = [one for one in followed(server) if isinstance(one, TrainingStand)][-1]
    assert (stand.state, stand.reason) == (state, "Out of luck.")


def test_to_stop_following_takes_no_time_and_stops_no_training(
    server: RudeServer, manners: TrainingManners
) -> None:
    manners.begin()
    manners.tell(*COURSE)
    cancel, told = CancelToken(), []
    done = threading.Event()

    def work() -> None:
        try:
            follow(client_of(server), RUN, told.append, cancel)
        except Trouble as trouble:
            told.append(trouble)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    wait_until(lambda: len(told) > len(COURSE))
    begun = time.monotonic()
    cancel.cancel()
    assert done.wait(5)
    assert time.monotonic() - begun < 0.5
    assert told[-1].kind == "cancelled"
    assert not manners.stopping


def test_a_second_request_is_told_what_runs(server: RudeServer, manners: TrainingManners) -> None:
    client = client_of(server)
    assert client.start(minutes=2, at_once=False, cancel=CancelToken()) == RUN
    with pytest.raises(Trouble) as caught:
        client.start(minutes=2, at_once=True, cancel=CancelToken())
    assert caught.value.code == "already_running"
    assert f"{RUN} runs: learn, step 2 of 4" in caught.value.said
    assert [order["promote"] for order in manners.orders] == ["never", "if not worse"]
    assert manners.orders[0]["minutes"] == 2


def test_what_was_stopped_goes_on_under_its_name(server: RudeServer, manners: TrainingManners) -> None:
    manners.begin()
    manners.fail("cancelled", "Stopped.")
    stand = client_of(server).all(CancelToken())[-1]
    assert client_of(server).resume(stand, CancelToken()) == RUN
    assert manners.orders == [{"resume": RUN}]


def test_versions_change_by_one_request_each(server: RudeServer, manners: TrainingManners) -> None:
    manners.passes = False
    manners.begin()
    manners.end()
    client = client_of(server)
    with pytest.raises(Trouble, match="waits"):
        client.promote(NEW, CancelToken())
    assert client.promote(NEW, CancelToken(), despite_guard=True).current == NEW
    assert client.roll_back(CancelToken()).current == "v0"
    assert len(manners.promoted) == 3, "what changes something is never sent twice"


@pytest.mark.parametrize("name", ["../../etc", "", ".hidden", "a b", 7, None, "x" * 300])
def test_names_that_could_lead_elsewhere_are_refused(server: RudeServer, name: object) -> None:
    server.manners["POST", "/train/coreseg_sft"] = lambda e: (e.body(), e.json(200, {"id": name}))
    with pytest.raises(Trouble) as caught:
        client_of(server).start(minutes=1, at_once=True, cancel=CancelToken())
    assert caught.value.kind == "not_our_server"


def test_labels_are_counted_by_the_store(server: RudeServer, manners: TrainingManners) -> None:
    assert client_of(server).labels(CancelToken()) == 9


@given(values=st.dictionaries(st.sampled_from(["run", "state", "stage", "step", "eta_s", "loss", "x"]), JSON))
def test_whatever_a_server_tells_of_a_training_is_read_or_refused(values: dict[str, Any]) -> None:
    for told in (values, {**values, "run": "r", "state": "running"}):
        try:
            stand = read_stand(told)
        except Trouble:
            continue
        assert training_view(stand, None, connected=True).line


@given(
    name=st.sampled_from(["progress", "done", "error", "?"]),
    stage=st.sampled_from(STAGES),
    data=st.dictionaries(st.sampled_from(["done", "total", "eta_s", "loss", "reason", "version"]), JSON),
)
def test_whatever_a_training_says_the_panel_has_words_for_it(
    name: str, stage: str, data: dict[str, Any]
) -> None:
    stand = TrainingStand(run="r").after(ServerEvent(id=1, name=name, data={"stage": stage, **data}))
    assert training_view(stand, None, connected=True).line


@given(values=st.dictionaries(st.sampled_from(["current", "before", "versions"]), JSON))
def test_whatever_a_server_tells_of_versions_is_read_or_refused(values: dict[str, Any]) -> None:
    try:
        versions = read_versions({"current": "v0", "versions": [values], **values})
    except Trouble:
        return
    assert versions.current


@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_a_curve_is_as_long_as_it_may_be_and_ends_where_the_numbers_end(values: list[float]) -> None:
    drawn = spark(values)
    assert len(drawn) <= SPARK_LENGTH
    assert set(drawn) <= set(BARS)
    if len(values) > 1:
        # Of many numbers only some are drawn, the last among them.
        assert drawn
        if values[-1] == max(values) > min(values) and len(values) <= SPARK_LENGTH:
            assert drawn[-1] == BARS[-1]


def versions_with(manners: TrainingManners, **changed: Any) -> Versions:
    read = read_versions(manners.versions())
    return replace(read, all=tuple(replace(one, **changed) if one.name == NEW else one for one in read.all))


def ended(**more: Any) -> TrainingStand:
    return TrainingStand(run=RUN, state="done", stage="ended", version=NEW, **more)


def test_old_and_new_scores_and_the_guards_word_stand_side_by_side(manners: TrainingManners) -> None:
    manners.begin()
    manners.end()
    view = training_view(ended(), versions_with(manners), connected=True)
    assert view.rows[0] == (
        "Dice, guard (40)",
        "0.710",
        "0.740",
        "+0.030 (-0.010 to +0.060)",
    )
    assert len(view.rows) == 3, "what nobody was asked is not a score"
    assert view.passed is True
    assert "made-up images, which say nothing about patients" in view.verdict
    assert "It answers now" in view.verdict
    assert (view.use_new, view.keep_old) == (False, True)


def test_a_version_that_is_held_back_shows_the_reason_and_is_used_only_on_a_second_word(
    manners: TrainingManners,
) -> None:
    manners.passes = False
    manners.begin()
    manners.end()
    versions = versions_with(manners)
    view = training_view(ended(), versions, connected=True)
    assert view.passed is False
    assert REASON in view.verdict
    assert "v0 answers now" in view.verdict
    assert (view.use_new, view.keep_old) == (True, True)
    new = versions.named(NEW)
    assert new is not None
    assert REASON in question_before_use(new)
    assert not question_before_use(replace(new, state="accepted"))
    assert not training_view(ended(), versions, connected=True, decided=True).keep_old


@pytest.mark.parametrize("state", STANDINGS)
@pytest.mark.parametrize("busy", [False, True])
def test_no_state_offers_to_start_what_runs_or_to_stop_what_does_not(state: Any, busy: bool) -> None:
    view = training_view(TrainingStand(run="r", state=state), None, connected=True, busy=busy)
    runs = state in ("waiting", "running")
    assert view.start is (not runs and not busy)
    assert view.stop is (runs and not busy)
    assert view.resume is (state in ("stopped", "failed") and not busy)
    assert view.bar is runs
    assert not view.use_new
    assert not training_view(TrainingStand(run="r", state=state), None, connected=False).start


def test_a_rejected_version_cannot_be_used(manners: TrainingManners) -> None:
    manners.passes = False
    manners.begin()
    manners.end()
    assert not training_view(ended(), versions_with(manners, state="rejected"), connected=True).use_new


def test_a_version_that_was_pruned_has_no_verdict() -> None:
    versions = Versions(current="v0", all=(ModelVersion(name="v0", state="shipped"),))
    view = training_view(ended(), versions, connected=True)
    assert not view.verdict
    assert not view.use_new
