"""A label whose params nobody can read is left out, with a reason, and takes nothing else along."""

from __future__ import annotations

from typing import Any

import pytest
from reading_room import ReadingRoom, blob

from coreseg_core.errors import InputError
from coreseg_core.limits import Limits
from coreseg_core.models.preset import load_preset
from lib.kept import records_of
from lib.learning.corrections import Collected, collect
from lib.learning.overview import Overview
from lib.learning.reading import fault_of
from lib.store import SafeStore

FINDING = {"index": 1, "outcome": "present"}
RECORD = {"id": "x", "query": "brain tumor", "scope": {"axis": "k"}, "slices": [FINDING]}
WITHOUT_QUERY = {key: value for key, value in RECORD.items() if key != "query"}
MALFORMED: list[dict[str, Any]] = [
    {"params": "abc"},
    {"params": ["record"]},
    {"segmentationMeta": "done"},
    {"params": {"segmentationMeta": "done"}},
    *(
        {"params": {"record": record}}
        for record in (
            WITHOUT_QUERY,
            {**RECORD, "query": None},
            {**RECORD, "scope": "k"},
            {**RECORD, "scope": {"axis": ["k"]}},
            {**RECORD, "slices": None},
            {**RECORD, "slices": {"1": FINDING}},
            {**RECORD, "slices": [1]},
            {**RECORD, "slices": [{"outcome": "present"}]},
            {**RECORD, "slices": [{"index": 1}]},
            {**RECORD, "slices": [{**FINDING, "index": "1"}]},
            {**RECORD, "slices": [{**FINDING, "index": -7}]},
            {**RECORD, "slices": [{**FINDING, "outcome": ["present"]}]},
            {**RECORD, "edits": "yes"},
            {**RECORD, "edits": {"slices": 1}},
            {**RECORD, "edits": {"slices": ["one"]}},
        )
    ),
]
SENT_BY_STOCK_CLIENTS: list[dict[str, Any]] = [
    {},
    {"label_info": [{"name": "lesion", "idx": 1}]},
    {"params": {}},
    {"params": None, "segmentationMeta": None},
    {"params": {"label_names": {"lesion": 1}, "latencies": {"total": 1.5}, "record": None}},
    {"segmentationMeta": {"status": "approved", "level": "easy", "comment": "", "approvedBy": "a"}},
]


def gathered(room: ReadingRoom) -> Collected:
    manifest = room.folder.parent / "run" / "manifest.jsonl"
    return collect(room.store, manifest, preset=load_preset("lite"), limits=Limits(), secret=b"x")


@pytest.mark.parametrize("info", MALFORMED, ids=repr)
def test_a_malformed_label_breaks_neither_training_nor_page(room: ReadingRoom, info: dict[str, Any]) -> None:
    room.corrected("a", blob(1), blob(2))
    room.image("b")
    room.answer("b", blob(1))
    room.submit("b", blob(1), info)
    found = gathered(room)
    assert found.images == 1
    assert found.left_out == {"its record cannot be read": 1}
    assert Overview(lambda: room.store, limits=Limits()).to_json()["labels"] == 1
    assert "`" in fault_of(info)


@pytest.mark.parametrize("info", SENT_BY_STOCK_CLIENTS, ids=repr)
def test_what_stock_clients_note_of_a_label_is_read(room: ReadingRoom, info: dict[str, Any]) -> None:
    room.image("a")
    room.answer("a", blob(1))
    room.submit("a", blob(2), info)
    assert fault_of(info) == ""
    assert gathered(room).images == 1


@pytest.mark.parametrize("stated", ["yesterday", -1e300, 1e300, 10**400, None])
def test_a_time_that_is_none_does_not_break_the_page(room: ReadingRoom, stated: object) -> None:
    room.corrected("a", blob(1), blob(2))
    room.store.update_label_info("a", "final", {"ts": stated})
    (week,) = Overview(lambda: room.store, limits=Limits()).to_json()["weeks"]
    assert week["week"] == "1970-W01"


def test_params_laid_over_those_of_an_answer_hide_its_record_from_nobody(room: ReadingRoom) -> None:
    room.image("a")
    room.answer("a", blob(1))
    room.store.update_label_info("a", "coreseg-r0", {"params": "abc"})
    assert [record["id"] for record in records_of(room.store, "a")] == ["r0"]
    (room.folder / "labels" / "coreseg-r0" / "a.json").unlink()
    assert records_of(room.store, "a") == []


def test_half_a_character_does_not_make_the_index_unreadable(room: ReadingRoom) -> None:
    room.image("a")
    with pytest.raises(InputError, match="half a character"):
        room.store.update_image_info("a", {"comment": "\ud800"})
    room.store.update_image_info("a", {"comment": "Größe"})
    again = SafeStore(str(room.folder), extensions=["*.nii.gz"], auto_reload=False)
    assert again.get_image_info("a")["comment"] == "Größe"
