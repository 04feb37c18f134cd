"""Which version answers: chosen in one step, with a way back, and never one that is gone, altered or unjudged."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from coreseg_core.checkpoint import WEIGHTS_NAME
from coreseg_core.errors import CheckpointError
from coreseg_core.versions import (
    CURRENT_NAME,
    Provenance,
    State,
    list_versions,
    prune_versions,
    publish_version,
    read_current,
    resolve_current,
    roll_back,
    set_current,
)


def publish(folder: Path, seed: int, *, parent: str = "v0", state: State = "accepted") -> str:
    tensors = {"x": torch.full((3,), float(seed))}
    guard = {"passed": state == "accepted", "reason": "masks are worse"}
    return publish_version(
        folder, tensors, Provenance(preset="lite", parent=parent, state=state, guard=guard)
    ).name


def test_the_way_back_leads_through_every_version_that_answered_before(tmp_path: Path) -> None:
    first, second = publish(tmp_path, 1), publish(tmp_path, 2)
    for name in (first, second, "v0", second):
        set_current(tmp_path, name)
    for name in ("v0", second, first, "v0"):
        assert roll_back(tmp_path) == name
        assert read_current(tmp_path).version == name
    assert resolve_current(tmp_path, None) is None
    with pytest.raises(CheckpointError, match="No version answered before"):
        roll_back(tmp_path)


def test_the_way_back_passes_over_versions_that_were_pruned(tmp_path: Path) -> None:
    names = [publish(tmp_path, seed) for seed in range(4)]
    for name in names:
        set_current(tmp_path, name)
    assert set(prune_versions(tmp_path, keep=0)) == set(names[:2])
    assert roll_back(tmp_path) == names[2]
    assert roll_back(tmp_path) == "v0"
    with pytest.raises(CheckpointError, match="No version answered before"):
        roll_back(tmp_path)


def test_a_version_that_waits_answers_only_in_spite_of_its_guard(tmp_path: Path) -> None:
    name = publish(tmp_path, 1, state="candidate")
    with pytest.raises(CheckpointError, match="masks are worse"):
        set_current(tmp_path, name)
    assert read_current(tmp_path).version == "v0"
    set_current(tmp_path, name, despite_guard=True)
    assert read_current(tmp_path).version == name


def test_a_version_takes_the_place_of_the_one_it_was_compared_with_and_of_no_other(tmp_path: Path) -> None:
    first, second = publish(tmp_path, 1), publish(tmp_path, 2)
    set_current(tmp_path, first)
    with pytest.raises(CheckpointError, match="answers now"):
        set_current(tmp_path, second, instead_of="v0")
    assert read_current(tmp_path).version == first


@pytest.mark.parametrize("back", [False, True])
def test_an_altered_version_is_not_chosen(tmp_path: Path, back: bool) -> None:
    name = publish(tmp_path, 1)
    if back:
        set_current(tmp_path, name)
        set_current(tmp_path, "v0")
    weights = tmp_path / name / WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(CheckpointError):
        roll_back(tmp_path) if back else set_current(tmp_path, name)
    assert read_current(tmp_path).version == "v0"


def test_choosing_mends_a_file_that_nobody_can_read(tmp_path: Path) -> None:
    name = publish(tmp_path, 1)
    (tmp_path / CURRENT_NAME).write_text("{")
    with pytest.raises(CheckpointError, match="unreadable"):
        read_current(tmp_path)
    set_current(tmp_path, name)
    assert read_current(tmp_path).version == name


def test_pruning_spares_what_answers_what_it_came_from_and_what_answered_before(tmp_path: Path) -> None:
    grandparent = publish(tmp_path, 1)
    parent = publish(tmp_path, 2, parent=grandparent)
    current = publish(tmp_path, 3, parent=parent)
    others = [publish(tmp_path, number, parent="v0") for number in range(4, 9)]
    by_name = sorted(others)
    set_current(tmp_path, by_name[0])
    set_current(tmp_path, current)
    newest = [manifest["version"] for manifest in list_versions(tmp_path)][-2:]
    removed = prune_versions(tmp_path, keep=2)
    left = {manifest["version"] for manifest in list_versions(tmp_path)}
    assert left == {grandparent, parent, current, by_name[0], *newest}
    assert set(removed) == {*others} - left
    assert resolve_current(tmp_path, None) == tmp_path / current
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".pruned-")]


def test_pruning_spares_one_that_it_is_told_to(tmp_path: Path) -> None:
    first, second = publish(tmp_path, 1), publish(tmp_path, 2)
    assert prune_versions(tmp_path, keep=0, spare=second) == [first]


def test_what_a_killed_pruning_left_goes_with_the_next_one(tmp_path: Path) -> None:
    name = publish(tmp_path, 1)
    (tmp_path / name).rename(tmp_path / f".pruned-{name}")
    assert list_versions(tmp_path) == []
    prune_versions(tmp_path, keep=1)
    assert not list(tmp_path.glob(".pruned-*"))


def _choose(folder: Path, name: str, times: int) -> None:
    for _ in range(times):
        set_current(folder, name)


def test_processes_that_choose_at_once_leave_a_whole_choice(tmp_path: Path) -> None:
    names = [publish(tmp_path, 1), publish(tmp_path, 2)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_choose, args=(tmp_path, name, 40)) for name in names]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert read_current(tmp_path).version in ("v0", *names)
    assert all(worker.exitcode == 0 for worker in workers)
    choice = json.loads((tmp_path / CURRENT_NAME).read_bytes())
    assert choice["version"] in names
    assert len(choice["before"]) <= 20
