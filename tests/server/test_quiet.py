"""The log says that a request came, not about whom; a queue ends its jobs when the server is told to stop."""

from __future__ import annotations

import logging
import signal

import pytest

from lib.jobs import JobQueue, JobResult
from lib.quiet import WithoutQuery, keep_names_out_of_logs
from lib.stopping import end_jobs_on_signals
from lib.watch import Watch, stop_if_asked


def test_addresses_are_logged_without_what_they_ask(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        keep_names_out_of_logs()
    access = logging.getLogger("uvicorn.access")
    # By name: MONAI Label imports an app's modules anew, so that the class may be there twice.
    assert [type(known).__name__ for known in access.filters].count(WithoutQuery.__name__) == 1
    with caplog.at_level(logging.INFO, logger="uvicorn.access"):
        line = '%s - "%s %s HTTP/%s" %d'
        access.info(line, "127.0.0.1:1", "POST", "/infer/coreseg?image=Doe%5EJane&output=all", "1.1", 200)
        access.info("no request")
    assert "/infer/coreseg HTTP/1.1" in caplog.text and "no request" in caplog.text
    assert "Doe" not in caplog.text


def test_monai_labels_lines_about_images_are_not_written(caplog: pytest.LogCaptureFixture) -> None:
    keep_names_out_of_logs()
    for name in (
        "monailabel.datastore.local",
        "monailabel.endpoints.datastore",
        "monailabel.utils.async_tasks.utils",
    ):
        logging.getLogger(name).info("Adding Image: Doe^Jane")
        logging.getLogger(name).warning("IGNORE:: Doe^Jane")
    assert "Doe" not in caplog.text


def test_a_signal_ends_the_jobs_and_reaches_whoever_handled_it_before() -> None:
    queue, heard = JobQueue(device="cpu"), []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        end_jobs_on_signals(queue)

        def endless(watch: Watch) -> JobResult:
            while True:
                stop_if_asked(watch)

        jobs = [queue.submit(endless, kind="coreseg") for _ in range(2)]
        signal.raise_signal(signal.SIGTERM)
        queue.close()
        assert [job.status.state for job in jobs] == ["cancelled", "cancelled"]
        assert all(job.events.closed for job in jobs)
        assert heard == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
