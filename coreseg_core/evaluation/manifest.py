"""The manifest (`coreseg.manifest/1`, JSON lines): what pictures there are and what is outlined in them.

Training, evaluation, data-set construction and corrections all read and write this and nothing else. Its JSON
Schema ships as `coreseg_core/data/manifest.schema.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from coreseg_core.errors import InputError, LimitError
from coreseg_core.evaluation.files import cannot_write
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Probe, Row, SliceRef

SCHEMA = "coreseg.manifest/1"
MAX_ROWS = 1_000_000
MAX_LINE_CHARS = 1_000_000

__all__ = ["SCHEMA", "Probe", "Row", "SliceRef", "load_row", "read_manifest", "schema", "write_manifest"]


def read_manifest(path: Path | str, *, root: Path | str | None = None) -> tuple[Row, ...]:
    """Return the rows of a manifest, each checked against the schema.

    Args:
        path: The JSON-lines file.
        root: Folder that the paths in it are relative to; the manifest's own folder unless given.

    Raises:
        InputError: Unreadable file, a line that is not a row, an id twice, or a path that leaves the folder.
        LimitError: More than a million rows, or a line of more than a million characters.
    """
    path = Path(path)
    folder = Path(root) if root is not None else path.parent
    real_folder = folder.resolve()
    rows: list[Row] = []
    seen: set[str] = set()
    for number, values in _json_lines(path):
        _check(values, line=number)
        for name in ("image", "mask"):
            if values.get(name) is not None:
                _assert_inside(values[name], folder=real_folder, name=name, line=number)
        if values["id"] in seen:
            raise InputError(f"Line {number}: its id is used by an earlier line.", remedy="Make ids unique.")
        seen.add(values["id"])
        rows.append(Row.from_json(values, folder=folder))
    if not rows:
        raise InputError("The manifest holds no rows.", remedy="Give a JSON-lines file with one row a line.")
    return tuple(rows)


def write_manifest(path: Path | str, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines; the file appears whole or not at all.

    Raises:
        InputError: A row breaks the schema, or the place cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for number, row in enumerate(rows, start=1):
                line = json.dumps(row.to_json(), ensure_ascii=False)
                _check(json.loads(line), line=number)
                file.write(line + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write("manifest", error) from error
    finally:
        temporary.unlink(missing_ok=True)


@cache
def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of one row."""
    text = resources.files("coreseg_core").joinpath("data/manifest.schema.json").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


@cache
def _validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(schema())


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number in range(1, MAX_ROWS + 2):
                line = file.readline(MAX_LINE_CHARS + 1)
                if not line:
                    return
                if len(line) > MAX_LINE_CHARS:
                    raise LimitError(
                        f"Line {number} is longer than {MAX_LINE_CHARS} characters.",
                        remedy="A manifest has one JSON object a line.",
                    )
                if number > MAX_ROWS:
                    raise LimitError(f"More than {MAX_ROWS} lines.", remedy="Split the manifest.")
                if line.strip():
                    yield number, json.loads(line)
    except OSError as error:
        raise InputError(
            f"The manifest cannot be read ({error.strerror}).", remedy="Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("The manifest is not UTF-8 text.", remedy="Save it as UTF-8 JSON lines.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f"Line {number} is not JSON.", remedy="Write one JSON object a line, without line breaks inside."
        ) from error


def _check(values: Any, *, line: int) -> None:
    error = next(iter(_validator().iter_errors(values)), None)
    if error is None:
        return
    where = ".".join(str(part) for part in error.absolute_path) or "the row"
    raise InputError(f"Line {line}: {where} {_rule(error)}.", remedy=f"See the JSON Schema of {SCHEMA}.")


def _rule(error: jsonschema.ValidationError) -> str:
    """Return what is asked for; values may be patient data, so that what stood there is never repeated."""
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))
        return f"lacks {', '.join(missing)}"
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(error.schema["properties"]))
        return f"has unknown fields: {', '.join(unknown)[:200]}"
    if error.validator in ("enum", "type", "minimum", "maximum", "pattern", "maxLength", "minLength"):
        return f"must keep to {error.validator} {error.validator_value}"
    return f"breaks the rule {error.validator!r}"


def _assert_inside(relative: str, *, folder: Path, name: str, line: int) -> None:
    try:
        inside = (folder / relative).resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        raise InputError(
            f"Line {line}: the path in {name!r} leaves the manifest's folder.",
            remedy="Use paths relative to that folder, or name another root.",
        )
