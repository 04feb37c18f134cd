"""Trains the small byte-level BPE tokenizer of `lite`, in the format of Qwen2's.

python -m training.tokenizer --manifest MANIFEST --out coreseg_core/weights/lite/tokenizer.json
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from coreseg_core.cli.exits import exit_code
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.models.chat import SPECIAL_TOKENS
from coreseg_core.prompts import chat_messages
from training.parts import part_of
from training.wording import corpus

FRAME_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
VOCABULARY = 1500
CORPUS_TEXTS = 20_000


def train_tokenizer(texts: Iterable[str], *, vocabulary: int = VOCABULARY) -> Tokenizer:
    """Return a byte-level BPE tokenizer that keeps digits apart and the frame tags whole."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(FRAME_TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=3,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in FRAME_TAGS])
    return tokenizer


def main(argv: Sequence[str] | None = None) -> None:
    """Train the tokenizer on questions and answers about the training rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rows = [
        row
        for manifest in arguments.manifest
        for row in read_manifest(manifest)
        if row.weights == "yes" and part_of(row) == "train"
    ]
    texts = [*corpus(random.Random(arguments.seed), rows, CORPUS_TEXTS)]
    frame = [
        f"system\nuser\nassistant\n{chat_messages('?', mode)[1]['content'][1]['text']}"
        for mode in ("full", "brief", "none")
    ]
    tokenizer = train_tokenizer([*texts, *frame * 50])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out))


if __name__ == "__main__":
    sys.exit(exit_code(main)())
