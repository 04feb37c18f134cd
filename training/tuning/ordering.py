"""Runs that are ordered on the command line, and performed at once."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.models.load import packaged_folder
from coreseg_core.models.preset import load_preset
from coreseg_core.runs import Order, RunFolder
from coreseg_core.versions import read_current, resolve_current
from training.tuning.course import perform
from training.tuning.lessons import copied


def order_by_hand(arguments: argparse.Namespace) -> RunFolder:
    """Return a run that has ended, made as the options of `coreseg train --corrections` say.

    Raises:
        InputError: An option is missing, or a manifest cannot be read.
    """
    if arguments.versions is None:
        raise InputError("--corrections needs --versions.", remedy="Name the folder where versions lie.")
    versions = arguments.versions.absolute()
    preset = load_preset(arguments.preset)
    parent = resolve_current(versions, arguments.weights) or packaged_folder(preset.name)
    order = Order(
        recipe=arguments.recipe,
        preset=preset.name,
        parent=read_current(versions).version,
        parent_folder=str(parent.absolute()),
        versions_dir=str(versions),
        base=arguments.base,
        replay=_absolute(arguments.replay),
        guard=_absolute(arguments.guard),
        processes=arguments.processes,
        device=arguments.device,
        promote=not arguments.no_promote,
        **({} if arguments.minutes is None else {"minutes": arguments.minutes}),
    )
    rows = read_manifest(arguments.corrections)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{order.recipe}-{os.urandom(2).hex()}"
    run = RunFolder.make((arguments.runs or versions.parent / "runs").absolute(), name, order)
    write_manifest(run.corrections, [copied(row, run.corrections.parent, preset) for row in rows])
    run.open()
    print(f"Run {run.path}")
    perform(run)
    return run


def go_on(folder: Path) -> RunFolder:
    """Return a run that has ended, after going on with it.

    Raises:
        InputError: It is no run.
    """
    run = RunFolder(folder)
    _ = run.order
    if run.state.state in ("stopped", "failed") and not run.performed:
        run.open()
    perform(run)
    return run


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
