"""CORE-Seg as a MONAI Label app: the parts of `lib`, put together.

Research software, not a medical device.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

import coreseg_core
from lib.infers.coreseg import CoreSegTask
from lib.model import ServedModel
from lib.routes import install_routes


class CoreSegApp(MONAILabelApp):
    """Asks images questions in plain words.

    `--conf` keys: `preset` (default `lite`), `weights` (a folder, in place of what ships with the preset),
    `base` (folder or hub id of the published weights that `core-seg-3b` stands on, default the environment variable
    `CORESEG_BASE_WEIGHTS`), `device` (default `auto`), `versions` (folder of fine-tuned versions, default
    `model/versions` here), `tracking` (default `false`: no MLflow).
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        # MONAI Label's own default is an MLflow file store, which today's MLflow refuses.
        settings.MONAI_LABEL_TRACKING_ENABLED = conf.get("tracking", "false").lower() == "true"
        self.served_model = ServedModel(
            preset=conf.get("preset", "lite"),
            weights=Path(conf["weights"]) if "weights" in conf else None,
            base=conf.get("base"),
            versions_dir=Path(conf.get("versions", Path(app_dir) / "model" / "versions")),
            device=conf.get("device", "auto"),
        )
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=dict(conf),
            name="CORE-Seg",
            description="Ask a medical image a question. Research software, not a medical device.",
            version=coreseg_core.__version__,
        )
        install_routes()

    def init_infers(self) -> dict[str, InferTask]:
        """Return the inference tasks by name."""
        return {"coreseg": CoreSegTask(self.served_model, self.datastore)}

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the ways to choose the next image by name."""
        return {"random": Random(), "first": First()}

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Return the answer of a task, which is told whether the image is one of the store."""
        image = request["image"]
        in_store = image in (datastore or self.datastore()).list_images()
        image_id = image if in_store else request.get("session", {}).get("name", "upload")
        return dict(super().infer({**request, "image_id": image_id, "in_store": in_store}, datastore))
