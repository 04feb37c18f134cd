"""A Slicer without its desktop: the real scene from `slicer-core`, and stand-ins for what is not in that package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from desk import Desk, Scripted
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


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    from desk import Scripted
    from rude_server import RudeServer

    with RudeServer() as running:
        made = Scripted(running)
        yield made
        made.hold.set()


@pytest.fixture
def desk(desktop: HeadlessSlicer, tmp_path: Path) -> Iterator[Desk]:
    import numpy as np
    from desk import LPS, SHAPE, Desk

    from CORESegLib.panel import Panel

    desktop.slicerUserSettingsFilePath = str(tmp_path / "Slicer.ini")
    volume = desktop.volume(np.zeros(SHAPE[::-1], np.int16), LPS, name="DOE^JANE")
    view, _ = desktop.view("Red", "Axial", volume)
    panel = Panel(confirm=lambda text: True)
    panel.enter()
    yield Desk(panel, volume, view)
    panel.exit()
    panel.close()
