"""Turns a published SAM or MedSAM checkpoint (`.pth`) into safetensors, once; nothing else here reads such files.

    python -m coreseg_core.models.convert medsam_vit_b.pth FOLDER/medsam_vit_b.safetensors

A `.pth` is a pickle, which may carry a program. It is read by torch's restricted unpickler, which knows tensors and
plain containers and refuses everything else before it is run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from coreseg_core.checkpoint import replace_file, sha256_of
from coreseg_core.errors import CheckpointError, CoreSegError, InputError, LimitError
from coreseg_core.models.sam import PUBLISHED_SIZES, build_sam, published_sizes

MAX_BYTES = 4 * 2**30
_REMEDY = "Download it again from where its authors publish it."


def convert(source: Path, target: Path, *, variant: str = "vit_b") -> int:
    """Write a checkpoint's tensors as safetensors, in one step, and return how many there are.

    Args:
        source: A `.pth` of SAM or MedSAM.
        target: The `.safetensors` to make; replaced if it exists.
        variant: `vit_b` (MedSAM too), `vit_l` or `vit_h`.

    Raises:
        InputError: `source` is missing or `target` is not named `.safetensors`.
        LimitError: `source` is larger than any SAM.
        CheckpointError: The file is damaged, holds more than tensors, or is of another model.
    """
    if target.suffix != ".safetensors":
        raise InputError(f"{target.name!r} does not end in .safetensors.", remedy="Name the output so.")
    if not target.parent.is_dir():
        raise InputError(f"There is no folder {target.parent.name!r}.", remedy="Make it first.")
    tensors = read_checkpoint(source)
    check_tensors(tensors, sam_shapes(variant), variant=variant)
    metadata = {"format": "pt", "variant": variant, "source_sha256": sha256_of(source)}
    replace_file(target, save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))
    return len(tensors)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the entries of a `.pth` without running anything that it carries.

    Raises:
        InputError, LimitError, CheckpointError: See `convert`.
    """
    if not path.is_file():
        raise InputError(
            f"There is no file {path.name!r}.", remedy="Give the path of the downloaded checkpoint."
        )
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise LimitError(f"{path.name} has {size_bytes} bytes, limit {MAX_BYTES}.", remedy=_REMEDY)
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True)
    except (
        torch.serialization.pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:
        raise CheckpointError(
            f"{path.name} is damaged, or holds something other than tensors; nothing in it was run.",
            remedy=_REMEDY,
        ) from error
    if not isinstance(entries, dict):
        raise CheckpointError(f"{path.name} holds no table of tensors.", remedy=_REMEDY)
    return entries


def sam_shapes(variant: str) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of a published SAM.

    Raises:
        ModelError: There is no such variant.
    """
    with torch.device("meta"):
        sam = build_sam(published_sizes(variant), normalisation="minmax")
    return {name: tuple(tensor.shape) for name, tensor in sam.state_dict().items()}


def check_tensors(tensors: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], *, variant: str) -> None:
    """Compare the entries of a checkpoint with the tensors of a SAM.

    Raises:
        CheckpointError: One is missing, unknown, of another shape, or holds no finite numbers.
    """
    odd = sorted(set(tensors) ^ set(shapes), key=str)
    if odd:
        raise CheckpointError(
            f"This is no SAM {variant}: {len(odd)} names differ, first {str(odd[0])[:80]!r}.",
            remedy=f"Name the variant it is ({', '.join(PUBLISHED_SIZES)}), or download another file.",
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tuple(tensor.shape) != shape:
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise CheckpointError(f"{name} is {found}, expected floating point {shape}.", remedy=_REMEDY)
        if not tensor.isfinite().all():
            raise CheckpointError(f"{name} holds values that are not finite.", remedy=_REMEDY)


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 after converting, 2 after saying why not."""
    parser = argparse.ArgumentParser(
        prog="python -m coreseg_core.models.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="CHECKPOINT.pth")
    parser.add_argument("target", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--variant", default="vit_b", choices=sorted(PUBLISHED_SIZES))
    arguments = parser.parse_args(argv)
    try:
        count = convert(arguments.source, arguments.target, variant=arguments.variant)
    except CoreSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} tensors written to {arguments.target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
