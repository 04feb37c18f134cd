"""The server over a real DICOMweb server (`tiny_pacs`, in an environment of its own: `make tools`), and a hung one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from socket import create_server

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from following import ASK
from living import Live, free_port

from coreseg_core.imaging import Volume, VolumeGeometry, read_label, read_volume, write_dicom_series

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

GRID = VolumeGeometry((64, 60, 5), np.diag([-3.0, -3.0, 5.0, 1.0]))
CONFIG = """
ae: {{ae_title: [TEST], port: {dicom_port}}}
components:
  Database: {{"on": true}}
  Devices: {{"on": true}}
  PACS: {{"on": true}}
  InMemoryStorage: {{"on": true}}
  HttpServer: {{"on": true, host: 127.0.0.1, port: {port}}}
  DICOMWeb: {{"on": true}}
"""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a DICOMweb server with a CT, an MR, a PET and an ultrasound series."""
    port = free_port()
    config = tmp_path / "pacs.yaml"
    config.write_text(CONFIG.format(port=port, dicom_port=free_port()))
    program = Path(os.environ["CORESEG_TOOLS"]) / "bin" / "tiny-pacs"
    with (tmp_path / "pacs.log").open("wb") as log:
        process = subprocess.Popen([program, "run", "-c", config], stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}/dicomweb"
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                httpx.get(f"{address}/studies", timeout=30)
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline, (
                    tmp_path / "pacs.log"
                ).read_text()
                time.sleep(0.3)
        fill(DICOMwebClient(address), tmp_path / "sent")
        yield address
    finally:
        process.kill()
        process.wait()


def fill(client: DICOMwebClient, place: Path) -> None:
    for seed, modality in enumerate(("CT", "MR", "PT", "US")):
        folder = place / modality
        folder.mkdir(parents=True)
        voxels = np.random.default_rng(seed).integers(0, 900, GRID.shape_ijk).astype(np.int16)
        volume = Volume(voxels, GRID, modality)
        write_dicom_series(folder, volume, modality=modality, description="x", seed=seed)
        client.store_instances([pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))])


@pytest.mark.skipif(
    "CORESEG_TOOLS" not in os.environ, reason="CORESEG_TOOLS names no environment: `make tools`"
)
def test_series_are_listed_fetched_asked_and_labelled(archive: str, live: Live, tmp_path: Path) -> None:
    live.studies = archive
    live.environment = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(tmp_path / "kept")}
    http = live.start()
    images = http.get("/datastore/", params={"output": "all"}).json()["objects"]
    assert sorted(name.split("-")[0] for name in images) == ["ct", "mr", "pt", "us"]
    (kept,) = (tmp_path / "kept").iterdir()
    assert not list(kept.glob("*.nii.gz"))
    for name in images:
        body = {"image": name, "params": {**ASK, "query": "tumor", "slice": 2}}
        job_id = http.post("/coreseg/jobs", json=body).json()["id"]
        while (job := http.get(f"/coreseg/jobs/{job_id}").json())["state"] in ("queued", "running"):
            time.sleep(0.2)
        assert job["state"] == "done", job
        record = job["record"]
        volume = read_volume(kept / f"{name}.nii.gz")
        assert record["series_uid"] == volume.series_uid
        label = kept / "labels" / f"coreseg-{record['id']}" / f"{name}.nii.gz"
        read_label(label, volume.geometry)
    label = {"label": ("label.nii.gz", label.read_bytes())}
    saved = http.put("/datastore/label", params={"image": name, "tag": "final"}, files=label)
    assert saved.status_code == 200 and saved.json()["sent_to_dicomweb"] is False
    left = {
        http.post("/activelearning/first", json={"client_id": str(number)}).json().get("id")
        for number in range(3)
    }
    assert name not in left and len(left) == 3
    # It learns like any other; here from too little.
    assert sorted(http.get("/info/").json()["trainers"]) == ["coreseg_grpo", "coreseg_sft"]
    refused = http.post("/train/coreseg_sft", json={})
    assert refused.status_code == 400 and "learn" in refused.json()["detail"]["reason"], refused.text
    assert http.get("/proxy/dicom/qido/studies").status_code == 404


def test_while_the_archive_is_silent_others_are_answered(live: Live, tmp_path: Path) -> None:
    """A program that hangs still takes connections: the system does so for it."""
    with closing(create_server(("127.0.0.1", 0))) as hung:
        live.studies = f"http://127.0.0.1:{hung.getsockname()[1]}/dicomweb"
        live.environment = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(tmp_path / "kept")}
        live.conf = {"dicomweb_timeout_s": "20"}
        http = live.start()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(http.get, "/datastore/", params={"output": "all"})
            time.sleep(2)
            begun = time.monotonic()
            assert http.get("/coreseg/health").status_code == 200
            waited_s = time.monotonic() - begun
            assert not waiting.done() and waited_s < 10
            answer = waiting.result()
    print(f"health of the server while its archive is silent: {1000 * waited_s:.0f} ms")
    assert answer.status_code == 502 and "said nothing for 20 s" in answer.json()["detail"]["reason"]
