"""Images of the scene, and the slices that views show of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

from CORESegLib.geometry import SliceSpot, slice_shown
from CORESegLib.volume_file import Matrix, VoxelImage

ATTRIBUTE_IMAGE = "CORESeg.imageId"
ATTRIBUTE_DIGEST = "CORESeg.digest"
VIEWS = ("Red", "Green", "Yellow")


def image_of(volume: Any, folder: Path) -> VoxelImage:
    """Return what a worker needs of a volume node; its voxels are not copied, its name is not taken along."""
    known = (volume.GetAttribute(ATTRIBUTE_IMAGE), volume.GetAttribute(ATTRIBUTE_DIGEST))
    modality = modality_of(volume)
    return VoxelImage(
        voxels_kji=slicer.util.arrayFromVolume(volume),
        ijk_to_ras=ijk_to_ras(volume),
        folder=folder,
        info={"modality": modality} if modality else {},
        known_as=(known[0], known[1]) if known[0] and known[1] else None,
    )


def ijk_to_ras(volume: Any) -> Matrix:
    """Return the matrix of a volume without the transforms above it."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return _as_rows(matrix)


def shape_of(volume: Any) -> tuple[int, int, int]:
    """Return the voxels of a volume along i, j and k."""
    i, j, k = volume.GetImageData().GetDimensions()
    return i, j, k


def state_of(volume: Any) -> tuple[object, ...]:
    """Return what changes when a volume's voxels or place do."""
    return volume.GetImageData(), volume.GetImageData().GetMTime(), ijk_to_ras(volume)


def modality_of(volume: Any) -> str:
    """Return the DICOM modality of a volume as Slicer's subject hierarchy knows it; empty where it does not."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume) if hierarchy is not None else 0
    while item:
        if found := hierarchy.GetItemAttribute(item, "DICOM.Modality"):
            return str(found)
        parent = hierarchy.GetItemParent(item)
        item = parent if parent != hierarchy.GetSceneItemID() else 0
    return ""


def is_askable(volume: Any) -> bool:
    """Return whether a volume node holds one grey value a voxel."""
    data = volume.GetImageData() if volume is not None else None
    return data is not None and data.GetNumberOfScalarComponents() == 1 and data.GetNumberOfPoints() > 0


def background_of(slice_node: Any) -> Any:
    """Return the volume in the background of a view, None where there is none."""
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        if composite.GetLayoutName() == slice_node.GetLayoutName():
            return slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
    return None


def view_named(name: str) -> Any:
    """Return the slice node of a view, None where the layout has none of this name."""
    for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        node = slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
        if node.GetLayoutName() == name:
            return node
    return None


def spot_of(slice_node: Any, volume: Any) -> SliceSpot:
    """Return which slice of a volume a view shows, transforms above the volume included."""
    world = _to_world(volume)
    if world is None:
        # Under a warp no view shows a slice as it was taken.
        shown = slice_shown(_as_rows(slice_node.GetSliceToRAS()), ijk_to_ras(volume), shape_of(volume))
        return SliceSpot(axis=shown.axis, index=shown.index, aligned=False, inside=shown.inside)
    placed = vtk.vtkMatrix4x4()
    own = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(own)
    vtk.vtkMatrix4x4.Multiply4x4(world, own, placed)
    return slice_shown(_as_rows(slice_node.GetSliceToRAS()), _as_rows(placed), shape_of(volume))


def show_slice(
    volume: Any, *, axis: int, index: int, middle_ijk: tuple[float, float, float] | None = None
) -> None:
    """Let all views jump to a slice of a volume.

    Args:
        volume: Of which.
        axis: Across which array axis the slice lies.
        index: Its number from 0.
        middle_ijk: What is to be seen on it; its middle by default.
    """
    shape = shape_of(volume)
    spot = [(side - 1) / 2 for side in shape] if middle_ijk is None else list(middle_ijk)
    spot[axis] = index
    own = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(own)
    ras = own.MultiplyPoint([*spot, 1.0])[:3]
    transform = volume.GetParentTransformNode()
    if transform is not None:
        to_world = vtk.vtkGeneralTransform()
        transform.GetTransformToWorld(to_world)
        ras = to_world.TransformPoint(ras)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, slicer.vtkMRMLSliceNode.OffsetJumpSlice)


def turn_to_volume(slice_node: Any, volume: Any) -> None:
    """Turn a view so that it shows slices of a volume as they were taken."""
    slice_node.RotateToVolumePlane(volume)


def _to_world(volume: Any) -> Any:
    """Return the matrix of the transforms above a volume, None where they are no matrix."""
    matrix = vtk.vtkMatrix4x4()
    transform = volume.GetParentTransformNode()
    if transform is None:
        return matrix
    if not transform.IsTransformToWorldLinear():
        return None
    transform.GetMatrixTransformToWorld(matrix)
    return matrix


def _as_rows(matrix: Any) -> Matrix:
    return tuple(tuple(matrix.GetElement(row, column) for column in range(4)) for row in range(4))


def study_of(volume: Any) -> list[Any]:
    """Return the askable images of a volume's study, itself first; itself alone where Slicer knows of no study."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume) if hierarchy is not None else 0
    if not item:
        return [volume]
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyLevelAttributeName()
    study = hierarchy.GetItemParent(item)
    while study and hierarchy.GetItemAttribute(study, level) not in ("Study", "Folder"):
        study = hierarchy.GetItemParent(study) if study != hierarchy.GetSceneItemID() else 0
    if not study:
        return [volume]
    found = vtk.vtkCollection()
    hierarchy.GetDataNodesInBranch(study, found, "vtkMRMLScalarVolumeNode")
    nodes = [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    return [volume, *(node for node in nodes if node is not volume and is_askable(node))]
