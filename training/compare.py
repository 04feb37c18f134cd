"""Is a second model better than a first on the same questions? Seeds pooled, patients drawn, in one table.

    coreseg evaluate MANIFEST --questions questions.jsonl --weights SFT --answers sft_1.jsonl
    python -m training.compare --first sft_1.jsonl sft_2.jsonl --second grpo_1.jsonl grpo_2.jsonl

Each file is one seed of its model. All, `id` and `ood` questions are told apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from coreseg_core.cli.exits import exit_code
from coreseg_core.evaluation.answers import Answered, read_answers
from coreseg_core.evaluation.ask import NEGATIVES
from coreseg_core.evaluation.paired import Difference, paired_difference
from coreseg_core.evaluation.tables import markdown_table

Runs = Sequence[Sequence[Answered]]
Value = Callable[[Answered], float | None]

MEASURES: Mapping[str, Value] = {
    "Dice": lambda answer: answer.dice,
    "IoU": lambda answer: answer.iou,
    "failure": lambda answer: float(answer.failed) if answer.kind == "present" else None,
    "specificity": lambda answer: float(answer.right) if answer.kind in NEGATIVES else None,
    "mismatch": lambda answer: float(answer.right) if answer.kind == "wrong_modality" else None,
}


def compare(first: Runs, second: Runs, *, domain: str | None = None, seed: int = 0) -> dict[str, Difference]:
    """Return the difference in each measure that both models' questions have.

    Args:
        first: Answers of the first model, one sequence a seed.
        second: Likewise.
        domain: Only questions of this domain.
        seed: Of the draws.

    Raises:
        InputError: The models were asked different questions.
    """
    everyone = [answer for run in (*first, *second) for answer in run]
    patients = {answer.key: answer.patient for answer in everyone}
    found = {}
    for name, value in MEASURES.items():
        before, after = ([_values(run, value, domain) for run in runs] for runs in (first, second))
        if all([*before, *after]):
            found[name] = paired_difference(before, after, patients, seed=seed)
    return found


def comparison_table(first: Runs, second: Runs, *, seed: int = 0) -> str:
    """Return the comparison as Markdown: all questions, then each domain."""
    rows = []
    domains = sorted({answer.domain for run in (*first, *second) for answer in run})
    for domain in (None, *(domains if len(domains) > 1 else [])):
        rows += [
            [
                f"{domain or 'all'}, {name}",
                str(one.count),
                f"{one.first:.4f}",
                f"{one.second:.4f}",
                f"{one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}]",
                f"{one.p:.4f}",
            ]
            for name, one in compare(first, second, domain=domain, seed=seed).items()
        ]
    return markdown_table(["questions", "n", "first", "second", "difference", "p"], rows)


def _values(run: Sequence[Answered], value: Value, domain: str | None) -> dict[str, float]:
    values = {answer.key: value(answer) for answer in run if domain in (None, answer.domain)}
    return {key: number for key, number in values.items() if number is not None}


@exit_code
def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=Path, nargs="+", required=True, help="answers, one file a seed")
    parser.add_argument("--second", type=Path, nargs="+", required=True, help="answers, one file a seed")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals")
    arguments = parser.parse_args(argv)
    runs = [[read_answers(path) for path in paths] for paths in (arguments.first, arguments.second)]
    print(comparison_table(*runs, seed=arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
