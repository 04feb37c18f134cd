"""The command line: `coreseg ask | evaluate | info | samples | phantoms`, and commands that others add."""

from coreseg_core.cli.program import main

__all__ = ["main"]
