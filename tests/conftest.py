"""What several areas share: a small random model of the `lite` make. Built on demand; most tests need no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from coreseg_core.models.coreseg import CoreSegModel


@pytest.fixture(scope="session")
def tokenizer_file() -> Path:
    from coreseg_core.models.load import packaged_folder

    return packaged_folder("lite") / "tokenizer.json"


@pytest.fixture(scope="session")
def model(tokenizer_file: Path) -> CoreSegModel:
    from small_lite import random_lite

    return random_lite(tokenizer_file)
