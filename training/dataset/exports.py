"""Copies of a set to pass on: the paper's tuples (image, mask, query, reasoning, answer), and a Hugging Face folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coreseg_core.errors import InputError
from coreseg_core.evaluation.files import cannot_write, write_whole
from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging.studies import IMAGE_ENDINGS
from training.dataset.steps import make_folder
from training.png import png_bytes

ExportName = Literal["tuples", "huggingface"]
Step = Callable[[], None]
_WORDS = ("modality", "anatomy", "disease", "target", "subset", "licence", "cite", "split")
_SPLIT_NAMES = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}


def export_tuples(rows: Sequence[Row], folder: Path, *, title: str, step: Step) -> None:
    """Write `tuples.jsonl` with images and masks beside it; a lesion-free picture has an empty mask.

    An earlier copy is replaced whole.

    Raises:
        InputError: A picture cannot be read, or the folder cannot be written or holds other files.
    """
    with _replaced(folder, owned=("tuples.jsonl", "images", "masks")) as fresh:
        lines = []
        for row in rows:
            image, mask = _copy(row, fresh)
            lines.append({"id": row.id, "image": image, "mask": mask, **_texts(row), **_words(row)})
            step()
        write_whole(fresh / "tuples.jsonl", _json_lines(lines), what="tuples")


def export_huggingface(rows: Sequence[Row], folder: Path, *, title: str, step: Step) -> None:
    """Write a folder that `datasets.load_dataset("imagefolder", ...)` reads: a `metadata.jsonl` for each split.

    An earlier copy is replaced whole.

    Raises:
        InputError: A picture cannot be read, or the folder cannot be written or holds other files.
    """
    by_split: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with _replaced(folder, owned=("README.md", "data")) as fresh:
        for row in rows:
            split = _SPLIT_NAMES[row.split]
            image, mask = _copy(row, fresh / "data" / split)
            by_split[split].append(
                {"file_name": image, "mask_file_name": mask, "id": row.id, **_texts(row), **_words(row)}
            )
            step()
        for split, lines in by_split.items():
            write_whole(fresh / "data" / split / "metadata.jsonl", _json_lines(lines), what="metadata")
        write_whole(fresh / "README.md", _readme(title, by_split), what="data set card")


EXPORTS: Mapping[ExportName, Callable[..., None]] = {
    "tuples": export_tuples,
    "huggingface": export_huggingface,
}


@contextmanager
def _replaced(folder: Path, *, owned: Sequence[str]) -> Iterator[Path]:
    """Give an empty folder that takes the place of `folder` whole once it is filled; after an error nothing changed.

    Args:
        folder: An earlier copy may be there: nothing of it stays.
        owned: Names of what a copy holds; a folder with other things in it is not ours to replace.
    """
    make_folder(folder.parent)
    try:
        if folder.exists():
            _require_only(folder, owned)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            fresh = make_folder(Path(scratch) / "new")
            yield fresh
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            fresh.rename(folder)
    except OSError as error:
        raise cannot_write("copy of the data set", error) from error


def _require_only(folder: Path, owned: Sequence[str]) -> None:
    others = sum(path.name not in owned for path in folder.iterdir())
    if others:
        raise InputError(
            f"The folder {folder.name!r} is to be replaced by a new copy, but {others} of the files and folders in it "
            f"are none of a copy's ({', '.join(owned)}).",
            remedy="Move them away, or choose another --out.",
        )


def _copy(row: Row, folder: Path) -> tuple[str, str]:
    """Return the places of image and mask after copying them into `folder`."""
    image = _put(_read(row.image_path), folder, "images", ending=_ending(row.image_path))
    if row.mask_path is not None:
        return image, _put(_read(row.mask_path), folder, "masks", ending=_ending(row.mask_path))
    empty = np.zeros_like(load_picture(row).mask)
    return image, _put(png_bytes(empty), folder, "masks", ending=".png")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"A picture or mask of the manifest cannot be read ({error.strerror}).",
            remedy="Check that the folder the manifest's paths start from is complete.",
        ) from error


def _put(content: bytes, folder: Path, part: str, *, ending: str) -> str:
    """Return the place of a file named by its content: no name of a source shows, and no two files share one."""
    place = f"{part}/{hashlib.sha256(content).hexdigest()[:32]}{ending}"
    make_folder(folder / part)
    (folder / place).write_bytes(content)
    return place


def _ending(path: Path) -> str:
    return next((ending for ending in IMAGE_ENDINGS if path.name.lower().endswith(ending)), "")


def _texts(row: Row) -> dict[str, str | None]:
    return {"query": row.query, "reasoning": row.reasoning, "answer": row.answer}


def _words(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _WORDS}


def _json_lines(lines: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _readme(title: str, by_split: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the head that the hub reads, with a licence a row where there are several."""
    licences = sorted({str(line["licence"]) for lines in by_split.values() for line in lines})
    splits = "\n".join(
        f"      - split: {split}\n        path: data/{split}/**" for split in sorted(by_split, reverse=True)
    )
    listed = "\n".join(f"* {licence}" for licence in licences)
    return (
        "---\nlicense: other\nlicense_name: by-row\ntask_categories:\n  - image-segmentation\n"
        "  - visual-question-answering\ntags:\n  - medical\n"
        f"configs:\n  - config_name: default\n    drop_labels: true\n    data_files:\n{splits}\n---\n\n"
        f"# {title}\n\nEach row names its own source and licence in the columns `subset`, `cite`, `licence`:\n\n"
        f"{listed}\n\nThe columns `image`, `mask`, `query`, `reasoning`, `answer` are the tuple of CORE-Seg (arXiv "
        "2603.05911). Boxes in answers are half-open pixels of the image. Research data, not a medical device.\n"
    )
