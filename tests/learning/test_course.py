"""A run goes from its order to a version that answers or waits, and is the same however often it was interrupted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from tiny_runs import (
    ENVIRONMENT,
    STEPS,
    make_place,
    order_in,
    tools,
    versions_told,
    write_corrections,
    write_rows,
)

from coreseg_core.checkpoint import load_weights, verify_folder
from coreseg_core.errors import InputError
from coreseg_core.runs import RunFolder
from coreseg_core.versions import Provenance, publish_version, read_current, set_current
from training.tuning.course import perform
from training.tuning.recipe import Recipes


def begun(place: Path, name: str = "20260101T000000-sft-0000", **values: object) -> RunFolder:
    run = RunFolder.make(place / "runs", name, order_in(place, **values))
    write_corrections(run.corrections)
    run.open()
    return run


def test_a_run_ends_in_a_version_that_answers_and_says_where_it_comes_from(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = begun(place)
    perform(run, tools(place / "runs"))
    state = run.state
    assert (state.state, state.promoted, state.step, state.dice) == ("done", True, STEPS, 0.5), state
    (manifest,) = versions_told(place)
    verify_folder(place / "versions" / str(state.version))
    assert read_current(place / "versions").version == manifest["version"] == state.version
    assert (manifest["parent"], manifest["state"], manifest["run"]) == ("v0", "accepted", run.id)
    assert set(manifest["data"]) == {"corrections"}
    assert manifest["recipe"]["slices"] + manifest["recipe"]["held_slices"] == 10
    assert len(manifest["learned"]) == manifest["recipe"]["patients"] == 8
    assert manifest["taught"] == {"targets": ["liver lesion"], "families": ["CT"]}
    guard = manifest["scores"]["guard"]["Dice"]
    assert guard["parent"] == guard["version"] == pytest.approx(0.8)
    told = [data for _, name, data in run.events() if name == "done"]
    assert told[0]["version"] == manifest["version"]
    # What only the run itself needed is gone.
    assert {path.name for path in run.path.iterdir() if path.is_dir()} == {"corrections"}


def test_a_version_that_fails_its_guard_waits_with_the_reason_and_what_answered_answers(
    tmp_path: Path,
) -> None:
    place = make_place(tmp_path, added=0.3)
    run = begun(place)
    perform(run, tools(place / "runs"))
    assert (run.state.state, run.state.promoted) == ("done", False)
    # What it learned does 0.3 worse; the version goes half of that way.
    assert "Dice on the guard went from 0.800 to 0.650" in run.state.reason
    (manifest,) = versions_told(place)
    assert manifest["state"] == "candidate"
    assert read_current(place / "versions").version == "v0"


def test_a_poisoned_batch_is_learned_and_its_version_does_not_answer(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = RunFolder.make(place / "runs", "20260101T000000-sft-0000", order_in(place))
    write_rows(run.corrections.parent, patients=14, shift_px=9)
    run.open()
    perform(run, tools(place / "runs"))
    # Its marks are as good as the parent's: the outlines themselves give it away.
    assert (run.state.state, run.state.promoted) == ("done", False)
    assert "lie beside what they outline (by -1" in run.state.reason
    (manifest,) = versions_told(place)
    assert manifest["state"] == "candidate"
    assert manifest["guard"]["reason"] in run.state.reason
    assert read_current(place / "versions").version == "v0"


def test_a_run_that_is_performed_again_goes_on_and_makes_no_second_version(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = begun(place)
    perform(run, tools(place / "runs"))
    first = run.state
    for stage in ("publish", "judge", "learn"):
        run.change(state="running", stage=stage, version=None, promoted=False)
        perform(run, tools(place / "runs"))
        assert (run.state.version, run.state.promoted) == (first.version, True)
    assert len(versions_told(place)) == 1


def test_a_new_version_that_waits_stays_however_few_are_kept(tmp_path: Path) -> None:
    place = make_place(tmp_path, added=0.3)
    names = []
    for number in range(2):
        run = begun(place, f"2026010{number + 1}T000000-sft-0000", keep=0, learned_share=0.5 - 0.1 * number)
        perform(run, tools(place / "runs"))
        names.append(run.state.version)
        assert [manifest["version"] for manifest in versions_told(place)] == names[-1:]
    set_current(place / "versions", str(names[1]), despite_guard=True)


def test_a_version_does_not_displace_one_that_came_in_between(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    tensors, _ = load_weights(place / "parent")
    other = publish_version(place / "versions", tensors, Provenance(preset="lite", state="accepted")).name
    set_current(place / "versions", other)
    run = begun(place)
    perform(run, tools(place / "runs"))
    assert not run.state.promoted
    assert "answers now" in run.state.reason
    assert read_current(place / "versions").version == other


def test_patients_that_one_version_learned_judge_no_later_one(tmp_path: Path) -> None:
    place = make_place(tmp_path, added=1e-5)  # other weights, so another name, even within one second
    perform(begun(place), tools(place / "runs"))
    (first,) = versions_told(place)
    parent = {"parent": first["version"], "parent_folder": str(place / "versions" / first["version"])}
    run = RunFolder.make(place / "runs", "20260102T000000-sft-0000", order_in(place, **parent))
    write_rows(run.corrections.parent, patients=14)
    run.open()
    perform(run, tools(place / "runs"))
    assert run.state.state == "done", run.state
    second = versions_told(place)[-1]
    held = {f"p{number}" for number in range(14)} - set(second["learned"])
    assert held and not held & set(first["learned"])
    assert second["base"]["weights_sha256"] == first["files"]["weights.safetensors"]["sha256"]


def test_a_run_that_is_to_stop_keeps_its_last_whole_checkpoint_and_goes_on_from_it(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = begun(place, steps=400)
    made = tools(place / "runs")
    perform(run, replace(made, embed=lambda *_, **__: run.ask_to_stop()))
    assert (run.state.state, run.state.remedy[:5]) == ("stopped", "Go on")
    assert versions_told(place) == []
    run.open()
    (run.path / "order.json").write_text(
        (run.path / "order.json").read_text().replace('"steps": 400', '"steps": 4')
    )
    perform(run, made)
    assert (run.state.state, run.state.step) == ("done", 4), run.state


def test_a_run_that_is_interrupted_at_the_keyboard_is_stopped(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = begun(place)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(run, replace(tools(place / "runs"), embed=interrupted))
    assert (run.state.state, run.state.stage) == ("stopped", "ended")
    assert not run.performed


def test_too_little_to_learn_from_ends_the_run_with_the_numbers(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = RunFolder.make(place / "runs", "one", order_in(place))
    write_rows(run.corrections.parent, patients=3)
    run.open()
    perform(run, tools(place / "runs"))
    assert run.state.state == "failed"
    assert "3 slices of 3 patients" in run.state.reason


def test_a_recipe_that_is_not_there_ends_the_run_and_leaves_no_version(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    run = begun(place)
    made = tools(place / "runs")
    broken = Recipes(modules={"sft": "no_such_recipe"}, templates=made.recipes.templates)
    perform(run, replace(made, recipes=broken))
    assert (run.state.state, versions_told(place)) == ("failed", [])
    assert "not part of this installation" in run.state.reason


def test_recipes_that_ship_name_programs_that_are_there_or_say_that_they_are_not() -> None:
    recipes = Recipes()
    assert recipes.module("sft") == "training.sft"
    for path in sorted(recipes.templates.glob("*.yaml")):
        recipe = path.name.partition("_")[0]
        preset = path.stem.removeprefix(f"{recipe}_").replace("_", "-")
        assert {"loop", "learning_rates", "mix"} <= recipes.template(recipe, preset).keys()
        if recipe not in recipes.installed:
            with pytest.raises(InputError, match="not part of this installation"):
                recipes.module(recipe)
    with pytest.raises(InputError, match="no settings"):
        recipes.template("sft", "no-such-preset")


@pytest.mark.slow
def test_a_recipe_in_processes_of_its_own_leaves_none_behind_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    place = make_place(tmp_path, pause_s=0.2)
    run = begun(place, steps=3000)
    stopper = Thread(target=_stop_once_it_learns, args=(run,))
    stopper.start()
    perform(run, tools(place / "runs", apart=True))
    stopper.join()
    assert run.state.state == "stopped"
    assert run.state.step >= 1
    for folder in (run.path / "learning" / "checkpoints").glob("step_??????"):
        verify_folder(folder)
    assert not [path for path in Path("/proc").glob("[0-9]*") if _names(path, run.path)]


def _stop_once_it_learns(run: RunFolder) -> None:
    while run.state.step < 1 and run.state.state != "failed":
        time.sleep(0.2)
    run.ask_to_stop()


def _names(process: Path, folder: Path) -> bool:
    try:
        return str(folder) in (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
