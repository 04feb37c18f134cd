"""Options that several commands share, and the model they choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from coreseg_core.errors import InputError

if TYPE_CHECKING:
    from coreseg_core.inference import SliceSegmenter

DEVICES = ("auto", "cpu", "cuda")
REASONING = ("full", "brief", "none")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --preset, --weights, --base and --device."""
    parser.add_argument(
        "--preset", default="lite", metavar="NAME", help="which model: lite (the default) or core-seg-3b"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FOLDER",
        help="a folder of weights (safetensors with a manifest) in place of those that ship",
    )
    parser.add_argument(
        "--base",
        metavar="FOLDER|HUB_ID",
        help="the published weights that core-seg-3b stands on (default: $CORESEG_BASE_WEIGHTS)",
    )
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="where to compute; auto takes a GPU if there is one"
    )


def add_reasoning_option(parser: argparse.ArgumentParser) -> None:
    """Add --reasoning."""
    parser.add_argument(
        "--reasoning", choices=REASONING, default="brief", help="how much is explained (default: brief)"
    )


def load_segmenter(chosen: argparse.Namespace, *, check_words: bool = True) -> SliceSegmenter:
    """Return the model that the shared options choose.

    Args:
        chosen: Parsed arguments of a parser with `add_model_options`.
        check_words: Refuse questions by their words before the model is asked; off to measure the model alone.

    Raises:
        InputError: No such preset, or a GPU is asked for and there is none.
        CheckpointError: The weights are missing, altered or of another preset.
    """
    import torch

    from coreseg_core.inference import SliceSegmenter

    if chosen.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda was asked for, but PyTorch finds no CUDA device here.",
            remedy="Use --device auto, or install a CUDA build of torch and a driver that fits it.",
        )
    return SliceSegmenter.from_preset(
        chosen.preset,
        weights=chosen.weights,
        base=chosen.base,
        device=chosen.device,
        check_words=check_words,
    )
