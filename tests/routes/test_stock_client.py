"""The client of 3D Slicer's own MONAI Label module, unmodified as its package brings it, against this server."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from living import Live

from coreseg_core.imaging import read_label, read_volume

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CLIENT = Path(sys.prefix) / "monailabel/plugins/slicer/MONAILabel/MONAILabelLib/client.py"
IMAGE = "demo_ct_liver"
PARAMS = {"query": "liver tumor", "slice": "13", "axis": "axial", "scope": "slice", "reasoning": "none"}


@pytest.fixture
def stock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stock_client", CLIENT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_does_all_that_the_module_does(live: Live, stock: ModuleType, tmp_path: Path) -> None:
    live.start()
    client: Any = stock.MONAILabelClient(f"http://127.0.0.1:{live.port}", str(tmp_path), client_id="reader-1")
    info = client.info()
    assert info["models"]["coreseg"]["type"] == "segmentation"
    assert info["models"]["coreseg_click"]["type"] == "deepgrow"
    geometry = read_volume(live.store / f"{IMAGE}.nii.gz").geometry

    file, params = client.infer("coreseg", IMAGE, dict(PARAMS))
    assert params["outcome"] in ("present", "uncertain") and params["label_names"] == {"lesion": 1}
    by_id = read_label(file, geometry)

    session = client.create_session(str(live.store / f"{IMAGE}.nii.gz"))["session_id"]
    assert client.get_session(session)
    file, _ = client.infer("coreseg", "", dict(PARAMS), session_id=session)
    assert np.array_equal(read_label(file, geometry), by_id)

    i, j, k = (int(side) // 2 for side in geometry.shape_ijk)
    clicks = {"label": "lesion", "foreground": [[i, j, k]], "background": [], "slice": k}
    file, params = client.infer("coreseg_click", IMAGE, clicks)
    assert params["record"]["marks"]["inside_ijk"] == [[i, j, k]]
    client.remove_session(session)

    saved = client.save_label(IMAGE, str(live.store / "truth" / f"{IMAGE}.nii.gz"), params={"label_info": []})
    assert saved["label"] == IMAGE
    assert client.datastore()["objects"][IMAGE]["labels"]["final"]
    assert client.upload_image(str(live.store / "demo_us_breast.nii.gz"), image_id="sent")["image"] == "sent"
    samples = {client.next_sample("first", {})["id"] for _ in range(3)}
    assert IMAGE not in samples and len(samples) == 3

    assert client.train_status(check_if_running=True) is False
    with pytest.raises(stock.MONAILabelClientException) as refused:
        client.infer("coreseg", IMAGE, {**PARAMS, "slice": "99"})
    assert "Slice 99 is not in the image" in refused.value.msg
