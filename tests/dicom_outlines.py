"""SEG and RTSTRUCT files as other programs write them, in as few attributes as a reader needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from coreseg_core.imaging import VolumeGeometry

SEG_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"


def write_seg(
    path: Path, mask: NDArray[np.bool_], geometry: VolumeGeometry, *, name: str, series_uid: str
) -> None:
    """Write a binary segmentation, one frame for each slice along k that is not empty."""
    dataset = _new(SEG_STORAGE, "SEG")
    dataset.ReferencedSeriesSequence = Sequence([_item(SeriesInstanceUID=series_uid)])
    dataset.SegmentationType = "BINARY"
    dataset.SegmentSequence = Sequence([_item(SegmentNumber=1, SegmentLabel=name)])
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine_ras
    steps = lps[:3, :3] / np.asarray(geometry.spacing_mm)
    across, down, _ = geometry.spacing_mm
    shared = Dataset()
    shared.PlaneOrientationSequence = Sequence(
        [_item(ImageOrientationPatient=[*steps[:, 0].tolist(), *steps[:, 1].tolist()])]
    )
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[down, across])])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    indices = np.flatnonzero(mask.any(axis=(0, 1)))
    frames = []
    for index in indices.tolist():
        groups = Dataset()
        position = (lps @ [0, 0, index, 1])[:3]
        groups.PlanePositionSequence = Sequence([_item(ImagePositionPatient=position.tolist())])
        groups.SegmentIdentificationSequence = Sequence([_item(ReferencedSegmentNumber=1)])
        frames.append(groups)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(indices)
    dataset.Rows, dataset.Columns = mask.shape[1], mask.shape[0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.PixelRepresentation = 0
    bits = np.concatenate([mask[:, :, index].T.ravel() for index in indices.tolist()])
    data = np.packbits(bits, bitorder="little").tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(str(path), write_like_original=False)


def write_rtstruct(
    path: Path, mask: NDArray[np.bool_], geometry: VolumeGeometry, *, name: str, series_uid: str
) -> None:
    """Write the outline of a box-shaped mask, half a voxel outside the outermost centres, slice by slice along k."""
    dataset = _new(RTSTRUCT_STORAGE, "RTSTRUCT")
    series = _item(SeriesInstanceUID=series_uid)
    study = _item(RTReferencedSeriesSequence=Sequence([series]))
    dataset.ReferencedFrameOfReferenceSequence = Sequence(
        [_item(RTReferencedStudySequence=Sequence([study]))]
    )
    dataset.StructureSetROISequence = Sequence([_item(ROINumber=1, ROIName=name)])
    contours = []
    for index in np.flatnonzero(mask.any(axis=(0, 1))).tolist():
        i, j = np.nonzero(mask[:, :, index])
        low_i, high_i, low_j, high_j = i.min() - 0.5, i.max() + 0.5, j.min() - 0.5, j.max() + 0.5
        corners = [(low_i, low_j), (high_i, low_j), (high_i, high_j), (low_i, high_j)]
        points = geometry.to_world([(a, b, index) for a, b in corners]) * [-1.0, -1.0, 1.0]
        contours.append(
            _item(
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=4,
                ContourData=[f"{value:.6f}" for value in points.ravel()],
            )
        )
    dataset.ROIContourSequence = Sequence([_item(ReferencedROINumber=1, ContourSequence=Sequence(contours))])
    dataset.save_as(str(path), write_like_original=False)


def _new(storage: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    dataset.Modality = modality
    return dataset


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
