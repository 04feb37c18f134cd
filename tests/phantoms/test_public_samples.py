"""`coreseg samples` against a real server on this machine: what arrives was checked, or nothing arrives."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coreseg_core.download import CHUNK_BYTES, open_address, require_allowed_address, require_safe_name
from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging import Volume, VolumeGeometry, read_volume, write_volume
from coreseg_core.samples import Sample, fetch, read_table, samples

CONTENT = np.random.default_rng(5).bytes(3 * CHUNK_BYTES + 1234)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Shelf:
    """What the server holds and what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: int | None = None
        self.ranges = True
        self.announce = True
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    held = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            held.requests.append((self.path, asked))
            name = self.path.rsplit("/", 1)[-1]
            if name in held.redirects:
                self.send_response(302)
                self.send_header("Location", held.redirects[name])
                self.end_headers()
                return
            if name not in held.files:
                self.send_error(404)
                return
            content, start = held.files[name], 0
            if asked and held.ranges:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if held.announce:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = len(content) if held.break_after is None else held.break_after
            self.wfile.write(content[start:stop])

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_address[1]}/store"
    yield held
    server.shutdown()
    server.server_close()
    thread.join()


def _sample(**changes: Any) -> Sample:
    sample = Sample(
        name="Trial",
        what="bytes for a test",
        modality="MR",
        anatomy="brain",
        query="Is there a brain tumor?",
        licence="Apache-2.0",
        citation="none",
        address="https://example.invalid/store/trial",
        sha256=DIGEST,
        bytes=len(CONTENT),
        max_bytes=10 * len(CONTENT),
        file="trial.bin",
        unpack="none",
    )
    return replace(sample, **changes)


def _fetch(shelf: Shelf, folder: Path, sample: Sample, **options: Any) -> Any:
    return fetch(sample.name, folder, base_url=shelf.url, table={sample.name: sample}, **options)


def _left(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_good_file_arrives_whole_with_its_sidecar_and_progress(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT
    steps: list[tuple[int, int | None]] = []
    got = _fetch(shelf, tmp_path, _sample(), progress=lambda done, total: steps.append((done, total)))
    assert got.path.read_bytes() == CONTENT
    assert (got.sha256, got.verified) == (DIGEST, True)
    assert json.loads((tmp_path / "trial.json").read_text())["modality"] == "MR"
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert _left(tmp_path) == {"trial.bin", "trial.json"}


def test_a_file_that_is_there_and_unaltered_is_not_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT
    _fetch(shelf, tmp_path, _sample())
    _fetch(shelf, tmp_path, _sample())
    assert len(shelf.requests) == 1


def test_a_file_that_was_altered_on_the_disk_is_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT
    _fetch(shelf, tmp_path, _sample()).path.write_bytes(b"something else")
    assert _fetch(shelf, tmp_path, _sample()).path.read_bytes() == CONTENT


def test_an_altered_file_is_refused_and_nothing_of_it_stays(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(InputError, match="SHA-256"):
        _fetch(shelf, tmp_path, _sample())
    assert _left(tmp_path) == set()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_truncated_transfer_is_an_error_and_the_next_attempt_completes_it(
    shelf: Shelf, tmp_path: Path, ranges: bool
) -> None:
    shelf.files["trial"], shelf.break_after, shelf.ranges = CONTENT, 2 * CHUNK_BYTES + 7, ranges
    with pytest.raises(InputError, match="broke off"):
        _fetch(shelf, tmp_path, _sample())
    assert "trial.bin" not in _left(tmp_path)
    shelf.break_after = None
    assert _fetch(shelf, tmp_path, _sample()).path.read_bytes() == CONTENT
    asked = shelf.requests[-1][1]
    assert asked is not None
    assert asked.startswith("bytes=")
    assert _left(tmp_path) == {"trial.bin", "trial.json"}


def test_a_partial_file_of_something_else_does_not_survive_the_hash(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT
    (tmp_path / ".trial.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="SHA-256"):
        _fetch(shelf, tmp_path, _sample())
    assert _fetch(shelf, tmp_path, _sample()).path.read_bytes() == CONTENT


def test_a_whole_partial_file_is_accepted_without_another_byte(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT
    (tmp_path / ".trial.bin.part").write_bytes(CONTENT)
    assert _fetch(shelf, tmp_path, _sample()).path.read_bytes() == CONTENT


@pytest.mark.parametrize("announce", [True, False])
def test_a_file_above_the_cap_is_cut_off_and_deleted(shelf: Shelf, tmp_path: Path, announce: bool) -> None:
    shelf.files["trial"], shelf.announce = CONTENT, announce
    with pytest.raises(LimitError, match=str(CHUNK_BYTES)):
        _fetch(shelf, tmp_path, _sample(bytes=None, max_bytes=CHUNK_BYTES))
    assert _left(tmp_path) == set()


def test_a_missing_file_is_an_error_that_names_the_answer(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="404"):
        _fetch(shelf, tmp_path, _sample())
    assert _left(tmp_path) == set()


def test_a_server_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    sample = _sample()
    with pytest.raises(InputError) as caught:
        fetch("Trial", tmp_path, base_url="http://127.0.0.1:9", table={"Trial": sample})
    assert caught.value.remedy


def test_without_a_known_hash_fetching_is_refused_unless_asked_for(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["trial"] = CONTENT
    with pytest.raises(InputError, match="accept-unverified"):
        _fetch(shelf, tmp_path, _sample(sha256=None))
    assert shelf.requests == []
    got = _fetch(shelf, tmp_path, _sample(sha256=None), accept_unverified=True)
    assert (got.sha256, got.verified) == (DIGEST, False)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "http://example.invalid/x", "file:///etc/hostname"])
def test_redirects_to_what_is_not_allowed_are_refused(shelf: Shelf, tmp_path: Path, target: str) -> None:
    shelf.redirects["trial"] = target
    with pytest.raises(InputError):
        _fetch(shelf, tmp_path, _sample())
    assert _left(tmp_path) == set()


def test_redirects_to_an_allowed_address_are_followed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.redirects["trial"] = f"{shelf.url}/elsewhere"
    shelf.files["elsewhere"] = CONTENT
    assert _fetch(shelf, tmp_path, _sample()).path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/x",
        "http://127.0.0.1.example.org/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "https:///x",
        "https://name:word@example.org/x",
        "x",
    ],
)
def test_only_https_or_this_machine_is_asked(address: str) -> None:
    with pytest.raises(InputError):
        require_allowed_address(address)


@pytest.mark.parametrize("address", ["https://example.org/x", "http://localhost:1/x", "http://[::1]:1/x"])
def test_https_and_loopback_are_allowed(address: str) -> None:
    require_allowed_address(address)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\\b", ".hidden", "", "x" * 101, "a..b", "nul", "COM1.nrrd", "a\0b", "a\n", "/etc/x"],
)
def test_names_that_lead_out_of_the_folder_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        require_safe_name(name)
    with pytest.raises(InputError):
        _sample(file=name)


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch("../../x", tmp_path)
    assert "MRBrainTumor1" in caught.value.remedy
    assert _left(tmp_path) == set()


def test_a_volume_is_unpacked_to_nifti_on_its_own_grid(shelf: Shelf, tmp_path: Path) -> None:
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    geometry = VolumeGeometry(shape_ijk=(4, 5, 6), affine_ras=affine)
    volume = Volume(voxels=voxels, geometry=geometry, modality="MR")
    write_volume(tmp_path / "source.nrrd", volume)
    content = (tmp_path / "source.nrrd").read_bytes()
    shelf.files["trial"] = content
    sample = _sample(
        file="source.nrrd", unpack="nifti", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
    )
    got = _fetch(shelf, tmp_path / "studies", sample)
    assert _left(tmp_path / "studies") == {"Trial.nii.gz", "Trial.json", "source.nrrd"}
    assert {path.name for path in (tmp_path / "studies").glob("*.nrrd")} == set()
    back = read_volume(got.path)
    assert back.modality == "MR"
    assert np.array_equal(back.voxels, voxels)
    back.geometry.assert_same(volume.geometry)


def test_the_table_that_ships_is_complete_and_its_addresses_carry_their_hashes() -> None:
    table = samples()
    assert "MRBrainTumor1" in table
    for sample in table.values():
        require_allowed_address(sample.address)
        assert sample.address.startswith("https://")
        assert sample.licence
        assert sample.citation
        assert sample.sha256 is None or len(bytes.fromhex(sample.sha256)) == 32
        if "/SHA256/" in sample.address:
            assert sample.address.endswith(f"/SHA256/{sample.sha256}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": "coreseg.samples/9", "samples": []}',
        '{"schema": "coreseg.samples/1", "samples": [{"name": "x"}]}',
    ],
)
def test_a_damaged_table_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        read_table(text)


def test_the_default_opener_refuses_schemes_it_was_not_made_for() -> None:
    with pytest.raises(InputError):
        open_address(urllib.request.Request("file:///etc/hostname"))
