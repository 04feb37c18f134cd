"""A DICOMweb server that falls silent keeps nobody waiting: what was waited for, the limit and the remedy are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server, socket

import pytest
from monailabel.config import settings

from coreseg_core.errors import SourceError
from coreseg_core.limits import Limits
from lib.dicomweb import DicomWebStore
from lib.dicomweb_client import open_dicomweb

HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 500\r\n\r\n[{"
LIMIT_S = 1


@pytest.fixture
def listening() -> Iterator[socket]:
    """Yield a socket of this machine that takes connections, as the system does for a program that hangs."""
    with closing(create_server(("127.0.0.1", 0))) as server:
        yield server


@pytest.fixture
def store(listening: socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DicomWebStore:
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/dicomweb"
    return open_dicomweb(address, extensions=["*.nii.gz"], limits=Limits(), silence_s=LIMIT_S)


def fault_of(store: DicomWebStore) -> tuple[SourceError, float]:
    begun = time.monotonic()
    with pytest.raises(SourceError) as fault:
        store.list_images()
    return fault.value, time.monotonic() - begun


@pytest.mark.timeout(120)
@pytest.mark.parametrize("said", [b"", HALF], ids=["from the start", "in the middle"])
def test_its_silence_has_a_limit_that_the_error_names(
    store: DicomWebStore, listening: socket, said: bytes
) -> None:
    held = []

    def answer() -> None:
        connection, _ = listening.accept()
        connection.sendall(said)
        held.append(connection)

    threading.Thread(target=answer, daemon=True).start()
    error, waited_s = fault_of(store)
    assert error.reason == "The DICOMweb server said nothing for 1 s, the limit (dicomweb_timeout_s)."
    assert "raise dicomweb_timeout_s" in error.remedy
    # Asked once: a client that tries again and again would wait for each try.
    assert LIMIT_S <= waited_s < 3 * LIMIT_S + 5
    assert str(listening.getsockname()[1]) not in f"{error}"


@pytest.mark.timeout(120)
def test_whoever_comes_next_hears_of_it_at_once(store: DicomWebStore) -> None:
    fault_of(store)
    error, waited_s = fault_of(store)
    assert "said nothing" in error.reason and waited_s < LIMIT_S
