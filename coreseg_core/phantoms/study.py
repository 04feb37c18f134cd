"""What a phantom is: voxels whose lesions are known, and the recipe they were made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class LesionSpec:
    """The recipe of one lesion.

    Attributes:
        type: What it imitates, such as "metastasis" or "ring-enhancing glioma".
        centre_ras_mm: Its centre in patient space.
        radii_mm: Half axes of the ellipsoid before its outline is roughened.
        irregularity: Roughness of the outline, 0 (smooth) to about 0.4 (lobed or spiculated).
        contrast: Level of the solid part minus the level of healthy host tissue, in voxel units (dB for
            ultrasound, where voxels are log-compressed).
    """

    type: str
    centre_ras_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    irregularity: float
    contrast: float


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """The recipe of one study: enough to make it again and to describe it.

    Attributes:
        noise: Standard deviation of the noise in voxel units (speckle dynamic range in dB for ultrasound).
        bias: Relative strength of the multiplicative bias field, 0 where the modality has none.
        mimics: Normal structures put there that a careless eye may take for lesions.
    """

    kind: str
    seed: int
    lesions: tuple[LesionSpec, ...]
    noise: float
    bias: float
    mimics: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A made-up image with its truth.

    Attributes:
        name: Neutral file stem, such as "demo_ct_liver".
        modality: Code of the modality: "CT", "MR" or "US".
        anatomy: The organ in words ("liver").
        class_name: What the label outlines, in the words of a question ("liver tumor").
        voxels: (i, j, k) int16, or uint8 for ultrasound.
        affine_ras: (4, 4) voxel index to patient millimetres, right-anterior-superior.
        label: (i, j, k) uint8, lesion number from 1, 0 elsewhere.
    """

    name: str
    modality: str
    anatomy: str
    class_name: str
    voxels: NDArray[np.int16] | NDArray[np.uint8]
    affine_ras: NDArray[np.float64]
    label: NDArray[np.uint8]
    spec: StudySpec

    @property
    def kind(self) -> str:
        """The generator that made the study."""
        return self.spec.kind

    @property
    def shape_ijk(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        i, j, k = self.label.shape
        return i, j, k

    @property
    def has_lesion(self) -> bool:
        """True when at least one voxel is lesion."""
        return bool(self.label.any())

    @property
    def largest_lesion_slice(self) -> int:
        """The k index with most lesion voxels, the middle slice when there is none."""
        if not self.has_lesion:
            return self.label.shape[2] // 2
        return int(np.count_nonzero(self.label, axis=(0, 1)).argmax())


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a generator of one kind hands back: voxels, truth, and the measured part of the recipe."""

    voxels: NDArray[np.int16] | NDArray[np.uint8]
    label: NDArray[np.uint8]
    lesions: tuple[LesionSpec, ...]
    noise: float
    bias: float
    mimics: tuple[str, ...]
