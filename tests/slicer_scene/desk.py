"""A reader at the panel, and a CORE-Seg server that answers as a test wants; the way between both is real."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from qt_shim import application
from rude_server import HEALTH, Exchange, RudeServer

from CORESegLib.machine import RUNNING
from CORESegLib.panel import Panel

SHAPE = (32, 28, 12)
LPS = ((-1.5, 0, 0, 24.0), (0, -1.5, 0, 21.0), (0, 0, 3.0, -18.0), (0, 0, 0, 1))
WORDS = "One dark spot lies in the upper right part of the picture."
PICTURES = os.environ.get("CORESEG_PICTURES")


def square() -> np.ndarray:
    mask = np.zeros(SHAPE[:2], dtype=bool)
    mask[22:28, 5:9] = True
    return mask


def runs(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    return {"shape": list(mask.shape), "counts": ([0] if flat[0] else []) + np.diff(edges).tolist()}


def slice_data(index: int, outcome: str, **more: Any) -> dict[str, Any]:
    mask = square() if outcome == "present" else np.zeros(SHAPE[:2], dtype=bool)
    finding = {"axis": "k", "index": index, "outcome": outcome, "reasoning": WORDS, "confidence": 0.8, **more}
    return {"finding": finding, "mask_rle": runs(mask)}


def record(outcome: str, image_id: str = "px-1") -> dict[str, Any]:
    return {
        "record": {
            "schema": "coreseg.record/1",
            "id": "r1",
            "image_id": image_id,
            "query": "tumor?",
            "scope": {"axis": "k", "start": 6, "stop": 7},
            "model": {"preset": "lite", "version": "v0", "sha256": "0" * 64},
            "outcome": outcome,
            "slices": [],
            "lesions": [],
            "created": "2026-01-01T00:00:00+00:00",
        }
    }


class Scripted:
    """A CORE-Seg server that answers as a test wants; the way there is real."""

    def __init__(self, server: RudeServer) -> None:
        self.server = server
        self.asked: list[dict[str, Any]] = []
        self.labels: list[bytes] = []
        self.hold = threading.Event()
        server.manners = {
            ("GET", "/coreseg/health"): lambda e: e.json(200, HEALTH),
            ("HEAD", "/datastore/image"): lambda e: e.send(404, b"", "application/json"),
            ("PUT", "/datastore/image"): lambda e: (e.body(), e.json(200, {})),
            ("PUT", "/datastore/label"): lambda e: (self.labels.append(e.body()), e.json(200, {})),
            ("POST", "/coreseg/jobs"): self._submit,
            ("DELETE", "/coreseg/jobs/j1"): lambda e: e.json(200, {}),
        }
        self.outcome("present")

    def outcome(self, outcome: str) -> None:
        self.events((1, "slice", slice_data(6, outcome)), (2, "done", record(outcome)))

    def events(
        self, *events: tuple[int, str, dict[str, Any]], then: Callable[[Exchange], None] | None = None
    ) -> None:
        def answer(exchange: Exchange) -> None:
            send = exchange.chunks("text/event-stream")
            for number, name, data in events:
                send(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
            if then is not None:
                then(exchange)
            exchange.cut()

        self.server.manners["GET", "/coreseg/jobs/j1/events"] = answer

    def wait(self, _exchange: Exchange) -> None:
        self.hold.wait(5)

    def _submit(self, exchange: Exchange) -> None:
        self.asked.append(json.loads(exchange.body()))
        exchange.json(202, {"id": "j1"})


class Desk:
    """A reader at the panel."""

    def __init__(self, panel: Panel, volume: Any, view: Any) -> None:
        self.panel = panel
        self.volume = volume
        self.view = view

    def until(self, true: Callable[[], bool], timeout_s: float = 8.0) -> None:
        """Let Qt run until something is true."""
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, f"it did not come about; {self.panel.state}"
            application.processEvents()
            time.sleep(0.001)

    def connect(self, url: str) -> None:
        self.panel.connection.address.setEditText(url)
        self.panel.connection.connect_button.click()
        self.until(lambda: not self.panel.pump.busy)

    def ask(self, text: str = "Is there a tumor?") -> None:
        self.panel.question.text.setPlainText(text)
        self.panel.question.ask.click()

    def settled(self) -> None:
        self.until(lambda: self.panel.state not in RUNNING and not self.panel.pump.busy)

    @property
    def line(self) -> str:
        return str(self.panel.question.line.text)

    @property
    def chip(self) -> str:
        return str(self.panel.answers.block.chip.widget.text)

    def picture(self, name: str, part: Any = None) -> None:
        """Save a picture of the panel, or of a part of it, where somebody asked for pictures."""
        if PICTURES:
            self.panel.widget.resize(480, 1200)
            application.processEvents()
            shown = self.panel.widget if part is None else part
            assert shown.grab().save(str(Path(PICTURES) / f"{name}.png"))


def segments() -> list[str]:
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", slicer.mrmlScene)
    shown = [node for node in nodes if not node.GetHideFromEditors()]
    return [name for node in shown for name in node.GetSegmentation().GetSegmentIDs()]
