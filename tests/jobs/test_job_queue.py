"""Work takes its turn: one at a time, in order, never more than agreed, and it stops when asked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pieces import NOTHING, Held, names, wait_for_end, wait_until

from coreseg_core.errors import BusyError, InputError, NotFoundError
from lib.jobs import Job, JobQueue, JobResult
from lib.watch import Watch


def test_jobs_run_one_at_a_time_in_the_order_they_came(queue: JobQueue) -> None:
    running, order = [], []

    def piece(number: int) -> Job:
        def work(watch: Watch) -> JobResult:
            running.append(number)
            assert running == [number]
            order.append(number)
            running.remove(number)
            return NOTHING

        return queue.submit(work, kind="coreseg")

    held = Held()
    first = queue.submit(held, kind="coreseg")
    held.begun.wait(5)
    jobs = [piece(number) for number in range(3)]
    held.go.set()
    assert [wait_for_end(job).status.state for job in (first, *jobs)] == ["done"] * 4
    assert order == [0, 1, 2]


def test_a_waiting_job_is_told_its_place_and_moves_up(queue: JobQueue) -> None:
    held = [Held() for _ in range(3)]
    jobs = [queue.submit(work, kind="coreseg") for work in held]
    held[0].begun.wait(5)
    assert [job.status.position for job in jobs] == [None, 1, 2]
    assert jobs[2].events.after(0)[0][-1].data == {"position": 2}
    held[0].go.set()
    held[1].begun.wait(5)
    wait_until(lambda: jobs[2].status.position == 1)
    assert names(jobs[2]) == ["queued"]
    assert jobs[2].events.after(0)[0][-1].data == {"position": 1}
    for work in held:
        work.go.set()


def test_a_full_queue_says_when_to_come_again_and_takes_nothing(queue: JobQueue) -> None:
    held = Held()
    queue.submit(held, kind="coreseg")
    held.begun.wait(5)
    waiting = [queue.submit(lambda watch: NOTHING, kind="coreseg") for _ in range(3)]
    with pytest.raises(BusyError) as refused:
        queue.submit(lambda watch: NOTHING, kind="coreseg")
    assert refused.value.http_status == 503
    assert refused.value.retry_after_s >= 1
    assert "3" in refused.value.reason
    assert queue.waiting == 3
    queue.cancel(waiting[0])
    queue.submit(lambda watch: NOTHING, kind="coreseg")
    held.go.set()


def test_when_to_come_again_follows_the_pace_of_the_last_jobs() -> None:
    now = [0.0]
    queue = JobQueue(device="cpu", capacity=1, clock=lambda: now[0])

    def slow(watch: Watch) -> JobResult:
        now[0] += 41.2
        return NOTHING

    wait_for_end(queue.submit(slow, kind="coreseg"))
    wait_until(lambda: not queue.running)
    held = Held()
    queue.submit(held, kind="coreseg")
    held.begun.wait(5)
    queue.submit(lambda watch: NOTHING, kind="coreseg")
    with pytest.raises(BusyError) as refused:
        queue.submit(lambda watch: NOTHING, kind="coreseg")
    assert refused.value.retry_after_s == 42
    queue.close()


def test_a_cancelled_job_that_waits_never_begins_and_the_others_move_up(queue: JobQueue) -> None:
    held = [Held() for _ in range(3)]
    jobs = [queue.submit(work, kind="coreseg") for work in held]
    held[0].begun.wait(5)
    queue.cancel(jobs[1])
    assert jobs[1].status.state == "cancelled"
    assert jobs[1].events.after(0)[0][-1].name == "error"
    assert jobs[1].events.after(0)[0][-1].data["code"] == "cancelled"
    assert jobs[2].status.position == 1
    for work in held:
        work.go.set()
    assert wait_for_end(jobs[2]).status.state == "done"
    assert not held[1].begun.is_set()


def test_a_cancelled_job_that_runs_stops_and_the_next_one_begins(queue: JobQueue) -> None:
    held, next_one = Held(), Held()
    job = queue.submit(held, kind="coreseg")
    queue.submit(next_one, kind="coreseg")
    held.begun.wait(5)
    queue.cancel(job)
    assert next_one.begun.wait(5)
    assert wait_for_end(job).status.state == "cancelled"
    assert job.status.error is not None and job.status.error.http_status == 499


def test_cancelling_what_has_ended_changes_nothing(queue: JobQueue) -> None:
    job = wait_for_end(queue.submit(lambda watch: NOTHING, kind="coreseg"))
    before = job.to_json(), names(job)
    queue.cancel(job)
    assert (job.to_json(), names(job)) == before
    assert job.status.state == "done"


def test_want_of_memory_is_told_and_the_next_job_begins(queue: JobQueue) -> None:
    def work(watch: Watch) -> JobResult:
        raise MemoryError

    job = wait_for_end(queue.submit(work, kind="coreseg"))
    assert job.status.error is not None and job.status.error.http_status == 503
    assert "memory is too small" in job.status.error.reason and job.status.error.remedy
    assert wait_for_end(queue.submit(lambda watch: NOTHING, kind="coreseg")).status.state == "done"


def test_an_expected_failure_is_told_with_its_reason_and_remedy(queue: JobQueue) -> None:
    def work(watch: Watch) -> JobResult:
        raise InputError("Slice 99 is not in the image.", remedy="Count from 0.")

    job = wait_for_end(queue.submit(work, kind="coreseg"))
    told = {"code": "bad_input", "reason": "Slice 99 is not in the image.", "remedy": "Count from 0."}
    assert job.events.after(0)[0][-1].data == told
    assert job.to_json()["error"] == told
    assert job.status.state == "failed"


def test_a_fault_of_our_own_is_told_without_what_it_quotes_and_the_queue_goes_on(
    queue: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    def work(watch: Watch) -> JobResult:
        raise KeyError("Doe^Jane")

    with caplog.at_level(logging.ERROR):
        job = wait_for_end(queue.submit(work, kind="coreseg"))
    assert job.status.state == "failed"
    assert job.to_json()["error"]["code"] == "internal"
    assert "Doe" not in str(job.to_json()) + str(job.events.after(0)) + caplog.text
    assert "KeyError" in caplog.text
    assert wait_for_end(queue.submit(lambda watch: NOTHING, kind="coreseg")).status.state == "done"


def test_the_last_ended_jobs_are_kept_and_the_files_of_older_ones_go(queue: JobQueue, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.nii.gz" for number in range(6)]

    def piece(path: Path) -> Job:
        def work(watch: Watch) -> JobResult:
            path.write_bytes(b"label")
            return JobResult(told={}, file=path)

        return wait_for_end(queue.submit(work, kind="coreseg"))

    jobs = [piece(path) for path in files]
    wait_until(lambda: not files[1].exists())
    assert [path.exists() for path in files] == [False, False, True, True, True, True]
    assert queue.find(jobs[5].id) is jobs[5]
    with pytest.raises(NotFoundError):
        queue.find(jobs[0].id)


def test_a_forgotten_job_leaves_nothing_and_takes_nobodys_place(queue: JobQueue, tmp_path: Path) -> None:
    kept = wait_for_end(queue.submit(lambda watch: NOTHING, kind="coreseg"))
    for number in range(8):
        path = tmp_path / f"{number}.nii.gz"
        path.write_bytes(b"label")
        result = JobResult(told={}, file=path)
        job = wait_for_end(queue.submit(lambda watch, result=result: result, kind="coreseg"))
        queue.forget(job)
        assert not path.exists()
    assert queue.find(kept.id) is kept


def test_what_is_left_to_do_is_told_by_the_pace_so_far() -> None:
    now = [0.0]
    queue = JobQueue(device="cpu", clock=lambda: now[0])
    heard = []

    def work(watch: Watch) -> JobResult:
        watch.progress(0, 20)
        now[0] += 6.0
        watch.progress(4, 20)
        heard.append(job.to_json()["progress"])
        return NOTHING

    held = Held()
    queue.submit(held, kind="coreseg")
    held.begun.wait(5)
    job = queue.submit(work, kind="coreseg")
    held.go.set()
    wait_for_end(job)
    assert heard == [{"done": 4, "total": 20, "eta_s": 24.0}]
    assert names(job) == ["queued", "progress", "done"]
    queue.close()


def test_closing_stops_what_runs_cancels_what_waits_and_takes_nothing_more(queue: JobQueue) -> None:
    held = Held()
    jobs = [queue.submit(held, kind="coreseg"), queue.submit(Held(), kind="coreseg")]
    held.begun.wait(5)
    queue.close()
    assert [job.status.state for job in jobs] == ["cancelled", "cancelled"]
    with pytest.raises(BusyError):
        queue.submit(lambda watch: NOTHING, kind="coreseg")


def test_every_ended_job_is_counted_once_with_its_stages() -> None:
    ended: list[Job] = []
    queue = JobQueue(device="cpu", on_end=ended.append)

    def work(watch: Watch) -> JobResult:
        with watch.stage("read"):
            pass
        return NOTHING

    held = Held()
    jobs = [queue.submit(held, kind="coreseg")]
    held.begun.wait(5)
    jobs += [queue.submit(work, kind="coreseg"), queue.submit(work, kind="coreseg")]
    queue.cancel(jobs[2])
    held.go.set()
    wait_for_end(jobs[1])
    wait_until(lambda: len(ended) == 3)
    assert {job.id for job in ended} == {job.id for job in jobs}
    assert set(jobs[1].stage_s) == {"wait", "read"}
    queue.close()
