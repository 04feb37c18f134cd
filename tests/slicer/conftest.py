"""A Slicer without its desktop: the real scene from `slicer-core`, and stand-ins for what is not in that package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headless import HeadlessSlicer

THERE = all(find_spec(name) is not None for name in ("slicer", "vtk", "PySide6"))
# `make test` has no Slicer; `make test-slicer` makes an environment that has.
collect_ignore_glob = [] if THERE else ["test_*.py"]


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> HeadlessSlicer:
    from headless import HeadlessSlicer

    return HeadlessSlicer(Path(tmp_path_factory.mktemp("slicer")))


@pytest.fixture
def desktop(application: HeadlessSlicer) -> Iterator[HeadlessSlicer]:
    """Yield the application with an empty scene; what VTK reports as an error fails the test."""
    application.begin()
    yield application
    assert not application.end(), "VTK reported errors"
