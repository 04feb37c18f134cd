"""What clients send is stored under names of our own, whole or not at all, and unpacks to no more than agreed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from full_disk import full_disk

from coreseg_core.errors import InputError, LimitError, StorageError
from coreseg_core.limits import Limits
from lib.archives import unpack
from lib.passing import passing_folder, process_folder, remove_abandoned
from lib.sessions import SafeSessions
from lib.uploads import save_upload

HOSTILE = ["../../evil.dcm", "/etc/evil.dcm", "C:\\evil.dcm", "a/../../b.dcm", "plain.dcm", "no_ending"]
BOUND = {"limit_bytes": 10_000, "limits": Limits(max_files=20)}


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def taped(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.FIFOTYPE, "pipe")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else "plain.dcm"
            archive.addfile(info)
    return path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("pack", [zipped, taped])
def test_names_in_an_archive_lead_nowhere(tmp_path: Path, into: Path, pack: type) -> None:
    archive = pack(tmp_path / "sent", {name: name.encode() for name in HOSTILE})
    count = unpack(archive, into, **BOUND)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        ["sent", *(f"{number:06d}.dcm" for number in range(1, 6)), "000006"]
    )
    contents = {path.read_bytes().decode() for path in into.iterdir()}
    assert set(HOSTILE) <= contents and count == len(list(into.iterdir()))
    assert not any(path.is_symlink() for path in into.iterdir())


@pytest.mark.parametrize("pack", [zipped, taped])
def test_an_archive_that_swells_is_refused_before_it_has(tmp_path: Path, into: Path, pack: type) -> None:
    archive = pack(tmp_path / "sent", {"a": b"0" * 6000, "b": b"0" * 6000})
    with pytest.raises(LimitError):
        unpack(archive, into, **BOUND)
    assert sum(path.stat().st_size for path in into.iterdir()) <= 10_000


def zeros_in_zip(path: Path, kind: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", kind) as archive, archive.open("x", "w") as member:
        for _ in range(64):
            member.write(bytes(1_000_000))


def zeros_in_tar(path: Path, packing: str = "gz", **options: int) -> None:
    with tarfile.open(path, f"w:{packing}", **options) as archive:
        info = tarfile.TarInfo("x")
        info.size = 64_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))


def zeros_in_name(path: Path) -> None:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("x" * 64_000_000))


def zeros_in_attribute(path: Path) -> None:
    with tarfile.open(
        path, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"note": "x" * 64_000_000}
    ) as archive:
        archive.addfile(tarfile.TarInfo("x"))


BOMBS = {
    "zip": zeros_in_zip,
    "zip of bzip2": partial(zeros_in_zip, kind=zipfile.ZIP_BZIP2),
    "tar.gz": zeros_in_tar,
    "tar.bz2": partial(zeros_in_tar, packing="bz2"),
    "tar.xz": partial(zeros_in_tar, packing="xz", preset=0),
    "name in tar.gz": zeros_in_name,
    "attribute in tar.gz": zeros_in_attribute,
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_little_that_becomes_64_megabytes_is_refused_in_little_memory(
    tmp_path: Path, into: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "sent"
    make(path)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises((InputError, LimitError)):
        unpack(path, into, limit_bytes=100_000_000, limits=Limits())
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 48 * 10**6
    assert not list(into.iterdir())


@pytest.mark.parametrize("pack", [zipped, taped])
def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, into: Path, pack: type) -> None:
    with pytest.raises(LimitError):
        unpack(pack(tmp_path / "sent", {str(number): b"x" for number in range(21)}), into, **BOUND)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 but no more", b"\x1f\x8b nothing", b"plain text", b"\x00" * 10240]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, into: Path, content: bytes) -> None:
    path = tmp_path / "sent"
    path.write_bytes(content)
    with pytest.raises(InputError):
        unpack(path, into, **BOUND)


def test_a_cut_archive_is_refused(tmp_path: Path, into: Path) -> None:
    for pack in (zipped, taped):
        path = pack(tmp_path / "sent", {"a.dcm": os.urandom(3000), "b.dcm": os.urandom(3000)})
        path.write_bytes(path.read_bytes()[:3500])
        with pytest.raises(InputError) as refused:
            unpack(path, into, **BOUND)
        assert refused.value.http_status == 400
        for left in into.iterdir():
            left.unlink()


@pytest.mark.parametrize("pack", [zipped, taped])
def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path: Path, into: Path, pack: type) -> None:
    archive = pack(tmp_path / "sent", {"Doe.dcm": os.urandom(3000)})
    with full_disk(1000), pytest.raises(StorageError, match="cannot write") as told:
        unpack(archive, into, **BOUND)
    assert told.value.http_status == 507
    assert "space left" in told.value.remedy and "Doe" not in str(told.value)


def test_a_full_disk_is_told_to_whoever_sends_a_file(into: Path) -> None:
    for size in (2000, 2 * 1024**2):
        with full_disk(1000), pytest.raises(StorageError):
            save_upload(io.BytesIO(bytes(size)), f"{size}.nii.gz", folder=into, name=str(size))


@pytest.mark.parametrize("name", ["../../x.nii.gz", "/etc/x.nii.gz", "Doe^Jane.nii.gz", "x.NII.GZ", None])
def test_an_uploaded_file_keeps_nothing_of_its_name_but_the_ending(into: Path, name: str | None) -> None:
    assert save_upload(io.BytesIO(b"x"), name, folder=into) == into / "image.nii.gz"


@pytest.mark.parametrize("name", ["x.exe", "x", "nii.gz/", ".pt"])
def test_a_file_of_an_unknown_kind_is_refused(into: Path, name: str) -> None:
    with pytest.raises(InputError):
        save_upload(io.BytesIO(b"x"), name, folder=into)
    assert not list(into.iterdir())


def test_a_session_appears_whole_and_is_found_by_another_process(tmp_path: Path) -> None:
    sessions = SafeSessions(str(tmp_path / "kept"), 3600)
    folder = sessions.coming_folder()
    (folder / "image.nii.gz").write_bytes(b"image")
    info = sessions.keep(folder, "image.nii.gz", expiry_s=90)
    again = SafeSessions(str(tmp_path / "kept"), 3600).get_session(info.name)
    assert again is not None and Path(again.image).read_bytes() == b"image"
    assert again.expiry == 90
    assert sessions.keep(sessions.coming_folder(), ".", expiry_s=10**9).expiry == 3600


@pytest.mark.parametrize("name", ["..", "../kept", "/etc", "", ".", "kept", "0" * 36, "a\x00b", "../" * 12])
def test_no_session_id_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "meta.info").write_text("{}")
    sessions = SafeSessions(str(tmp_path / "kept"), 3600)
    assert sessions.get_session(name) is None
    sessions.remove_session(name)
    assert (tmp_path / "meta.info").exists()


def test_sessions_that_a_killed_server_left_unfinished_go_and_the_others_stay(tmp_path: Path) -> None:
    sessions = SafeSessions(str(tmp_path), 3600)
    kept = sessions.keep(sessions.coming_folder(), ".")
    over = sessions.keep(sessions.coming_folder(), ".", expiry_s=1)
    over.last_access_ts = 0
    (Path(over.path) / "meta.info").write_text(over.to_str())
    broken = sessions.keep(sessions.coming_folder(), ".")
    (Path(broken.path) / "meta.info").write_text('{"na')
    fresh, stale = sessions.coming_folder(), sessions.coming_folder()
    os.utime(stale, (time.time() - 7200,) * 2)
    (tmp_path / "not ours").mkdir()
    assert SafeSessions(str(tmp_path), 3600).remove_expired() == 3
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, fresh.name, "not ours"}


def test_one_place_that_is_gone_or_unlike_a_session_keeps_no_other_one_from_going(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = SafeSessions(str(tmp_path), 3600)
    odd = sessions.keep(sessions.coming_folder(), ".")
    (Path(odd.path) / "meta.info").write_text('["Doe^Jane"]')
    # Listed, and not there when it is looked at, as an upload that has just ended.
    (tmp_path / ".coming-ended").symlink_to(tmp_path / "nowhere")
    stale = sessions.coming_folder()
    os.utime(stale, (time.time() - 7200,) * 2)
    assert SafeSessions(str(tmp_path), 3600).remove_expired() == 1
    assert {path.name for path in tmp_path.iterdir()} == {odd.name, ".coming-ended"}
    (logged,) = caplog.messages
    assert "AttributeError" in logged and "Doe" not in logged and odd.name not in logged


def test_files_on_their_way_go_with_the_block_and_those_of_a_killed_process_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process_folder.cache_clear()
    program = (
        "import os, sys, tempfile; sys.path.insert(0, sys.argv[1]); tempfile.tempdir = sys.argv[2]\n"
        "from lib.passing import process_folder\n"
        "(process_folder() / 'label-1.nii.gz').write_bytes(b'x')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    app = Path(__file__).resolve().parents[2] / "apps" / "coreseg"
    subprocess.run([sys.executable, "-c", program, str(app), str(tmp_path)], check=False, timeout=60)
    (killed,) = tmp_path.iterdir()
    os.utime(killed, (time.time() - 300,) * 2)
    with passing_folder() as place:
        (place / "x").write_bytes(b"x")
        assert not killed.exists()
        alive = process_folder()
        os.utime(alive, (time.time() - 300,) * 2)
        assert remove_abandoned() == 0
        assert alive.exists()
    assert not place.exists()
    process_folder.cache_clear()
