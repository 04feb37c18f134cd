"""Where slices and masks lie: voxel indices, millimetres of the patient, and the sides a reader sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from CORESegLib.volume_file import Matrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Side = Literal["left", "right"]
Plane = Literal["axial", "coronal", "sagittal"]
MIDDLE = 0.05
"""Share of the image's width on either side of its middle that counts as neither left nor right."""
ALIGNED_COSINE = 0.9999
_PLANES: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, kw_only=True)
class SliceSpot:
    """The slice of an image that a view shows.

    Attributes:
        axis: Array axis across which it lies, 0, 1, 2 for i, j, k.
        index: Its number from 0; may lie outside the image.
        aligned: Whether the view shows a slice of the image and not a cut through several.
        inside: Whether the image has this slice.
    """

    axis: int
    index: int
    aligned: bool
    inside: bool


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a mask says by itself.

    Attributes:
        voxels: Marked.
        volume_ml: Of them.
        centroid_ras: In millimetres.
        extent_mm: Along i, j and k.
        slices: First and last marked slice along i, j and k, from 0.
        patient_side: Of the image's middle, as the patient has it; None near the middle.
        picture_side: As the slice across `axis` shows it on a screen; None near the middle or where that is no side
            of the patient.
    """

    voxels: int
    volume_ml: float
    centroid_ras: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    slices: tuple[tuple[int, int], ...]
    patient_side: Side | None
    picture_side: Side | None

    @property
    def longest_mm(self) -> float:
        """The longest side of the box around it."""
        return max(self.extent_mm)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a reader changed.

    Attributes:
        added: Voxels that only the reader's mask has.
        removed: Voxels that only the model's mask has.
        slices_along: Changed slices along i, j and k.
        dice: Overlap of both masks, 1 where both are empty.
    """

    added: int
    removed: int
    slices_along: tuple[tuple[int, ...], ...]
    dice: float


def slice_shown(slice_to_ras: Matrix, ijk_to_ras: Matrix, shape_ijk: tuple[int, ...]) -> SliceSpot:
    """Return which slice of an image a view shows.

    Computed from the two matrices: Slicer's own answer counts from 1 and says -1 for tilted series.

    Args:
        slice_to_ras: Of the view; its third column is the normal, its fourth the middle.
        ijk_to_ras: Of the image, with every transform above it.
        shape_ijk: Of the image.
    """
    import numpy as np

    view, image = np.asarray(slice_to_ras, dtype=float), np.asarray(ijk_to_ras, dtype=float)
    normal = view[:3, 2] / np.linalg.norm(view[:3, 2])
    # Slices across an axis lie in the plane of the two others, which in a sheared series is not square to it.
    cosines = []
    for axis in range(3):
        first, second = (image[:3, other] for other in range(3) if other != axis)
        across = np.cross(first, second)
        cosines.append(abs(float(across @ normal)) / float(np.linalg.norm(across)))
    axis = int(np.argmax(cosines))
    origin = np.linalg.inv(image) @ np.append(view[:3, 3], 1.0)
    index = int(np.floor(origin[axis] + 0.5))
    return SliceSpot(
        axis=axis, index=index, aligned=cosines[axis] > ALIGNED_COSINE, inside=0 <= index < shape_ijk[axis]
    )


def plane_of(axis: int, ijk_to_ras: Matrix) -> Plane:
    """Return the anatomical plane nearest to slices across an array axis."""
    return _PLANES[_anatomy_of(axis, ijk_to_ras)]


def measure(
    mask_ijk: NDArray[np.bool_],
    ijk_to_ras: Matrix,
    shape_ijk: tuple[int, ...],
    *,
    axis: int,
    offset_ijk: tuple[int, int, int] = (0, 0, 0),
) -> Measured | None:
    """Return what a mask says by itself, None where nothing is marked.

    Args:
        mask_ijk: May be a part of the image.
        ijk_to_ras: Of the whole image.
        shape_ijk: Of the whole image.
        axis: Along which slices were asked about.
        offset_ijk: Of the first voxel of the part.
    """
    import numpy as np

    marked = np.nonzero(mask_ijk)
    voxels = len(marked[0])
    if not voxels:
        return None
    matrix = np.asarray(ijk_to_ras, dtype=float)
    first = [int(along.min()) + start for along, start in zip(marked, offset_ijk, strict=True)]
    last = [int(along.max()) + start for along, start in zip(marked, offset_ijk, strict=True)]
    centre_ijk = [float(along.mean()) + start for along, start in zip(marked, offset_ijk, strict=True)]
    centroid = (matrix @ [*centre_ijk, 1.0])[:3]
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    side = _patient_side(float(centroid[0]), matrix, shape_ijk)
    sided = min(shape_ijk) > 1 and plane_of(axis, ijk_to_ras) != "sagittal"
    return Measured(
        voxels=voxels,
        volume_ml=voxels * abs(float(np.linalg.det(matrix[:3, :3]))) / 1000,
        centroid_ras=(float(centroid[0]), float(centroid[1]), float(centroid[2])),
        extent_mm=tuple(  # type: ignore[arg-type]
            float((stop - start + 1) * mm) for start, stop, mm in zip(first, last, spacing, strict=True)
        ),
        slices=tuple(zip(first, last, strict=True)),
        # A flat picture lies nowhere in a patient.
        patient_side=side if min(shape_ijk) > 1 else None,
        picture_side=_other(side) if sided else None,
    )


def compare(ours_ijk: NDArray[np.bool_], theirs_ijk: NDArray[np.bool_]) -> Difference:
    """Return what a reader's mask changes of the model's, both on the same grid."""
    import numpy as np

    added, removed = ours_ijk & ~theirs_ijk, theirs_ijk & ~ours_ijk
    changed = np.nonzero(added | removed)
    total = int(ours_ijk.sum()) + int(theirs_ijk.sum())
    both = int((ours_ijk & theirs_ijk).sum())
    return Difference(
        added=int(added.sum()),
        removed=int(removed.sum()),
        slices_along=tuple(tuple(int(index) for index in np.unique(along)) for along in changed),
        dice=2 * both / total if total else 1.0,
    )


def place_slice(labels_ijk: NDArray[Any], plane: NDArray[np.bool_], *, axis: int, index: int) -> None:
    """Lay one slice's mask, in the order of `np.take(labels_ijk, index, axis)`, into a volume."""
    spot: list[Any] = [slice(None)] * 3
    spot[axis] = index
    labels_ijk[tuple(spot)] = plane


def _anatomy_of(axis: int, ijk_to_ras: Matrix) -> int:
    """Return the patient's axis (0 right-left, 1 front-back, 2 up-down) nearest to an array axis, each used once."""
    columns = [[abs(ijk_to_ras[row][column]) for row in range(3)] for column in range(3)]
    lengths = [sum(value**2 for value in column) ** 0.5 or 1.0 for column in columns]
    pairs = sorted(
        ((columns[c][r] / lengths[c], c, r) for c in range(3) for r in range(3)), key=lambda pair: -pair[0]
    )
    found: dict[int, int] = {}
    for _, column, row in pairs:
        if column not in found and row not in found.values():
            found[column] = row
    return found[axis]


def _patient_side(r_mm: float, matrix: NDArray[Any], shape_ijk: tuple[int, ...]) -> Side | None:
    import numpy as np

    corners = np.array(np.meshgrid(*[(-0.5, side - 0.5) for side in shape_ijk], indexing="ij")).reshape(3, -1)
    across = matrix[0, :3] @ corners + matrix[0, 3]
    middle, width = float(across.max() + across.min()) / 2, float(across.max() - across.min())
    if abs(r_mm - middle) < MIDDLE * width:
        return None
    # R grows towards the patient's right.
    return "right" if r_mm > middle else "left"


def _other(side: Side | None) -> Side | None:
    """Return where a radiological view shows a side of the patient: on the other one of the screen."""
    return None if side is None else "left" if side == "right" else "right"
