"""Images in, masks out: reading, windowing, slicing, writing, and the picture a person looks at."""

from coreseg_core.imaging.contours import fill_polygon
from coreseg_core.imaging.dicom_export import write_dicom_series
from coreseg_core.imaging.frame import boxes_to_frame, boxes_to_native, frame_wh, resize_rgb
from coreseg_core.imaging.geometry import VolumeGeometry, picture_geometry
from coreseg_core.imaging.labels import read_label, write_label, write_volume
from coreseg_core.imaging.overlay import overlay_png
from coreseg_core.imaging.read import read_volume
from coreseg_core.imaging.read_dicom import SeriesSummary, list_series
from coreseg_core.imaging.read_dicom_masks import MaskObject, list_mask_objects, read_dicom_masks
from coreseg_core.imaging.slicing import Placement, SliceImage, extract_slice
from coreseg_core.imaging.volume import MODALITIES, Volume
from coreseg_core.imaging.windowing import CT_WINDOWS, CtWindow, ct_windows

__all__ = [
    "CT_WINDOWS",
    "MODALITIES",
    "CtWindow",
    "MaskObject",
    "Placement",
    "SeriesSummary",
    "SliceImage",
    "Volume",
    "VolumeGeometry",
    "boxes_to_frame",
    "boxes_to_native",
    "ct_windows",
    "extract_slice",
    "fill_polygon",
    "frame_wh",
    "list_mask_objects",
    "list_series",
    "overlay_png",
    "picture_geometry",
    "read_dicom_masks",
    "read_label",
    "read_volume",
    "resize_rgb",
    "write_dicom_series",
    "write_label",
    "write_volume",
]
