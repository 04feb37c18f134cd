"""Counters of the server in the text format of Prometheus: what was asked, what came of it, and how long it took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from lib.jobs.job import Job

BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Mapping[str, str], float]


@dataclass
class _Times:
    """How many durations lie below each bound, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


class Metrics:
    """Counts since the server was started; any thread may count. Labels carry no ids of images or jobs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[Labels] = Counter()
        self._jobs: Counter[Labels] = Counter()
        self._outcomes: Counter[Labels] = Counter()
        self._request_s: dict[Labels, _Times] = {}
        self._stage_s: dict[Labels, _Times] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._requests[_labels(route=route, method=method, status=str(status))] += 1
            self._request_s.setdefault(_labels(route=route), _Times()).add(seconds)

    def job_ended(self, job: Job) -> None:
        """Count a job with its outcome and the time of its stages."""
        status = job.status
        with self._lock:
            self._jobs[_labels(kind=job.kind, state=status.state)] += 1
            if status.result is not None:
                outcome = status.result.told.get("record", {}).get("outcome", "none")
                self._outcomes[_labels(outcome=str(outcome))] += 1
            for stage, seconds in job.stage_s.items():
                self._stage_s.setdefault(_labels(stage=stage), _Times()).add(seconds)

    def stage_means_s(self) -> dict[str, float]:
        """Return the mean time of each stage of jobs, in seconds."""
        with self._lock:
            return {
                dict(labels)["stage"]: times.total_s / max(1, sum(times.counts))
                for labels, times in self._stage_s.items()
            }

    def render(self) -> Iterable[str]:
        """Yield the lines of all counters."""
        with self._lock:
            yield from family("coreseg_requests_total", "counter", "Requests answered", _read(self._requests))
            yield from family("coreseg_jobs_total", "counter", "Jobs ended", _read(self._jobs))
            yield from family(
                "coreseg_outcomes_total", "counter", "Answers by outcome", _read(self._outcomes)
            )
            yield from _histogram("coreseg_request_seconds", "Time of requests", self._request_s)
            yield from _histogram("coreseg_stage_seconds", "Time of the stages of jobs", self._stage_s)


def family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> Iterable[str]:
    """Yield the lines of one family of samples.

    Args:
        name: Of the family.
        kind: `counter` or `gauge`.
        meaning: In a few words.
        samples: Labels and value of each.
    """
    yield f"# HELP {name} {meaning}."
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{_shown(labels)} {value:.10g}"


def _histogram(name: str, meaning: str, times: Mapping[Labels, _Times]) -> Iterable[str]:
    yield f"# HELP {name} {meaning}."
    yield f"# TYPE {name} histogram"
    for labels, measured in times.items():
        count = 0
        for bound, number in zip((*BOUNDS_S, "+Inf"), measured.counts, strict=True):
            count += number
            yield f"{name}_bucket{_shown({**dict(labels), 'le': str(bound)})} {count}"
        yield f"{name}_sum{_shown(dict(labels))} {measured.total_s:.6f}"
        yield f"{name}_count{_shown(dict(labels))} {count}"


def _labels(**values: str) -> Labels:
    return tuple(values.items())


def _read(counts: Mapping[Labels, int]) -> Iterable[Sample]:
    return [(dict(labels), value) for labels, value in counts.items()]


def _shown(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
