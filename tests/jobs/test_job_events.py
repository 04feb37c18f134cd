"""A reader of a job's events misses nothing that matters, whenever it comes, and costs nothing when it is slow."""

from __future__ import annotations

import asyncio
import json
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes

from coreseg_core.errors import InputError
from coreseg_core.imaging.runs import mask_runs
from lib.jobs import Event, EventLog, Job, JobResult
from lib.jobs.stream import KEEP_ALIVE, read_last_id, sse_stream, until_closed

SLICES, WORDS = 40, 30


def talk(job: Job) -> None:
    """Let a job say what one about many slices says."""
    for index in range(SLICES):
        for word in range(WORDS):
            job.token(index, f"{word} ")
        job.slice_done(index, {"index": index}, {"shape": [1, 1], "counts": [1]})
        job.progress(index + 1, SLICES)
    job.end(JobResult(told={"record": {"id": "1"}}))


def new_job() -> Job:
    return Job(lambda watch: JobResult(told={}), kind="coreseg")


def parse(text: str) -> Event:
    fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
    assert text.endswith("\n\n")
    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))


def test_a_log_is_as_long_as_the_slices_and_not_as_the_words() -> None:
    job = new_job()
    talk(job)
    events, closed = job.events.after(0)
    assert closed
    assert [event.name for event in events] == ["slice"] * SLICES + ["progress", "done"]
    assert [event.data["finding"]["index"] for event in events[:SLICES]] == list(range(SLICES))


def test_words_stay_until_the_finding_of_their_slice_is_there() -> None:
    job = new_job()
    job.token(3, "A mass ")
    job.token(4, "Nothing ")
    job.token(3, "on the left.")
    assert [event.data["text"] for event in job.events.after(0)[0]] == ["A mass ", "Nothing ", "on the left."]
    job.slice_done(3, {}, {})
    assert [event.name for event in job.events.after(0)[0]] == ["token", "slice"]


@given(st.integers(0, 3 * SLICES))
def test_coming_back_goes_on_right_behind_the_last_event_that_was_seen(last_id: int) -> None:
    log = EventLog()
    for number in range(SLICES):
        log.append("slice", {"number": number})
    assert [event.id for event in log.after(last_id)[0]] == list(range(last_id + 1, SLICES + 1))


def test_after_its_end_a_log_takes_nothing_more() -> None:
    log = EventLog()
    log.close("done", {})
    log.append("token", {})
    log.close("error", {})
    assert [event.name for event in log.after(0)[0]] == ["done"]


def test_who_stopped_listening_is_called_no_more() -> None:
    log, calls = EventLog(), []
    stop = log.listen(lambda: calls.append(1))
    log.append("token", {})
    stop()
    log.append("token", {})
    assert calls == [1]


def test_a_stream_that_breaks_and_resumes_gives_every_finding_once_and_in_order() -> None:
    job = new_job()

    async def follow() -> list[Event]:
        seen: list[Event] = []
        writer = Thread(target=talk, args=(job,))
        writer.start()
        while not seen or seen[-1].name != "done":
            count = 0
            async for text in sse_stream(job.events, seen[-1].id if seen else 0):
                seen.append(parse(text))
                count += 1
                if count == 7:
                    break
        writer.join()
        return seen

    seen = asyncio.run(follow())
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids))
    findings = [event.data["finding"]["index"] for event in seen if event.name == "slice"]
    assert findings == list(range(SLICES))
    assert seen[-1].data == {"record": {"id": "1"}}


def test_a_silent_job_keeps_its_stream_alive() -> None:
    async def first() -> str:
        async for text in sse_stream(EventLog(), keep_alive_s=0.01):
            return text
        return ""

    assert asyncio.run(first()) == KEEP_ALIVE
    assert KEEP_ALIVE.startswith(":") and KEEP_ALIVE.endswith("\n\n")


@given(st.text(), st.text())
def test_no_text_of_a_model_breaks_out_of_its_event(reasoning: str, key: str) -> None:
    event = Event(7, "token", {"text": reasoning, f"k{key}": 1})
    assert parse(event.as_sse()) == event


def test_waiting_for_the_end_gives_up_once_nobody_waits_any_more() -> None:
    async def gone() -> bool:
        return True

    assert asyncio.run(until_closed(EventLog(), gone=gone, look_s=0.01)) is False


def test_waiting_for_the_end_sees_an_end_from_another_thread_at_once() -> None:
    log = EventLog()

    async def wait() -> bool:
        Thread(target=lambda: log.close("done", {})).start()

        async def gone() -> bool:
            raise AssertionError("it was looked for only after the time to look was over")

        return await until_closed(log, gone=gone, look_s=5.0)

    assert asyncio.run(wait()) is True


@pytest.mark.parametrize(("header", "number"), [(None, 0), ("", 0), (" 12 ", 12), ("0", 0)])
def test_the_last_event_id_is_read(header: str | None, number: int) -> None:
    assert read_last_id(header) == number


@pytest.mark.parametrize("header", ["-1", "1.5", "x", "1e3", "٣", "9" * 40])
def test_a_last_event_id_that_never_was_one_is_refused(header: str) -> None:
    with pytest.raises(InputError):
        read_last_id(header)


@settings(max_examples=60)
@given(shapes.arrays(bool, shapes.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_a_mask_comes_back_from_its_runs(mask: np.ndarray) -> None:
    runs = mask_runs(mask)
    flat = np.concatenate([np.full(count, turn % 2 == 1) for turn, count in enumerate(runs["counts"])])
    assert np.array_equal(flat.reshape(runs["shape"]), mask)
    assert all(count > 0 for count in runs["counts"][1:])
    json.dumps(runs)
