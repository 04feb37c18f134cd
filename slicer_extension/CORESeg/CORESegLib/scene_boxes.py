"""A reader's boxes on a slice: each is drawn as a line from one corner to the opposite one."""

from __future__ import annotations

from typing import Any

import slicer

from CORESegLib.scene_clicks import new_markup, place_in, voxel_of
from CORESegLib.scene_images import shape_of

_COLOUR = (0.95, 0.8, 0.2)
_NAME = "CORE-Seg: box"


class Boxes:
    """Diagonals of boxes, one node a box; never saved with the scene."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []

    def place(self) -> None:
        """Let the reader's next two clicks set two opposite corners."""
        place_in(self.add(), again_and_again=False)

    def add(self) -> Any:
        """Return a new diagonal without corners; those that were begun and left are taken away."""
        for node in self._present():
            if node.GetNumberOfControlPoints() < 2:
                slicer.mrmlScene.RemoveNode(node)
        node = new_markup("vtkMRMLMarkupsLineNode", _NAME, _COLOUR)
        # A line would say how long it is.
        node.GetDisplayNode().SetPropertiesLabelVisibility(False)
        self._nodes.append(node)
        return node

    def on_slice(self, volume: Any, *, axis: int, index: int) -> list[list[int]]:
        """Return the boxes on a slice of a volume, half-open in voxels, [i0, j0, k0, i1, j1, k1].

        Those that lie elsewhere or beside the volume are left out; what sticks out of it is cut off.
        """
        found = []
        for node in self._present():
            if node.GetNumberOfControlPoints() < 2:
                continue
            corners = [[round(value) for value in voxel_of(node, number, volume)] for number in (0, 1)]
            if any(corner[axis] != index for corner in corners):
                continue
            low = [max(0, min(pair)) for pair in zip(*corners, strict=True)]
            pairs = zip(zip(*corners, strict=True), shape_of(volume), strict=True)
            high = [min(side, max(pair) + 1) for pair, side in pairs]
            if all(start < stop for start, stop in zip(low, high, strict=True)):
                found.append([*low, *high])
        return found

    def clear(self) -> None:
        """Remove all boxes."""
        for node in self._present():
            slicer.mrmlScene.RemoveNode(node)
        self._nodes.clear()

    def _present(self) -> list[Any]:
        self._nodes = [node for node in self._nodes if slicer.mrmlScene.IsNodePresent(node)]
        return self._nodes
