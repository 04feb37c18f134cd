"""`coreseg dataset reason`: a question, a reasoning and the right answer for each picture."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.evaluation.rows import Row
from training.dataset.asked import Asked, load_asked, questions
from training.dataset.chat import ChatServer, ServerPlan, Usage
from training.dataset.contents import contents_of
from training.dataset.left_out import LeftOut, counts, write_left_out
from training.dataset.steps import require_beside, table, write_report
from training.dataset.writers import Draft, Writer
from training.journal import LineJournal

TRIES = 3
Show = Callable[[int, int | None], None]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class ReasonPlan:
    """How a manifest gets its questions and reasoning.

    Attributes:
        seed: Of the words of the questions.
        mixed: Ask some pictures a second question that does not fit.
        tries: Drafts for a row before it is left out.
        workers: Rows written at the same time; 1 is enough without a server.
    """

    seed: int = 0
    mixed: bool = False
    tries: int = TRIES
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Reasoned:
    """What the step gave."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, int]
    retried: int


def reason(
    manifest: Path, out: Path, writer: Writer, *, plan: ReasonPlan, server: ChatServer | None, progress: Show
) -> Reasoned:
    """Return the rows with question, reasoning and answer after writing them to `out`.

    Each row is kept in a journal as soon as it is written: a stopped run goes on where it was and ends with the same
    manifest. Rows that the server refused are left out, and asked for again by the next run.

    Raises:
        InputError: The manifest or a picture cannot be read, or `out` cannot be written.
        ServerError: The server does not answer any more; what was written is kept.
    """
    work = require_beside(manifest, out)
    rows = questions(read_manifest(manifest), seed=plan.seed, mixed=plan.mixed)
    contents = contents_of(rows)
    journal = LineJournal(work / "drafts.jsonl", what="list of drafts")

    def written(row: Row) -> dict[str, Any]:
        key = row_key(row, contents[row.id], writer.identity, plan.tries, plan.seed)
        kept = journal.get(key)
        if kept is None:
            kept = _written(load_asked(row, seed=plan.seed), writer, tries=plan.tries)
            # A refusal may pass, as that of a server which was started without its eyes: it is asked again.
            if not kept["refused"]:
                journal.add({key: kept})
        return kept

    finished: list[Row] = []
    left_out: list[LeftOut] = []
    retried = 0
    for number, (row, values) in enumerate(in_order(written, rows, workers=plan.workers), start=1):
        retried += int(values["attempts"]) > 1
        if values["reasoning"]:
            finished.append(replace(row, reasoning=values["reasoning"], answer=values["answer"]))
        else:
            left_out.append(LeftOut(what=row.id, reason="no usable text", detail=values["fault"]))
        progress(number, len(rows))
    if not finished:
        raise InputError(
            f"No text could be used; the last fault: {left_out[-1].detail}.", remedy="Try another model."
        )
    write_manifest(out, finished)
    write_left_out(work / "left_out.jsonl", left_out)
    done = Reasoned(rows=tuple(finished), left_out=counts(left_out), retried=retried)
    _report(work, done, writer, server)
    return done


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run is expected to ask for, before anything is paid."""

    rows: int
    usage: Usage

    def text(self, plan: ServerPlan) -> str:
        """Return it in words."""
        usd = self.usage.usd(plan)
        price = f"about {usd:.2f} USD" if usd is not None else "price unknown (give --usd-in and --usd-out)"
        return (
            f"{self.rows} rows, about {self.usage.requests} requests, {self.usage.tokens_in} tokens in, "
            f"{self.usage.tokens_out} tokens out: {price}. What the cache holds is not counted. Nothing was asked."
        )


def estimate(manifest: Path, writer: Writer, *, plan: ReasonPlan, progress: Show) -> Estimate:
    """Return what `reason` would ask a server for; writes nothing.

    Raises:
        InputError: The manifest or a picture cannot be read.
    """
    rows = questions(read_manifest(manifest), seed=plan.seed, mixed=plan.mixed)
    usage = Usage()
    for number, row in enumerate(rows, start=1):
        requests, tokens_in, tokens_out = writer.estimate(load_asked(row, seed=plan.seed))
        usage += Usage(requests=requests, tokens_in=tokens_in, tokens_out=tokens_out)
        progress(number, len(rows))
    return Estimate(rows=len(rows), usage=usage)


def row_key(row: Row, *more: object) -> str:
    """Return what the work on a row is found again by; it changes with what the row says and with `more`."""
    known = {name: value for name, value in row.to_json().items() if name not in ("split", "weight")}
    return hashlib.sha256(repr((sorted(known.items(), key=str), more)).encode()).hexdigest()[:32]


def in_order(work: Callable[[T], R], items: Sequence[T], *, workers: int) -> Iterator[tuple[T, R]]:
    """Yield each item with its result in the order of the items; after a fault no further item is begun."""
    if workers <= 1:
        for item in items:
            yield item, work(item)
        return
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        yield from zip(items, pool.map(work, items), strict=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _written(asked: Asked, writer: Writer, *, tries: int) -> dict[str, Any]:
    """Return the first draft that can be used, or the last; `refused` says that none came and one was refused."""
    draft = Draft(fault="never tried")
    refused = False
    attempt = 0
    while not draft.reasoning and attempt < tries:
        draft = writer.write(asked, attempt=attempt)
        refused = refused or draft.refused
        attempt += 1
    return {
        **asdict(draft),
        "refused": refused and not draft.reasoning,
        "answer": asked.answer() if draft.reasoning else "",
        "attempts": attempt,
    }


def _report(work: Path, done: Reasoned, writer: Writer, server: ChatServer | None) -> None:
    kinds = Counter(row.probe.kind for row in done.rows if row.probe is not None)
    facts: dict[str, Any] = {
        "rows": len(done.rows),
        "kinds": dict(sorted(kinds.items())),
        "written_more_than_once": done.retried,
        "left_out": dict(done.left_out),
        "server": server_facts(server),
    }
    text = (
        f"{len(done.rows)} rows were given a question, a reasoning and an answer; {done.retried} needed more than one "
        f"draft.\n\n{table(['question', 'rows'], sorted(kinds.items()))}\n\n{server_text(server)}"
    )
    write_report(work, "reason", facts, text)


def server_facts(server: ChatServer | None) -> dict[str, Any] | None:
    """Return what this run had from a server as JSON values, None without one."""
    if server is None:
        return None
    return {
        "model": server.plan.model,
        **server.used.to_json(server.plan),
        "replies_from_the_cache": server.replayed,
    }


def server_text(server: ChatServer | None) -> str:
    """Return what this run had from a server in words."""
    if server is None:
        return "Written on this machine without a server."
    used = server.used
    usd = used.usd(server.plan)
    price = f", {usd:.4f} USD" if usd is not None else ""
    return (
        f"{server.plan.model}: {used.requests} requests, {used.tokens_in} tokens in, {used.tokens_out} out{price}; "
        f"{server.replayed} replies from the cache."
    )
