"""Who reads what next, how answers compare with what readers made of them, and batches that go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging import VolumeGeometry, write_label
from coreseg_core.limits import Limits
from lib.batch import BatchQuestions, read_queries
from lib.doubt import NEVER_ASKED, doubt_of
from lib.kept import kept_answers
from lib.scoring import AgreementByOutcome, DiceOfLabels, dice
from lib.store import SafeStore
from lib.strategies import LEASE_S, Lending, by_chance, by_doubt, in_order

GRID = VolumeGeometry((4, 4, 3), np.eye(4))
SHA = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> SafeStore:
    for name in "abc":
        write_label(tmp_path / f"{name}.nii.gz", np.ones(GRID.shape_ijk, np.uint8), GRID)
    return SafeStore(str(tmp_path), extensions=["*.nii.gz"], auto_reload=False)


def finding(index: int = 0, **values: Any) -> dict[str, Any]:
    return {"axis": "k", "index": index, "outcome": "present", "confidence": 0.9, "claims": [], **values}


def record(
    number: str, *slices: dict[str, Any], query: str = "liver tumor", created: str = "2026"
) -> dict[str, Any]:
    return {
        "id": number,
        "query": query,
        "created": created,
        "outcome": "present",
        "lesions": [],
        "model": {"sha256": SHA},
        "slices": list(slices),
    }


def keep(store: SafeStore, folder: Path, image: str, kept: Mapping[str, Any], *, extent: str = "") -> None:
    info = {"extent": extent, "params": {"record": kept}}
    store.save_label(image, str(folder / f"{image}.nii.gz"), f"coreseg-{kept['id']}", info)


def submit(store: SafeStore, folder: Path, image: str, labels: np.ndarray, tag: str = "final") -> None:
    path = folder / "sent.nii.gz"
    write_label(path, labels, GRID)
    store.save_label(image, str(path), tag, {})
    path.unlink()


class Clock:
    now_s = 1e9

    def __call__(self) -> float:
        return self.now_s


def test_no_two_readers_get_the_same_image_until_it_is_given_back(store: SafeStore, tmp_path: Path) -> None:
    clock = Clock()
    strategy = Lending("x", in_order, clock=clock)

    def ask(reader: str) -> str | None:
        found = strategy({"client_id": reader}, store)
        return None if found is None else found["id"]

    assert [ask("ann"), ask("bob"), ask("eve"), ask("joe")] == ["a", "b", "c", None]
    assert ask("ann") == "a"
    clock.now_s += LEASE_S + 1
    assert ask("joe") == "a"
    submit(store, tmp_path, "b", np.ones(GRID.shape_ijk, np.uint8))
    assert [ask("joe"), ask("joe")] == ["c", "a"]


def test_a_reader_who_asks_again_gets_another_image_first(store: SafeStore) -> None:
    clock = Clock()
    strategy = Lending("x", by_chance, clock=clock)
    seen = []
    for _ in range(3):
        seen.append(strategy({"client_id": "ann"}, store)["id"])  # type: ignore[index]
        clock.now_s += 1
    assert sorted(seen) == ["a", "b", "c"]
    assert strategy({"client_id": "ann"}, store) == {"id": seen[0]}


def test_who_has_no_name_borrows_nothing(store: SafeStore) -> None:
    strategy = Lending("x", in_order)
    assert strategy({}, store) == strategy({}, store) == {"id": "a"}
    assert "lease" not in store.get_image_info("a")


def test_the_most_doubtful_answer_comes_first_and_what_was_never_asked_in_the_middle(
    store: SafeStore, tmp_path: Path
) -> None:
    keep(store, tmp_path, "a", record("1", finding(confidence=0.95)))
    keep(store, tmp_path, "c", record("2", finding(confidence=0.9), finding(1, outcome="uncertain")))
    assert by_doubt(store, ["a", "b", "c"]) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"confidence": 1.0}, 0.0),
        ({"confidence": 0.25}, 0.75),
        ({"confidence": 1.0, "box_mask_iou": 0.1}, 0.9),
        ({"confidence": 1.0, "claims": [{"verdict": "contradicted"}, {"verdict": "supported"}]}, 0.5),
        ({"outcome": "uncertain", "confidence": 1.0}, 1.0),
        ({"outcome": "error"}, 1.0),
        ({"outcome": "unsupported", "confidence": 0.0}, 0.0),
    ],
)
def test_doubt_is_the_strongest_of_its_reasons(values: dict[str, Any], doubt: float) -> None:
    assert doubt_of([record("1", finding(confidence=1.0), finding(**values))]) == pytest.approx(doubt)


def test_nothing_known_is_doubted_by_half() -> None:
    assert doubt_of([]) == doubt_of([record("1")]) == NEVER_ASKED


def test_dice_compares_lesions_not_their_numbers(store: SafeStore, tmp_path: Path) -> None:
    truth = np.zeros(GRID.shape_ijk, np.uint8)
    truth[:2] = 7
    answer = np.zeros(GRID.shape_ijk, np.uint8)
    answer[1:3] = 1
    submit(store, tmp_path, "a", truth)
    submit(store, tmp_path, "a", answer, tag="original")
    submit(store, tmp_path, "b", truth)
    assert DiceOfLabels(limits=Limits())({}, store) == {"a": 0.5}
    assert store.get_image_info("a")["dice"] == 0.5


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_dice_of_a_label_with_itself_is_one(values: list[bool]) -> None:
    assert dice(np.array(values), np.array(values)) == 1.0


def test_the_latest_answer_is_held_against_the_submitted_label_outcome_by_outcome(
    store: SafeStore, tmp_path: Path
) -> None:
    labels = np.zeros(GRID.shape_ijk, np.uint8)
    labels[1, 1, 0] = labels[2, 2, 1] = 1
    submit(store, tmp_path, "a", labels)
    keep(store, tmp_path, "a", record("1", finding(2, outcome="error"), created="2025"))
    latest = (finding(0), finding(1, outcome="absent"), finding(2, outcome="absent"))
    keep(store, tmp_path, "a", record("2", *latest, created="2026"))
    keep(store, tmp_path, "b", record("3", finding(0)))
    counts = {"absent": {"lesion": 1, "none": 1}, "present": {"lesion": 1, "none": 0}}
    assert AgreementByOutcome(limits=Limits())({}, store) == counts
    assert store.get_image_info("a")["agreement"] == counts


class Answers:
    """Answers a batch's questions and keeps them, as the app does; stops or fails where a test wants it."""

    def __init__(self, store: SafeStore, folder: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        self.saved: list[bool] = []
        self.stop_after = 99
        self._store, self._folder = store, folder

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        from lib.params import parse_ask

        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        image, query = request["image"], request["query"]
        self.asked.append((image, query))
        self.saved.append(request["save_label"])
        if (image, query) == ("b", "bad"):
            raise HTTPException(400, detail={"code": "bad_input", "reason": "No.", "remedy": "Yes."})
        kept = record(f"{len(self.asked)}-{image}", finding(), query=query)
        keep(self._store, self._folder, image, kept, extent=parse_ask(request).extent)
        path = self._folder / "label.tmp"
        path.write_bytes(b"x")
        return {"file": str(path), "params": {"record": kept}}


def batch_of(sha256: str) -> BatchQuestions:
    return BatchQuestions(lambda: sha256, report=lambda *_: None)


def test_a_batch_that_was_killed_goes_on_and_asks_nothing_twice(store: SafeStore, tmp_path: Path) -> None:
    batch, answers = batch_of(SHA), Answers(store, tmp_path)
    request = {"queries": ["one", " one ", "two"], "images": "all", "multi_gpu": True, "device": "cuda"}
    answers.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        batch(request, store, answers)
    answers.stop_after = 99
    result = batch(request, store, answers)
    assert sorted(answers.asked) == [(image, query) for image in "abc" for query in ("one", "two")]
    assert {image: set(told) for image, told in result.items()} == {image: {"one", "two"} for image in "abc"}
    assert batch(request, store, answers) == result
    assert len(answers.asked) == 6
    assert not (tmp_path / "label.tmp").exists()


def test_other_weights_or_another_extent_are_asked_anew(store: SafeStore, tmp_path: Path) -> None:
    answers = Answers(store, tmp_path)
    request = {"query": "one", "images": "all"}
    batch_of(SHA)(request, store, answers)
    batch_of(SHA)({**request, "axis": "coronal"}, store, answers)
    batch_of("cd" * 32)(request, store, answers)
    assert len(answers.asked) == 9
    assert all(answers.saved)


ASKED = [
    ({}, "volume axial all brief"),
    ({"scope": "", "slice": None}, "volume axial all brief"),
    ({"scope": "range", "slice": "0:2"}, "range axial (0, 2) brief"),
    ({"slice": 1}, "slice axial (1, 2) brief"),
    ({"scope": "slice", "foreground": [[1, 1, 2]]}, "slice axial None brief marked"),
]


@pytest.mark.parametrize(("named", "extent"), ASKED)
def test_each_image_is_asked_about_the_slices_that_the_batch_names(
    store: SafeStore, tmp_path: Path, named: dict[str, Any], extent: str
) -> None:
    batch_of(SHA)({"query": "one", "images": "all", **named}, store, Answers(store, tmp_path))
    assert [kept.extent for image in "abc" for kept in kept_answers(store, image)] == [extent] * 3


def test_a_failure_is_listed_and_the_rest_is_done(store: SafeStore, tmp_path: Path) -> None:
    answers = Answers(store, tmp_path)
    result = batch_of(SHA)({"queries": ["bad", "good"], "images": "all"}, store, answers)
    assert result["b"]["bad"]["code"] == "bad_input"
    assert [result[image]["good"]["outcome"] for image in "abc"] == ["present"] * 3
    assert not any(answers.saved)


UNASKABLE = [{}, {"query": " "}, {"queries": "liver"}, {"queries": [1]}, {"queries": ["x"] * 99}]


@pytest.mark.parametrize("request_", UNASKABLE)
def test_a_batch_without_questions_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_queries(request_)


def test_a_question_that_is_too_long_is_refused() -> None:
    with pytest.raises(LimitError):
        read_queries({"query": "x" * 5000})
