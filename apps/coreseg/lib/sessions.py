"""Images that were sent for a while: MONAI Label's sessions, whole or not at all, under names of our own."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from monailabel.utils.sessions import SessionInfo, Sessions

from lib.errors import where
from lib.names import is_session_id

_COMING = ".coming-"
_STALE_S = 3600

_log = logging.getLogger(__name__)


class SafeSessions(Sessions):
    """Sessions in one folder; no id leads out of it, and what a killed server left unfinished goes."""

    def get_session(
        self, session_id: str, update_ts: bool = True, fetch_cache: bool = True
    ) -> SessionInfo | None:
        """Return what is known of a session, None where there is none."""
        if not is_session_id(session_id):
            return None
        try:
            return super().get_session(session_id, update_ts=update_ts, fetch_cache=fetch_cache)
        except (OSError, ValueError, KeyError):
            # Its description was not whole: it is no session.
            return None

    def remove_session(self, session_id: str) -> None:
        """Remove a session, if there is one."""
        if is_session_id(session_id):
            super().remove_session(session_id)

    def remove_expired(self) -> int:
        """Return how many sessions were removed, being over or never finished."""
        folder = Path(self.store_path)
        removed = 0
        for place in folder.iterdir() if folder.is_dir() else ():
            try:
                over = self._over(place)
            except Exception as error:
                # Whatever lies there: MONAI Label's timer ends for good at an exception, and no session would go.
                _log.error("A session was not looked at: %s", where(error))
                continue
            if over:
                self.pop(place.name, None)
                shutil.rmtree(place, ignore_errors=True)
                removed += 1
        return removed

    def _over(self, place: Path) -> bool:
        if place.name.startswith(_COMING):
            try:
                return place.stat().st_mtime < time.time() - _STALE_S
            except FileNotFoundError:
                # Since the folder was listed it has become a session, or was given up.
                return False
        if not is_session_id(place.name):
            return False
        found = self.get_session(place.name, update_ts=False, fetch_cache=False)
        return found is None or 0 < found.expiry < time.time() - found.last_access_ts

    def coming_folder(self) -> Path:
        """Return a new folder for what is to become a session; `keep` makes it one."""
        folder = Path(self.store_path) / f"{_COMING}{secrets.token_hex(8)}"
        folder.mkdir(parents=True)
        return folder

    def keep(self, folder: Path, image: str, *, expiry_s: int = 0) -> SessionInfo:
        """Return the session that a folder has become, all at once.

        Args:
            folder: From `coming_folder`.
            image: Name in it of the image, a file or a folder.
            expiry_s: How long it is kept after the last use; 0 for as long as the server keeps any.
        """
        session_id, now = str(uuid.uuid4()), int(time.time())
        place = Path(self.store_path) / session_id
        values: dict[str, Any] = {
            "name": session_id,
            "path": str(place),
            "image": str(place / image),
            "meta": {},
            "create_ts": now,
            "last_access_ts": now,
            "expiry": min(expiry_s, self.expiry) if expiry_s > 0 else self.expiry,
        }
        info = SessionInfo(values)
        (folder / "meta.info").write_text(info.to_str(), encoding="utf-8")
        folder.rename(place)
        self[session_id] = info
        return info
