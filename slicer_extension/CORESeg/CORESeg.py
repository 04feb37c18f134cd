"""The module CORE-Seg of 3D Slicer: ask an image a question, read, correct, submit and teach the answer.

Slicer reads this file when it starts; whatever takes time is imported when the panel is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

if TYPE_CHECKING:
    from CORESegLib.panel import Panel


class CORESeg(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:  # type: ignore[no-untyped-def]
        super().__init__(parent)
        parent.title = _("CORE-Seg")
        parent.categories = ["Segmentation"]
        parent.dependencies = ["Segmentations", "SegmentEditor", "Texts"]
        parent.contributors = ["CORE-Seg contributors"]
        parent.helpText = _(
            "Ask a medical image a question in plain words; get a short reasoning, a mask and a confidence, or a "
            "clear 'not seen'. Needs a running CORE-Seg server. Research software, not a medical device."
        )
        parent.acknowledgementText = _("After the method of CORE-Seg, arXiv 2603.05911.")
        slicer.app.connect("startupCompleted()", _register_sample_data)


class CORESegWidget(ScriptedLoadableModuleWidget):
    """The panel, as Slicer opens and closes it."""

    panel: Panel | None = None

    def setup(self) -> None:
        """Build the panel."""
        super().setup()
        from CORESegLib.panel import Panel

        self.panel = Panel()
        self.layout.addWidget(self.panel.widget)

    def enter(self) -> None:
        """Take up the work: shortcuts, the segment editor, what waits to be submitted."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """Leave the keys to other modules; questions go on."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """End everything, as before a reload or at the end of Slicer."""
        if self.panel is not None:
            self.panel.close()
            self.panel = None


class CORESegTest(ScriptedLoadableModuleTest):
    """What can be tried in the desktop application without a server."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Try everything."""
        self.setUp()
        self.test_a_mask_comes_into_the_scene_and_goes_in_one_step()

    def test_a_mask_comes_into_the_scene_and_goes_in_one_step(self) -> None:
        """Lay a mask on a made-up image, and undo it."""
        from CORESegLib.selftest import mask_comes_and_goes

        mask_comes_and_goes()


def _register_sample_data() -> None:
    from CORESegLib.samples import register

    register()
