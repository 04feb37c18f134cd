"""The panel on the real scene, against a real HTTP server: asking, cancelling, correcting, submitting."""

from __future__ import annotations

import importlib
import json
import sys
import time
import zlib
from pathlib import Path

import pytest
import slicer
from desk import Desk, Scripted, record, runs, segments, slice_data, square
from headless import HeadlessSlicer
from qt_shim import qt
from rude_server import Exchange

from CORESegLib.address import ServerAddress
from CORESegLib.outbox import Outbox
from CORESegLib.outcomes import CHIPS, OUTCOMES
from CORESegLib.panel import Panel
from CORESegLib.scene_masks import set_slice


def test_nothing_can_be_asked_before_there_is_a_server_an_image_and_a_question(
    desk: Desk, scripted: Scripted
) -> None:
    panel = desk.panel
    assert panel.question.image.currentNode() is desk.volume, "the image in the view is chosen"
    assert not panel.question.ask.enabled
    assert desk.line == "Connect to a server first."
    desk.connect(scripted.server.url)
    assert desk.line == "Write a question."
    panel.question.text.setPlainText("tumor?")
    assert panel.question.ask.enabled
    assert panel.question.where.text == "Red view - axial slice 7 of 12"
    panel.question.image.setCurrentNode(None)
    assert desk.line == "Choose an image."


def test_a_question_becomes_a_mask_words_and_a_row(desk: Desk, scripted: Scripted) -> None:
    desk.connect(scripted.server.url)
    desk.ask()
    assert desk.panel.question.ask.text == "Cancel"
    desk.settled()
    assert desk.panel.state == "done"
    assert scripted.asked[0]["params"] == {
        "scope": "slice",
        "axis": "k",
        "slice": 6,
        "query": "Is there a tumor?",
    }
    assert "DOE" not in json.dumps([scripted.asked, scripted.server.seen])
    node = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", slicer.mrmlScene)[0]
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segments()[0], desk.volume)
    assert (square() == mask[6].T).all()
    assert mask.sum() == square().sum()
    assert "FOUND" in desk.chip
    page = desk.panel.answers.block.page.toPlainText()
    assert "From the mask: patient's left" in page
    assert "is the patient's left" in page, "the side in the text is explained"
    assert "not calibrated" in page
    assert desk.panel.answers.block.table.item(0, 3).text() == "Proposed"
    desk.picture("present")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_has_its_chip_and_only_found_marks_anything(
    desk: Desk, scripted: Scripted, outcome: str
) -> None:
    scripted.outcome(outcome)
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    assert CHIPS[outcome].word.upper() in desk.chip  # type: ignore[index]
    assert desk.panel.state == ("done" if outcome == "present" else "empty")
    assert len(segments()) == (outcome == "present")
    desk.picture(f"outcome_{outcome}")


def test_words_appear_while_they_are_written_and_cancelling_keeps_what_came(
    desk: Desk, scripted: Scripted
) -> None:
    scripted.events(
        (1, "progress", {"done": 0, "total": 3, "eta_s": None}),
        (2, "slice", slice_data(5, "present")),
        (3, "progress", {"done": 1, "total": 3, "eta_s": 2.0}),
        (4, "token", {"slice": 6, "text": "A small dark"}),
        then=scripted.wait,
    )
    desk.connect(scripted.server.url)
    desk.ask()
    desk.until(lambda: "A small dark" in desk.panel.answers.block.page.toPlainText())
    assert desk.line == "Slice 2 of 3, 1 with findings, about 0:02 left"
    assert "SO FAR" in desk.chip.upper()
    desk.picture("receiving")
    begun = time.monotonic()
    desk.panel.question.ask.click()
    assert desk.panel.state == "cancelled"
    assert time.monotonic() - begun < 0.1
    assert "1 slice, not all that were asked about" in desk.line
    assert len(segments()) == 1
    assert desk.panel.question.ask.text == "Ask"
    desk.until(lambda: scripted.server.count("DELETE", "/coreseg/jobs/j1") == 1)


def test_an_edit_is_seen_accepted_submitted_and_arrives_with_its_record(
    desk: Desk, scripted: Scripted
) -> None:
    panel = desk.panel
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    assert not panel.submitting.block.submit.enabled
    node = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", slicer.mrmlScene)[0]
    smaller = square()
    smaller[22] = False
    panel.editing.editor.saveStateForUndo()
    set_slice(node, segments()[0], desk.volume, smaller, axis=2, index=6)
    assert panel.answers.block.table.item(0, 3).text() == "Edited"
    assert "+0 / -4 voxels, slices 7" in panel.answers.block.edited.text
    panel.answers.block.accept.click()
    assert panel.answers.block.table.item(0, 3).text() == "Accepted"
    panel.submitting.block.text.setPlainText("A smaller spot.")
    panel.submitting.block.submit.click()
    desk.until(lambda: bool(scripted.labels) and not panel.pump.busy)
    assert panel.answers.block.table.item(0, 3).text() == "Submitted"
    assert b"A smaller spot." in scripted.labels[0]
    assert b'"parent_id": "r1"' in scripted.labels[0]
    assert b'"diff_voxels": 4' in scripted.labels[0]
    assert panel.submitting.block.line.text == "Sent: the server has it."
    assert not panel.submitting.outbox.waiting()
    desk.picture("submitted")


def test_what_is_submitted_while_the_server_is_away_waits_also_after_slicer_was_closed(
    desk: Desk, scripted: Scripted
) -> None:
    panel = desk.panel
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    taken = scripted.server.manners.pop(("PUT", "/datastore/label"))
    scripted.server.manners["PUT", "/datastore/label"] = Exchange.cut
    panel.answers.block.accept.click()
    panel.submitting.block.submit.click()
    desk.until(lambda: not panel.pump.busy)
    assert "1 waiting" in panel.submitting.block.waiting.text
    assert "kept and sent later" in panel.submitting.block.line.text
    panel.close()
    scripted.server.manners["PUT", "/datastore/label"] = taken
    again = Panel(confirm=lambda text: True)
    other = Desk(again, desk.volume, desk.view)
    assert "1 waiting" in again.submitting.block.waiting.text
    other.connect(scripted.server.url)
    other.until(lambda: not again.submitting.outbox.waiting())
    again.close()
    assert len(scripted.labels) == 1


def test_undo_takes_the_answer_out_in_one_step_and_other_segments_stay(
    desk: Desk, scripted: Scripted
) -> None:
    from CORESegLib.scene_answers import segmentation_for

    node = segmentation_for(desk.volume)
    own = node.GetSegmentation().AddEmptySegment("own", "own")
    set_slice(node, own, desk.volume, square(), axis=2, index=6)
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    assert len(segments()) == 2
    desk.panel.editing.editor.undo()
    assert segments() == ["own"]
    desk.panel.editing.editor.redo()
    assert len(segments()) == 2
    whole = slicer.util.arrayFromSegmentBinaryLabelmap(node, "own", desk.volume)
    assert (square() == whole[6].T).all()


def test_rejecting_takes_mask_original_and_words_out_of_the_scene(desk: Desk, scripted: Scripted) -> None:
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    desk.panel.answers.block.reject.click()
    assert not segments()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 0
    assert desk.panel.answers.block.table.rowCount() == 0


def test_a_link_in_the_answer_leads_to_its_slice(desk: Desk, scripted: Scripted) -> None:
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    desk.view.SetSliceOffset(-18.0)
    desk.panel.answers.block.page.anchorClicked.emit(qt.QUrl("coreseg-slice:2:6"))
    assert desk.view.GetSliceOffset() == pytest.approx(0.0)
    desk.panel.answers.block.page.anchorClicked.emit(qt.QUrl("http://evil.example/"))
    assert desk.view.GetSliceOffset() == pytest.approx(0.0)


def test_images_go_to_another_machine_only_after_the_person_said_so(
    desk: Desk, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerAddress, "this_machine", property(lambda self: False))
    asked: list[str] = []
    desk.panel._confirm = lambda text: asked.append(text) is not None
    desk.connect(scripted.server.url)
    assert "unencrypted" in desk.panel.connection.warning.text
    desk.ask()
    assert len(asked) == 1
    assert desk.panel.state == "idle"
    assert scripted.server.count("HEAD", "/datastore/image") == 0
    desk.panel._confirm = lambda text: True
    desk.ask()
    desk.settled()
    assert desk.panel.state == "done"


def test_ranges_and_volumes_are_asked_as_the_server_counts(desk: Desk, scripted: Scripted) -> None:
    desk.connect(scripted.server.url)
    desk.panel.question.scope.setCurrentIndex(1)
    desk.panel.question.first.setValue(9)
    desk.panel.question.last.setValue(3)
    desk.ask()
    desk.settled()
    desk.panel.question.scope.setCurrentIndex(2)
    desk.ask()
    desk.settled()
    assert [asked["params"].get("slice") for asked in scripted.asked] == ["2:9", None]
    assert [asked["params"]["scope"] for asked in scripted.asked] == ["range", "volume"]


def test_the_token_is_written_nowhere(desk: Desk, scripted: Scripted, tmp_path: Path) -> None:
    desk.panel.connection.token.setText("secret-token")
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    desk.panel._settings.sync()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"secret-token" in path.read_bytes()]
    texts = slicer.util.getNodesByClass("vtkMRMLTextNode", slicer.mrmlScene)
    assert not any("secret-token" in node.GetText() for node in texts)


def test_leaving_gives_keys_and_views_back(desk: Desk) -> None:
    editor = desk.panel.editing.editor
    assert (editor.keys, editor.views) == (True, True)
    desk.panel.exit()
    assert (editor.keys, editor.views) == (False, False)
    desk.panel.enter()


def test_the_outbox_lies_beside_slicers_settings(desk: Desk, tmp_path: Path) -> None:
    assert isinstance(desk.panel.submitting.outbox, Outbox)
    assert desk.panel.submitting.outbox.folder == tmp_path / "CORESeg" / "outbox"


def test_the_module_loads_and_its_self_test_passes(desktop: HeadlessSlicer) -> None:
    module = importlib.import_module("CORESeg")
    about = type("Parent", (), {})()
    module.CORESeg(about)
    assert about.title == "CORE-Seg"
    widget = module.CORESegWidget()
    widget.setup()
    widget.enter()
    widget.exit()
    widget.cleanup()
    module.CORESegTest().runTest()
    assert "SampleData" not in sys.modules


def test_clicks_go_back_with_the_same_question_and_change_their_slice_only(
    desk: Desk, scripted: Scripted
) -> None:
    scripted.events(
        (1, "slice", slice_data(5, "present")),
        (2, "slice", slice_data(6, "present")),
        (3, "done", record("present")),
    )
    desk.connect(scripted.server.url)
    desk.panel.question.scope.setCurrentIndex(2)
    desk.ask("Is there a tumor?")
    desk.settled()
    desk.panel.editing.again.click()
    assert "Click on the slice" in desk.line
    clicks = desk.panel.editing.clicks
    # Voxel (24, 7, 6), and one on a slice that is not shown.
    clicks.node("foreground").AddControlPoint(24.0 - 1.5 * 24, 21.0 - 1.5 * 7, 0.0)
    clicks.node("background").AddControlPoint(24.0 - 1.5 * 3, 21.0 - 1.5 * 4, -18.0)
    smaller = square()
    smaller[22:25] = False
    again = slice_data(6, "present")
    again["mask_rle"] = runs(smaller)
    second = record("present")
    second["record"]["id"] = "r2"
    scripted.events((1, "slice", again), (2, "done", second))
    desk.panel.editing.again.click()
    desk.settled()
    assert desk.panel.state == "done"
    assert scripted.asked[1]["params"] == {
        "scope": "slice",
        "axis": "k",
        "slice": 6,
        "foreground": [[24.0, 7.0, 6.0]],
        "query": "Is there a tumor?",
    }
    node = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", slicer.mrmlScene)[0]
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segments()[0], desk.volume)
    assert (square() == mask[5].T).all()
    assert (smaller == mask[6].T).all()
    assert desk.panel.answers.block.table.rowCount() == 1
    kept = desk.panel.answers.current
    assert kept is not None
    assert kept.findings.record is not None
    assert kept.findings.record.values["parent_id"] == "r1"
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 1
    desk.panel.editing.editor.undo()
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segments()[0], desk.volume)
    assert (square() == mask[6].T).all()
    clicks.clear()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


def test_a_slice_asked_again_in_vain_leaves_the_answer_as_it_was(desk: Desk, scripted: Scripted) -> None:
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    desk.panel.editing.clicks.node("foreground").AddControlPoint(-12.0, 10.5, 0.0)
    scripted.server.manners["POST", "/coreseg/jobs"] = Exchange.cut
    desk.panel.editing.again.click()
    desk.settled()
    assert desk.panel.state == "failed"
    assert len(segments()) == 1
    assert desk.panel.answers.block.accept.enabled


def test_an_accepted_absence_is_submitted_as_an_empty_label(desk: Desk, scripted: Scripted) -> None:
    scripted.outcome("absent")
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    desk.panel.answers.block.accept.click()
    desk.panel.submitting.block.submit.click()
    desk.until(lambda: bool(scripted.labels) and not desk.panel.pump.busy)
    assert b'"outcome": "absent"' in scripted.labels[0]
    assert b'"diff_voxels": 0' in scripted.labels[0]
    packed = scripted.labels[0].partition(b"space origin: ")[2].partition(b"\n\n")[2]
    assert not any(zlib.decompressobj(31).decompress(packed))
    assert not segments()


def test_scrolling_shows_the_slice_that_would_be_asked_about(desk: Desk, scripted: Scripted) -> None:
    desk.connect(scripted.server.url)
    desk.view.SetSliceOffset(-18.0)
    assert desk.panel.question.where.text == "Red view - axial slice 1 of 12"
    desk.view.SetSliceOffset(90.0)
    assert desk.panel.question.where.text == "This view shows no slice of the image."
    desk.panel.question.text.setPlainText("tumor?")
    assert not desk.panel.question.ask.enabled
