"""A small manifest of made-up pictures, and the real one where there is one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from made_up_pictures import SIZE_HW, Oracle, disc, row_values
from PIL import Image

from coreseg_core.evaluation import Row, read_manifest
from coreseg_core.record import Outcome

# A busy machine is no failure.
settings.register_profile("evaluation", deadline=None)
settings.load_profile("evaluation")


@pytest.fixture
def oracle() -> Callable[..., Oracle]:
    """Make an oracle."""

    def make(outcome_of_word: dict[str, Outcome] | None = None, **values: Any) -> Oracle:
        return Oracle(outcome_of_word or {}, [], **values)

    return make


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., tuple[Row, ...]]:
    """Write pictures with one bright disc each (none on a lesion-free one) and their manifest."""

    def make(count: int, **changes: Any) -> tuple[Row, ...]:
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        lines = []
        for number in range(count):
            values = row_values(number, **changes)
            x, y = 15 + 6 * (number % 9), 15 + 5 * (number % 7)
            mask = disc(*SIZE_HW, x=x, y=y, radius=8 + number % 4)
            if values["disease"] == "none":
                mask[:] = False
            grey = rng.integers(20, 60, SIZE_HW).astype(np.uint8)
            grey[mask] = 220
            Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / values["image"])
            Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / values["mask"])
            lines.append(json.dumps(values))
        path = tmp_path / "manifest.jsonl"
        path.write_text("\n".join(lines) + "\n")
        return read_manifest(path)

    return make


@pytest.fixture(scope="session")
def lesions() -> Path:
    """The manifest of real pictures, where there is one."""
    folder = os.environ.get("CORESEG_DATA")
    if not folder:
        pytest.skip("CORESEG_DATA is not set: the real pictures are not part of the project")
    return Path(folder) / "lesions" / "manifest.jsonl"
