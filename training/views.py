"""Views of the training pictures, embedded once by the frozen encoder and kept on disk.

The encoder never changes, so its work is done before training: view 0 of a picture is the picture itself, the others
are random views (`training.augment`). A store is a folder of shards; each shard is a memory-mapped array of embeddings
beside grey pictures, masks and an index. A shard is complete once its index exists, so an interrupted run goes on
where it stopped.

    python -m training.views --manifest MANIFEST --part train --views 3 --out VIEWS
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from coreseg_core.evaluation.manifest import Row, read_manifest
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.models.allocator import keep_freed_memory
from coreseg_core.models.build import best_encoder_dtype
from coreseg_core.models.lite_medsam import build_lite_medsam
from coreseg_core.models.segmenter import SamSegmenter
from training.augment import View, plain_view, random_view
from training.parts import part_of

SHARD_VIEWS = 200
SIDE_PX = 256
Loader = Callable[[Row], tuple[NDArray[np.uint8], NDArray[np.bool_]]]


@dataclass(frozen=True)
class ViewKey:
    """Which view of which picture: view 0 is the picture itself."""

    row_id: str
    view: int


@dataclass(frozen=True)
class EmbeddedView:
    """One view as training reads it.

    Attributes:
        embedding: (256, 64, 64) float16, read from the map on use.
        grey: (h, w) uint8, the view's grey values.
        mask: (h, w) bool.
    """

    key: ViewKey
    embedding: NDArray[np.float16]
    grey: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def make_view(row: Row, view: int, load: Loader, *, seed: int) -> View:
    """Return view number `view` of a row, the same for the same seed."""
    rgb, mask = load(row)
    if view == 0:
        return plain_view(rgb, mask, side_px=SIDE_PX)
    rng = np.random.default_rng([seed, view, *row.id.encode()])
    return random_view(rgb, mask, rng, modality=row.modality, side_px=SIDE_PX)


def write_shard(
    folder: Path, name: str, keys: Sequence[ViewKey], views: Iterator[View], segmenter: SamSegmenter
) -> None:
    """Embed views one by one and write them as one shard; the index comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(keys), *segmenter.embedding_chw)
    embeddings = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape)
    greys = np.zeros((len(keys), SIDE_PX, SIDE_PX), np.uint8)
    masks = np.zeros((len(keys), SIDE_PX, SIDE_PX), bool)
    sizes = []
    for index, view in enumerate(views):
        with torch.inference_mode():
            embedding = segmenter.encode(segmenter.normalise(view.rgb)[None])[0]
        embeddings[index] = embedding.to(torch.float16).numpy()
        height, width = view.mask.shape
        greys[index, :height, :width] = view.rgb.mean(0).round().to(torch.uint8).numpy()
        masks[index, :height, :width] = view.mask.numpy()
        sizes.append((height, width))
    embeddings.flush()
    np.savez_compressed(folder / f"{name}.pixels.npz", greys=greys, masks=np.packbits(masks, axis=-1))
    entries = [
        {"row": key.row_id, "view": key.view, "hw": size} for key, size in zip(keys, sizes, strict=True)
    ]
    temporary = folder / f"{name}.index.tmp"
    temporary.write_text(json.dumps(entries))
    os.replace(temporary, folder / f"{name}.index.json")


class ViewStore:
    """Embedded views of a folder, read by number; embeddings stay on disk until they are used."""

    def __init__(self, folder: Path) -> None:
        self._shards: list[tuple[NDArray[np.float16], NDArray[np.uint8], NDArray[np.uint8]]] = []
        self._places: list[tuple[int, int]] = []
        self.keys: list[ViewKey] = []
        self._sizes: list[tuple[int, int]] = []
        for index_path in sorted(folder.glob("*.index.json")):
            name = index_path.name.removesuffix(".index.json")
            with np.load(folder / f"{name}.pixels.npz", allow_pickle=False) as pixels:
                greys, masks = pixels["greys"], pixels["masks"]
            self._shards.append((np.load(folder / f"{name}.npy", mmap_mode="r"), greys, masks))
            for place, entry in enumerate(json.loads(index_path.read_text())):
                self._places.append((len(self._shards) - 1, place))
                self.keys.append(ViewKey(entry["row"], entry["view"]))
                self._sizes.append((entry["hw"][0], entry["hw"][1]))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> EmbeddedView:
        shard, place = self._places[number]
        embeddings, greys, masks = self._shards[shard]
        height, width = self._sizes[number]
        mask = np.unpackbits(masks[place], axis=-1).astype(bool)
        return EmbeddedView(
            key=self.keys[number],
            embedding=embeddings[place],
            grey=greys[place, :height, :width],
            mask=mask[:height, :width],
        )


def build_store(
    rows: Sequence[Row],
    views: Sequence[int],
    folder: Path,
    *,
    seed: int = 0,
    load: Loader = load_row,
    worker: tuple[int, int] = (0, 1),
) -> None:
    """Write the shards that are missing from `folder`, with a progress bar.

    Args:
        worker: (number, count): this process writes every `count`-th shard, so that several share the work.
    """
    keep_freed_memory()
    segmenter = build_lite_medsam(encoder_dtype=best_encoder_dtype())
    keys = [(row, ViewKey(row.id, view)) for view in views for row in rows]
    shards = [keys[start : start + SHARD_VIEWS] for start in range(0, len(keys), SHARD_VIEWS)]
    for number in tqdm(range(worker[0], len(shards), worker[1]), desc="embedding shards", unit="shard"):
        first, shard = shards[number][0][1], shards[number]
        name = f"view{first.view:02d}_{number:04d}"
        if (folder / f"{name}.index.json").exists():
            continue
        made = (make_view(row, key.view, load, seed=seed) for row, key in shard)
        write_shard(folder, name, [key for _, key in shard], made, segmenter)


def main(argv: Sequence[str] | None = None) -> None:
    """Embed the views of a manifest's rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--part", choices=["train", "dev", "val"], default="train")
    parser.add_argument("--views", type=int, nargs="+", default=[0, 1], help="0 is the picture itself")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--worker", type=int, nargs=2, default=(0, 1), metavar=("NUMBER", "COUNT"))
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    rows = [
        row
        for row in read_manifest(arguments.manifest)
        if row.weights == "yes" and part_of(row) == arguments.part
    ]
    worker = (arguments.worker[0], arguments.worker[1])
    build_store(rows, arguments.views, arguments.out, seed=arguments.seed, worker=worker)


if __name__ == "__main__":
    main()
