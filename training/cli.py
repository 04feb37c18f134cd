"""`coreseg train`: the recipes of this package, and learning from corrections, as a command of the program."""

from __future__ import annotations

import argparse
from pathlib import Path

from coreseg_core.cli.extensions import Subparsers
from coreseg_core.errors import CoreSegError
from coreseg_core.runs import RECIPES
from training.settings import add_settings

_DESCRIPTION = """\
Fine-tune a model; a training that is stopped goes on when it is started again.

--config: as a configuration says, by supervised learning (SFT) or, from there on, by reward (GRPO). Embed the
  pictures first, with python -m training.views.
--corrections: on what readers corrected, as the server does it: embed, learn, judge beside the version that answers,
  and answer in its place or wait. The manifest is one of coreseg.manifest/1 whose rows name patients; the server leaves
  such manifests in its runs (corrections/manifest.jsonl).
--run: go on with a run of the server or of --corrections."""


def train_command(subparsers: Subparsers) -> None:
    """Add the parser of `coreseg train`."""
    parser = subparsers.add_parser(
        "train",
        help="fine-tune a model",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  coreseg train --config training/configs/sft_lite.yaml --minutes 40\n"
        "  coreseg train --config training/configs/grpo_lite.yaml\n"
        "  coreseg train --corrections corrections/manifest.jsonl --versions apps/coreseg/model/versions",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    add_settings(parser, what)
    what.add_argument("--corrections", type=Path, metavar="MANIFEST", help="what to learn from")
    what.add_argument("--run", type=Path, dest="run_folder", metavar="FOLDER", help="what to go on with")
    parser.add_argument("--minutes", type=float, help="learn for this long at most; run again to go on")
    learning = parser.add_argument_group("learning from corrections")
    learning.add_argument("--versions", type=Path, metavar="DIR", help="where versions lie (required)")
    learning.add_argument(
        "--runs", type=Path, metavar="DIR", help="where runs lie; runs, beside the versions"
    )
    learning.add_argument("--recipe", choices=RECIPES, default="sft", help="how it learns (default: sft)")
    learning.add_argument("--preset", default="lite", help="of the model (default: lite)")
    learning.add_argument("--weights", type=Path, help="what answers while no version does; what ships")
    learning.add_argument("--base", help="folder or hub id of the weights that core-seg-3b stands on")
    learning.add_argument(
        "--replay", type=Path, metavar="MANIFEST", help="base data to learn beside; phantoms"
    )
    learning.add_argument("--guard", type=Path, metavar="MANIFEST", help="base data to judge by; phantoms")
    learning.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    learning.add_argument("--processes", type=int, default=1, help="that learn together, one a GPU")
    learning.add_argument("--no-promote", action="store_true", help="let the new version wait in any case")
    parser.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    if arguments.config is not None:
        from training.recipes import read_config, run

        run(read_config(arguments.config, arguments.changes), minutes=arguments.minutes)
        return 0
    from training.tuning.ordering import go_on, order_by_hand

    folder = arguments.run_folder
    state = (order_by_hand(arguments) if folder is None else go_on(folder)).state
    if state.state != "done":
        raise CoreSegError(state.reason or "The training has not ended.", remedy=state.remedy)
    print(f"Version {state.version} {'answers now' if state.promoted else 'waits: ' + state.reason}.")
    return 0
