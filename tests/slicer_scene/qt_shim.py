"""PythonQt's way of speaking to Qt, on PySide6: modules `qt` and `ctk`, and the widgets of Slicer that the panel uses.

In PythonQt a property is read by its name (`button.text`), where PySide6 has a method; both write through setters. What
PythonQt lacks is not offered here either, so that code which runs here also runs there.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import headless
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

assert headless.STAND_INS.is_dir(), "Slicer's own Python files come from there"
_NOT_IN_PYTHONQT = {"Signal", "Slot", "Property", "ClassInfo", "QEnum", "QFlag"}
# PySide6 takes a reference too many from None at each call of some slots; before Python 3.12 None can run out of them.
_SPARE_REFERENCES = [None] * 4_000_000
qt = types.ModuleType("qt")
ctk = types.ModuleType("ctk")


def _read_by_name(kind: type) -> None:
    """Let the properties of a Qt class be read by their names, and not be assigned to."""
    described = kind.staticMetaObject  # type: ignore[attr-defined]
    for number in range(described.propertyOffset(), described.propertyCount()):
        name = described.property(number).name()
        method = kind.__dict__.get(name)
        if isinstance(method, property):
            continue

        def read(self: Any, name: str = name, method: Callable[[Any], Any] | None = method) -> Any:
            return method(self) if callable(method) else QtCore.QObject.property(self, name)

        setattr(kind, name, property(read))


for _module in (QtCore, QtGui, QtWidgets):
    for _name in dir(_module):
        if _name.startswith("_") or _name in _NOT_IN_PYTHONQT:
            continue
        _thing = getattr(_module, _name)
        setattr(qt, _name, _thing)
application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer"])
for _kind in (
    QtCore.QTimer,
    QtWidgets.QAbstractButton,
    QtWidgets.QLabel,
    QtWidgets.QLineEdit,
    QtWidgets.QComboBox,
    QtWidgets.QSpinBox,
    QtWidgets.QProgressBar,
    QtWidgets.QPlainTextEdit,
    QtWidgets.QWidget,
):
    _read_by_name(_kind)
sys.modules["qt"] = qt
sys.modules["ctk"] = ctk


class ctkCollapsibleButton(QtWidgets.QGroupBox):  # noqa: N801
    """A block that folds; `text` and `collapsed` are assigned, as they are to the real one."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "text":
            self.setTitle(value)
        elif name == "collapsed":
            self.setMaximumHeight(24 if value else 16_777_215)
        else:
            super().__setattr__(name, value)


class qMRMLNodeComboBox(QtWidgets.QComboBox):  # noqa: N801
    """A box to choose a node of the real scene from."""

    currentNodeChanged = QtCore.Signal(object)  # noqa: N815

    def __init__(self) -> None:
        super().__init__()
        self.nodeTypes: list[str] = []
        self.addEnabled = self.removeEnabled = self.renameEnabled = True
        self.noneEnabled = False
        self._scene: Any = None
        self._nodes: list[Any] = []
        self._current: Any = None
        self.activated.connect(lambda number: self.setCurrentNode(self._nodes[number]))

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        self._scene = scene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
            scene.AddObserver(event, lambda *_: self._list_nodes())
        self._list_nodes()

    def currentNode(self) -> Any:  # noqa: N802
        return self._current

    def setCurrentNode(self, node: Any) -> None:  # noqa: N802
        changed = node is not self._current
        self._current = node
        self._list_nodes()
        if changed:
            self.currentNodeChanged.emit(node)

    def _list_nodes(self) -> None:
        found = [node for kind in self.nodeTypes for node in slicer.util.getNodesByClass(kind, self._scene)]
        self._nodes = [*([None] if self.noneEnabled else []), *found]
        self.clear()
        self.addItems(["None" if node is None else node.GetName() for node in self._nodes])
        if self._current is not None and self._current not in found:
            self._current = None
            self.currentNodeChanged.emit(None)
        if self._current in self._nodes:
            self.setCurrentIndex(self._nodes.index(self._current))


class qMRMLSegmentEditorWidget(QtWidgets.QFrame):  # noqa: N801
    """The Segment Editor without its buttons, over the real logic of it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(QtWidgets.QLabel("Segment Editor of Slicer (stand-in over the real logic)"))
        self.logic_ = slicer.vtkSlicerSegmentEditorLogic()
        self.keys = self.views = False

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        self.logic_.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.logic_.SetMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:  # noqa: N802
        self.logic_.SetSegmentEditorNode(node)

    def setSegmentationNode(self, node: Any) -> None:  # noqa: N802
        assert self.logic_.GetSegmentEditorNode() is not None, "first the editor's node"
        self.logic_.SetSegmentationNode(node)

    def setSourceVolumeNode(self, node: Any) -> None:  # noqa: N802
        assert self.logic_.GetSegmentationNode() is not None, "first the segmentation"
        self.logic_.SetSourceVolumeNode(node)

    def setCurrentSegmentID(self, segment_id: str) -> None:  # noqa: N802
        self.logic_.SetCurrentSegmentID(segment_id)

    def setMaximumNumberOfUndoStates(self, number: int) -> None:  # noqa: N802
        self.logic_.SetMaximumNumberOfUndoStates(number)

    def saveStateForUndo(self) -> None:  # noqa: N802
        self.logic_.SaveStateForUndo()

    def undo(self) -> None:
        self.logic_.Undo()

    def redo(self) -> None:
        self.logic_.Redo()

    def setActiveEffect(self, effect: Any) -> None:  # noqa: N802
        assert effect is None

    def installKeyboardShortcuts(self) -> None:  # noqa: N802
        self.keys = True

    def uninstallKeyboardShortcuts(self) -> None:  # noqa: N802
        self.keys = False

    def setupViewObservations(self) -> None:  # noqa: N802
        self.views = True

    def removeViewObservations(self) -> None:  # noqa: N802
        self.views = False


ctk.ctkCollapsibleButton = ctkCollapsibleButton  # type: ignore[attr-defined]
slicer.qMRMLNodeComboBox = qMRMLNodeComboBox
slicer.qMRMLSegmentEditorWidget = qMRMLSegmentEditorWidget
