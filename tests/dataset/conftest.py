"""A small imported manifest that the later steps start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_sets import FOLDERS, FREE, LESIONS, SIDE, speckle, square, write_picture, write_source

from training.dataset.importing import Given, import_sources
from training.dataset.splits import SplitPlan


@pytest.fixture(scope="session")
def raw_ultrasound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of breasts with one bright square each, and one without."""
    raw = tmp_path_factory.mktemp("raw")
    for number in range(LESIONS + FREE):
        picture, mask = speckle(number) // 3, square(4 + 6 * number, 8 + 3 * number, 9 + number)
        if number >= LESIONS:
            mask = np.zeros((SIDE, SIDE), np.uint8)
        picture[mask > 0] = 230
        write_picture(raw / f"images/p{number:03d}.png", picture)
        write_picture(raw / f"masks/p{number:03d}.png", mask)
    return raw


@pytest.fixture
def imported(raw_ultrasound: Path, tmp_path: Path) -> Path:
    """The manifest of these pictures."""
    source = write_source(
        tmp_path / "us.yaml",
        **FOLDERS,
        empty="lesion_free",
        labels=[{"value": "any", "target": "breast tumor", "disease": "malignant breast tumor"}],
    )
    given = [Given(source, raw_ultrasound)]
    return import_sources(
        given, tmp_path / "set", plan=SplitPlan(), long_side_px=512, progress=lambda *_: None
    ).manifest
