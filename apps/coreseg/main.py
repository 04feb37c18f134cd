"""CORE-Seg as a MONAI Label app: the parts of `lib`, put together.

Research software, not a medical device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

import coreseg_core
from coreseg_core.errors import NotFoundError
from coreseg_core.runs import RECIPES
from lib.batch import BatchQuestions
from lib.batch_reports import write_reports
from lib.dicom_folders import import_in_background
from lib.dicomweb import DicomWebStore
from lib.dicomweb_client import open_dicomweb
from lib.errors import spoken_errors
from lib.found import image_path as find_image
from lib.infers.coreseg import CLICKS, QUESTION, AskTools, CoreSegTask
from lib.learning.overview import Overview
from lib.learning.settings import LearningSettings
from lib.learning.tasks import LearnFromCorrections, TrainTools
from lib.learning.trainings import Trainings
from lib.model import ServedModel
from lib.names import IMAGE_EXTENSIONS
from lib.routes.install import install
from lib.scoring import AgreementByOutcome, DiceOfLabels
from lib.sessions import SafeSessions
from lib.settings import ServerSettings, lie_elsewhere
from lib.store import SafeStore
from lib.strategies import strategies
from lib.watch import UNWATCHED, Watch


class CoreSegApp(MONAILabelApp):
    """Asks images questions in plain words.

    `--conf` keys: `preset` (default `lite`), `weights` (a folder, in place of what ships with the preset),
    `base` (folder or hub id of the published weights that `core-seg-3b` stands on, default the environment variable
    `CORESEG_BASE_WEIGHTS`), `device` (default `auto`), `tracking` (default `false`: no MLflow), `auto_scoring` (default
    `false`), and those of `ServerSettings` and `LearningSettings`.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        # It would start a process for each method at every sample and label.
        settings.MONAI_LABEL_AUTO_UPDATE_SCORING = conf.get("auto_scoring", "false").lower() == "true"
        # MONAI Label's own default is an MLflow file store, which today's MLflow refuses.
        settings.MONAI_LABEL_TRACKING_ENABLED = conf.get("tracking", "false").lower() == "true"
        self.server_settings = ServerSettings.read(conf, os.environ)
        self.learning = LearningSettings.read(conf, Path(app_dir))
        self.trainings: Trainings | None = None
        self.served_model = ServedModel(
            preset=conf.get("preset", "lite"),
            weights=Path(conf["weights"]) if "weights" in conf else None,
            base=conf.get("base"),
            versions_dir=self.learning.versions_dir,
            device=conf.get("device", "auto"),
            cache_bytes=self.server_settings.cache_bytes,
        )
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=dict(conf),
            name="CORE-Seg",
            description="Ask a medical image a question. Research software, not a medical device.",
            version=coreseg_core.__version__,
        )
        self.overview = Overview(self.datastore, limits=self.server_settings.limits)
        install(self.server_settings, device=self.served_model.device)

    def init_infers(self) -> dict[str, InferTask]:
        """Return the inference tasks by name."""
        limits = self.server_settings.limits
        tools = AskTools(model=self.served_model, store=self.datastore, limits=limits)
        return {kind.name: CoreSegTask(kind, tools) for kind in (QUESTION, CLICKS)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return the ways to learn by name; none over MONAI Label's own stores of other servers (XNAT, DSA)."""
        if not isinstance(self._datastore, SafeStore):
            return {}
        self.trainings = Trainings(self.learning.runs_dir)
        tools = TrainTools(
            model=self.served_model,
            trainings=self.trainings,
            settings=self.learning,
            limits=self.server_settings.limits,
            before=self.served_model.unload,
        )
        return {f"coreseg_{recipe}": LearnFromCorrections(recipe, tools) for recipe in RECIPES}

    def info(self) -> dict[str, Any]:
        """Return what MONAI Label tells of an app; stock 3D Slicer shows the training that is told of first."""
        told: dict[str, Any] = super().info()
        running = self.trainings.running() if self.trainings is not None else None
        if running is not None:
            first = f"coreseg_{running.order.recipe}"
            stats = told["train_stats"]
            told["train_stats"] = {first: stats[first], **stats}
        return told

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the ways to choose the next image by name."""
        if isinstance(self._datastore, SafeStore):
            return strategies()
        return {"random": Random(), "first": First()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """Return the ways to compare answers with submitted labels by name."""
        limits = self.server_settings.limits
        return {"dice": DiceOfLabels(limits=limits), "agreement": AgreementByOutcome(limits=limits)}

    def init_batch_infer(self) -> BatchQuestions:
        """Return what asks many images."""
        report = partial(write_reports, limits=self.server_settings.limits)
        return BatchQuestions(self.served_model.current_sha256, report=report)

    def init_datastore(self) -> Datastore:
        """Return the store: a folder that bears crashes, or one that is filled from a DICOMweb server."""
        patterns = [*settings.MONAI_LABEL_DATASTORE_FILE_EXT, *(f"*{ending}" for ending in IMAGE_EXTENSIONS)]
        if lie_elsewhere(self.studies):
            if settings.MONAI_LABEL_DATASTORE:
                return super().init_datastore()
            return open_dicomweb(
                self.studies,
                extensions=list(dict.fromkeys(patterns)),
                limits=self.server_settings.limits,
                silence_s=self.server_settings.dicomweb_timeout_s,
            )
        return SafeStore(
            self.studies,
            extensions=list(dict.fromkeys(patterns)),
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def on_init_complete(self) -> None:
        """Bring DICOM series of the studies folder in, once the server is up."""
        super().on_init_complete()
        if self.trainings is not None:
            self.trainings.find_again()
        local = not lie_elsewhere(self.studies)
        if local and isinstance(self._datastore, SafeStore) and self.server_settings.import_dicom:
            import_in_background(self._datastore, Path(self.studies), limits=self.server_settings.limits)

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, Any]:
        """Return what MONAI Label adds to its answer; a reader is told where her label did not go."""
        told: dict[str, Any] = super().on_save_label(image_id, label_id) or {}
        if isinstance(self._datastore, DicomWebStore):
            told["sent_to_dicomweb"] = self._datastore.sends_labels
        return told

    def _load_sessions(self, load: bool = False) -> SafeSessions | None:
        if not load:
            return None
        return SafeSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY)

    def task(self, name: str) -> CoreSegTask:
        """Return the inference task of a name.

        Raises:
            NotFoundError: There is none.
        """
        found = self._infers.get(name)
        if found is None:
            raise NotFoundError(
                f"There is no model {name[:40]!r}.",
                remedy=f"This server has: {', '.join(sorted(self._infers))}.",
            )
        return found

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Return the answer of a task, as MONAI Label's own tasks ask for it: at once, unwatched."""
        session = request.get("session")
        with spoken_errors():
            return self.answer(
                request,
                image_path=Path(session["image"]) if session else None,
                watch=UNWATCHED,
                datastore=datastore,
            )

    def answer(
        self,
        request: Mapping[str, Any],
        *,
        image_path: Path | None,
        watch: Watch,
        datastore: Datastore | None = None,
    ) -> dict[str, Any]:
        """Return MONAI Label's answer to a request: `label`, `tag`, `file` and `params`.

        Args:
            request: With `model`, `image` and what the client sent as params.
            image_path: Where the image lies, if not in the store; only the server itself says so.
            watch: Who follows the work.
            datastore: In place of the app's own.

        Raises:
            CoreSegError: Whatever was expected to go wrong.
        """
        store = datastore or self.datastore()
        task = self.task(str(request.get("model", "")))
        image = str(request.get("image", ""))
        in_store = image_path is None
        path = find_image(store, image) if image_path is None else image_path
        # An image that was sent along has no name here: the one of its file may be a patient's.
        name = image if in_store else request.get("session", {}).get("name", "upload")
        file, params = task.answer(
            {**request, "image": str(path), "image_id": name, "in_store": in_store}, watch
        )
        label = file
        if in_store and request.get("save_label") is True:
            tag = str(request.get("label_tag") or DefaultLabelTag.ORIGINAL.value)
            label = store.save_label(image, file, tag, {"model": request["model"], "params": params})
        return {"label": label, "tag": DefaultLabelTag.ORIGINAL.value, "file": file, "params": params}
