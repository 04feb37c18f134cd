"""Views of the training pictures, embedded once by the frozen encoder and kept on disk.

The encoder never changes, so its work is done before training: view 0 of a picture is the picture itself, the others
are random views (`training.augment`). A store is a folder of shards; each shard is a memory-mapped array of embeddings
beside grey pictures, masks and an index, and for a preset whose language model looks at pictures itself beside their
frames. A shard is complete once its index exists, so an interrupted run goes on where it stopped.

    python -m training.views --manifest MANIFEST --part train --views 0 1 --out VIEWS
    python -m training.views --preset core-seg-3b --base FOLDER --manifest MANIFEST --part train --views 0 1 --out VIEWS
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import Row, read_manifest
from coreseg_core.evaluation.pictures import CtDisplay, load_row
from coreseg_core.models.allocator import keep_freed_memory
from coreseg_core.models.load import published_segmenter
from coreseg_core.models.preset import PRESETS, FrameSpec, Preset, load_preset
from coreseg_core.models.segmenter import SamSegmenter
from training.augment import plain_view, random_view
from training.parts import part_of
from training.shown import ShownView, Size, at_mask_pitch, frame_spec, with_frame

SHARD_VIEWS = 200
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
        grey: (h, w) uint8, the view's grey values at the pitch of the mask logits.
        mask: (h, w) bool.
        frame: (H, W, 3) uint8, what a language model with a vision tower of its own sees; else None.
    """

    key: ViewKey
    embedding: NDArray[np.float16]
    grey: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    frame: NDArray[np.uint8] | None = None


def make_view(
    row: Row, view: int, load: Loader, *, seed: int, side_px: int, frame: FrameSpec | None = None
) -> ShownView:
    """Return view number `view` of a row, the same for the same seed."""
    rgb, mask = load(row)
    if view == 0:
        made = plain_view(rgb, mask, side_px=side_px)
    else:
        rng = np.random.default_rng([seed, view, *row.id.encode()])
        made = random_view(rgb, mask, rng, modality=row.modality, side_px=side_px)
    return with_frame(made, (mask.shape[0], mask.shape[1]), frame)


def write_shard(
    folder: Path,
    name: str,
    keys: Sequence[ViewKey],
    views: Iterator[ShownView],
    segmenter: SamSegmenter,
    *,
    frame: FrameSpec | None = None,
) -> None:
    """Embed views one by one and write them as one shard; the index comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    count, side = len(keys), segmenter.mask_side_px
    embeddings = _new_map(folder / f"{name}.npy", np.float16, (count, *segmenter.embedding_chw))
    greys, masks = np.zeros((count, side, side), np.uint8), np.zeros((count, side, side), bool)
    frames = None
    if frame is not None:
        long_px = frame.max_long_side_px
        frames = _new_map(folder / f"{name}.frames.npy", np.uint8, (count, long_px, long_px, 3))
    entries: list[dict[str, Any]] = []
    for index, (key, shown) in enumerate(zip(keys, views, strict=True)):
        embeddings[index] = _embedding(segmenter, shown.view.rgb)
        grey, mask = at_mask_pitch(shown.view, segmenter.side_px // side)
        height, width = mask.shape
        greys[index, :height, :width] = grey.to(torch.uint8).numpy()
        masks[index, :height, :width] = mask.numpy()
        entries.append({"row": key.row_id, "view": key.view, "hw": (height, width)})
        if frames is not None and shown.frame is not None:
            high, wide = shown.frame.shape[:2]
            frames[index, :high, :wide] = shown.frame
            entries[-1]["frame_wh"] = (wide, high)
    embeddings.flush()
    if frames is not None:
        frames.flush()
    np.savez_compressed(folder / f"{name}.pixels.npz", greys=greys, masks=np.packbits(masks, axis=-1))
    temporary = folder / f"{name}.index.tmp"
    temporary.write_text(json.dumps(entries))
    os.replace(temporary, folder / f"{name}.index.json")


def _new_map(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


@torch.inference_mode()
def _embedding(segmenter: SamSegmenter, rgb: torch.Tensor) -> NDArray[np.float16]:
    square = segmenter.normalise(rgb)[None].to(segmenter.device)
    embedding: NDArray[np.float16] = segmenter.encode(square)[0].to(torch.float16).cpu().numpy()
    return embedding


@dataclass(frozen=True)
class _Shard:
    """Arrays of one shard; embeddings and frames are memory-mapped."""

    embeddings: NDArray[np.float16]
    greys: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    frames: NDArray[np.uint8] | None

    @classmethod
    def read(cls, folder: Path, name: str) -> _Shard:
        with np.load(folder / f"{name}.pixels.npz", allow_pickle=False) as pixels:
            greys, masks = pixels["greys"], pixels["masks"]
        frames = folder / f"{name}.frames.npy"
        return cls(
            embeddings=np.load(folder / f"{name}.npy", mmap_mode="r"),
            greys=greys,
            masks=masks,
            frames=np.load(frames, mmap_mode="r") if frames.exists() else None,
        )


class ViewStore:
    """Embedded views of a folder, read by number; embeddings and frames stay on disk until they are used.

    Attributes:
        keys: Which view of which picture each number is.
        frame_whs: Size of each view's frame, None where none is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._shards: list[_Shard] = []
        self._places: list[tuple[int, int]] = []
        self._sizes: list[Size] = []
        self.keys: list[ViewKey] = []
        self.frame_whs: list[Size | None] = []
        for index_path in sorted(folder.glob("*.index.json")):
            self._shards.append(_Shard.read(folder, index_path.name.removesuffix(".index.json")))
            for place, entry in enumerate(json.loads(index_path.read_text())):
                self._places.append((len(self._shards) - 1, place))
                self.keys.append(ViewKey(entry["row"], entry["view"]))
                self._sizes.append((entry["hw"][0], entry["hw"][1]))
                framed = entry.get("frame_wh")
                self.frame_whs.append((framed[0], framed[1]) if framed else None)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> EmbeddedView:
        which, place = self._places[number]
        shard = self._shards[which]
        height, width = self._sizes[number]
        side = shard.greys.shape[-1]
        mask = np.unpackbits(shard.masks[place], axis=-1, count=side).astype(bool)
        framed = self.frame_whs[number]
        frame = shard.frames[place, : framed[1], : framed[0]] if framed and shard.frames is not None else None
        return EmbeddedView(
            key=self.keys[number],
            embedding=shard.embeddings[place],
            grey=shard.greys[place, :height, :width],
            mask=mask[:height, :width],
            frame=frame,
        )


def shown_rows(store: ViewStore, rows: Mapping[str, Row]) -> list[Row]:
    """Return the rows that a store has views of, by their ids in order.

    Raises:
        InputError: A view is of no row.
    """
    names = sorted({key.row_id for key in store.keys})
    unknown = sum(name not in rows for name in names)
    if unknown:
        raise InputError(
            f"{unknown} of {len(names)} embedded pictures are in no manifest.",
            remedy="Name all the manifests that the views were made from.",
        )
    return [rows[name] for name in names]


def build_store(
    rows: Sequence[Row],
    views: Sequence[int],
    folder: Path,
    *,
    preset: Preset | None = None,
    base: str | None = None,
    seed: int = 0,
    load: Loader | None = None,
    worker: tuple[int, int] = (0, 1),
) -> None:
    """Write the shards that are missing from `folder`, with a progress bar.

    Args:
        preset: Whose segmenter embeds; `lite` by default.
        base: Folder or hub id of the published weights that the preset stands on; see `load_model`.
        load: Picture and mask of a row; as the preset is served with by default.
        worker: (number, count): this process writes every `count`-th shard, so that several share the work.
    """
    keep_freed_memory()
    spec = preset or load_preset("lite")
    segmenter = published_segmenter(spec, base=base, device="cuda" if torch.cuda.is_available() else "cpu")
    load = load or partial(load_row, ct=CtDisplay.of(spec))
    frame = frame_spec(spec)
    keys = [(row, ViewKey(row.id, view)) for view in views for row in rows]
    shards = [keys[start : start + SHARD_VIEWS] for start in range(0, len(keys), SHARD_VIEWS)]
    for number in tqdm(range(worker[0], len(shards), worker[1]), desc="embedding shards", unit="shard"):
        first, shard = shards[number][0][1], shards[number]
        name = f"view{first.view:02d}_{number:04d}"
        if (folder / f"{name}.index.json").exists():
            continue
        made = (
            make_view(row, key.view, load, seed=seed, side_px=segmenter.side_px, frame=frame)
            for row, key in shard
        )
        write_shard(folder, name, [key for _, key in shard], made, segmenter, frame=frame)


def main(argv: Sequence[str] | None = None) -> None:
    """Embed the views of a manifest's rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="lite", help="whose segmenter embeds")
    parser.add_argument("--base", help="folder or hub id of the published weights that core-seg-3b stands on")
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
    build_store(
        rows,
        arguments.views,
        arguments.out,
        preset=load_preset(arguments.preset),
        base=arguments.base,
        seed=arguments.seed,
        worker=worker,
    )


if __name__ == "__main__":
    sys.exit(exit_code(main, stopped=GOES_ON)())
