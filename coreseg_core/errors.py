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


class NotFoundError(InputError):
    """Something the request names and this server does not have."""

    code = "not_found"
    http_status = 404


class StorageError(InputError):
    """A disk of this machine that does not take what is to be written, most often because it is full."""

    code = "storage"
    http_status = 507


class AccessError(InputError):
    """A request from somebody who may not make it."""

    code = "no_access"
    http_status = 401


class ForbiddenError(InputError):
    """Something this server does for nobody."""

    code = "forbidden"
    http_status = 403


class BusyError(ModelError):
    """More work than this server takes on at once.

    Args:
        reason: As in `CoreSegError`.
        remedy: As in `CoreSegError`.
        retry_after_s: When it is worth to ask again.
    """

    code = "busy"

    def __init__(self, reason: str, *, remedy: str, retry_after_s: int) -> None:
        super().__init__(reason, remedy=remedy)
        self.retry_after_s = retry_after_s


class SourceError(CoreSegError):
    """A server that images come from and that does not answer as it should."""

    code = "source"
    http_status = 502


class AlreadyRunningError(CoreSegError):
    """Something of which there is one at a time, and it is there already."""

    code = "already_running"
    http_status = 429


class InternalError(CoreSegError):
    """A fault of this program; what exactly is for the log, not for the client."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__(
            "The server failed at this request.", remedy="Look into its log, and report what stands there."
        )
