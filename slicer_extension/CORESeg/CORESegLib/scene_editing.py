"""The Segment Editor's settings while answers are corrected."""

from __future__ import annotations

from typing import Any

import slicer


def editor_node() -> Any:
    """Return the settings that Slicer's own Segment Editor works with, so that both show the same."""
    found = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    if found is not None:
        return found
    node = slicer.vtkMRMLSegmentEditorNode()
    node.SetSingletonTag("SegmentEditor")
    return slicer.mrmlScene.AddNode(node)


def protect_other_segments(node: Any) -> None:
    """Let edits of one segment erase no other: Slicer's default takes voxels away from all of them."""
    node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
