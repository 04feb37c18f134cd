"""What an operator chooses about the server itself, read from `--conf` and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from coreseg_core.errors import InputError
from coreseg_core.limits import Limits
from lib.jobs.queue import CAPACITY

TOKEN_VARIABLE = "CORESEG_TOKEN"
_MIB = 1024**2


def lie_elsewhere(studies: str) -> bool:
    """Return whether what stands behind `--studies` is another server, not a folder."""
    return studies.startswith(("http://", "https://"))


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Who is answered, and how much is taken on.

    `--conf` keys: `token` (or the environment variable `CORESEG_TOKEN`, which does not show in the list of
    processes), `queue` (places), `max_upload_mb`, `max_voxels`, `cache_mb`, `import_dicom` (`false` leaves DICOM
    folders alone), `dicomweb_timeout_s`.

    Attributes:
        token: What every request must bear; None where only this machine is answered.
        queue: Questions that may wait.
        max_upload_bytes: Of one request, all its files together.
        limits: What may be read.
        cache_bytes: What each of the model's two caches holds at most.
        import_dicom: Whether series in folders of the studies are brought in at the start.
        dicomweb_timeout_s: How long a DICOMweb server may say nothing before it counts as gone.
    """

    token: str | None = field(default=None, repr=False)
    queue: int = CAPACITY
    max_upload_bytes: int = 2048 * _MIB
    limits: Limits = field(default_factory=Limits)
    cache_bytes: int = 512 * _MIB
    import_dicom: bool = True
    dicomweb_timeout_s: int = 60

    @classmethod
    def read(cls, conf: Mapping[str, str], environment: Mapping[str, str]) -> ServerSettings:
        """Return the settings; what is not named takes its default.

        Raises:
            InputError: A token that cannot be sent, or no number where one must be.
        """
        token = conf.get("token")
        if token is None:
            token = environment.get(TOKEN_VARIABLE) or None
        if token is not None and not (token.isascii() and token.isprintable() and token.split() == [token]):
            # An empty one from a script whose variable was not set must not open the server.
            raise InputError(
                "The token is empty or holds spaces or characters that cannot be sent.",
                remedy="Use a long random one of letters and digits.",
            )
        whole = cls()
        return cls(
            token=token,
            queue=_number(conf, "queue", whole.queue),
            max_upload_bytes=_number(conf, "max_upload_mb", whole.max_upload_bytes // _MIB) * _MIB,
            limits=Limits(max_voxels=_number(conf, "max_voxels", whole.limits.max_voxels)),
            cache_bytes=_number(conf, "cache_mb", whole.cache_bytes // _MIB) * _MIB,
            import_dicom=_flag(conf, "import_dicom", whole.import_dicom),
            dicomweb_timeout_s=_number(conf, "dicomweb_timeout_s", whole.dicomweb_timeout_s),
        )


def _flag(conf: Mapping[str, str], key: str, default: bool) -> bool:
    text = conf.get(key)
    if text is None:
        return default
    if text.lower() not in ("true", "false"):
        raise InputError(f"The setting {key} is {text[:40]!r}.", remedy="Give true or false.")
    return text.lower() == "true"


def _number(conf: Mapping[str, str], key: str, default: int) -> int:
    text = conf.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 15 or int(text) < 1:
        raise InputError(f"The setting {key} is {text[:40]!r}.", remedy="Give a whole number of at least 1.")
    return int(text)
