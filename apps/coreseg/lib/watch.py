"""Who follows a piece of work: hears what it found so far, times its stages, and may ask it to stop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from coreseg_core.errors import Cancelled


class Watch(Protocol):
    """What the work tells, and the one thing it asks."""

    def stopping(self) -> bool:
        """Return whether the work is to stop; asked before every slice and every word."""
        ...

    def token(self, index: int, text: str) -> None:
        """Hear the next piece of text about slice `index`."""
        ...

    def slice_done(self, index: int, finding: Mapping[str, Any], mask_rle: Mapping[str, Any]) -> None:
        """Hear what was found on slice `index`; told again where its neighbours leave less of it."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Hear how many slices of how many are answered."""
        ...

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Return a context whose time counts as that of stage `name`."""
        ...


class Unwatched:
    """Nobody listens, and nobody stops the work."""

    def stopping(self) -> bool:
        return False

    def token(self, index: int, text: str) -> None: ...

    def slice_done(self, index: int, finding: Mapping[str, Any], mask_rle: Mapping[str, Any]) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


UNWATCHED: Watch = Unwatched()


def stop_if_asked(watch: Watch) -> None:
    """Return nothing while the work may go on.

    Raises:
        Cancelled: It is to stop.
    """
    if watch.stopping():
        raise Cancelled("The question was cancelled.", remedy="Ask it again if it is still wanted.")
