"""`coreseg dataset judge`: what is not good enough is written again, what stays bad is left out, all of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.evaluation.rows import Row
from training.dataset.asked import Asked, load_asked
from training.dataset.chat import ChatServer, Refused, Usage
from training.dataset.contents import contents_of
from training.dataset.judges import BAR, Judge
from training.dataset.left_out import LeftOut, Reason, counts, write_left_out
from training.dataset.reasoning import Estimate, in_order, row_key, server_facts, server_text
from training.dataset.steps import require_beside, table, write_report
from training.dataset.writers import Writer
from training.journal import LineJournal

UNJUDGED: Reason = "no usable text"
"""The judge gave none."""
Show = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class JudgePlan:
    """How a manifest is judged.

    Attributes:
        seed: Of the questions' words, as in `reason`.
        bar: Least total.
        rounds: How often a reasoning is written again.
        tries: Replies of a judge before a judgement counts as failed.
        workers: Rows judged at the same time.
    """

    seed: int = 0
    bar: float = BAR
    rounds: int = 3
    tries: int = 3
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the step gave; `agreement` is the share of the statements about the lesion that the mask supports."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, int]
    passed_at_once: int
    agreement: float | None


def judge_manifest(
    manifest: Path,
    out: Path,
    judge: Judge,
    writer: Writer,
    *,
    plan: JudgePlan,
    servers: tuple[ChatServer, ...],
    progress: Show,
) -> Judged:
    """Return the rows that passed after writing them to `out`; `history.jsonl` keeps every version and its scores.

    Rows that a server refused to judge or to write again are left out, and asked about again by the next run.

    Raises:
        InputError: The manifest holds no reasoning, or a file cannot be read or written.
        ServerError: A server does not answer any more; what was judged is kept.
    """
    work = require_beside(manifest, out)
    rows = _with_reasoning(manifest)
    contents = contents_of(rows)
    journal = LineJournal(work / "history.jsonl", what="history of judgements")

    def judged(row: Row) -> dict[str, Any]:
        key = row_key(
            row, contents[row.id], judge.identity, writer.identity, asdict(replace(plan, workers=1))
        )
        kept = journal.get(key)
        if kept is None:
            kept = {"id": row.id, **_judged(load_asked(row, seed=plan.seed), judge, writer, plan)}
            # What was paid for on the way lies in the cache of replies.
            if "refused" not in kept:
                journal.add({key: kept})
        return kept

    passed: list[Row] = []
    left_out: list[LeftOut] = []
    histories: list[list[dict[str, Any]]] = []
    for number, (row, values) in enumerate(in_order(judged, rows, workers=plan.workers), start=1):
        if values["history"]:
            histories.append(values["history"])
        if values["verdict"] == "passed":
            passed.append(replace(row, reasoning=values["history"][-1]["reasoning"]))
        else:
            detail = values.get("refused") or str(values["history"][-1]["total"])
            left_out.append(LeftOut(what=row.id, reason=values["verdict"], detail=detail))
        progress(number, len(rows))
    if not passed:
        raise InputError(
            f"No reasoning passed; the last one: {left_out[-1].reason} ({left_out[-1].detail}).",
            remedy="Read history.jsonl; try another judge or writer, or a lower --bar.",
        )
    write_manifest(out, passed)
    write_left_out(work / "left_out.jsonl", left_out)
    done = Judged(
        rows=tuple(passed),
        left_out=counts(left_out),
        passed_at_once=sum(len(history) == 1 and not _fault(history[0], plan) for history in histories),
        agreement=_agreement(histories),
    )
    _report(work, done, histories, plan, servers)
    return done


def estimate_judging(manifest: Path, judge: Judge, *, plan: JudgePlan, progress: Show) -> Estimate:
    """Return what a first round would ask a server for; writes nothing.

    Raises:
        InputError: The manifest holds no reasoning, or a picture cannot be read.
    """
    rows = _with_reasoning(manifest)
    usage = Usage()
    for number, row in enumerate(rows, start=1):
        requests, tokens_in, tokens_out = judge.estimate(load_asked(row, seed=plan.seed), row.reasoning or "")
        usage += Usage(requests=requests, tokens_in=tokens_in, tokens_out=tokens_out)
        progress(number, len(rows))
    return Estimate(rows=len(rows), usage=usage)


def _with_reasoning(manifest: Path) -> tuple[Row, ...]:
    rows = read_manifest(manifest)
    bare = sum(not (row.reasoning and row.query) for row in rows)
    if bare:
        raise InputError(
            f"{bare} of {len(rows)} rows have no question or no reasoning.",
            remedy="Run the step `reason` first.",
        )
    return rows


def _judged(asked: Asked, judge: Judge, writer: Writer, plan: JudgePlan) -> dict[str, Any]:
    """Return every version with its scores, and the verdict on the last; `refused` where a server ended it."""
    reasoning = asked.row.reasoning or ""
    history: list[dict[str, Any]] = []
    for round_number in range(plan.rounds + 1):
        try:
            entry = _judgement(asked, reasoning, judge, tries=plan.tries)
        except Refused as error:
            # Nothing is known of this version: it is not written again.
            return {"verdict": UNJUDGED, "history": history, "refused": error.reason}
        history.append(entry)
        fault = _fault(entry, plan)
        if fault is None:
            return {"verdict": "passed", "history": history}
        if round_number == plan.rounds:
            break
        # Attempts of the first step are behind us: other words are wanted.
        draft = writer.write(asked, attempt=100 + round_number, feedback=_feedback(entry))
        if draft.refused:
            return {"verdict": fault, "history": history, "refused": draft.fault}
        if not draft.reasoning:
            break
        reasoning = draft.reasoning
    return {"verdict": _fault(history[-1], plan), "history": history}


def _judgement(asked: Asked, reasoning: str, judge: Judge, *, tries: int) -> dict[str, Any]:
    scores = judge.judge(asked, reasoning, tries=tries)
    claims = asked.claims(reasoning)
    return {
        "reasoning": reasoning,
        "scores": None if scores is None else asdict(scores),
        "total": None if scores is None else scores.total,
        "supported": [claim.text for claim in claims if claim.verdict == "supported"],
        "contradicted": [claim.text for claim in claims if claim.verdict == "contradicted"],
    }


def _fault(entry: Mapping[str, Any], plan: JudgePlan) -> Reason | None:
    """Return why a version does not pass, None where it does. The mask has a veto."""
    if entry["contradicted"]:
        return "text contradicts the mask"
    if entry["total"] is None or entry["total"] < plan.bar:
        return "judged below the bar"
    return None


def _feedback(entry: Mapping[str, Any]) -> str:
    comment = entry["scores"]["comment"] if entry["scores"] else ""
    wrong = ", ".join(f'"{text}"' for text in entry["contradicted"])
    return " ".join(part for part in (comment, f"The mask contradicts {wrong}." if wrong else "") if part)


def _agreement(histories: list[list[dict[str, Any]]]) -> float | None:
    supported = sum(len(history[-1]["supported"]) for history in histories)
    contradicted = sum(len(history[-1]["contradicted"]) for history in histories)
    return round(supported / (supported + contradicted), 6) if supported + contradicted else None


def _report(
    work: Path,
    done: Judged,
    histories: list[list[dict[str, Any]]],
    plan: JudgePlan,
    servers: tuple[ChatServer, ...],
) -> None:
    firsts = [history[0]["total"] for history in histories if history[0]["total"] is not None]
    lasts = [history[-1]["total"] for history in histories if history[-1]["total"] is not None]
    rounds = [len(history) - 1 for history in histories]
    facts = {
        "rows": len(done.rows) + sum(done.left_out.values()),
        "passed": len(done.rows),
        "passed_at_once": done.passed_at_once,
        "written_again": sum(rounds),
        "mean_total_first": _mean(firsts),
        "mean_total_last": _mean(lasts),
        "agreement_of_text_and_mask": done.agreement,
        "bar": plan.bar,
        "left_out": dict(done.left_out),
        "servers": [server_facts(server) for server in servers],
    }
    lines = [
        (name.replace("_", " "), value) for name, value in facts.items() if not isinstance(value, dict | list)
    ]
    said = "\n\n".join(server_text(server) for server in servers) or server_text(None)
    write_report(work, "judge", facts, f"{table(['what', 'value'], lines)}\n\n{said}")


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 6) if values else None
