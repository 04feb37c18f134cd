"""Evaluates one of the other systems on a manifest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from coreseg_core.cli.exits import exit_code
from coreseg_core.cli.progress import progress_bar
from coreseg_core.errors import InputError
from coreseg_core.evaluation import Report, asks_of, evaluate, read_manifest, report_table, spread
from coreseg_core.evaluation.answers import write_answers
from coreseg_core.evaluation.published import published_table
from coreseg_core.evaluation.run import Answerer
from coreseg_core.models.image_text import load_image_text
from coreseg_core.models.lisa import load_lisa
from coreseg_core.models.load import published_segmenter
from coreseg_core.models.preset import PRESETS, load_preset
from training.baselines.boxes import BoxSegmenter
from training.dataset.chat import ChatServer, ServerPlan
from training.journal import LineJournal
from training.peers import __doc__ as description
from training.peers.answerer import BoxAnswerer
from training.peers.asking import asker, local_asker
from training.peers.config import SEG_STATE, PeerConfig, read_peer
from training.peers.lisa_answerer import LisaAnswerer


def evaluate_peer(arguments: argparse.Namespace) -> Report:
    """Return the report on a system that a server serves, or that lies in a folder.

    Raises:
        CoreSegError: A file cannot be read.
        ConnectionError: The server cannot be reached; nothing was scored.
    """
    config = read_peer(arguments.system)
    source = arguments.manifest if arguments.questions is None else arguments.questions
    rows = [
        row for row in read_manifest(source, root=arguments.manifest.parent) if row.split == arguments.split
    ]
    asks = asks_of(rows, seed=arguments.seed)
    asks = asks if arguments.limit is None else spread(asks, pictures=arguments.limit)
    answerer = _answerer(arguments, config)
    with progress_bar("asking", unit="picture") as show:
        report = evaluate(answerer, asks, progress=show, seed=arguments.seed)
    write_answers(arguments.answers, report.scores)
    if arguments.out is not None:
        report.write_json(arguments.out)
    return report


def _answerer(arguments: argparse.Namespace, config: PeerConfig) -> Answerer:
    """Return what asks a system where it is: behind a server, or in a folder on this machine."""
    if config.answer == SEG_STATE:
        if arguments.weights is None:
            raise InputError(
                f"{config.name} draws from states, which no server gives.",
                remedy="Name a folder with its weights as --weights.",
            )
        lisa = load_lisa(arguments.weights, sizes=config.sam_sizes, device=arguments.device)
        return LisaAnswerer(lisa, config)
    path = arguments.answers.with_name(f"{arguments.answers.stem}_replies.jsonl")
    replies = LineJournal(path, what="cache of replies")
    if arguments.weights is None:
        ask = asker(ChatServer(_server_plan(arguments, config), replies), config)
    else:
        ask = local_asker(load_image_text(arguments.weights, device=arguments.device), config, replies)
    preset = load_preset(arguments.segmenter)
    segmenter = published_segmenter(preset, base=arguments.base, device=arguments.device)
    return BoxAnswerer(ask, config, BoxSegmenter(segmenter))


def _server_plan(arguments: argparse.Namespace, config: PeerConfig) -> ServerPlan:
    return ServerPlan(
        model=config.model,
        base_url=arguments.base_url,
        api_key=os.environ.get("OPENAI_API_KEY"),
        allow_upload=arguments.allow_upload,
        temperature=0.0,
        max_tokens=config.max_tokens,
        retries=arguments.retries,
    )


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate a system from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.peers",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--system", type=Path, required=True, help="YAML of training/configs/peers")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--base-url", metavar="URL", help="of the server, such as http://127.0.0.1:8000/v1")
    where.add_argument(
        "--weights",
        type=Path,
        metavar="FOLDER",
        help="of a model that transformers reads, asked on this machine",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="for --weights")
    parser.add_argument("--allow-upload", action="store_true", help="pictures may go to a server elsewhere")
    parser.add_argument("--retries", type=int, default=5, help="after an error that may pass (default: 5)")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--questions", type=Path, help="take the questions from this file")
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, help="only so many pictures")
    parser.add_argument("--seed", type=int, default=0, help="of wordings and intervals")
    parser.add_argument(
        "--segmenter", choices=PRESETS, default="lite", help="whose segmenter draws the boxes"
    )
    parser.add_argument("--base", help="published weights that core-seg-3b stands on")
    parser.add_argument(
        "--answers",
        type=Path,
        required=True,
        help="what each answer was worth, as JSON lines; the server's replies are kept beside it",
    )
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    arguments = parser.parse_args(argv)
    try:
        report = evaluate_peer(arguments)
    except ConnectionError as error:
        print(f"Nothing was scored: {error}.", file=sys.stderr)
        return 1
    print(report_table(report))
    print(published_table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
