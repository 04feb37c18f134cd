"""Answers leave as DICOM SEG and SR: on the right slices of their series, with the words, and valid."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from desk import Desk, Scripted, record, slice_data
from dicom_series import PATIENT, SPACING_MM, DicomDatabase, instances, write_series
from headless import HeadlessSlicer
from pydicom import dcmread

from CORESegLib.dicom_answer import DicomAnswer
from CORESegLib.dicom_export import export
from CORESegLib.findings import Findings, read_record
from CORESegLib.outcomes import CHIPS, OUTCOMES
from CORESegLib.scene_dicom import INSTANCES
from CORESegLib.scene_images import ijk_to_ras, shape_of, show_slice
from CORESegLib.scene_masks import set_slice
from CORESegLib.trouble import Trouble

VALIDATOR = shutil.which("dciodvfy")
SHAPE = (32, 28, 12)
QUESTION = "Größe des Tumors | links \\ rechts?"


def validated(path: Path) -> None:
    """Fail where dciodvfy finds an error in a file."""
    if VALIDATOR is None:
        return
    ran = subprocess.run([VALIDATOR, "-new", str(path)], check=False, capture_output=True, text=True)
    errors = [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("Error")]
    assert not errors, (path.name, errors)


def test_files_are_held_against_dciodvfy_where_it_is_installed() -> None:
    if VALIDATOR is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed: DICOM files are not validated")


@pytest.fixture
def loaded(desktop: HeadlessSlicer, tmp_path: Path) -> Callable[..., tuple[Any, list[Path]]]:
    """Return what loads a made-up series with Slicer's own reader."""

    def load(**how: Any) -> tuple[Any, list[Path]]:
        voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE[::-1])
        files = write_series(tmp_path / "series", voxels, **how)
        names = vtk.vtkStringArray()
        for path in files:
            names.InsertNextValue(str(path))
        volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(files[0]), "CT", 0, names)
        assert shape_of(volume) == SHAPE
        return volume, files

    return load


def answer_with(mask_ijk: np.ndarray, *, outcome: str = "present", **more: Any) -> DicomAnswer:
    findings = Findings().with_slice(slice_data(6, outcome, answer="The <seg>."))
    values = record(outcome)
    values["record"]["query"] = QUESTION
    return DicomAnswer(
        record=read_record(values["record"]),
        slices=list(findings.slices.values()),
        mask_ijk=mask_ijk,
        voxel_mm3=float(np.prod(SPACING_MM)),
        edited_voxels=more.pop("edited_voxels", 0),
        accepted=more.pop("accepted", True),
        **more,
    )


def exported(volume: Any, files: list[Path], answer: DicomAnswer, folder: Path) -> list[Any]:
    written = export(lambda: answer, files, folder, ijk_to_ras=ijk_to_ras(volume), shape_ijk=shape_of(volume))
    for path in written:
        validated(path)
    return [dcmread(path) for path in written]


def drawn() -> np.ndarray:
    """Return a mask without any symmetry, on three slices."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3:9, 5:8, 6] = True
    mask[20, 25, 7] = True
    mask[3:5, 5, 9] = True
    return mask


@pytest.mark.parametrize(
    "how",
    [{}, {"tilt_deg": 17.0}, {"upwards": False}, {"shear_mm": 0.5}],
    ids=["axial", "oblique", "down", "tilted gantry"],
)
def test_each_frame_lies_on_the_slice_it_was_drawn_on(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path, how: dict[str, Any]
) -> None:
    volume, files = loaded(**how)
    report, segmentation = exported(volume, files, answer_with(drawn()), tmp_path)
    assert segmentation.SOPClassUID.name == "Segmentation Storage"
    frames = segmentation.pixel_array
    assert len(frames) == 3, "slices without a mask have no frame"
    voxels = slicer.util.arrayFromVolume(volume)
    by_uid = {str(one.SOPInstanceUID): one for one in map(dcmread, files)}
    seen = []
    for frame, place in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        source = place.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        plane = by_uid[source].pixel_array
        # Slicer's own reader says which slice this is, by its voxels.
        k = next(k for k in range(SHAPE[2]) if (voxels[k] == plane).all())
        assert (frame == drawn()[:, :, k].T).all()
        position = place.PlanePositionSequence[0].ImagePositionPatient
        assert list(position) == list(by_uid[source].ImagePositionPatient)
        seen.append(k)
    assert sorted(seen) == [6, 7, 9]
    assert report.StudyInstanceUID == segmentation.StudyInstanceUID == by_uid[source].StudyInstanceUID


def texts(report: Any) -> dict[str, list[str]]:
    """Return the values of a report by the names of their items."""
    found: dict[str, list[str]] = {}

    def walk(items: Any) -> None:
        for item in items:
            name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
            if item.ValueType == "TEXT":
                found.setdefault(name, []).append(item.TextValue)
            elif item.ValueType == "CODE":
                found.setdefault(name, []).append(item.ConceptCodeSequence[0].CodeMeaning)
            elif item.ValueType == "NUM":
                value = item.MeasuredValueSequence[0]
                unit = value.MeasurementUnitsCodeSequence[0].CodeValue
                found.setdefault(name, []).append(f"{float(value.NumericValue):g} {unit}")
            walk(item.get("ContentSequence", ()))

    walk(report.ContentSequence)
    return found


def test_question_reasoning_outcome_and_confidence_stand_in_the_report(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    answer = answer_with(drawn(), reader_words="Ein Herd, 5 mm – glatt.")
    report, segmentation = exported(volume, files, answer, tmp_path)
    told = texts(report)
    assert told["Question"] == [QUESTION]
    assert told["Outcome of the question"] == ["Found"]
    assert told["Decision of the reader"] == ["Accepted, as the model drew it"]
    assert told["Words of the reader"] == ["Ein Herd, 5 mm – glatt."]
    assert told["Reasoning of the model"][0].startswith(
        "Slice 7 of axis k, present, confidence 80% (not calibrated): One dark spot"
    )
    assert "<seg>" not in str(report)
    assert "not a diagnosis" in told["Notice"][0]
    assert told["Volume"] == [f"{round(drawn().sum() * float(np.prod(SPACING_MM)), 2):g} mm3"]
    assert told["Confidence of the model, not calibrated"] == ["80 %"]
    assert "Certainty of Finding" not in told
    assert report.VerificationFlag == "UNVERIFIED"
    assert str(segmentation.SOPInstanceUID) in str(report), "the report refers to the mask"
    segment = segmentation.SegmentSequence[0]
    assert "Größe des Tumors | links rechts?" in segment.SegmentDescription
    assert segmentation.SeriesDescription.startswith("CORE-Seg: Größe")
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "CORE-Seg"
    assert algorithm.AlgorithmVersion == "lite v0"
    assert segment.TrackingID in str(report)


def test_only_a_calibrated_confidence_is_called_certainty(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    answer = answer_with(drawn())
    calibrated = replace(answer, slices=[replace(one, calibrated=True) for one in answer.slices])
    report, _ = exported(volume, files, calibrated, tmp_path)
    assert texts(report)["Certainty of Finding"] == ["80 %"]


def test_names_of_patients_survive_the_change_to_unicode(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    for made in exported(volume, files, answer_with(drawn()), tmp_path):
        assert str(made.PatientName) == PATIENT
        assert made.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize("outcome", [one for one in OUTCOMES if one != "present"])
def test_an_answer_without_a_mask_is_a_report_alone_and_only_absence_reads_as_absence(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path, outcome: str
) -> None:
    volume, files = loaded()
    answer = answer_with(np.zeros(SHAPE, dtype=bool), outcome=outcome, accepted=False)
    (report,) = exported(volume, files, answer, tmp_path)
    told = texts(report)
    assert told["Outcome of the question"] == [CHIPS[outcome].word]  # type: ignore[index]
    assert ("Not seen" in str(report)) == (outcome == "absent")
    assert told["Decision of the reader"][0].startswith("Not accepted")
    assert report.CompletionFlag == "PARTIAL"
    assert "Volume" not in told


def test_a_mask_that_the_reader_drew_is_not_called_the_models(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    answer = answer_with(drawn(), edited_voxels=4)
    report, segmentation = exported(volume, files, answer, tmp_path)
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert texts(report)["Decision of the reader"] == ["Accepted, edited by the reader in 4 voxels"]
    assert "80 %" not in str(texts(report)), "the model was sure of another mask"
    emptied = replace(answer, mask_ijk=np.zeros(SHAPE, dtype=bool))
    assert emptied.outcome == "absent"


def test_long_texts_are_cut_where_dicom_has_a_limit_and_whole_where_it_has_none(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    long = "Größe " * 3000
    report, segmentation = exported(volume, files, answer_with(drawn(), reader_words=long), tmp_path)
    assert len(segmentation.SegmentSequence[0].SegmentDescription.encode()) <= 1024
    assert texts(report)["Words of the reader"][0].strip() == long.strip()


def refusal_of(volume: Any, files: list[Path], folder: Path, mask: np.ndarray | None = None) -> Trouble:
    with pytest.raises(Trouble) as caught:
        exported(volume, files, answer_with(drawn() if mask is None else mask), folder)
    assert not list(folder.glob("*.dcm")), "nothing is left half written"
    return caught.value


def test_an_image_that_was_moved_or_cut_is_not_exported_onto_the_wrong_slices(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    volume.SetSpacing(0.8, 0.9, 2.5)
    assert "does not lie on the slices" in refusal_of(volume, files, tmp_path).said
    volume.SetSpacing(*SPACING_MM)
    # Half a voxel along one axis.
    volume.SetOrigin(volume.GetOrigin()[0] + 0.4, *volume.GetOrigin()[1:])
    assert "0.5 voxels apart" in refusal_of(volume, files, tmp_path).said


def test_files_that_are_no_single_slices_are_refused(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    other = dcmread(files[0])
    # Enhanced objects keep it in their functional groups.
    del other.ImagePositionPatient
    other.save_as(files[0])
    assert "ImagePositionPatient is missing" in refusal_of(volume, files, tmp_path).said


def test_what_is_missing_of_a_series_is_said(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path
) -> None:
    volume, files = loaded()
    seventh = [path for path in files if dcmread(path).InstanceNumber != 7]
    trouble = refusal_of(volume, seventh, tmp_path)
    assert "marks slice 7" in trouble.said
    assert "not known" in refusal_of(volume, [], tmp_path).said
    (tmp_path / "text").write_text("no DICOM")
    assert "cannot be read" in refusal_of(volume, [tmp_path / "text"], tmp_path).said
    twice = write_series(tmp_path / "again", slicer.util.arrayFromVolume(volume))
    assert "several DICOM series" in refusal_of(volume, [*files, *twice], tmp_path).said


def test_without_highdicom_it_says_so_and_how_to_get_it(
    loaded: Callable[..., tuple[Any, list[Path]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, files = loaded()
    monkeypatch.setitem(sys.modules, "highdicom", None)
    trouble = refusal_of(volume, files, tmp_path)
    assert "highdicom" in trouble.said
    assert "pip_install" in trouble.remedy


@pytest.fixture
def from_dicom(
    desk: Desk,
    loaded: Callable[..., tuple[Any, list[Path]]],
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    """Return a reader whose image was loaded from DICOM."""
    volume, files = loaded()
    known = instances(files)
    volume.SetAttribute(INSTANCES, " ".join(known))
    monkeypatch.setattr(slicer, "dicomDatabase", DicomDatabase(known), raising=False)
    slicer.app.slice_logic("Red").GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    desk.volume = volume
    desk.panel.question.image.setCurrentNode(volume)
    show_slice(volume, axis=2, index=6)
    return desk


def test_the_panel_writes_the_mask_as_it_is_now(from_dicom: Desk, scripted: Scripted, tmp_path: Path) -> None:
    desk, folder = from_dicom, tmp_path / "out"
    folder.mkdir()
    desk.panel._choose_folder = lambda: str(folder)
    block = desk.panel.exporting.block
    assert not block.export.enabled
    desk.connect(scripted.server.url)
    desk.ask(QUESTION)
    desk.settled()
    answer = desk.panel.answers.current
    assert answer is not None
    smaller = np.zeros(SHAPE[:2], dtype=bool)
    smaller[22:25, 5:9] = True
    set_slice(answer.scene.segmentation, answer.scene.segment_id, desk.volume, smaller, axis=2, index=6)
    desk.panel.answers.block.accept.click()
    block.export.click()
    desk.until(lambda: "Written" in str(block.line.text), 60)
    assert block.line.text == "Written: CORE-Seg-r1-SR.dcm, CORE-Seg-r1-SEG.dcm."
    for path in folder.iterdir():
        validated(path)
    segmentation = dcmread(folder / "CORE-Seg-r1-SEG.dcm")
    assert (segmentation.pixel_array.reshape(SHAPE[1], SHAPE[0]) == smaller.T).all()
    told = texts(dcmread(folder / "CORE-Seg-r1-SR.dcm"))
    assert told["Decision of the reader"] == ["Accepted, edited by the reader in 12 voxels"]


def test_an_image_that_is_not_of_dicom_cannot_be_exported_and_the_panel_says_why(
    desk: Desk, scripted: Scripted
) -> None:
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    button = desk.panel.exporting.block.export
    assert not button.enabled
    assert "not loaded from DICOM" in button.toolTip


def test_a_database_that_lost_the_files_is_named(
    from_dicom: Desk, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from_dicom.connect(scripted.server.url)
    from_dicom.ask()
    from_dicom.settled()
    monkeypatch.setattr(slicer, "dicomDatabase", DicomDatabase({}))
    from_dicom.panel.exporting.block.export.click()
    assert "knows 0 of the image's 12 files" in str(from_dicom.panel.exporting.block.line.text)
