"""What goes wrong while the panel asks, and what does not go wrong because of it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
from desk import LPS, SHAPE, Desk, Scripted, record, segments, slice_data
from headless import HeadlessSlicer
from qt_shim import application, qt
from rude_server import Exchange


@pytest.mark.parametrize(
    ("manners", "said"),
    [
        (lambda e: (e.body(), e.refuse(401, "no_access", "The request bears no token.")), "bears no token"),
        (lambda e: (e.body(), e.refuse(404, "not_found", "There is no such image.")), "no such image"),
        (lambda e: (e.body(), e.refuse(429, "busy", "Too many.")), "Too many."),
        (lambda e: (e.body(), e.refuse(503, "busy", "32 questions are waiting.")), "32 questions"),
        (lambda e: (e.body(), e.send(200, b"<html>Log in</html>", "text/html")), "no CORE-Seg server"),
        (lambda e: (e.body(), e.cut()), "broke"),
    ],
)
def test_a_server_in_trouble_is_a_line_in_the_panel_and_the_scene_stays(
    desk: Desk, scripted: Scripted, manners: Callable[[Exchange], None], said: str
) -> None:
    desk.connect(scripted.server.url)
    scripted.server.manners["POST", "/coreseg/jobs"] = manners
    before = slicer.mrmlScene.GetNumberOfNodes()
    desk.ask()
    desk.settled()
    assert desk.panel.state == "failed"
    assert said in desk.line
    assert "ERROR" in desk.chip
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert desk.panel.question.words == "Is there a tumor?", "the question can be asked again"


def test_a_wrong_address_is_said_in_the_strip(desk: Desk) -> None:
    desk.connect("127.0.0.1:9")
    assert "no server listens" in desk.panel.connection.line.text
    desk.connect("ftp://x")
    assert "no way to a server" in desk.panel.connection.line.text
    desk.picture("no_connection")


def test_a_scene_closed_in_between_drops_the_answer(desk: Desk, scripted: Scripted) -> None:
    scripted.events(
        (1, "token", {"slice": 6, "text": "A"}),
        then=lambda e: scripted.hold.wait(5),
    )
    desk.connect(scripted.server.url)
    desk.ask()
    desk.until(lambda: desk.panel.state == "receiving")
    slicer.mrmlScene.Clear(0)
    scripted.hold.set()
    desk.until(lambda: not desk.panel.pump.busy)
    assert desk.panel.state == "idle"
    assert not segments()


def test_an_image_deleted_in_between_drops_the_answer(desk: Desk, scripted: Scripted) -> None:
    scripted.events((1, "token", {"slice": 6, "text": "A"}), then=scripted.wait)
    desk.connect(scripted.server.url)
    desk.ask()
    desk.until(lambda: desk.panel.state == "receiving")
    slicer.mrmlScene.RemoveNode(desk.volume)
    assert desk.panel.state == "cancelled"
    desk.until(lambda: not desk.panel.pump.busy)
    assert not segments()


def test_a_mask_that_does_not_fit_is_an_error_and_the_scene_stays(desk: Desk, scripted: Scripted) -> None:
    wrong = slice_data(6, "present")
    wrong["mask_rle"] = {"shape": [3, 3], "counts": [4, 5]}
    scripted.events((1, "slice", wrong), (2, "done", record("present")))
    desk.connect(scripted.server.url)
    desk.ask()
    desk.settled()
    assert desk.panel.state == "failed"
    assert not segments()


def study(desktop: HeadlessSlicer, *volumes: Any) -> None:
    """Put volumes into one study, as Slicer's DICOM reader does."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(desktop.scene)
    item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    for volume in volumes:
        hierarchy.CreateItem(item, volume)


def test_a_study_is_asked_image_by_image_and_one_that_fails_holds_up_none(
    desk: Desk, scripted: Scripted, desktop: HeadlessSlicer
) -> None:
    others = [desktop.volume(np.full(SHAPE[::-1], value, np.int16), LPS) for value in (1, 2)]
    desktop.volume(np.full(SHAPE[::-1], 3, np.int16), LPS, name="of another study")
    study(desktop, desk.volume, *others)
    well = scripted.server.manners["POST", "/coreseg/jobs"]

    def fail_the_second(exchange: Exchange) -> None:
        if scripted.server.count("POST", "/coreseg/jobs") == 2:
            exchange.body()
            exchange.refuse(500, "internal", "It failed.")
        else:
            well(exchange)

    scripted.server.manners["POST", "/coreseg/jobs"] = fail_the_second
    desk.connect(scripted.server.url)
    desk.panel.question.scope.setCurrentIndex(3)
    assert desk.panel.question.where.text == "3 images of the study, one after another"
    desk.ask()
    desk.settled()
    assert scripted.server.count("POST", "/coreseg/jobs") == 3
    assert [asked["params"]["scope"] for asked in scripted.asked] == ["volume", "volume"]
    assert len({asked["image"] for asked in scripted.asked}) == 2
    assert desk.line.startswith("Image 3 of 3")
    assert desk.panel.answers.block.table.rowCount() == 2
    assert len(segments()) == 2


def test_cancelling_a_study_asks_nothing_more(
    desk: Desk, scripted: Scripted, desktop: HeadlessSlicer
) -> None:
    study(desktop, desk.volume, desktop.volume(np.ones(SHAPE[::-1], np.int16), LPS))
    scripted.events((1, "token", {"slice": 6, "text": "A"}), then=scripted.wait)
    desk.connect(scripted.server.url)
    desk.panel.question.scope.setCurrentIndex(3)
    desk.ask()
    desk.until(lambda: desk.panel.state == "receiving")
    assert desk.line.startswith("Image 1 of 2")
    desk.panel.question.ask.click()
    desk.settled()
    assert desk.panel.state == "cancelled"
    assert scripted.server.count("POST", "/coreseg/jobs") == 1


def heartbeats(desk: Desk) -> tuple[float, float]:
    """Return the longest time between two beats of Qt while a question waits, by the wall's clock and the thread's."""
    wall: list[float] = []
    thread: list[float] = []
    last = [time.monotonic(), time.thread_time()]

    def beat() -> None:
        now = [time.monotonic(), time.thread_time()]
        wall.append(now[0] - last[0])
        thread.append(now[1] - last[1])
        last[:] = now

    heart = qt.QTimer()
    heart.setInterval(5)
    heart.timeout.connect(beat)
    desk.ask()
    last[:] = [time.monotonic(), time.thread_time()]
    heart.start()
    desk.until(lambda: desk.panel.state == "waiting")
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        application.processEvents()
        time.sleep(0.001)
    heart.stop()
    desk.panel.question.ask.click()
    desk.settled()
    return max(wall), max(thread)


def test_the_user_interface_never_stands_still_while_the_server_is_slow(
    desk: Desk, scripted: Scripted
) -> None:
    def slowly(exchange: Exchange) -> None:
        time.sleep(0.8)
        exchange.json(202, {"id": "j1"})

    called: list[str] = []

    def listen(event: str, _details: object) -> None:
        if event == "socket.connect" and listening and threading.current_thread() is threading.main_thread():
            called.append(event)

    listening = [True]
    sys.addaudithook(listen)
    desk.connect(scripted.server.url)
    scripted.server.manners["POST", "/coreseg/jobs"] = slowly
    beats = [heartbeats(desk) for _ in range(3)]
    listening.clear()
    assert not called, "the main thread never speaks to the network itself"
    assert min(thread for _, thread in beats) < 0.05
    # On a machine with more work than processors the wall's clock tells of the others.
    if os.getloadavg()[0] < (os.cpu_count() or 1):
        assert min(wall for wall, _ in beats) < 0.05
