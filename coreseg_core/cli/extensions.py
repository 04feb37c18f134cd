"""Commands of other packages, through the entry-point group `coreseg.commands`.

The contract. A package names its commands in its own metadata,

    [options.entry_points]
    coreseg.commands =
        train = training.cli:train_command

where the name on the left is the command's, and the object on the right is a function of one argument that adds
one parser of that name and says what runs it:

    def train_command(subparsers):
        parser = subparsers.add_parser("train", help="fine-tune a model")
        parser.add_argument("--config", type=Path, required=True)
        parser.set_defaults(run=train)          # train(arguments: argparse.Namespace) -> int

`run` returns the exit code, 0 when done; it raises `CoreSegError` for what the user can mend (exit code 2) and lets
`KeyboardInterrupt` pass (130). Heavy imports belong inside `run`: the function is called for `coreseg --help` too.
A name that is taken stays with its first owner, built-in commands before all. A command that cannot be loaded is
still listed and says why when it is called; the others are not disturbed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import NoReturn

from coreseg_core.errors import CoreSegError

GROUP = "coreseg.commands"

Subparsers = argparse._SubParsersAction
AddCommand = Callable[[Subparsers], None]


class ExtensionError(CoreSegError):
    """A command of another package that cannot be loaded."""

    code = "extension"


def add_extensions(subparsers: Subparsers) -> None:
    """Add the commands that installed packages offer, in the order of their names."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in subparsers.choices:
            continue
        try:
            add_command: AddCommand = entry.load()
            add_command(subparsers)
        except (ImportError, AttributeError, argparse.ArgumentError) as error:
            _add_unavailable(subparsers, entry.name, error)


def _add_unavailable(subparsers: Subparsers, name: str, error: Exception) -> None:
    reason = f"The command {name!r} is installed but cannot be loaded ({error})."

    def run(_: argparse.Namespace) -> NoReturn:
        raise ExtensionError(
            reason, remedy="Install what it needs, for our own commands with pip install 'coreseg[train]'."
        ) from error

    if name not in subparsers.choices:
        # No word starts with NUL, so that whatever options follow reach `run`, which says why.
        parser = subparsers.add_parser(
            name, help="(cannot be loaded; call it to see why)", prefix_chars="\0", add_help=False
        )
        parser.add_argument("rest", nargs=argparse.REMAINDER)
        parser.set_defaults(run=run)
