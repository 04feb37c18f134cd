"""A mask as a DICOM Segmentation that refers to the series it was drawn on."""

from __future__ import annotations

from typing import Any

from CORESegLib.dicom_answer import MAKER, NOTICE, DicomAnswer, short
from CORESegLib.dicom_source import SourceSeries, highdicom

UNICODE = "ISO_IR 192"
MAX_DESCRIPTION = 1024
"""Of a short text (ST) in DICOM, counted in bytes to be on the safe side."""
SERIES_OFFSET = 1000


def segmentation_of(answer: DicomAnswer, source: SourceSeries) -> Any:
    """Return a segmentation with one segment; it has a frame for each slice that is marked.

    Args:
        answer: Whose mask marks something.
        source: On whose slices the mask lies.
    """
    import numpy as np

    hd = highdicom()
    numbers = list(source.datasets)
    # DICOM counts rows first: j, then i.
    frames = np.ascontiguousarray(answer.mask_ijk[:, :, numbers].transpose(2, 1, 0)).astype(np.uint8)
    made = hd.seg.Segmentation(
        source_images=list(source.datasets.values()),
        pixel_array=frames,
        segmentation_type="BINARY",
        segment_descriptions=[_description(hd, answer)],
        series_instance_uid=hd.UID(),
        series_number=series_number(source, 0),
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=f"{MAKER} {answer.model['preset']}".strip(),
        software_versions=answer.model["version"] or "unknown",
        device_serial_number=answer.model["sha256"][:16] or "unknown",
        content_label="CORE_SEG",
        content_description=short(f"{MAKER}: {answer.question}"),
    )
    # Characters of any language; those of the source are written anew in it.
    made.SpecificCharacterSet = UNICODE
    made.SeriesDescription = short(f"{MAKER}: {answer.question}")
    made.SegmentSequence[0].SegmentDescription = short(f"{NOTICE} {answer.summary}", limit=MAX_DESCRIPTION)
    return made


def series_number(source: SourceSeries, step: int) -> int:
    """Return the number of a series made of a source; those of one source stand beside each other."""
    number = source.first.get("SeriesNumber")
    return SERIES_OFFSET + 2 * (int(number) if number is not None else 0) + step


def tracking_of(answer: DicomAnswer) -> tuple[str, str]:
    """Return name and UID of the finding, the same in all objects and however often it is exported."""
    from pydicom.uid import generate_uid

    name = f"{MAKER} {answer.record.id}"[:64]
    return name, str(generate_uid(entropy_srcs=[MAKER, answer.record.id]))


def _description(hd: Any, answer: DicomAnswer) -> Any:
    from pydicom.sr.codedict import codes

    name, uid = tracking_of(answer)
    identification = hd.AlgorithmIdentificationSequence(
        name=MAKER,
        family=codes.cid7162.ArtificialIntelligence,
        version=" ".join(part for part in (answer.model["preset"], answer.model["version"]) if part)
        or "unknown",
        parameters={"question": answer.question[:2000]},
    )
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.cid7150.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="SEMIAUTOMATIC" if answer.edited_voxels else "AUTOMATIC",
        algorithm_identification=identification,
        tracking_uid=uid,
        tracking_id=name,
    )
