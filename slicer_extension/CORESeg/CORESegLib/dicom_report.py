"""An answer as a DICOM Structured Report (TID 1500): question, outcome, words and confidence, beside the mask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from CORESegLib.dicom_answer import MAKER, NOTICE, DicomAnswer, short, words_of
from CORESegLib.dicom_seg import UNICODE, series_number, tracking_of
from CORESegLib.dicom_source import SourceSeries, highdicom

SCHEME = "99CORESEG"
"""Designator of our own codes: DICOM has none for a question to a model, nor for outcomes that are no absence."""
MAX_SLICES = 500


def report_of(answer: DicomAnswer, source: SourceSeries, segmentation: Any | None) -> Any:
    """Return a report.

    It is never marked as verified: that takes a person's name, which this panel does not know.

    Args:
        answer: With or without a mask.
        source: The series that was asked about.
        segmentation: Of the mask; None where nothing is marked.
    """
    hd = highdicom()
    made = hd.sr.ComprehensiveSR(
        evidence=[*([segmentation] if segmentation is not None else []), *source.datasets.values()],
        content=_content(hd, answer, source, segmentation),
        series_instance_uid=hd.UID(),
        series_number=series_number(source, 1),
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=answer.accepted,
        is_final=False,
        is_verified=False,
    )
    made.SpecificCharacterSet = UNICODE
    made.SeriesDescription = short(f"{MAKER}: {answer.question}")
    return made


def _content(hd: Any, answer: DicomAnswer, source: SourceSeries, segmentation: Any | None) -> Any:
    from pydicom.sr.codedict import codes

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=hd.UID(),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=f"{answer.model['preset']} {answer.model['version']}".strip() or "unknown",
    )
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=hd.sr.CodedConcept("363679005", "SCT", "Imaging"),
        imaging_measurements=[_group(hd, answer, source, segmentation)],
    )
    return report[0]


def _group(hd: Any, answer: DicomAnswer, source: SourceSeries, segmentation: Any | None) -> Any:
    from pydicom.sr.codedict import codes

    name, uid = tracking_of(answer)
    algorithm = hd.sr.AlgorithmIdentification(
        name=MAKER,
        version=short(" ".join(answer.model.values())) or "unknown",
    )
    measured = []
    if segmentation is not None:
        measured.append(
            hd.sr.Measurement(
                name=codes.SCT.Volume, value=round(answer.volume_mm3, 2), unit=codes.UCUM.CubicMillimeter
            )
        )
    if answer.confidence is not None:
        # A program that reads DICOM's own code may count on it; what is not calibrated bears another name.
        uncertain = _ours(hd, "confidence", "Confidence of the model, not calibrated")
        measured.append(
            hd.sr.Measurement(
                name=codes.DCM.CertaintyOfFinding if answer.calibrated else uncertain,
                value=round(100 * answer.confidence, 1),
                unit=codes.UCUM.Percent,
            )
        )
    told: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=uid, identifier=name),
        "finding_type": codes.SCT.Lesion,
        "algorithm_id": algorithm,
        "measurements": measured or None,
        "qualitative_evaluations": list(_evaluations(hd, answer)),
    }
    if segmentation is not None:
        # Not by `from_segmentation`, which in highdicom 0.28 fails where there is one segment only.
        marked = answer.mask_ijk.any(axis=(0, 1)).nonzero()[0]
        drawn_on = [source.datasets[int(k)] for k in marked]
        referred = hd.sr.ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            segment_number=1,
            source_images=[
                hd.sr.SourceImageForSegmentation(one.SOPClassUID, one.SOPInstanceUID) for one in drawn_on
            ],
        )
        group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=referred, **told)
    else:
        sources = [
            hd.sr.SourceImageForMeasurementGroup(one.SOPClassUID, one.SOPInstanceUID)
            for one in _looked_at(answer, source)
        ]
        group = hd.sr.MeasurementsAndQualitativeEvaluations(source_images=sources, **told)
    group[0].ContentSequence.extend(_texts(hd, answer))
    return group


def _looked_at(answer: DicomAnswer, source: SourceSeries) -> list[Any]:
    """Return the files of the slices that were asked about; all of them where these cut across the files."""
    looked = {one.index for one in answer.slices if one.axis == 2}
    return [one for k, one in source.datasets.items() if k in looked] or list(source.datasets.values())


def _evaluations(hd: Any, answer: DicomAnswer) -> Iterable[Any]:
    yield hd.sr.QualitativeEvaluation(
        name=_ours(hd, "outcome", "Outcome of the question"),
        value=_ours(hd, answer.outcome, answer.outcome_words),
    )
    yield hd.sr.QualitativeEvaluation(
        name=_ours(hd, "decision", "Decision of the reader"),
        value=_ours(hd, "accepted" if answer.accepted else "not-accepted", short(answer.decision)),
    )


def _texts(hd: Any, answer: DicomAnswer) -> Iterable[Any]:
    yield _text(hd, "question", "Question", answer.question or "-")
    if answer.reader_words:
        yield _text(hd, "reader", "Words of the reader", answer.reader_words)
    for one in answer.slices[:MAX_SLICES]:
        words = words_of(one)
        if words:
            place = f"Slice {one.index + 1} of axis {'ijk'[one.axis]}, {one.outcome}"
            sure = "" if one.confidence is None else f", confidence {one.confidence:.0%}"
            kind = "" if one.confidence is None or one.calibrated else " (not calibrated)"
            yield _text(hd, "reasoning", "Reasoning of the model", f"{place}{sure}{kind}: {words}")
    yield _text(hd, "notice", "Notice", NOTICE)


def _text(hd: Any, code: str, meaning: str, value: str) -> Any:
    return hd.sr.TextContentItem(
        name=_ours(hd, code, meaning), value=value, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
    )


def _ours(hd: Any, code: str, meaning: str) -> Any:
    return hd.sr.CodedConcept(code, SCHEME, meaning)
