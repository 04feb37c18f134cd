"""What is judged below the bar or contradicts the mask is written again; what stays bad is left out, all is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from raw_sets import FREE, LESIONS, lines
from stand_in_server import Body, StandIn, stand_in, text_of, well

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from training.dataset.chat import ChatServer, ServerPlan
from training.dataset.cli import main
from training.dataset.judges import Judge, MeasuredJudge, Scores, ServerJudge, read_scores
from training.dataset.judging import Judged, JudgePlan, judge_manifest
from training.dataset.reasoning import ReasonPlan, reason
from training.dataset.writers import OfflineWriter, ServerWriter, Writer
from training.journal import LineJournal


@pytest.fixture
def reasoned(imported: Path) -> Path:
    out = imported.with_name("reasoned.jsonl")
    reason(imported, out, OfflineWriter(), plan=ReasonPlan(mixed=True), server=None, progress=lambda *_: None)
    return out


def run(
    manifest: Path,
    judge: Judge | None = None,
    writer: Writer | None = None,
    servers: tuple[ChatServer, ...] = (),
    **plan: Any,
) -> Judged:
    return judge_manifest(
        manifest,
        manifest.with_name("judged.jsonl"),
        judge or MeasuredJudge(),
        writer or OfflineWriter(),
        plan=JudgePlan(**plan),
        servers=servers,
        progress=lambda *_: None,
    )


def server_of(state: StandIn, manifest: Path, model: str) -> ChatServer:
    plan = ServerPlan(model=model, base_url=state.url, timeout_s=20.0)
    return ChatServer(plan, LineJournal(manifest.with_name("replies.jsonl"), what="cache"))


def judged_by(state: StandIn, manifest: Path, **plan: Any) -> Judged:
    writer = ServerWriter(server=server_of(state, manifest, "writer"), offline=OfflineWriter())
    second = server_of(state, manifest, "judge")
    judge = ServerJudge(server=second, measured=MeasuredJudge())
    return run(manifest, judge, writer, (writer.server, second), **plan)


def test_the_total_is_that_of_the_paper() -> None:
    assert Scores(normal_anatomy=0.9, lesion=0.9, logic=0.8).total == pytest.approx(0.86)


def test_what_was_measured_passes_and_agrees_with_the_mask(reasoned: Path) -> None:
    done = run(reasoned)
    assert len(done.rows) == len(read_manifest(reasoned)) == done.passed_at_once
    assert done.agreement == 1.0 and done.left_out == {}


def test_a_text_that_contradicts_the_mask_is_vetoed_whatever_the_judge_says_and_written_again(
    reasoned: Path,
) -> None:
    rows = read_manifest(reasoned)
    wrong = (
        "Ultrasound of breast: several large areas in the lower left part of the picture fit a breast tumor."
    )
    first = next(row for row in rows if row.probe is not None and row.probe.kind == "present")
    write_manifest(reasoned, [replace(row, reasoning=wrong) if row == first else row for row in rows])
    with stand_in() as state:
        done = judged_by(state, reasoned)
    history = {line["id"]: line["history"] for line in lines(reasoned.with_name("judged") / "history.jsonl")}
    versions = history[first.id]
    assert len(versions) == 2 and versions[0]["total"] == pytest.approx(0.86)
    assert versions[0]["contradicted"] and not versions[1]["contradicted"]
    kept = next(row for row in done.rows if row.id == first.id)
    assert kept.reasoning == versions[1]["reasoning"] != wrong
    assert kept.answer == first.answer


def scores(value: float) -> str:
    return json.dumps(
        {"normal_anatomy": value, "lesion": value, "logic": value, "comment": "say more of the rim"}
    )


def graded(replies: Callable[[int], str], told: list[str]) -> Callable[[Body], str]:
    """Return a model whose judgements are `replies` of how often it judged, and which notes what writers are told."""
    count = iter(range(10_000))

    def speak(body: Body) -> str:
        if '"logic"' in text_of(body):
            return replies(next(count))
        told.append(text_of(body))
        # As a model does that draws its words: the same question, other words.
        return well(body).replace("mark", f"version {len(told)}, mark")

    return speak


def plain_rows(reasoned: Path) -> None:
    rows = read_manifest(reasoned)
    write_manifest(reasoned, [row for row in rows if "#" not in row.id])


def test_below_the_bar_it_is_written_again_with_the_comment_until_it_passes(reasoned: Path) -> None:
    plain_rows(reasoned)
    told: list[str] = []
    with stand_in(graded(lambda n: scores(0.5 if n < 2 else 0.9), told)) as state:
        done = judged_by(state, reasoned)
    assert len(done.rows) == LESIONS + FREE and done.passed_at_once == LESIONS + FREE - 1
    histories = [line["history"] for line in lines(reasoned.with_name("judged") / "history.jsonl")]
    assert [entry["total"] for entry in histories[0]] == pytest.approx([0.5, 0.5, 0.9])
    assert any("say more of the rim" in text for text in told)


def test_what_never_passes_is_left_out_with_its_history(reasoned: Path) -> None:
    plain_rows(reasoned)
    with stand_in(graded(lambda n: scores(0.4 if n < 3 else 0.9), [])) as state:
        done = judged_by(state, reasoned, rounds=2)
        assert done.left_out == {"judged below the bar": 1} and len(done.rows) == LESIONS + FREE - 1
        asked = state.requests
        assert judged_by(state, reasoned, rounds=2) == done
        assert state.requests == asked
    histories = [line["history"] for line in lines(reasoned.with_name("judged") / "history.jsonl")]
    assert [len(history) for history in histories] == [3, 1, 1, 1, 1, 1]


def test_judgements_that_cannot_be_read_are_asked_for_again(reasoned: Path) -> None:
    plain_rows(reasoned)
    bad = ("maybe", '{"normal_anatomy": 2, "lesion": 1, "logic": 1}', scores(0.9))
    with stand_in(graded(lambda n: bad[n % 3], [])) as state:
        done = judged_by(state, reasoned)
        assert len(done.rows) == LESIONS + FREE and state.requests == 3 * (LESIONS + FREE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"normal_anatomy": "0.9", "lesion": 1, "logic": 1}',
        '{"normal_anatomy": true, "lesion": 1, "logic": 1}',
    ],
)
def test_scores_of_another_form_are_no_scores(text: str) -> None:
    assert read_scores(text) is None


def test_scores_in_a_fence_are_read() -> None:
    assert read_scores(f"```json\n{scores(1.0)}\n```") is not None


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_stopped_judge_goes_on_and_pays_nothing_twice(reasoned: Path, stop_after: int) -> None:
    def stop(done: int, _: int | None) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    with stand_in() as state:
        second = server_of(state, reasoned, "judge")
        judge = ServerJudge(server=second, measured=MeasuredJudge())
        with pytest.raises(KeyboardInterrupt):
            judge_manifest(
                reasoned, reasoned.with_name("judged.jsonl"), judge, OfflineWriter(),
                plan=JudgePlan(), servers=(second,), progress=stop,
            )  # fmt: skip
        done = run(reasoned, judge, servers=(second,), workers=2)
        assert set(state.paid.values()) == {1}
    assert len(done.rows) == len(read_manifest(reasoned))


def test_a_manifest_without_reasoning_is_refused(imported: Path) -> None:
    with pytest.raises(InputError, match="no question or no reasoning"):
        run(imported)


def test_the_steps_run_from_the_command_line(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasoned, judged = imported.with_name("reasoned.jsonl"), imported.with_name("judged.jsonl")
    assert main(["reason", str(imported), "--out", str(reasoned)]) == 0
    assert main(["judge", str(reasoned), "--out", str(judged)]) == 0
    assert "statements that the mask supports: 100.0%" in capsys.readouterr().out
    assert main(["judge", str(imported), "--out", str(judged)]) == 2
    assert main(["judge", str(reasoned), "--out", str(judged), "--judge", "server"]) == 2
    assert "--judge-model" in capsys.readouterr().err
    with stand_in() as state:
        words = ["judge", str(reasoned), "--out", str(judged), "--judge", "server", "--judge-model", "j"]
        assert main([*words, "--base-url", state.url, "--dry-run"]) == 0
        assert state.requests == 0
        assert main([*words, "--base-url", state.url]) == 0
        assert state.requests == LESIONS + FREE
