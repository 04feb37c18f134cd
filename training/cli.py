"""`coreseg train`: the recipes of this package as a command of the program."""

from __future__ import annotations

import argparse

from coreseg_core.cli.extensions import Subparsers
from training.settings import add_settings

_DESCRIPTION = """\
Train a model as a configuration says, by supervised learning (SFT) or, from there on, by reward (GRPO); a run that is
stopped goes on when it is started again. Embed the pictures first: python -m training.views --help"""


def train_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg train`."""
    parser = subparsers.add_parser(
        "train",
        help="fine-tune a model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  coreseg train --config training/configs/sft_lite.yaml --minutes 40\n"
        "  coreseg train --config training/configs/grpo_lite.yaml",
    )
    add_settings(parser)
    parser.add_argument("--minutes", type=float, help="stop after this long and save; run again to go on")
    parser.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from training.recipes import read_config, run

    run(read_config(arguments.config, arguments.changes), minutes=arguments.minutes)
    return 0
