"""Studies by kind and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from coreseg_core.errors import InputError
from coreseg_core.phantoms.ct_abdomen import ct_abdomen, ct_frame
from coreseg_core.phantoms.fields import stream
from coreseg_core.phantoms.frame import Frame
from coreseg_core.phantoms.mr_brain import mr_brain, mr_flair, mr_frame
from coreseg_core.phantoms.study import Scene, Study, StudySpec
from coreseg_core.phantoms.us_breast import us_breast, us_frame

MAX_LESIONS = 3
MAX_VOXELS = 16_000_000


@dataclass(frozen=True, kw_only=True)
class _Kind:
    modality: str
    anatomy: str
    class_name: str
    shape_ijk: tuple[int, int, int]
    frame: Callable[[np.random.Generator, tuple[int, int, int]], Frame]
    draw: Callable[[Frame, int, int], Scene]


_KINDS: Mapping[str, _Kind] = {
    "ct_abdomen": _Kind(
        modality="CT",
        anatomy="liver",
        class_name="liver tumor",
        shape_ijk=(192, 192, 20),
        frame=ct_frame,
        draw=ct_abdomen,
    ),
    "mr_brain": _Kind(
        modality="MR",
        anatomy="brain",
        class_name="brain tumor",
        shape_ijk=(192, 192, 20),
        frame=mr_frame,
        draw=mr_brain,
    ),
    "mr_flair": _Kind(
        modality="MR",
        anatomy="brain",
        class_name="white matter lesions",
        shape_ijk=(192, 192, 20),
        frame=mr_frame,
        draw=mr_flair,
    ),
    "us_breast": _Kind(
        modality="US",
        anatomy="breast",
        class_name="breast tumor",
        shape_ijk=(288, 224, 4),
        frame=us_frame,
        draw=us_breast,
    ),
}

KINDS: tuple[str, ...] = tuple(_KINDS)


def _checked_shape(kind: str, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    smallest = (64, 64, 1 if kind == "us_breast" else 6)
    if len(shape) != 3 or any(n < low for n, low in zip(shape, smallest, strict=True)):
        raise InputError(
            f"Shape {tuple(shape)} is too small for a {kind} phantom; the least is {smallest}.",
            remedy="Ask for more voxels.",
        )
    if int(np.prod(shape)) > MAX_VOXELS:
        raise InputError(
            f"Shape {tuple(shape)} has more than {MAX_VOXELS} voxels.", remedy="Ask for fewer voxels."
        )
    return shape


def make_study(
    kind: str,
    seed: int,
    *,
    lesions: int | None = None,
    shape: tuple[int, int, int] | None = None,
    name: str | None = None,
) -> Study:
    """Return the study of a kind and seed: the same voxels on any machine.

    The same seed with another number of lesions is the same patient in the same scanner.

    Args:
        kind: One of `KINDS`.
        seed: Any integer from 0.
        lesions: How many, 0 to 3; None draws the number from the seed (none in about a third of studies).
        shape: Number of voxels (i, j, k); None for the kind's own.
        name: File stem; None for "<kind>_<seed>".

    Raises:
        InputError: Unknown kind, negative seed, or a number or shape outside the limits.
    """
    if kind not in _KINDS:
        raise InputError(f"Phantom kind {kind!r} is unknown.", remedy=f"Use one of {', '.join(KINDS)}.")
    if seed < 0:
        raise InputError(f"Phantom seed {seed} is negative.", remedy="Use an integer from 0.")
    if lesions is None:
        lesions = int(stream(seed, 2).choice(MAX_LESIONS + 1, p=[0.34, 0.38, 0.17, 0.11]))
    if not 0 <= lesions <= MAX_LESIONS:
        raise InputError(
            f"{lesions} lesions asked for; a phantom has 0 to {MAX_LESIONS}.", remedy="Ask for fewer lesions."
        )
    made = _KINDS[kind]
    frame = made.frame(stream(seed, 1), _checked_shape(kind, shape or made.shape_ijk))
    scene = made.draw(frame, seed, lesions)
    return Study(
        name=name or f"{kind}_{seed}",
        modality=made.modality,
        anatomy=made.anatomy,
        class_name=made.class_name,
        voxels=scene.voxels,
        affine_ras=frame.affine_ras,
        label=scene.label,
        spec=StudySpec(
            kind=kind,
            seed=seed,
            lesions=scene.lesions,
            noise=scene.noise,
            bias=scene.bias,
            mimics=scene.mimics,
        ),
    )


def random_study(rng: np.random.Generator, *, kinds: tuple[str, ...] = KINDS) -> Study:
    """Return a study of a random kind and seed."""
    kind = kinds[int(rng.integers(len(kinds)))]
    return make_study(kind, int(rng.integers(2**31)))
