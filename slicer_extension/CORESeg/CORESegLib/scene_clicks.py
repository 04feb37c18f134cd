"""A reader's clicks on a slice, as points in the scene and as voxels for the server."""

from __future__ import annotations

from typing import Any, Literal

import slicer
import vtk

from CORESegLib.scene_images import shape_of

ClickKind = Literal["foreground", "background"]
_LOOKS: dict[ClickKind, tuple[str, tuple[float, float, float]]] = {
    "foreground": ("CORE-Seg: on the lesion", (0.2, 0.9, 0.3)),
    "background": ("CORE-Seg: beside it", (0.95, 0.2, 0.2)),
}


class Clicks:
    """Two sets of points; made when they are needed, and never saved with the scene."""

    def __init__(self) -> None:
        self._nodes: dict[ClickKind, Any] = {}

    def place(self, kind: ClickKind) -> None:
        """Let the reader's next clicks set points, until she presses Esc."""
        place_in(self.node(kind), again_and_again=True)

    def node(self, kind: ClickKind) -> Any:
        """Return the points of a kind."""
        node = self._nodes.get(kind)
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            node = self._nodes[kind] = new_markup("vtkMRMLMarkupsFiducialNode", *_LOOKS[kind])
        return node

    def on_slice(self, volume: Any, *, axis: int, index: int) -> dict[str, list[list[float]]]:
        """Return the clicks on a slice of a volume as voxel indices; those elsewhere are left out."""
        found: dict[str, list[list[float]]] = {}
        for kind, node in self._nodes.items():
            if not slicer.mrmlScene.IsNodePresent(node):
                continue
            points = [voxel_of(node, number, volume) for number in range(node.GetNumberOfControlPoints())]
            here = [
                point for point in points if _inside(point, shape_of(volume)) and round(point[axis]) == index
            ]
            if here:
                found[kind] = here
        return found

    def clear(self) -> None:
        """Remove all clicks."""
        for node in self._nodes.values():
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)
        self._nodes.clear()


def new_markup(class_name: str, name: str, colour: tuple[float, float, float]) -> Any:
    """Return a new node of a reader's marks, without labels, that is not saved with the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    node.CreateDefaultDisplayNodes()
    node.SetSaveWithScene(False)
    display = node.GetDisplayNode()
    display.SetSelectedColor(*colour)
    display.SetPointLabelsVisibility(False)
    return node


def place_in(node: Any, *, again_and_again: bool) -> None:
    """Let the reader's next clicks set points of a node: until she presses Esc, or until it is complete."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SetPlaceModePersistence(int(again_and_again))
    interaction.SetCurrentInteractionMode(interaction.Place)


def voxel_of(node: Any, number: int, volume: Any) -> list[float]:
    """Return where a point of a node lies in a volume, in voxels, whatever transforms both stand under."""
    to_ijk = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(to_ijk)
    world, local = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(number, world)
    between = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), between)
    between.TransformPoint(world, local)
    return [round(value, 3) for value in to_ijk.MultiplyPoint([*local, 1.0])[:3]]


def _inside(point: list[float], shape_ijk: tuple[int, int, int]) -> bool:
    return all(-0.5 <= value <= side - 0.5 for value, side in zip(point, shape_ijk, strict=True))
