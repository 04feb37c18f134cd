"""The program `coreseg`: chooses the command and turns what goes wrong into an exit code.

Exit codes: 0 done, 2 something was wrong with the request (the reason and a remedy are on stderr), 130 stopped
by Ctrl-C. Nothing here, nor in building the parsers, loads a deep-learning framework: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from coreseg_core import __version__
from coreseg_core.cli import ask, batch, evaluate, evaluate_volumes, importing, info, phantoms, samples
from coreseg_core.cli.exits import BAD_REQUEST, exit_code
from coreseg_core.cli.extensions import Subparsers, add_extensions

BUILT_IN = {
    "ask": ask,
    "batch": batch,
    "import": importing,
    "evaluate": evaluate,
    "evaluate-volumes": evaluate_volumes,
    "info": info,
    "samples": samples,
    "phantoms": phantoms,
}

DESCRIPTION = """\
Ask a medical image a question; get reasoning, a mask, boxes and a confidence.
Research software, not a medical device."""

EXAMPLES = """\
the first minutes:
  coreseg phantoms demo
  coreseg ask demo/demo_ct_liver.nii.gz "Is there a liver tumor?" --overlay answer.png
  coreseg ask demo/demo_mr_brain.nii.gz "Where is the brain tumor?" --all --out mask.nii.gz

'coreseg COMMAND --help' explains a command, with examples.
Exit codes: 0 done, 2 bad request (reason and remedy on stderr), 130 stopped by Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code of one call of the program.

    Args:
        arguments: Words after the program's name; those of the process if not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = build_parser(extensions=not words or words[0] not in BUILT_IN)
    if not words:
        parser.print_help(sys.stderr)
        return BAD_REQUEST
    chosen = parser.parse_args(words)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            # Deprecations inside the libraries we use are nothing the reader of an answer can act upon.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
        return exit_code(chosen.run, stopped="Stopped. No file was left half written.")(chosen)


def build_parser(*, extensions: bool) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Args:
        extensions: Whether to load the commands of other packages; a built-in command needs none of them and
            cannot be broken by one.
    """
    parser = argparse.ArgumentParser(
        prog="coreseg",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"coreseg {__version__}")
    subparsers: Subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in BUILT_IN.values():
        command.add_command(subparsers)
    if extensions:
        add_extensions(subparsers)
    return parser
