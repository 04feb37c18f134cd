"""Pictures of the panel beside the slice it speaks of: Slicer's own reslicing on the left, the panel on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from desk import PICTURES, Desk
from qt_shim import application, qt
from vtk.util import numpy_support

VIEW_PX = 640
PANEL_WIDTH_PX = 460
TINT = np.array([255, 143, 46])


def slice_picture(desk: Desk, name: str) -> None:
    """Save the slice that the red view shows, its mask tinted and outlined, beside the panel."""
    if not PICTURES:
        return
    desk.panel.widget.resize(PANEL_WIDTH_PX, 1000)
    application.processEvents()
    panel = desk.panel.widget.grab().toImage()
    picture = _as_image(_shown(desk))
    whole = qt.QImage(VIEW_PX + panel.width(), max(VIEW_PX, panel.height()), qt.QImage.Format_RGB32)
    whole.fill(qt.QColor(0, 0, 0))
    painter = qt.QPainter(whole)
    painter.drawImage(0, (whole.height() - VIEW_PX) // 2, picture)
    painter.drawImage(VIEW_PX, 0, panel)
    painter.end()
    assert whole.save(str(Path(PICTURES) / f"{name}.png"))


def _shown(desk: Desk) -> np.ndarray:
    """Return the view as red, green and blue, (h, w, 3), top row first."""
    logic = slicer.app.slice_logic(desk.view.GetLayoutName())
    logic.ResizeSliceNode(VIEW_PX, VIEW_PX)
    offset = desk.view.GetSliceOffset()
    logic.FitSliceToBackground(VIEW_PX, VIEW_PX)
    desk.view.SetSliceOffset(offset)
    logic.UpdatePipeline()
    producer = logic.GetImageDataConnection().GetProducer()
    producer.Update()
    data = producer.GetOutputDataObject(0)
    width, height, _depth = data.GetDimensions()
    flat = numpy_support.vtk_to_numpy(data.GetPointData().GetScalars())
    colours = flat.reshape(height, width, -1)[:, :, :3].astype(float)
    mask = _mask_on_screen(desk, width, height)
    inner = mask & np.roll(mask, 2, 0) & np.roll(mask, -2, 0) & np.roll(mask, 2, 1) & np.roll(mask, -2, 1)
    colours[mask] = 0.7 * colours[mask] + 0.3 * TINT
    colours[mask & ~inner] = TINT
    return colours[::-1].clip(0, 255).astype(np.uint8)


def _mask_on_screen(desk: Desk, width: int, height: int) -> np.ndarray:
    answer = desk.panel.asking.current
    assert answer is not None
    kji = slicer.util.arrayFromSegmentBinaryLabelmap(answer.segmentation, answer.segment_id, desk.volume)
    to_ijk = vtk.vtkMatrix4x4()
    desk.volume.GetRASToIJKMatrix(to_ijk)
    placed = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(to_ijk, desk.view.GetXYToRAS(), placed)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size), np.ones(x.size)])
    ijk = np.rint(_rows(placed) @ points)[:3].astype(int)
    inside = ((ijk >= 0) & (ijk < np.array(kji.shape[::-1])[:, None])).all(axis=0)
    mask = np.zeros(x.size, dtype=bool)
    i, j, k = ijk[:, inside]
    mask[inside] = kji[k, j, i] > 0
    return mask.reshape(height, width)


def _rows(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _as_image(colours: np.ndarray) -> Any:
    height, width = colours.shape[:2]
    content = np.ascontiguousarray(colours)
    return qt.QImage(content.tobytes(), width, height, 3 * width, qt.QImage.Format_RGB888).copy()
