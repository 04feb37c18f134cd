"""A reader made up from true masks, and the server that is corrected."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import ModelError
from coreseg_core.evaluation import metrics
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import picture_geometry, read_label, write_label
from coreseg_core.imaging.png import png_bytes
from training.tuning.proof.client import Client

START_S = 300.0
_APP = Path(__file__).resolve().parents[3] / "apps" / "coreseg"


@contextmanager
def serving(folder: Path, *, base: Path, port: int) -> Iterator[Client]:
    """Yield a client of a server that runs for the length of the block.

    Args:
        folder: Where studies, versions and runs go.
        base: Manifest of base data.
        port: On this machine.
    """
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(_APP)]
    command += ["--studies", str(folder / "studies"), "--host", "127.0.0.1", "--port", str(port)]
    for key, value in {
        "versions": folder / "versions",
        "runs": folder / "runs",
        "replay": base,
        "guard": base,
    }.items():
        command += ["--conf", key, str(value.absolute())]
    environment = {**os.environ, "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    environment.setdefault("PYTHONPATH", str(_APP.parents[1]))
    client = Client(f"http://127.0.0.1:{port}", token=environment.get("CORESEG_TOKEN", ""))
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_S
        while not client.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ModelError("The server did not start.", remedy="Look into server.log.")
            time.sleep(0.5)
        yield client
    finally:
        process.terminate()
        process.wait(60)


class Reader:
    """Asks about pictures and submits what is true of them.

    Args:
        client: Of the server.
        query: What is asked.
    """

    def __init__(self, client: Client, *, query: str) -> None:
        self._client, self._query = client, query
        self._found: list[float] = []
        self._first: dict[str, _Answer] = {}

    @property
    def mean_dice(self) -> float:
        """Of the masks that were answered, against the true ones."""
        return round(float(np.mean(self._found)), 4) if self._found else float("nan")

    def correct(self, row: Row, *, shift: float = 0.0) -> None:
        """Bring a picture in, ask about it, and submit its true mask, moved by a share of the width."""
        rgb, mask = load_row(row)
        name = _name(row)
        self._client.put_image(name, png_bytes(rgb), {"patient": row.patient_key})
        answer = self._first[row.id] = self._ask(row, mask.shape)
        record, answered = answer.record, answer.mask
        self._found.append(metrics.dice(answered, mask))
        drawn = np.roll(mask, round(shift * mask.shape[1]), axis=1)
        edits = {
            "by": "made-up reader",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "diff_voxels": int((drawn != answered).sum()),
            "slices": [0] if (drawn != answered).any() else [],
        }
        outcome = "present" if drawn.any() else "absent"
        child = {
            **record,
            "id": uuid.uuid4().hex,
            "parent_id": record["id"],
            "edits": edits,
            "outcome": outcome,
            "lesions": [],
        }
        self._client.submit(name, label_file(drawn), {"params": {"record": child}})

    def answers_as_at_first(self, row: Row) -> bool:
        """Return whether a picture that was corrected is answered as it was then, to the last bit."""
        first = self._first[row.id]
        again = self._ask(row, first.mask.shape)
        same = ("query", "outcome", "slices", "lesions", "model")
        return bool((first.mask == again.mask).all()) and all(
            first.record[key] == again.record[key] for key in same
        )

    def _ask(self, row: Row, shape: tuple[int, ...]) -> _Answer:
        """Return the answer about a picture of a shape (h, w)."""
        record = self._client.ask(_name(row), {"query": self._query, "slice": 0, "axis": "k"})
        content = self._client.label(_name(row), tag=f"coreseg-{record['id']}")
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "label.nii.gz"
            path.write_bytes(content)
            label = read_label(path, picture_geometry(width=shape[1], height=shape[0]))
        return _Answer(record=record, mask=label[..., 0].T > 0)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    record: dict[str, Any]
    mask: NDArray[np.bool_]


def _name(row: Row) -> str:
    return f"case-{uuid.uuid5(uuid.NAMESPACE_OID, row.id).hex[:12]}"


def label_file(mask: NDArray[np.bool_]) -> bytes:
    """Return a mask (h, w) of a picture as a NIfTI file on its grid."""
    height, width = mask.shape
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "label.nii.gz"
        write_label(path, mask.T[..., None].astype(np.uint8), picture_geometry(width=width, height=height))
        return path.read_bytes()
