"""Which image a reader sees next: by chance, in order, or the one whose answers are most in doubt; no two readers
get the same one, for each image is lent to the reader who got it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from lib.doubt import doubt_of
from lib.kept import records_of
from lib.store import SafeStore

LEASE_S = 1800.0

Order = Callable[[SafeStore, Sequence[str]], list[str]]


class Lending(Strategy):
    """Offers the first image, in some order, that has no final label and is not lent to another reader.

    Args:
        description: In a sentence.
        order: Sorts ids of images.
        clock: Seconds since 1970.
    """

    def __init__(self, description: str, order: Order, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(description)
        self._order = order
        self._clock = clock

    def __call__(self, request: Mapping[str, Any], datastore: SafeStore) -> dict[str, Any] | None:
        """Return the id of an image, None where every one is labelled or lent."""
        images = self._order(datastore, datastore.get_unlabeled_images())
        reader = str(request.get("client_id") or "")[:200]
        found = datastore.lend(images, reader, now_s=self._clock(), for_s=LEASE_S)
        return None if found is None else {"id": found}


def by_chance(store: SafeStore, images: Sequence[str]) -> list[str]:
    """Return the images in any order."""
    return random.sample(list(images), len(images))


def in_order(store: SafeStore, images: Sequence[str]) -> list[str]:
    """Return the images by their ids."""
    return sorted(images)


def by_doubt(store: SafeStore, images: Sequence[str]) -> list[str]:
    """Return the images whose answers are most in doubt first; those never asked about stand in the middle."""
    return sorted(images, key=lambda image: (-doubt_of(records_of(store, image)), image))


def strategies() -> dict[str, Strategy]:
    """Return all strategies by name."""
    return {
        "random": Lending("Any image without a final label", by_chance),
        "first": Lending("The first image, by id, without a final label", in_order),
        "uncertainty": Lending("The image whose answers are most in doubt", by_doubt),
    }
