"""What the desktop application would provide around the real scene of `slicer-core`: logics, modules, settings."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer import util

STAND_INS = Path(__file__).with_name("stand_ins")
if not hasattr(slicer, "vtkMRMLScene"):
    raise ImportError(
        "The package `slicer` here is not slicer-core but another of that name, which shap depends on; "
        "keep the two in different environments."
    )
slicer.__path__.append(str(STAND_INS))


class Module:
    """A loaded module: its logic and its path."""

    def __init__(self, logic: Any, path: str = "") -> None:
        self._logic = logic
        self.path = path

    def logic(self) -> Any:
        return self._logic


class HeadlessSlicer:
    """The application object, which is also `slicer.app`.

    Args:
        folder: For everything that is written.
    """

    applicationName = "Slicer"  # noqa: N815

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporaryPath = str(folder)
        self.slicerUserSettingsFilePath = str(folder / "Slicer.ini")
        self.errors: list[str] = []
        self.connected: list[tuple[str, object]] = []
        self._views: dict[str, Any] = {}
        self._listen_to_vtk()
        self.scene = slicer.vtkMRMLScene()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(self.scene)
        colours = self._logic.GetColorLogic()
        colours.SetMRMLScene(self.scene)
        colours.AddDefaultColorNodes()
        self._logic.SetSliceLogics(vtk.vtkCollection())
        self._logic.SetViewLogics(vtk.vtkCollection())
        slicer.mrmlScene = self.scene
        slicer.app = self
        slicer.modules = types.SimpleNamespace()
        for name, logic in (
            ("Colors", slicer.vtkMRMLColorLogic()),
            ("Volumes", slicer.vtkSlicerVolumesLogic()),
            ("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic()),
            ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic()),
            ("Markups", slicer.vtkSlicerMarkupsLogic()),
        ):
            logic.SetMRMLApplicationLogic(self._logic)
            logic.SetMRMLScene(self.scene)
            self._logic.SetModuleLogic(name, logic)
            setattr(slicer.modules, name.lower(), Module(logic))
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._cache = self._make_remote_io()

    def begin(self) -> None:
        """Empty the scene and forget errors."""
        self.scene.Clear(0)
        self.errors.clear()
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        # The desktop makes it with every new scene.
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

    def end(self) -> list[str]:
        """Return what VTK reported as errors since `begin`."""
        return list(self.errors)

    # What scripted modules ask of `slicer.app`.

    def applicationLogic(self) -> Any:  # noqa: N802
        return self._logic

    def testingEnabled(self) -> bool:  # noqa: N802
        return True

    def processEvents(self) -> None:  # noqa: N802
        from qt_shim import application

        application.processEvents()

    def settings(self) -> Any:
        import qt

        return qt.QSettings(self.slicerUserSettingsFilePath, qt.QSettings.IniFormat)

    userSettings = settings  # noqa: N815

    def translate(self, context: str, text: str) -> str:
        return text

    def connect(self, signal: str, listener: object) -> None:
        self.connected.append((signal, listener))

    def disconnect(self, signal: str, listener: object) -> None:
        self.connected.remove((signal, listener))

    # Things that tests need.

    def volume(self, voxels_kji: Any, ijk_to_ras: Any, name: str = "image") -> Any:
        """Return a volume node with these voxels in this place."""
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        matrix = vtk.vtkMatrix4x4()
        for row in range(4):
            for column in range(4):
                matrix.SetElement(row, column, float(ijk_to_ras[row][column]))
        node.SetIJKToRASMatrix(matrix)
        util.updateVolumeFromArray(node, voxels_kji)
        node.CreateDefaultDisplayNodes()
        return node

    def view(self, name: str, orientation: str, volume: Any = None) -> tuple[Any, Any]:
        """Return slice node and slice logic of a view that shows a volume."""
        # Views are singletons that outlive a scene; a second node of one name would not be in the scene.
        logic = self._views.get(name)
        if logic is None:
            logic = self._views[name] = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._logic)
            logic.SetMRMLScene(self.scene)
            logic.AddSliceNode(name)
        node = logic.GetSliceNode()
        assert self.scene.IsNodePresent(node)
        node.SetOrientation(orientation)
        node.SetSliceOffset(0)
        if volume is not None:
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        return node, logic

    def slice_logic(self, name: str) -> Any:
        """Return the logic of a view."""
        return self._views[name]

    def editor(self, segmentation: Any, volume: Any) -> Any:
        """Return the real logic of the Segment Editor, working on a segmentation."""
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLApplicationLogic(self._logic)
        logic.SetMRMLScene(self.scene)
        logic.SetSegmentEditorNode(node)
        logic.SetSegmentationNode(segmentation)
        logic.SetSourceVolumeNode(volume)
        return logic

    def _listen_to_vtk(self) -> None:
        window = vtk.vtkStringOutputWindow()
        window.AddObserver("ErrorEvent", self._take_error)
        window.SetDisplayModeToNever()
        vtk.vtkOutputWindow.SetInstance(window)
        self._window = window

    def _take_error(self, window: object, event: str, text: str = "") -> None:
        self.errors.append(text or self._window.GetOutput()[-500:])

    _take_error.CallDataType = vtk.VTK_STRING  # type: ignore[attr-defined]

    def _make_remote_io(self) -> tuple[Any, Any]:
        """Return the logics without which a scene bundle cannot be read back."""
        cache = self.folder / "cache"
        cache.mkdir()
        remote = slicer.vtkMRMLRemoteIOLogic()
        remote.SetMRMLScene(self.scene)
        remote.SetMRMLApplicationLogic(self._logic)
        remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
        io = slicer.vtkDataIOManagerLogic()
        io.SetMRMLScene(self.scene)
        io.SetMRMLApplicationLogic(self._logic)
        io.SetAndObserveDataIOManager(remote.GetDataIOManager())
        remote.AddDataIOToScene()
        return remote, io


def no_window() -> None:
    """Answer `slicer.util.mainWindow` as an application without one does."""


util.mainWindow = no_window
sys.modules.setdefault("slicer.util", util)
