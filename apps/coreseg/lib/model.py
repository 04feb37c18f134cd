"""The model that answers: built on the first question, built anew when another version becomes current."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from coreseg_core.checkpoint import WEIGHTS_NAME, read_manifest
from coreseg_core.errors import InputError, ModelError
from coreseg_core.imaging import Volume
from coreseg_core.record import FindingRecord, Query, Scope, SliceFinding
from coreseg_core.versions import SHIPPED, resolve_current

if TYPE_CHECKING:
    from coreseg_core.inference import SliceSegmenter
    from coreseg_core.inference.cache import ByteLRU
    from coreseg_core.inference.journal import KeptFindings

Device = Literal["auto", "cpu", "cuda"]
DEVICES: Mapping[str, Device] = {"auto": "auto", "cpu": "cpu", "cuda": "cuda"}


class ServedModel:
    """One preset with its current weights, shared by all requests.

    Args:
        preset: Name of the preset.
        weights: Folder of the weights to use while no fine-tuned version is current; None for what ships.
        base: Folder or hub id of the published weights that the preset stands on, if it stands on any.
        versions_dir: Where fine-tuned versions lie; may not exist.
        device: One of `DEVICES`; `auto` takes a GPU if there is one.
        cache_bytes: What each of the model's caches holds at most.

    Raises:
        InputError: There is no such device.
    """

    def __init__(
        self,
        *,
        preset: str,
        weights: Path | None,
        base: str | None = None,
        versions_dir: Path,
        device: str,
        cache_bytes: int,
    ) -> None:
        if device not in DEVICES:
            raise InputError(
                f"The device {device[:40]!r} is unknown.", remedy=f"Use one of {', '.join(DEVICES)}."
            )
        self.preset = preset
        self.device = device
        self._versions_dir = versions_dir
        self._device = DEVICES[device]
        self._weights = weights
        self.base = base
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._folder: Path | None = None
        self._segmenter: SliceSegmenter | None = None

    def segmenter(self) -> SliceSegmenter:
        """Return the segmenter with the weights that are current now.

        Raises:
            CheckpointError: The weights are missing or altered.
            ModelError: The preset cannot be built, or does not fit into memory.
        """
        with self._lock:
            folder = resolve_current(self._versions_dir, self._weights)
            if self._segmenter is None or folder != self._folder:
                self._segmenter = self._build(folder) or self._build_alone(folder)
                self._folder = folder
            return self._segmenter

    def _build(self, folder: Path | None) -> SliceSegmenter | None:
        """Return the model of a weight folder, None where it does not fit into memory beside the one before it."""
        # Imported here so that the server, and every process MONAI Label starts, is up at once.
        from coreseg_core.inference import SliceSegmenter
        from coreseg_core.models.allocator import ran_out_of_memory

        try:
            return SliceSegmenter.from_preset(
                self.preset,
                weights=folder,
                base=self.base,
                device=self._device,
                cache_bytes=self._cache_bytes,
            )
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        return None

    def _build_alone(self, folder: Path | None) -> SliceSegmenter:
        """Return the model after giving back what the one before it held.

        Raises:
            ModelError: It does not fit either.
        """
        self._give_back()
        built = self._build(folder)
        if built is None:
            raise ModelError(
                "The device's memory is too small for the model beside what else it holds.",
                remedy="Ask again when other programs have freed it, or start the server with --conf device cpu.",
            )
        return built

    def _give_back(self) -> None:
        """Drop the model and what the device keeps free for it."""
        import torch

        self._segmenter = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def answer(
        self,
        volume: Volume,
        query: Query,
        scope: Scope,
        *,
        image_id: str,
        on_finding: Callable[[SliceFinding], None] | None = None,
        on_token: Callable[[int, str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        kept: KeptFindings | None = None,
    ) -> tuple[FindingRecord, NDArray[np.uint8]]:
        """Return the record and the label volume (i, j, k) of a question; questions are answered in turn.

        Raises:
            CoreSegError: See `segmenter` and `SliceSegmenter.answer`.
        """
        # One at a time: several at once on one device would only share its memory, not its speed. The queue
        # sees to that for what comes over HTTP; MONAI Label's own tasks come here directly.
        with self._turn:
            return self.segmenter().answer(
                volume,
                query,
                scope,
                image_id=image_id,
                on_finding=on_finding,
                on_token=on_token,
                should_stop=should_stop,
                kept=kept,
            )

    def unload(self) -> None:
        """Give the memory of the model back, once the question at hand is answered; the next one loads it again."""
        with self._turn, self._lock:
            if self._segmenter is not None:
                self._give_back()

    def current_sha256(self) -> str:
        """Return the hash of the weights that answer the next question, without reading them.

        Raises:
            CheckpointError: There are none, or `current.json` names another version than was chosen.
        """
        return str(read_manifest(self.current_folder())["files"][WEIGHTS_NAME]["sha256"])

    def current_folder(self) -> Path:
        """Return where the weights lie that answer the next question.

        Raises:
            CheckpointError: `current.json` names another version than was chosen.
        """
        return resolve_current(self._versions_dir, self._weights) or self.shipped_folder()

    def shipped_folder(self) -> Path:
        """Return where the weights lie that answer while no fine-tuned version does, `v0`."""
        if self._weights is not None:
            return self._weights
        from coreseg_core.models.load import packaged_folder

        return packaged_folder(self.preset)

    def card(self) -> Mapping[str, Any]:
        """Return preset, version and hash of the loaded model, or the preset alone while none is loaded."""
        segmenter = self._segmenter
        return {"preset": self.preset} if segmenter is None else dict(segmenter.model_card)

    def next_card(self) -> Mapping[str, str]:
        """Return version and, where it is a folder that was chosen, hash of the weights that answer the next question.

        Raises:
            CheckpointError: The next question could not be answered.
        """
        folder = resolve_current(self._versions_dir, self._weights)
        if folder is None:
            return {"version": SHIPPED}
        manifest = read_manifest(folder)
        sha256 = str(manifest["files"][WEIGHTS_NAME]["sha256"])
        return {"version": str(manifest.get("version", SHIPPED)), "sha256": sha256}

    @property
    def device_in_use(self) -> str:
        """Where the loaded model lies; what was chosen while none is loaded."""
        segmenter = self._segmenter
        if segmenter is None:
            return self.device
        return str(next(segmenter.answering.model.parameters()).device)

    @property
    def caches(self) -> Mapping[str, ByteLRU[Any]]:
        """What the loaded model keeps between questions, by name."""
        segmenter = self._segmenter
        return {} if segmenter is None else segmenter.answering.caches

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._segmenter is not None
