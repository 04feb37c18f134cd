"""Progress bars on stderr, so that stdout holds nothing but the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Show = Callable[[int, int | None], None]

_LOG_INTERVAL_S = 10.0


@contextmanager
def progress_bar(what: str, *, unit: str, shown: bool = True) -> Iterator[Show]:
    """Yield a function that takes how much is done and how much there is in all (None: unknown).

    Args:
        what: Said before the bar, which appears with the first call.
        unit: What is counted; "B" counts bytes in powers of 1024.
        shown: False for work too short to be worth a bar.
    """
    bar: tqdm | None = None

    def show(done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None:
            bar = _new_bar(what, unit=unit, shown=shown, total=total)
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def _new_bar(what: str, *, unit: str, shown: bool, total: int | None) -> tqdm:
    return tqdm(
        desc=what,
        unit=unit,
        total=total,
        unit_scale=unit == "B",
        unit_divisor=1024,
        file=sys.stderr,
        disable=not shown,
        # In a log file every refresh is a line.
        mininterval=0.1 if sys.stderr.isatty() else _LOG_INTERVAL_S,
    )
