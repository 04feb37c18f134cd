"""A CORE-Seg server's manners about trainings and versions, over real HTTP: a test says what happens when."""

from __future__ import annotations

import json
import threading
from typing import Any

from rude_server import Exchange, RudeServer

RUN = "20260102T000000-sft-ab12"
NEW = "20260102T001000Z-1a2b3c4d"
SCORES = {
    "guard": {
        "Dice": {"parent": 0.71, "version": 0.74, "change": [0.03, -0.01, 0.06], "n": 40},
        "right denials": {"parent": 0.9, "version": 0.9, "change": [0.0, 0.0, 0.0], "n": 20},
    },
    "corrections": {
        "Dice": {"parent": 0.4, "version": 0.55, "change": [0.15, 0.05, 0.25], "n": 6},
        "right denials": {"parent": None, "version": None, "change": [None, None, None], "n": 0},
    },
}
REASON = "Dice on the guard went from 0.710 to 0.610"
COURSE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("progress", {"stage": "prepare"}),
    ("progress", {"stage": "embed"}),
    (
        "progress",
        {"stage": "learn", "done": 2, "total": 4, "eta_s": 3.0, "step": 2, "loss": 1.5, "dice": None},
    ),
    (
        "progress",
        {"stage": "learn", "done": 4, "total": 4, "eta_s": 0.0, "step": 4, "loss": 0.9, "dice": 0.6},
    ),
    ("progress", {"stage": "judge", "done": 3, "total": 60}),
)


class TrainingManners:
    """What the server does about trainings; `begin` lets one run.

    Attributes:
        told: Events of the run so far.
        orders: Bodies of the requests that asked for a training.
        promoted: Requests that asked for another version, with their queries.
        passes: Whether the guard lets the new version pass.
        stopping: Whether somebody asked the training to stop.
        down: Whether streams break, as when the server is started anew.
    """

    def __init__(self, server: RudeServer, *, passes: bool = True, labels: int = 9) -> None:
        self.server = server
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.orders: list[dict[str, Any]] = []
        self.promoted: list[str] = []
        self.passes = passes
        self.stopping = False
        self.down = False
        self.current, self.before = "v0", list[str]()
        self.published = False
        self.more = threading.Condition()
        self._stand: dict[str, Any] | None = None
        server.manners |= {
            ("GET", "/datastore/"): lambda e: e.json(200, {"label_tags": {"final": labels}}),
            ("GET", "/coreseg/training"): lambda e: e.json(
                200, {"trainings": [self._stand] if self._stand else []}
            ),
            ("GET", f"/coreseg/training/{RUN}"): lambda e: e.json(200, self._stand),
            ("DELETE", f"/coreseg/training/{RUN}"): self._stop,
            ("GET", f"/coreseg/training/{RUN}/events"): self._events,
            ("GET", "/coreseg/versions"): lambda e: e.json(200, self.versions()),
            ("POST", "/coreseg/versions/roll-back"): self._roll_back,
            ("POST", f"/coreseg/versions/{NEW}/promote"): lambda e: self._promote(e, NEW),
            ("POST", "/coreseg/versions/v0/promote"): lambda e: self._promote(e, "v0"),
            ("POST", "/train/coreseg_sft"): self._order,
        }

    def begin(self) -> None:
        """Let a training run."""
        self._stand = {
            "run": RUN,
            "recipe": "sft",
            "state": "running",
            "stage": "learn",
            "step": 0,
            "steps": 4,
        }

    def tell(self, *events: tuple[str, dict[str, Any]]) -> None:
        """Let the training say something."""
        with self.more:
            self.told += events
            self.more.notify_all()

    def end(self) -> None:
        """Let the training come to a version, which answers at once if the guard lets it pass."""
        assert self._stand is not None
        self.published = True
        if self.passes:
            self._answer_by(NEW)
        reason = "" if self.passes else REASON
        self._stand |= {"state": "done", "stage": "ended", "step": 4, "version": NEW, "promoted": self.passes}
        self.tell(("done", {"version": NEW, "promoted": self.passes, "scores": SCORES, "reason": reason}))

    def fail(self, code: str, reason: str) -> None:
        """Let nothing come of the training."""
        assert self._stand is not None
        state = "stopped" if code == "cancelled" else "failed"
        self._stand |= {"state": state, "stage": "ended", "reason": reason}
        self.tell(("error", {"code": code, "reason": reason, "remedy": "Go on with it by `resume`."}))

    def versions(self) -> dict[str, Any]:
        """Return what the server tells of its versions."""
        new = {
            "version": NEW,
            "parent": "v0",
            "state": "accepted" if self.passes else "candidate",
            "recipe": {"guard": "phantoms"},
            "scores": SCORES,
            "guard": {"passed": self.passes, "reason": "" if self.passes else REASON},
            "run": RUN,
        }
        shipped = {"version": "v0", "parent": None, "state": "shipped"}
        return {
            "current": self.current,
            "before": self.before,
            "versions": [shipped, *([new] if self.published else [])],
        }

    def _order(self, exchange: Exchange) -> None:
        self.orders.append(json.loads(exchange.body()))
        if self._stand is not None and self._stand["state"] == "running":
            exchange.refuse(429, "already_running", f"The training {RUN} runs: learn, step 2 of 4.")
            return
        self.told.clear()
        self.begin()
        exchange.json(200, {"id": RUN, "status": "SUBMITTED"})

    def _stop(self, exchange: Exchange) -> None:
        self.stopping = True
        exchange.json(200, self._stand)

    def _events(self, exchange: Exchange) -> None:
        last = int(exchange.headers.get("Last-Event-ID", "0"))
        send = exchange.chunks("text/event-stream")
        while True:
            with self.more:
                if len(self.told) <= last:
                    self.more.wait(0.2)
                new = self.told[last:]
            if self.down:
                exchange.cut()
                return
            send(b": still here\n\n")
            for name, data in new:
                last += 1
                send(f"id: {last}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
                if name in ("done", "error"):
                    send(b"")
                    exchange.cut()
                    return

    def _promote(self, exchange: Exchange, name: str) -> None:
        self.promoted.append(exchange.path)
        if name == NEW and not self.passes and exchange.query.get("despite_guard") != "true":
            exchange.refuse(400, "bad_input", f"Version {NEW!r} waits: {REASON}.")
            return
        self._answer_by(name)
        exchange.json(200, self.versions())

    def _roll_back(self, exchange: Exchange) -> None:
        self.promoted.append(exchange.path)
        self.current = self.before.pop()
        exchange.json(200, self.versions())

    def _answer_by(self, name: str) -> None:
        self.before.append(self.current)
        self.current = name
