"""The mean of the weights that several runs learned from the same ones, taken back part of the way to where they began.

    python -m training.publish --run runs/grpo_1 --config grpo.yaml --set seed=1 --out runs/weights_1    # and 2, and 3
    python -m training.average --parent coreseg_core/weights/lite --words 0.5 --out runs/averaged runs/weights_?

What reward teaches one run differs from what it teaches the next; their mean keeps what they share. Going back towards
the weights they began as returns what reward forgot. Rame et al., "WARP: On the Benefits of Weight Averaged Rewarded
Policies" (arXiv:2406.16768) do both. Here the two halves of the model may go back by shares of their own: the language
model, which decides whether a mask is drawn at all, and adapter and mask decoder, which decide how well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coreseg_core.checkpoint import WEIGHTS_NAME, load_weights, save_weights
from coreseg_core.cli.exits import exit_code
from coreseg_core.errors import InputError
from coreseg_core.models.base_files import TOKENIZER_NAME
from training.blending import blended, joined_by_a_line

WORDS_PREFIX = "language."
"""Of the parameters that words come from; all others make masks."""
_NOT_OF_THE_MEAN = ("files", "digest", "schema", "confidence", "seed", "steps", "development")
"""Facts of one run's manifest that are not true of the mean."""
_OF_ALL = ("preset", "recipe", "data")
"""Facts in which the runs must agree."""


def averaged(
    parent: Mapping[str, Tensor],
    learned: Sequence[Mapping[str, Tensor]],
    *,
    words_share: float,
    masks_share: float,
) -> dict[str, Tensor]:
    """Return the mean of what was learned, so far from the parent as the shares say.

    Args:
        parent: Tensors by name.
        learned: Of each run; tensors by name, as they were learned from the parent.
        words_share: How far the language model goes: 0 is the parent's, 1 the mean of what was learned.
        masks_share: Likewise for adapter and mask decoder.

    Returns:
        Tensors of the parent's types.

    Raises:
        InputError: Nothing was learned, a share is not of 0..1, or names or shapes are not the parent's.
    """
    if not learned:
        raise InputError("There are no weights to average.", remedy="Name the weight folders of the runs.")
    for share in (words_share, masks_share):
        if not 0 <= share <= 1:
            raise InputError(f"A share of {share} is not possible.", remedy="Choose one from 0 to 1.")
    if not all(joined_by_a_line(parent, weights) for weights in learned):
        raise InputError(
            "The weights are not of the parent's names and shapes, so no line joins them.",
            remedy="Average runs that went on from this parent; low-rank updates cannot be averaged.",
        )
    mean = {name: torch.stack([weights[name].float() for weights in learned]).mean(0) for name in parent}
    words, masks = (blended(parent, mean, share=share) for share in (words_share, masks_share))
    return {
        name: (words if name.startswith(WORDS_PREFIX) else masks)[name].to(tensor.dtype)
        for name, tensor in parent.items()
    }


def average(
    parent: Path, learned: Sequence[Path], out: Path, *, words_share: float, masks_share: float
) -> dict[str, Any]:
    """Write the averaged weights as a new weight folder and return its manifest, which names what was averaged.

    Args:
        parent: Weight folder that all runs began as.
        learned: Weight folders that `training.publish` made of the runs.
        out: The folder to make.
        words_share, masks_share: As in `averaged`.

    Raises:
        CheckpointError: A folder is damaged, or `out` exists.
        InputError: See `averaged`; or a run did not begin as the parent, is named twice, or is of another preset,
            recipe or data than the first.
    """
    begun, manifest_begun = load_weights(parent)
    loaded = [load_weights(folder) for folder in learned]
    manifests = [manifest for _, manifest in loaded]
    for folder, manifest in zip(learned, manifests, strict=True):
        if manifest.get("parent") != _sha256(manifest_begun):
            raise InputError(
                f"The weights {folder.name!r} did not begin as {parent.name!r}.",
                remedy="Name the folder that stands as `start` in their configuration.",
            )
    if len({_sha256(manifest) for manifest in manifests}) < len(manifests):
        raise InputError("The same weights are named twice.", remedy="Name each run once.")
    for name in _OF_ALL:
        if any(manifest.get(name) != manifests[0].get(name) for manifest in manifests):
            raise InputError(
                f"The runs differ in their {name}.", remedy="Average runs that differ in their seed alone."
            )
    weights = averaged(
        begun,
        [tensors for tensors, _ in loaded],
        words_share=words_share,
        masks_share=masks_share,
    )
    facts = {
        **{name: value for name, value in manifests[0].items() if name not in _NOT_OF_THE_MEAN},
        "dialogues": sum(int(manifest["dialogues"]) for manifest in manifests),
        "averaged": {
            "words_share": words_share,
            "masks_share": masks_share,
            "runs": [
                {"sha256": _sha256(manifest), "seed": manifest["seed"], "steps": manifest["steps"]}
                for manifest in manifests
            ],
        },
    }
    tokenizer = parent / TOKENIZER_NAME
    files = {TOKENIZER_NAME: tokenizer.read_bytes()} if tokenizer.is_file() else {}
    return save_weights(out, weights, facts, files=files)


def _sha256(manifest: Mapping[str, Any]) -> str:
    return str(manifest["files"][WEIGHTS_NAME]["sha256"])


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Average from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("learned", type=Path, nargs="+", metavar="WEIGHTS", help="of each run, published")
    parser.add_argument("--parent", type=Path, required=True, help="weights that all runs began as")
    parser.add_argument(
        "--words", type=float, default=1.0, metavar="SHARE", help="of the language model's way"
    )
    parser.add_argument(
        "--masks", type=float, default=1.0, metavar="SHARE", help="of the way of adapter and mask decoder"
    )
    parser.add_argument("--out", type=Path, required=True, help="weight folder to make")
    chosen = parser.parse_args(argv)
    manifest = average(
        chosen.parent, chosen.learned, chosen.out, words_share=chosen.words, masks_share=chosen.masks
    )
    print(f"{len(chosen.learned)} runs averaged: {chosen.out} ({_sha256(manifest)[:12]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
