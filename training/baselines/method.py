"""What every baseline is: a picture in, a mask out."""

from __future__ import annotations

from typing import Protocol

from coreseg_core.evaluation.pictures import Mask, Picture
from coreseg_core.evaluation.rows import Row


class Method(Protocol):
    """Outlines the target of a picture without being asked anything."""

    def mask(self, picture: Picture, row: Row) -> Mask:
        """Return the (h, w) mask; only ceilings look at `picture.mask`, only the ellipse at the set."""
