"""What the page tells of readers and answers: true counts, and no names."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from reading_room import ReadingRoom, blob

from coreseg_core.limits import Limits
from lib.learning.overview import Overview
from lib.learning.page import render

REST: dict[str, Any] = {
    "versions": {
        "current": "v0",
        "before": [],
        "versions": [{"version": "v0", "answers": True, "state": "shipped"}],
    },
    "trainings": [],
    "stages_s": {"model": 1.5},
    "queue": {"running": 0, "waiting": 1, "capacity": 32},
}


def overview(room: ReadingRoom) -> Overview:
    return Overview(lambda: room.store, limits=Limits())


def test_labels_are_counted_by_week_with_the_overlap_of_answer_and_label(room: ReadingRoom) -> None:
    room.corrected("a", blob(1), blob(1))
    room.corrected("b", blob(1), blob(1, at=(14, 8)))
    told = overview(room).to_json()
    assert told["labels"] == 2
    (week,) = told["weeks"]
    assert (week["accepted"], week["changed"]) == (1, 1)
    # One label as it was answered, one that overlaps by half.
    assert week["dice"] == pytest.approx(0.75)


def test_agreement_counts_slices_by_outcome_and_by_modality(room: ReadingRoom) -> None:
    room.corrected("a", blob(1, 2), blob(2, 3))
    told = overview(room).to_json()["agreement"]
    assert told["outcome present"] == {"agreed": 1, "slices": 2}
    assert told["outcome absent"] == {"agreed": 3, "slices": 4}
    assert told["modality MR"] == {"agreed": 4, "slices": 6}


def test_a_label_is_looked_at_once_and_again_when_it_has_changed(
    room: ReadingRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.corrected("a", blob(1), blob(2))
    seen, looks = overview(room), 0
    look = Overview._look

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return look(*arguments)

    monkeypatch.setattr(Overview, "_look", counted)
    first = seen.to_json()
    assert seen.to_json() == first
    assert looks == 1
    room.submit(
        "a", blob(4), {"params": {"record": room.store.get_label_info("a", "final")["params"]["record"]}}
    )
    assert seen.to_json()["labels"] == 1
    assert looks == 2


class Tags(HTMLParser):
    """Collects the tags of a page that is well formed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_the_page_shows_scores_beside_the_parents_and_why_a_version_waits(room: ReadingRoom) -> None:
    room.corrected("Smith^John", blob(1), blob(2))
    compared = {"parent": 0.8, "version": 0.5, "n": 60, "change": [-0.3, -0.4, -0.2]}
    waiting = {
        "version": "20260101T000000Z-00000000",
        "parent": "v0",
        "answers": False,
        "state": "candidate",
        "scores": {"guard": {"Dice": compared}},
        "guard": {"passed": False, "reason": "Dice <went> down"},
    }
    versions = {**REST["versions"], "versions": [*REST["versions"]["versions"], waiting]}
    training = {
        "run": "r",
        "state": "running",
        "stage": "learn",
        "step": 3,
        "steps": 9,
        "eta_s": 12.0,
        "loss": 0.5,
    }
    page = render({**overview(room).to_json(), **REST, "versions": versions, "trainings": [training]})
    assert "0.800 → 0.500 (n 60)" in page
    assert "Dice &lt;went&gt; down" in page
    assert "running: learn" in page and "12 s" in page
    assert "Smith" not in page
    tags = Tags()
    tags.feed(page)
    assert tags.seen.count("svg") == 2
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)


def test_the_row_of_a_training_says_why_its_version_does_not_answer() -> None:
    training = {
        "run": "r", "state": "done", "stage": "ended", "step": 9, "steps": 9,
        "version": "20260101T000000Z-00000000", "reason": "nobody asked for it to answer at once",
    }  # fmt: skip
    ended = {**training, "version": "20260102T000000Z-00000000", "reason": ""}
    failed = {**training, "version": None, "state": "failed", "reason": "too little"}
    page = render({"labels": 0, "weeks": [], "agreement": {}, **REST, "trainings": [training, ended, failed]})
    for outcome in (f"{training['version']}: {training['reason']}", ended["version"], "too little"):
        assert f"<td>{outcome}</td>" in page


def test_a_page_of_a_server_where_nothing_has_happened_says_so() -> None:
    page = render({"labels": 0, "weeks": [], "agreement": {}, **REST})
    assert page.count("Nothing yet.") == 4
