"""A server that behaves as each test wants it to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rude_server import RudeServer


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer() as running:
        yield running
