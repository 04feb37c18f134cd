"""The pure half of the app, tested without a server: nothing here imports MONAI Label."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "apps" / "coreseg"))

from lib.jobs import JobQueue


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    made = JobQueue(device="cpu", capacity=3, keep_ended=4)
    yield made
    made.close()
