"""Copies of a set to pass on: the paper's tuples (image, mask, query, reasoning, answer), and a Hugging Face folder."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coreseg_core.evaluation.files import cannot_write, write_whole
from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from training.dataset.steps import make_folder
from training.png import png_bytes

ExportName = Literal["tuples", "huggingface"]
Step = Callable[[], None]
_WORDS = ("modality", "anatomy", "disease", "target", "subset", "licence", "cite", "split")
_SPLIT_NAMES = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}


def export_tuples(rows: Sequence[Row], folder: Path, *, title: str, step: Step) -> None:
    """Write `tuples.jsonl` with images and masks beside it; a lesion-free picture has an empty mask.

    Raises:
        InputError: A picture cannot be read, or the folder cannot be written.
    """
    lines = []
    for row in rows:
        image, mask = _copy(row, folder)
        lines.append({"id": row.id, "image": image, "mask": mask, **_texts(row), **_words(row)})
        step()
    write_whole(folder / "tuples.jsonl", _json_lines(lines), what="tuples")


def export_huggingface(rows: Sequence[Row], folder: Path, *, title: str, step: Step) -> None:
    """Write a folder that `datasets.load_dataset("imagefolder", ...)` reads: a `metadata.jsonl` for each split.

    Raises:
        InputError: A picture cannot be read, or the folder cannot be written.
    """
    by_split: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        split = _SPLIT_NAMES[row.split]
        image, mask = _copy(row, make_folder(folder / "data" / split))
        by_split[split].append(
            {"file_name": image, "mask_file_name": mask, "id": row.id, **_texts(row), **_words(row)}
        )
        step()
    for split, lines in by_split.items():
        write_whole(folder / "data" / split / "metadata.jsonl", _json_lines(lines), what="metadata")
    write_whole(folder / "README.md", _readme(title, by_split), what="data set card")


EXPORTS: Mapping[ExportName, Callable[..., None]] = {
    "tuples": export_tuples,
    "huggingface": export_huggingface,
}


def _copy(row: Row, folder: Path) -> tuple[str, str]:
    """Return the places of image and mask, copied where they were not there yet."""
    image = f"images/{row.image_path.name}"
    mask = f"masks/{row.mask_path.name if row.mask_path is not None else f'{row.image_path.stem}_none.png'}"
    try:
        for name in ("images", "masks"):
            make_folder(folder / name)
        if not (folder / image).exists():
            _copied(row.image_path, folder / image)
        if row.mask_path is not None and not (folder / mask).exists():
            _copied(row.mask_path, folder / mask)
        elif not (folder / mask).exists():
            empty = np.zeros_like(load_picture(row).mask)
            (folder / mask).write_bytes(png_bytes(empty))
    except OSError as error:
        raise cannot_write("copy of the data set", error) from error
    return image, mask


def _copied(source: Path, place: Path) -> None:
    partial = place.with_name(f".{place.name}.part")
    shutil.copyfile(source, partial)
    partial.replace(place)


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
