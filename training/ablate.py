"""The paper's ablations of stage 2 as a grid: one stage 1, one short budget, one thing left out at a time.

    python -m training.ablate --config training/configs/grpo_lite.yaml --steps 100 --out runs/ablations

Every variant is a run of `training.grpo` in a folder of its own, with the questions, seed and pace of the others, so
the grid can be stopped at any time and goes on where it was. `table.md` and `table.json` are written anew after each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from coreseg_core.checkpoint import replace_file
from coreseg_core.cli.exits import GOES_ON, exit_code
from coreseg_core.errors import InputError
from coreseg_core.evaluation.tables import markdown_table, number
from coreseg_core.models.mask_prompts import MaskPrompt
from training.grpo import run
from training.grpo_config import GRPOConfig, read_config
from training.settings import add_settings

FULL, START = "full", "sft-only"
Change = Callable[[GRPOConfig], GRPOConfig]

OTHER_PROMPTS: Mapping[str, MaskPrompt] = {
    "seg-alone": "seg",
    "pooled-answer": "pooled",
    "no-adapter": "boxes",
}
VARIANTS: Mapping[str, Change] = {
    FULL: lambda config: config,
    "no-format": lambda config: replace(config, rewards=replace(config.rewards, format=0.0)),
    "no-detection": lambda config: replace(config, rewards=replace(config.rewards, detection=0.0)),
    "no-absence": lambda config: replace(config, rewards=replace(config.rewards, absence=0.0)),
    "plain-dice": lambda config: replace(config, rewards=replace(config.rewards, mask_kind="dice")),
    "no-dice-ce": lambda config: replace(config, mask_weights=dict.fromkeys(config.mask_weights, 0.0)),
    "dice-ce-stops-at-adapter": lambda config: replace(config, mask_gradient=False),
    **{name: partial(replace, mask_prompt=prompt) for name, prompt in OTHER_PROMPTS.items()},
    "no-kl": lambda config: replace(config, policy=replace(config.policy, beta=0.0)),
}
"""What each variant leaves out. `seg-alone`, `pooled-answer` and `no-adapter` (the segmenter draws the boxes that the
answer writes) change what the segmenter is prompted with, from the weights that stage 1 learned otherwise. `sft-only`,
the model of stage 1 itself, stands in the table without a run."""

_BEFORE = "Dice before"
# Rewards are not compared between variants: they are what varies.
_COLUMNS = {
    "dev/seg/dice": "Dice",
    "dev/seg/failure_rate": "failure",
    "dev/seg/false_alarm_rate": "false alarms",
    "dev/rewards/format/mean": "format",
    "dev/rewards/detection/mean": "detection",
    "dev/completions/mean_length": "tokens",
}


def variant(config: GRPOConfig, name: str, *, steps: int, out: Path) -> GRPOConfig:
    """Return the configuration of a variant: as short as all, in a folder of its own, evaluated at its end.

    Raises:
        InputError: There is no such variant.
    """
    if name not in VARIANTS:
        raise InputError(f"There is no variant {name[:40]!r}.", remedy=f"Use some of {', '.join(VARIANTS)}.")
    warmup = min(config.loop.warmup_steps, max(1, steps // 10))
    pace = replace(config.loop, steps=steps, warmup_steps=warmup, evaluate_every=steps)
    return VARIANTS[name](replace(config, out=out / name, loop=pace))


def scores_at(folder: Path, step: int) -> dict[str, float] | None:
    """Return the scores of a run on the dev part at a step, None where it has not come there."""
    log = folder / "log.jsonl"
    if not log.exists():
        return None
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    scored = [
        line for line in lines if line["step"] == step and any(name.startswith("dev/") for name in line)
    ]
    return scored[-1] if scored else None


def ablate(
    config: GRPOConfig, names: Sequence[str], *, steps: int, out: Path, minutes: float | None = None
) -> bool:
    """Run the variants that are not finished and return whether all are.

    Args:
        config: Of the full run.
        names: Variants.
        steps: Of each.
        out: Folder of the grid.
        minutes: After which what runs is saved and the grid is left.
    """
    ended = None if minutes is None else time.monotonic() + minutes * 60
    planned = {name: variant(config, name, steps=steps, out=out) for name in names}
    for one in planned.values():
        left = None if ended is None else (ended - time.monotonic()) / 60
        if scores_at(one.out, steps) is None and (left is None or left > 0):
            run(one, minutes=left)
            _write_table(names, out, steps=steps)
    return all(scores_at(one.out, steps) is not None for one in planned.values())


def _write_table(names: Sequence[str], out: Path, *, steps: int) -> None:
    begun = {name: scores_at(out / name, 0) for name in names}
    # A variant that prompts the segmenter in another way begins otherwise than stage 1 ended.
    whole = [scores for name, scores in begun.items() if name not in OTHER_PROMPTS and scores is not None]
    found = {START: whole[0] if whole else None, **{name: scores_at(out / name, steps) for name in names}}
    before = {START: found[START], **begun}
    table = {
        name: {_BEFORE: (before[name] or {}).get("dev/seg/dice")}
        | {title: scores.get(key) for key, title in _COLUMNS.items()}
        for name, scores in found.items()
        if scores is not None
    }
    rows = [[name, *(number(value) for value in scores.values())] for name, scores in table.items()]
    text = markdown_table(["left out", _BEFORE, *_COLUMNS.values()], rows)
    replace_file(out / "table.md", f"{text}\n".encode())
    replace_file(out / "table.json", json.dumps(table, indent=2).encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the grid from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_settings(parser)
    parser.add_argument("--steps", type=int, default=100, help="of each variant")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--minutes", type=float, help="stop after this long and save; run again to go on")
    arguments = parser.parse_args(argv)
    finished = ablate(
        read_config(arguments.config, arguments.changes),
        arguments.variants,
        steps=arguments.steps,
        out=arguments.out,
        minutes=arguments.minutes,
    )
    print((arguments.out / "table.md").read_text(encoding="utf-8"))
    if not finished:
        print("Not finished: run the same command again.")


if __name__ == "__main__":
    sys.exit(exit_code(main, stopped=GOES_ON)())
