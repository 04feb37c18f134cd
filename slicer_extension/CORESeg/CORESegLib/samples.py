"""Public images that can be asked about at once, in Slicer's own Sample Data module."""

from __future__ import annotations

import SampleData

CATEGORY = "CORE-Seg"
_RELEASE = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
SAMPLES = (
    (
        "MRBrainTumor1",
        "RegLib_C01_1.nrrd",
        "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95",
    ),
    ("MRHead", "MR-head.nrrd", "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"),
)
"""Name, file and SHA-256; whatever has another hash is refused by Slicer."""


def register() -> None:
    """Offer the images under the name of this extension."""
    for name, file, sha256 in SAMPLES:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=f"CORE-Seg {name}",
            uris=f"{_RELEASE}{sha256}",
            fileNames=file,
            checksums=f"SHA256:{sha256}",
            nodeNames=name,
        )
