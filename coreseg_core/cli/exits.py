"""How a program ends that does not come to its end: in words, and with an exit code that a script can read."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from coreseg_core.errors import CoreSegError

DONE, BAD_REQUEST, INTERRUPTED = 0, 2, 130
STOPPED = "Stopped."
GOES_ON = "Stopped; the same command goes on where this one was."

P = ParamSpec("P")


def exit_code(main: Callable[P, int | None], *, stopped: str = STOPPED) -> Callable[P, int]:
    """Return a program that ends in words: expected failures on stderr with their remedy, without a traceback.

    Args:
        main: The program; None counts as done.
        stopped: What is said after Ctrl-C; `GOES_ON` where nothing that was done is lost.

    Returns:
        The program; it returns 0, what `main` returns, 2 for an expected failure or 130 after Ctrl-C.
    """

    @functools.wraps(main)
    def told(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            return main(*arguments, **options) or DONE
        except CoreSegError as error:
            print(error_text(error), file=sys.stderr)
            return BAD_REQUEST
        except KeyboardInterrupt:
            print(f"\n{stopped}", file=sys.stderr)
            return INTERRUPTED

    return told


def error_text(error: CoreSegError) -> str:
    """Return the reason and the remedy of an expected failure in two lines."""
    return f"coreseg: {error.reason}" + (f"\n  What to do: {error.remedy}" if error.remedy else "")
