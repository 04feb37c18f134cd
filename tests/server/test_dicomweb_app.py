"""The app over a DICOMweb server learns and lends as it does over a folder; MONAI Label's own stores do not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from monailabel.config import settings
from test_dicomweb_store import GRID, Folder

from coreseg_core.errors import InputError, NotFoundError, SourceError
from coreseg_core.imaging import Volume, read_volume, write_dicom_series, write_label
from lib.watch import UNWATCHED

if TYPE_CHECKING:
    from main import CoreSegApp


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CoreSegApp]:
    """Yield the app, its archive being a folder in place of a server on the web."""
    # Without MONAI Label's server object in sight the app puts no routes into it.
    monkeypatch.delitem(sys.modules, "monailabel.app", raising=False)
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "kept"))
    for seed, modality in enumerate(("CT", "MR")):
        place = tmp_path / "archive" / modality
        place.mkdir(parents=True)
        voxels = np.random.default_rng(seed).integers(0, 900, GRID.shape_ijk).astype(np.int16)
        write_dicom_series(
            place, Volume(voxels, GRID, modality), modality=modality, description="x", seed=seed
        )
    from main import CoreSegApp

    conf = {"device": "cpu", "runs": str(tmp_path / "runs"), "versions": str(tmp_path / "versions")}
    made = CoreSegApp(str(tmp_path / "app"), "http://127.0.0.1:9/dicomweb", conf)
    monkeypatch.setattr(made.datastore(), "_archive", Folder(tmp_path / "archive"))
    yield made


def test_it_offers_what_an_app_over_a_folder_offers(app: CoreSegApp) -> None:
    told = app.info()
    assert sorted(told["models"]) == ["coreseg", "coreseg_click"]
    assert sorted(told["trainers"]) == ["coreseg_grpo", "coreseg_sft"]
    assert sorted(told["strategies"]) == ["first", "random", "uncertainty"]
    assert told["datastore"]["total"] == 2


def test_two_readers_get_different_series_and_a_label_stays_here_and_says_so(
    app: CoreSegApp, tmp_path: Path
) -> None:
    store = app.datastore()
    lent = [app._strategies["first"]({"client_id": reader}, store)["id"] for reader in ("a", "b")]
    assert lent == sorted(store.list_images())
    label = tmp_path / "label.nii.gz"
    write_label(label, np.ones(GRID.shape_ijk, np.uint8), read_volume(store.get_image_uri(lent[0])).geometry)
    sent = store._archive.sent
    store.save_label(lent[0], str(label), "final", {})
    assert app.on_save_label(lent[0], lent[0]) == {"sent_to_dicomweb": False}
    assert store.get_labeled_images() == [lent[0]] and store._archive.sent == sent


def test_a_training_is_refused_for_too_little_to_learn_from_and_not_for_the_kind_of_store(
    app: CoreSegApp,
) -> None:
    trainer = app._trainers["coreseg_sft"]
    with pytest.raises(InputError, match="nothing to learn from"):
        trainer.start({}, app.datastore())
    assert app.trainings is not None and not app.trainings.all()


def test_an_archive_that_answers_no_more_leaves_images_out_by_reason(app: CoreSegApp, tmp_path: Path) -> None:
    store = app.datastore()
    name = store.list_images()[0]
    label = tmp_path / "label.nii.gz"
    write_label(label, np.ones(GRID.shape_ijk, np.uint8), GRID)
    store.save_label(name, str(label), "final", {"params": {"record": record_of(name)}})
    store._archive.down = True
    with pytest.raises(InputError, match=r"nothing to learn from \(1 x it cannot be read \(source\)\)"):
        app._trainers["coreseg_sft"].start({}, store)


def test_a_question_is_taken_before_its_series_is_fetched_and_its_job_says_why_it_cannot_be(
    app: CoreSegApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib.routes import asked

    monkeypatch.setattr(asked, "app_instance", lambda: app)
    archive, params = app.datastore()._archive, {"query": "liver tumor on CT", "slice": 1}
    for image in app.datastore().list_images():
        question = asked.check_asked(model="coreseg", image=image, session_id="", params=params)
        assert archive.sent == 0
    with pytest.raises(NotFoundError):
        asked.check_asked(model="coreseg", image="nobody", session_id="", params=params)
    archive.down = True
    assert asked.check_asked(model="coreseg", image=question.image, session_id="", params=params) == question
    with pytest.raises(SourceError):
        question.work()(UNWATCHED)


def record_of(image: str) -> dict[str, object]:
    finding = {"axis": "k", "index": 1, "outcome": "present", "reasoning": "", "answer": ""}
    return {
        "schema": "coreseg.record/1", "id": "r1", "image_id": image, "query": "liver tumor on CT",
        "scope": {"axis": "k", "start": 1, "stop": 2}, "outcome": "present", "slices": [finding],
        "model": {"preset": "lite", "version": "v0", "sha256": "0" * 64}, "lesions": [],
        "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
