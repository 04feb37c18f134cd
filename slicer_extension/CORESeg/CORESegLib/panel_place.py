"""What is asked about: the image that is chosen, the slice that the view shows, and the study both belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CORESegLib.findings import AXES
from CORESegLib.geometry import plane_of
from CORESegLib.panel_answers import KeptAnswer
from CORESegLib.panel_asking import Wish
from CORESegLib.question_block import QuestionBlock
from CORESegLib.scene_images import (
    ijk_to_ras,
    is_askable,
    shape_of,
    spot_of,
    study_of,
    turn_to_volume,
    view_named,
)

VIEW = "Red"


class Place:
    """See the module.

    Args:
        block: Where image and scope are chosen.
        reasoning: Returns how much the model is to write; empty for what the server does.
    """

    def __init__(self, block: QuestionBlock, reasoning: Callable[[], str]) -> None:
        self._block = block
        self._reasoning = reasoning

    @property
    def volume(self) -> Any:
        """The chosen image, None where there is none that can be asked about."""
        node = self._block.image.currentNode()
        return node if is_askable(node) else None

    def missing(self) -> str:
        """Return what is missing before the place is clear; empty when nothing is."""
        volume, view = self.volume, view_named(VIEW)
        if volume is None:
            return _("Choose an image.")
        if not self._block.words:
            return _("Write a question.")
        if view is None:
            return _("Open a slice view.")
        spot = spot_of(view, volume)
        if self._block.scope_kind == "slice" and not (spot.aligned and spot.inside):
            return _("Turn the view to the image, and to a slice of it.")
        return ""

    def wishes(self) -> list[Wish]:
        """Return what is to be asked: one question, or one for each image of the study."""
        volume, kind = self.volume, self._block.scope_kind
        if kind != "study":
            return [self._wish(volume, kind)]
        return [self._wish(node, "volume") for node in study_of(volume)]

    def again(self, kept: KeptAnswer, marks_on: Callable[..., dict[str, Any]]) -> Wish | None:
        """Return an answer's question about the slice that is shown, with the marks on it; None without any.

        Args:
            kept: The answer.
            marks_on: Returns the reader's clicks and boxes on a slice.
        """
        view, volume = view_named(VIEW), kept.scene.volume
        spot = spot_of(view, volume) if view is not None else None
        if spot is None or not spot.aligned or spot.axis != kept.scene.axis:
            return None
        found = marks_on(volume, axis=spot.axis, index=spot.index)
        if not found:
            return None
        params: dict[str, Any] = {
            "scope": "slice",
            "axis": AXES[spot.axis],
            "slice": spot.index,
            **self._mode(),
        }
        params.update(found)
        return Wish(volume=volume, words=kept.scene.query, axis=spot.axis, params=params, again=kept)

    def turn(self) -> None:
        """Turn the view to the image."""
        view, volume = view_named(VIEW), self.volume
        if view is not None and volume is not None:
            turn_to_volume(view, volume)

    def show(self) -> None:
        """Show what would be asked about."""
        volume, view = self.volume, view_named(VIEW)
        if volume is None or view is None:
            self._block.show_place("", can_turn=False, count=0)
            self._block.image_line.setText("")
            return
        spot = spot_of(view, volume)
        count = shape_of(volume)[spot.axis]
        tilted = not spot.aligned and self._block.scope_kind == "slice"
        if self._block.scope_kind == "study":
            said = _("{count} images of the study, one after another").format(count=len(study_of(volume)))
        elif tilted:
            said = _("This view is tilted against the image, so it shows no slice of it.")
        elif not spot.inside:
            said = _("This view shows no slice of the image.")
        else:
            said = _("{view} view - {plane} slice {number} of {count}").format(
                view=VIEW, plane=plane_of(spot.axis, ijk_to_ras(volume)), number=spot.index + 1, count=count
            )
        self._block.show_place(said, can_turn=tilted, count=count)
        megabytes = volume.GetImageData().GetActualMemorySize() / 1e3
        self._block.image_line.setText(
            _("Sent to the server unless it has it: {size:.0f} MB, voxels only, no name").format(
                size=megabytes
            )
        )

    def _mode(self) -> dict[str, str]:
        return {"reasoning": mode} if (mode := self._reasoning()) else {}

    def _wish(self, volume: Any, kind: str) -> Wish:
        spot = spot_of(view_named(VIEW), volume)
        params: dict[str, Any] = {"scope": kind, "axis": AXES[spot.axis], **self._mode()}
        if kind == "slice":
            params["slice"] = spot.index
        elif kind == "range":
            first, last = self._block.range
            params["slice"] = f"{first}:{last + 1}"
        return Wish(volume=volume, words=self._block.words, axis=spot.axis, params=params)
