"""As much of Slicer's classes of that name as scripted modules build on."""

from __future__ import annotations

from typing import Any

import qt


class ScriptedLoadableModule:
    """What Slicer knows of a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """The panel of a module."""

    def __init__(self, parent: Any = None) -> None:
        self.parent = parent if parent is not None else qt.QWidget()
        self.layout = qt.QVBoxLayout(self.parent)

    def setup(self) -> None:
        """Build the panel."""


class ScriptedLoadableModuleTest:
    """The self-test of a module."""
