"""A run from its order to a version, read top to bottom; each step is whole or absent, so a killed run goes on.

prepare   corrections split by patient, base data drawn beside them
embed     views of all pictures through the frozen encoder
learn     the recipe, in processes of its own (`training.tuning.learning`)
judge     the same questions to the new weights and their parent's (`training.tuning.judging`)
publish   a version with parent, hashes and scores; it answers at once, or waits with its reason
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from coreseg_core.checkpoint import (
    WEIGHTS_NAME,
    load_weights,
    read_manifest,
    save_weights,
    sha256_of,
)
from coreseg_core.errors import AlreadyRunningError, Cancelled, CheckpointError, CoreSegError, InternalError
from coreseg_core.evaluation.ask import Ask, asks_of
from coreseg_core.evaluation.manifest import Row
from coreseg_core.evaluation.pictures import CtDisplay, load_row
from coreseg_core.inference.segment import Device
from coreseg_core.models.base_files import TOKENIZER_NAME
from coreseg_core.models.preset import Preset, load_preset
from coreseg_core.runs import Order, RunFolder, Stage, now
from coreseg_core.versions import (
    Provenance,
    list_versions,
    prune_versions,
    publish_version,
    read_current,
    set_current,
)
from training.blending import blended, share_taken
from training.publish import published_tensors
from training.tuning.judging import Judgement, Marks, compare, marks_of
from training.tuning.learning import learn, newest_checkpoint, stopped
from training.tuning.lessons import Lessons, gather, guard_asks, guard_rows
from training.tuning.parents import base_for, facts_of, inherited, taught_by
from training.tuning.placement import placement_of
from training.tuning.recipe import Recipes, write_config
from training.views import build_store

_REPLAY_VIEW = 50
"""Number of the view of base pictures, above those of corrections, so that their shards have names of their own."""

Judge = Callable[[Path, Sequence[Ask]], Marks]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a run is performed with.

    Attributes:
        recipes: Programs and their settings.
        learn: Lets one learn; in processes of its own by default.
        judge: Marks the answers of a weight folder; the model itself by default.
        embed: Makes the views; `training.views` by default.
    """

    recipes: Recipes = field(default_factory=Recipes)
    learn: Callable[[RunFolder, str, Mapping[str, Any], Path], None] = learn
    judge: Judge | None = None
    embed: Callable[..., None] = build_store


def perform(run: RunFolder, tools: Tools | None = None) -> None:
    """Perform a run, from where it stands, unless somebody else is at it or it has ended.

    How it ended stands in its state; only a fault of this program is raised as well, for the log of the process, and
    an interruption, which stops the run.
    """
    try:
        with run.performing():
            state = run.state
            if state.state in ("done", "failed"):
                return
            run.change(state="running", attempt=state.attempt + 1, reason="", remedy="", ended="")
            _guarded(run, tools or Tools())
    except AlreadyRunningError:
        return


def _guarded(run: RunFolder, tools: Tools) -> None:
    try:
        Course(run, tools).go()
    except Cancelled as error:
        run.fail(error, state="stopped")
    except CoreSegError as error:
        run.fail(error)
    except KeyboardInterrupt:
        # Whoever follows runs would take it for one that was killed, and let it go on.
        run.fail(stopped(), state="stopped")
        raise
    except Exception:
        # Noted first, so that nobody waits for the run; then the log of its process says what it was.
        run.fail(InternalError())
        raise


class Course:
    """One run on its way.

    Args:
        run: Its folder.
        tools: What it is performed with.
    """

    def __init__(self, run: RunFolder, tools: Tools) -> None:
        self._run, self._tools = run, tools
        self._order: Order = run.order
        self._preset: Preset = load_preset(self._order.preset)
        self._versions = Path(self._order.versions_dir)
        self._parent = Path(self._order.parent_folder)

    def go(self) -> None:
        """Go from stage to stage.

        Raises:
            Cancelled: Somebody wants the run to stop.
            CoreSegError: What was expected to go wrong.
        """
        published = self._published()
        if published is None:
            module = self._tools.recipes.module(self._order.recipe)
            self._enter("prepare")
            lessons = self._gather()
            self._enter("embed")
            self._embed(lessons)
            self._enter("learn")
            config = self._configure()
            self._tools.learn(self._run, module, config, self._run.path / "recipe.yaml")
            self._enter("judge")
            candidate = self._candidate(Path(config["out"]))
            judgement = self._judge(candidate, lessons)
            self._enter("publish")
            published = self._publish(candidate, judgement, lessons)
        self._take(published)

    def _enter(self, stage: Stage) -> None:
        if self._run.stopping:
            raise stopped()
        self._run.change(stage=stage)
        self._run.tell("progress", {"stage": stage})

    def _published(self) -> dict[str, Any] | None:
        """Return the version that this run came to before it was killed."""
        found = [
            manifest for manifest in list_versions(self._versions) if manifest.get("run") == self._run.id
        ]
        return found[-1] if found else None

    def _gather(self) -> Lessons:
        order = self._order
        learned = read_manifest(self._parent).get("learned", ())
        return gather(
            self._run.corrections,
            self._run.path / "replay",
            learned=learned,
            replay=None if order.replay is None else Path(order.replay),
            share=order.replay_share,
            preset=self._preset,
            seed=order.seed,
        )

    def _embed(self, lessons: Lessons) -> None:
        views = self._run.path / "views"
        embed = partial(
            self._tools.embed,
            preset=self._preset,
            base=self._order.base,
            seed=self._order.seed,
            load=self._load,
        )
        embed(lessons.learn, range(lessons.views_each), views / "train")
        if lessons.replay:
            embed(lessons.replay, [_REPLAY_VIEW], views / "train")
        embed(lessons.held, [0], views / "dev")

    def _load(self, row: Row) -> Any:
        """Return picture and mask of a row, unless somebody wants the run to stop."""
        if self._run.stopping:
            raise stopped()
        return load_row(row, ct=CtDisplay.of(self._preset))

    def _configure(self) -> dict[str, Any]:
        folder = self._run.path
        replay = folder / "replay" / "manifest.jsonl"
        return write_config(
            folder / "recipe.yaml",
            self._order,
            self._tools.recipes,
            manifests=[self._run.corrections, *([replay] if replay.exists() else [])],
            views=folder / "views",
            out=folder / "learning",
        )

    def _candidate(self, out: Path) -> Path:
        """Return the folder of the new weights, which are nobody's version yet."""
        folder = self._run.path / "candidate"
        checkpoint = newest_checkpoint(out)
        if checkpoint is None:
            raise CheckpointError("The recipe left no checkpoint.", remedy="Look into the run's output.log.")
        if folder.exists():
            shutil.rmtree(folder)
        learned, step = published_tensors(checkpoint)
        parent, _ = load_weights(self._parent)
        share = share_taken(parent, learned, share=self._order.learned_share)
        tensors = blended(parent, learned, share=share)
        facts = {
            "preset": self._preset.name,
            "version": f"candidate of {self._run.id}",
            "steps": step,
            "learned_share": share,
        }
        facts |= {**base_for(self._parent, folder), **inherited(read_manifest(self._parent))}
        save_weights(folder, tensors, facts, files=self._files())
        return folder

    def _files(self) -> dict[str, bytes]:
        tokenizer = self._parent / TOKENIZER_NAME
        return {TOKENIZER_NAME: tokenizer.read_bytes()} if tokenizer.is_file() else {}

    def _judge(self, candidate: Path, lessons: Lessons) -> Judgement:
        order = self._order
        guard = None if order.guard is None else Path(order.guard)
        # Phantoms of the guard are always the same ones, so they stay for the next run.
        phantoms = self._versions / f".guard-{order.guard_pictures}"
        rows = guard_rows(guard, phantoms, count=order.guard_pictures)
        asked = {
            "guard": guard_asks(rows),
            "held": asks_of(lessons.held),
        }
        compared = {}
        for name, asks in asked.items():
            parent, version = (self._marks(folder, asks) for folder in (self._parent, candidate))
            compared[name] = compare(asks, parent, version)
        outlined = [row for row in (*lessons.learn, *lessons.held) if row.mask is not None]
        return Judgement(
            guard=compared["guard"],
            held=compared["held"],
            placement=placement_of(outlined, self._load),
        )

    def _marks(self, folder: Path, asks: Sequence[Ask]) -> Marks:
        if self._tools.judge is not None:
            return self._tools.judge(folder, asks)

        def progress(done: int, total: int) -> None:
            if self._run.stopping:
                raise stopped()
            self._run.tell("progress", {"stage": "judge", "done": done, "total": total})

        devices: dict[str, Device] = {"cpu": "cpu", "cuda": "cuda"}
        return marks_of(
            folder,
            asks,
            preset=self._preset,
            base=self._order.base,
            device=devices.get(self._order.device, "auto"),
            kept=self._versions / ".marks",
            progress=progress,
        )

    def _publish(self, candidate: Path, judgement: Judgement, lessons: Lessons) -> dict[str, Any]:
        """Return the manifest of the version that the new weights are from now on."""
        tensors, facts = load_weights(candidate)
        parent = read_manifest(self._parent)
        learned = {*parent.get("learned", ()), *(row.patient_key for row in lessons.learn)}
        provenance = Provenance(
            preset=self._preset.name,
            parent=self._order.parent,
            data=self._hashes(),
            recipe=facts_of(self._run, lessons, steps=facts["steps"], learned_share=facts["learned_share"]),
            scores=judgement.scores(),
            guard=judgement.verdict(),
            learned=tuple(sorted(learned)),
            run=self._run.id,
            state="accepted" if judgement.passed else "candidate",
        )
        base = base_for(self._parent, self._versions / "version").get("base", {})
        provenance = replace(
            provenance, base={**base, "weights_sha256": str(parent["files"][WEIGHTS_NAME]["sha256"])}
        )
        known = {**inherited(parent), **taught_by(lessons.learn, parent)}
        folder = publish_version(self._versions, tensors, provenance, facts=known, files=self._files())
        return read_manifest(folder)

    def _hashes(self) -> dict[str, str]:
        """Return the hashes of what was learned from."""
        found = {"corrections": self._run.corrections, "replay": self._run.path / "replay" / "manifest.jsonl"}
        return {name: sha256_of(path) for name, path in found.items() if path.exists()}

    def _take(self, manifest: dict[str, Any]) -> None:
        """Let a version that passed its guard answer, prune others, and end the run."""
        name, guard = str(manifest["version"]), manifest.get("guard") or {}
        reason = str(guard.get("reason", ""))
        promoted = False
        if manifest["state"] == "accepted" and self._order.promote:
            try:
                set_current(self._versions, name, instead_of=self._order.parent)
                promoted = True
            except CheckpointError as error:
                reason = error.reason
                promoted = _answers(self._versions, name)
        elif manifest["state"] == "accepted":
            reason = "nobody asked for it to answer at once"
        # However few are kept: nobody has had the time to decide on a new one that waits.
        prune_versions(self._versions, keep=self._order.keep, spare=name)
        for part in ("views", "learning", "candidate", "replay"):
            shutil.rmtree(self._run.path / part, ignore_errors=True)
        told = {"version": name, "promoted": promoted, "scores": manifest["scores"]}
        self._run.tell("done", {**told, "reason": "" if promoted else reason})
        self._run.change(
            state="done",
            stage="ended",
            eta_s=None,
            ended=now(),
            version=name,
            promoted=promoted,
            reason="" if promoted else reason,
            remedy="" if promoted else "Compare its scores with its parent's, then promote it or leave it.",
        )


def _answers(versions_dir: Path, name: str) -> bool:
    """Return whether a version answers already, as it does after a run that was killed once it had promoted it."""
    return read_current(versions_dir).version == name
