"""The YAML file of a run, and what is changed of it for one machine or one try."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from coreseg_core.errors import InputError


def add_settings(
    parser: argparse.ArgumentParser, instead_of: argparse._MutuallyExclusiveGroup | None = None
) -> None:
    """Add the options that name a configuration and what is changed of it.

    Args:
        parser: Of the command.
        instead_of: The group of what may be given in place of a configuration; without it, one is required.
    """
    named = parser if instead_of is None else instead_of
    named.add_argument(
        "--config", type=Path, required=instead_of is None, metavar="YAML", help="what and how to train"
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value than the file's, such as out=runs/b or loop.steps=50; may be given several times",
    )


def recipe_arguments(argv: Sequence[str] | None, *, description: str | None) -> argparse.Namespace:
    """Return what a recipe is told on its command line: `config`, `changes` and `minutes`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_settings(parser)
    parser.add_argument("--minutes", type=float, help="stop after this long and save; run again to go on")
    return parser.parse_args(argv)


def read_values(
    path: Path, changes: Sequence[str] = (), *, config: type | None = None, examples: str = "training/configs"
) -> dict[str, Any]:
    """Return the values of a YAML file with some of them changed.

    Args:
        path: The file.
        changes: Each `NAME=VALUE`, the value as in YAML; `loop.steps=50` reaches into a part.
        config: The dataclass whose fields they are; not checked without it.
        examples: Folder of files as this one should be, for whoever gives another.

    Raises:
        InputError: The file cannot be read or holds no settings, a change has no name and value or reaches into what
            is no part, or a name is not a field.
    """
    values = _mapping(path, examples)
    for change in changes:
        _change(values, change)
    known = None if config is None else {item.name for item in fields(config)}
    unknown = [] if known is None else sorted(str(name) for name in values.keys() - known)
    if unknown:
        raise InputError(
            f"The configuration has no setting called {unknown[0][:40]!r}.",
            remedy=f"The settings are {', '.join(sorted(known or ()))}.",
        )
    return values


def _mapping(path: Path, examples: str) -> dict[str, Any]:
    remedy = f"Name a YAML file of `NAME: VALUE` lines, such as those in {examples}."
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The configuration {path.name!r} cannot be read.", remedy=remedy) from error
    except yaml.YAMLError as error:
        raise InputError(f"The configuration {path.name!r} is not YAML.", remedy=remedy) from error
    if not isinstance(values, dict):
        raise InputError(f"The configuration {path.name!r} holds no settings.", remedy=remedy)
    return values


def _change(values: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    *parts, last = name.split(".")
    for part in parts:
        values = values.get(part, {}) if isinstance(values, dict) else {}
    if not equals or not isinstance(values, dict) or (parts and not values):
        raise InputError(
            f"{change[:60]!r} changes nothing in the configuration.",
            remedy="Write NAME=VALUE, or PART.NAME=VALUE for a part that the file has.",
        )
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(
            f"The value in {change[:60]!r} cannot be read.", remedy="Write it as in YAML."
        ) from error
