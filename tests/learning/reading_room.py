"""A store in which a reader has answered a model, with images and records made up on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging import Volume, VolumeGeometry, write_label, write_volume
from coreseg_core.record import Outcome
from lib.names import IMAGE_EXTENSIONS
from lib.store import SafeStore

SHAPE = (40, 32, 6)
GEOMETRY = VolumeGeometry(shape_ijk=SHAPE, affine_ras=np.diag([-1.5, -1.5, 4.0, 1.0]))


def blob(*slices: int, at: tuple[int, int] = (10, 8), size: int = 8) -> NDArray[np.bool_]:
    """Return a label volume with a square on some slices along k."""
    label = np.zeros(SHAPE, bool)
    for index in slices:
        label[at[0] : at[0] + size, at[1] : at[1] + size, index] = True
    return label


class ReadingRoom:
    """Fills a store."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.store = SafeStore(str(folder), extensions=[f"*{ending}" for ending in IMAGE_EXTENSIONS])
        self._passing = folder.parent / "passing"
        self._passing.mkdir()

    def image(self, name: str, *, modality: str | None = "MR", patient: str | None = None) -> str:
        """Add an image of noise with a bright square."""
        rng = np.random.default_rng(sum(name.encode()))
        voxels = rng.normal(100, 10, SHAPE).astype(np.float32)
        voxels[10:18, 8:16] += 120
        path = self._passing / f"{name}.nii.gz"
        write_volume(path, Volume(voxels=voxels, geometry=GEOMETRY, modality=modality))
        self.store.add_image(name, str(path), {} if patient is None else {"patient": patient})
        if modality is not None:
            (self.folder / f"{name}.json").write_text(json.dumps({"modality": modality}))
        return name

    def answer(
        self,
        image: str,
        label: NDArray[np.bool_],
        *,
        query: str = "Is there a brain tumor on this FLAIR?",
        outcomes: dict[int, Outcome] | None = None,
        answer: str = "<answer>The brain tumor is located at [[1,1,5,5]]. The mask is <seg>.</answer>",
    ) -> dict[str, Any]:
        """Keep a model's answer with its record, and return the record."""
        said = outcomes or {index: "present" if label[..., index].any() else "absent" for index in range(6)}
        record = {
            "schema": "coreseg.record/1",
            "id": f"r{len(self.store.get_labels_by_image_id(image))}",
            "image_id": image,
            "query": query,
            "scope": {"axis": "k", "start": min(said), "stop": max(said) + 1},
            "model": {"preset": "lite", "version": "v0", "sha256": "0" * 64},
            "outcome": "present" if label.any() else "absent",
            "slices": [
                {"axis": "k", "index": index, "outcome": outcome, "reasoning": "", "answer": answer}
                for index, outcome in said.items()
            ],
            "lesions": [],
            "created": "2026-01-01T00:00:00+00:00",
        }
        self._keep(image, label, f"coreseg-{record['id']}", {"params": {"record": record}})
        return record

    def submit(self, image: str, label: NDArray[np.bool_], info: dict[str, Any] | None = None) -> None:
        """Submit a reader's label."""
        self._keep(image, label, "final", info or {})

    def corrected(self, image: str, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
        """Add an image with an answer and what the reader made of it, as the panel of 3D Slicer submits it."""
        self.image(image)
        record = self.answer(image, before)
        slices = [index for index in range(6) if (before[..., index] != after[..., index]).any()]
        edits = {"by": "reader", "at": "2026-01-02T00:00:00+00:00", "slices": slices}
        child = {**record, "id": f"{record['id']}c", "parent_id": record["id"], "edits": edits}
        self.submit(image, after, {"params": {"record": child}})

    def _keep(self, image: str, label: NDArray[np.bool_], tag: str, info: dict[str, Any]) -> None:
        path = self._passing / "label.nii.gz"
        write_label(path, label.astype(np.uint8), GEOMETRY)
        self.store.save_label(image, str(path), tag, info)
