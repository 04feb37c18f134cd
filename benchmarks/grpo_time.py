"""How long a group of answers takes on `lite`, learned from as this project does it and answer by answer.

    python -m benchmarks.grpo_time --threads 1

All ways write the same number of tokens and decode the same masks; weights are random and the answers run to their
limit, so that nothing depends on what a model says. `answer by answer` is the way of general trainers: see
`benchmarks.grpo_cost`. `shared` takes the same gradients; `shared, 2 masks learned` is what `grpo_lite.yaml` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import Clock, Times, time_in_turns
from coreseg_core.cli.exits import exit_code
from coreseg_core.inference.decode import DecodeOptions, decode_replies
from coreseg_core.models.build import build_coreseg
from coreseg_core.models.completions import Prompt, completion_states, token_log_probs
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.load import packaged_folder
from coreseg_core.models.mllm import sequence_positions
from coreseg_core.models.preset import load_preset

QUESTION = "Is there a liver tumor?"
PER_ANSWER, SHARED, CONFIGURED = "answer by answer", "shared", "shared, 2 masks learned"
LEARNED_MASKS = 2
"""`learned_masks` of training/configs/grpo_lite.yaml."""


class GroupBench:
    """One group of answers to one question about one slice.

    Args:
        model: The policy, on the processor.
        answers: In the group.
        tokens: Of each.
    """

    def __init__(self, model: CoreSegModel, *, answers: int, tokens: int) -> None:
        self._model, self._answers, self._tokens = model, answers, tokens
        generator = torch.Generator().manual_seed(0)
        self._embedding = torch.randn(1, *model.segmenter.embedding_chw, generator=generator)
        self._grid = model.language.visual_tokens.grid_hw((0, 0))
        tokenizer = model.language.tokenizer
        head = tokenizer.prefix_ids(self._grid[0] * self._grid[1]) + tokenizer.question_ids(QUESTION, "none")
        positions = sequence_positions(head, tokenizer.image_id, self._grid)[:, None]
        self._prompt = Prompt(ids=torch.tensor([head]), positions=positions)
        # Letters, which neither end an answer nor are `<seg>`.
        self._ids = torch.randint(100, 200, (answers, tokens), generator=generator)

    @property
    def ways(self) -> dict[str, Callable[[], None]]:
        """How a group can be gone through, by name."""
        return {PER_ANSWER: self.per_answer, SHARED: self.shared, CONFIGURED: self.configured}

    def configured(self) -> None:
        """Do as `shared`, but learn no more masks of the one view than `grpo_lite.yaml` does."""
        self.shared(learned_masks=LEARNED_MASKS)

    def shared(self, *, learned_masks: int | None = None) -> None:
        """Take a step's work on the group with picture and question read once in each part."""
        self._roll_out(self._answers)
        with torch.no_grad():
            self._log_probs(self._ids, shared=True)
        self._learn(self._ids, shared=True, learned_masks=learned_masks)

    def per_answer(self) -> None:
        """Take the same work answer by answer, with a pass of its own for the reward's states."""
        for row in self._ids.split(1):
            self._roll_out(1)
            with torch.no_grad():
                self._mask(self._states(row, shared=False))
                self._log_probs(row, shared=False)
            self._learn(row, shared=False)

    def _roll_out(self, copies: int) -> None:
        language = self._model.language
        with torch.inference_mode():
            picture = language.visual(None, self._embedding)
            prefix = language.prefill_pictures(picture, self._grid)
            options = DecodeOptions(
                reasoning="none", force_tags=False, max_tokens=self._tokens, temperature=1.0
            )
            generator = torch.Generator().manual_seed(1)
            decode_replies(language, prefix, QUESTION, options, copies=copies, generator=generator)
            if copies > 1:
                self._mask(torch.zeros(copies, self._tokens, language.dim))

    def _states(self, ids: Tensor, *, shared: bool) -> Tensor:
        picture = self._model.language.visual(None, self._embedding)
        return completion_states(self._model.language, self._prompt, ids, picture, shared=shared)

    def _log_probs(self, ids: Tensor, *, shared: bool) -> Tensor:
        states = self._states(ids, shared=shared)
        return token_log_probs(self._model.language, states.flatten(0, 1), ids.flatten())[0]

    def _mask(self, states: Tensor) -> Tensor:
        seg = torch.zeros(states.shape[:2], dtype=torch.bool)
        seg[:, -1] = True
        prompts = self._model.adapter(states, answer=torch.ones_like(seg), seg=seg)
        logits, _ = self._model.segmenter.decode(self._embedding.expand(len(states), -1, -1, -1), prompts)
        return logits

    def _learn(self, ids: Tensor, *, shared: bool, learned_masks: int | None = None) -> None:
        states = self._states(ids, shared=shared)
        log_probs, _ = token_log_probs(self._model.language, states.flatten(0, 1), ids.flatten())
        (log_probs.mean() + self._mask(states[:learned_masks]).sigmoid().mean()).backward()
        self._model.zero_grad(set_to_none=True)


def count_operations(model: CoreSegModel, *, answers: int, tokens: int) -> dict[str, int]:
    """Return the floating-point operations of each way, backward passes included, as torch counts them."""
    group = GroupBench(model, answers=answers, tokens=tokens)
    counted = {}
    for name, run in group.ways.items():
        with FlopCounterMode(display=False) as counter:
            run()
        counted[name] = int(counter.get_total_flops())
    return counted


def table(operations: Mapping[str, int], times: Mapping[str, Times]) -> str:
    """Return the ways as Markdown, with how many times less than answer by answer the others take."""
    rows = {
        "operations, GFLOP": {name: count / 1e9 for name, count in operations.items()},
        "best time, ms": {name: one.best_ms for name, one in times.items()},
        "median time, ms": {name: one.median_ms for name, one in times.items()},
    }
    lines = [f"| one group on `lite` | {' | '.join(operations)} |", f"|---|{'---:|' * len(operations)}"]
    for title, values in rows.items():
        cells = [f"{value:.1f} (1 / {values[PER_ANSWER] / value:.2f})" for value in values.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(
    model: CoreSegModel, *, answers: int, tokens: int, repeats: int, clock: Clock = time.perf_counter
) -> dict[str, Times]:
    """Return the times of each way by a clock, run in turns."""
    ways = GroupBench(model, answers=answers, tokens=tokens).ways
    times = time_in_turns([*ways.values()], repeats=repeats, device=torch.device("cpu"), clock=clock)
    return dict(zip(ways, times, strict=True))


def random_model() -> CoreSegModel:
    """Return `lite` with random trained parts, as it learns: attention spelled out, which is quicker backwards."""
    torch.manual_seed(0)
    tokenizer: Path = packaged_folder("lite") / "tokenizer.json"
    model = build_coreseg(load_preset("lite"), tokenizer=tokenizer)
    model.language.text.set_attn_implementation("eager")
    return model


def main(argv: Sequence[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=48, help="of an answer")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="on a busy machine: seconds of the processor, summed over threads",
    )
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    model, sizes = random_model(), {"answers": arguments.answers, "tokens": arguments.tokens}
    operations = count_operations(model, **sizes)
    clock = time.process_time if arguments.processor_time else time.perf_counter
    print(table(operations, measure(model, **sizes, repeats=arguments.repeats, clock=clock)))


if __name__ == "__main__":
    sys.exit(exit_code(main)())
