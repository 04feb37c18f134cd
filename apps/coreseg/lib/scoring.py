"""How answers compare with what readers made of them: overlap of the labels, and truth of each kind of outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from numpy.typing import NDArray

from coreseg_core.imaging import read_label, read_volume
from coreseg_core.limits import Limits
from lib.kept import records_of

FINAL, ORIGINAL = "final", "original"


class DiceOfLabels(ScoringMethod):
    """Compares the label that was answered with the one that a reader submitted, lesion or not, voxel by voxel."""

    def __init__(self, *, limits: Limits) -> None:
        super().__init__("Dice of the submitted label and the answered one")
        self._limits = limits

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, float]:
        """Return the Dice of each image that has both labels, and keep it as `dice` in the image's info."""
        truth_tag, answer_tag = str(request.get("y", FINAL)), str(request.get("y_pred", ORIGINAL))
        scores = {}
        for image in datastore.list_images():
            if {truth_tag, answer_tag} <= datastore.get_labels_by_image_id(image).keys():
                truth = _lesions(datastore, image, truth_tag, self._limits)
                answer = _lesions(datastore, image, answer_tag, self._limits)
                scores[image] = round(dice(truth, answer), 6)
                datastore.update_image_info(image, {"dice": scores[image]})
        return scores


class AgreementByOutcome(ScoringMethod):
    """Counts, for each outcome, on how many slices the submitted label shows a lesion."""

    def __init__(self, *, limits: Limits) -> None:
        super().__init__("Slices of each outcome with and without a lesion in the submitted label")
        self._limits = limits

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, dict[str, int]]:
        """Return, by outcome, how many slices hold a lesion and how many hold none.

        The latest record of each image counts, and the counts are kept as `agreement` in the image's info.
        """
        total: Counter[tuple[str, str]] = Counter()
        for image in datastore.get_labeled_images():
            records = records_of(datastore, image)
            if records:
                counts = agreement(records[-1], _lesions(datastore, image, FINAL, self._limits))
                datastore.update_image_info(image, {"agreement": _nested(counts)})
                total += counts
        return _nested(total)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return 2 |A and B| / (|A| + |B|), 1 where both are empty."""
    size = np.count_nonzero(first) + np.count_nonzero(second)
    return 1.0 if size == 0 else float(2 * np.count_nonzero(first & second) / size)


def agreement(record: Mapping[str, Any], lesions_ijk: NDArray[np.bool_]) -> Counter[tuple[str, str]]:
    """Return how many slices there are of each outcome and truth (`lesion` or `none`)."""
    counts: Counter[tuple[str, str]] = Counter()
    for finding in record["slices"]:
        plane = lesions_ijk.take(finding["index"], "ijk".index(finding["axis"]))
        counts[finding["outcome"], "lesion" if plane.any() else "none"] += 1
    return counts


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    outcomes = sorted({outcome for outcome, _ in counts})
    return {outcome: {truth: counts[outcome, truth] for truth in ("lesion", "none")} for outcome in outcomes}


def _lesions(store: Datastore, image: str, tag: str, limits: Limits) -> NDArray[np.bool_]:
    geometry = read_volume(Path(store.get_image_uri(image)), limits=limits).geometry
    return read_label(Path(store.get_label_uri(image, tag)), geometry, limits=limits) > 0
