"""The counters are text that Prometheus reads, and say nothing of who was asked about."""

from __future__ import annotations

import re

from coreseg_core.errors import InputError
from lib.jobs import Job, JobResult
from lib.metrics import BOUNDS_S, Metrics, family

LINE = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? [0-9.e+-]+')


def ended(outcome: str | None = None) -> Job:
    job = Job(lambda watch: JobResult(told={}), kind="coreseg")
    job.stage_s.update({"read": 0.02, "model": 3.0})
    if outcome is None:
        job.fail(InputError("no", remedy="yes"))
    else:
        job.end(JobResult(told={"record": {"outcome": outcome}}))
    return job


def test_every_line_is_one_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.request('/odd"{\\path\n', "GET", 200, 0.003)
    metrics.job_ended(ended("present"))
    for line in metrics.render():
        assert line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line), line


def test_outcomes_and_stages_of_jobs_are_counted() -> None:
    metrics = Metrics()
    for outcome in ("present", "absent", "present", None):
        metrics.job_ended(ended(outcome))
    lines = list(metrics.render())
    assert 'coreseg_outcomes_total{outcome="present"} 2' in lines
    assert 'coreseg_outcomes_total{outcome="absent"} 1' in lines
    assert 'coreseg_jobs_total{kind="coreseg",state="failed"} 1' in lines
    assert 'coreseg_stage_seconds_sum{stage="model"} 12.000000' in lines


def test_buckets_hold_what_is_at_most_their_bound() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.02, 1.0, 9999.0):
        metrics.request("/x", "GET", 200, seconds)
    buckets = [line for line in metrics.render() if "_bucket" in line]
    assert [int(line.rsplit(" ", 1)[1]) for line in buckets] == [1, 2, 2, 2, 3, 3, 3, 3, 3, 4]
    assert f'le="{BOUNDS_S[0]}"' in buckets[0] and 'le="+Inf"' in buckets[-1]


def test_large_numbers_keep_their_digits() -> None:
    assert list(family("x", "gauge", "Y", [({}, 1234567890.0)]))[-1] == "x 1234567890"


def test_a_gauge_without_labels_is_a_bare_number() -> None:
    assert list(family("x", "gauge", "Y", [({}, 3.0)]))[-1] == "x 3"
