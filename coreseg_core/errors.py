"""What can go wrong, said to the person who runs the program.

Every error carries what was wrong (with the offending value and the limit), a remedy, and a stable `code` that
the command line (exit code 2) and the HTTP layer (4xx or 5xx) translate. No message ever carries patient data:
no names, no identifiers, no dates, no image file names.
"""

from __future__ import annotations


class CoreSegError(Exception):
    """An expected failure with a reason and a remedy.

    Args:
        reason: What was wrong, with the value and the limit.
        remedy: What the operator can do about it.
    """

    code = "error"
    http_status = 500

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"{reason} {remedy}".strip())
        self.reason = reason
        self.remedy = remedy


class InputError(CoreSegError):
    """A request or a file that cannot be used as it is."""

    code = "bad_input"
    http_status = 400


class GeometryError(InputError):
    """Voxels whose place in space is missing, contradictory or singular."""

    code = "bad_geometry"


class LimitError(InputError):
    """Something larger than this program agrees to read."""

    code = "too_large"
    http_status = 413


class ModelError(CoreSegError):
    """A model that cannot be built or run as asked."""

    code = "model"
    http_status = 503


class CheckpointError(ModelError):
    """A weight file that is missing, altered or of another model."""

    code = "checkpoint"


class Cancelled(CoreSegError):
    """The caller asked the work to stop; nothing was written."""

    code = "cancelled"
    http_status = 499
