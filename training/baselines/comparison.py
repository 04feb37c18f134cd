"""The comparison of the model card: sets in rows, methods in columns, all on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coreseg_core.evaluation.ask import KINDS
from coreseg_core.evaluation.bootstrap import Interval, macro_mean_interval, mean_interval
from coreseg_core.evaluation.report import MIN_SET_POSITIVES, Report, by
from coreseg_core.evaluation.score import Score
from coreseg_core.evaluation.tables import markdown_table, with_interval

MIN_CEILING = 0.4
"""Sets whose ceiling lies lower are shown, without a floor."""
SCANNER_MODALITIES = ("CT", "MRI", "PET")

Column = tuple[Score, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Methods side by side.

    Attributes:
        columns: Scores of each method, the first one being the model the card is about.
        rival: The method that the first one is compared with, picture by picture; None without one.
        ceiling: The method that says which sets can be outlined at all; None without one.
    """

    columns: Mapping[str, Column]
    rival: str | None
    ceiling: str | None
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return all numbers of the table as JSON values, and each method's own report."""
        return {
            "schema": "coreseg.comparison/1",
            "sets": {
                name: {method: interval.to_json() for method, interval in line.items()}
                for name, line in self.set_rows().items()
            },
            "summary": {
                name: {method: interval.to_json() for method, interval in line.items()}
                for name, line in self.summary_rows().items()
            },
            "not_answerable": {
                kind: {method: interval.to_json() for method, interval in line.items()}
                for kind, line in self.denial_rows().items()
            },
            "sets_below_ceiling": list(self.hopeless_sets()),
            "difference": self._difference_json(),
            "reports": {
                name: Report(scores=scores, seed=self.seed).to_json() for name, scores in self.columns.items()
            },
        }

    def to_markdown(self) -> str:
        """Return the tables as Markdown."""
        names = list(self.columns)
        counts = {name: line[names[0]].count for name, line in self.set_rows().items()}
        hopeless = self.hopeless_sets()
        sets = [
            [f"{name} †" if name in hopeless else name, str(counts[name]), *_cells(line, names)]
            for name, line in self.set_rows().items()
        ]
        summary = [
            [f"**{name}**", str(line[names[0]].count), *_cells(line, names)]
            for name, line in self.summary_rows().items()
        ]
        denials = [
            [kind.replace("_", " "), str(line[names[0]].count), *_cells(line, names)]
            for kind, line in self.denial_rows().items()
        ]
        blocks = [
            "Mean Dice [95 % interval] on pictures with a lesion",
            markdown_table(["set", "n", *names], sets + summary),
            f"† ceiling below {MIN_CEILING}. * pictures drawn, not patients: there are fewer than five.",
            *self._difference_text(),
            "Rightly answered questions that no mask answers",
            markdown_table(["question", "n", *names], denials),
        ]
        return "\n\n".join(blocks) + "\n"

    def set_rows(self) -> dict[str, dict[str, Interval]]:
        """Return mean Dice by set and method, the largest sets first."""
        rows = {
            name: {
                method: self._mean(_of_set(scores, name), _dice) for method, scores in self.columns.items()
            }
            for name in by(_positives(self._first), _subset)
        }
        return dict(sorted(rows.items(), key=lambda item: -next(iter(item[1].values())).count))

    def summary_rows(self) -> dict[str, dict[str, Interval]]:
        """Return the macro means, failure rate and what moving the pictures costs, by method."""
        rows = {
            f"macro mean (sets of {MIN_SET_POSITIVES} and more)": self._each(
                lambda s: self._macro(s, _always)
            ),
            "macro mean, CT, MR and PET": self._each(lambda s: self._macro(s, _from_scanner)),
            "failure rate": self._each(lambda s: self._mean(_positives(s), lambda score: score.failed)),
        }
        if any(score.ask.variant == "shifted" for score in self._first):
            rows["loss on moved copies"] = self._each(self._moved_cost)
        return rows

    def denial_rows(self) -> dict[str, dict[str, Interval]]:
        """Return the share of right answers by kind of question and method."""
        rows: dict[str, dict[str, Interval]] = {}
        for kind in KINDS[1:]:
            line = {name: self._mean(_of_kind(scores, kind), _right) for name, scores in self.columns.items()}
            if next(iter(line.values())).count:
                rows[kind] = line
        return rows

    def hopeless_sets(self) -> tuple[str, ...]:
        """Return the sets on which even the ceiling stays below `MIN_CEILING`."""
        if self.ceiling is None:
            return ()
        return tuple(name for name, line in self.set_rows().items() if line[self.ceiling].mean < MIN_CEILING)

    def macro_difference(self, rival_name: str, chosen: Callable[[Score], bool]) -> Interval:
        """Return the macro mean of the first method's Dice minus its rival's, paired picture by picture."""
        rival = {score.ask.row.id: score.dice for score in _positives(self.columns[rival_name])}
        groups = self._large_sets(_positives(self._first), chosen)
        return macro_mean_interval(
            [[score.dice - rival[score.ask.row.id] for score in group] for group in groups],
            [[score.group for score in group] for group in groups],
            seed=self.seed,
        )

    def _difference_json(self) -> dict[str, Any] | None:
        if self.rival is None:
            return None
        return {
            "methods": [next(iter(self.columns)), self.rival],
            "macro": self.macro_difference(self.rival, _always).to_json(),
            "scanners": self.macro_difference(self.rival, _from_scanner).to_json(),
        }

    def _difference_text(self) -> list[str]:
        if self.rival is None:
            return []
        return [
            f"{next(iter(self.columns))} minus {self.rival}, macro mean: "
            f"{_text(self.macro_difference(self.rival, _always))};"
            f" CT, MR and PET alone: {_text(self.macro_difference(self.rival, _from_scanner))}."
        ]

    @property
    def _first(self) -> Column:
        return next(iter(self.columns.values()))

    def _each(self, value: Callable[[Column], Interval]) -> dict[str, Interval]:
        return {method: value(scores) for method, scores in self.columns.items()}

    def _macro(self, scores: Column, chosen: Callable[[Score], bool]) -> Interval:
        groups = self._large_sets(_positives(scores), chosen)
        return macro_mean_interval(
            [[score.dice for score in group] for group in groups],
            [[score.group for score in group] for group in groups],
            seed=self.seed,
        )

    def _large_sets(self, scores: Sequence[Score], chosen: Callable[[Score], bool]) -> list[list[Score]]:
        groups = by([score for score in scores if chosen(score)], _subset).values()
        return [group for group in groups if len(group) >= MIN_SET_POSITIVES]

    def _moved_cost(self, scores: Column) -> Interval:
        plain = {score.ask.row.id: score.dice for score in _positives(scores)}
        shifted = [score for score in scores if score.ask.variant == "shifted"]
        return self._mean(shifted, lambda score: plain[score.ask.row.id] - score.dice)

    def _mean(self, scores: Sequence[Score], value: Callable[[Score], float]) -> Interval:
        return mean_interval(
            [float(value(score)) for score in scores], [score.group for score in scores], seed=self.seed
        )


def _cells(line: Mapping[str, Interval], names: Sequence[str]) -> list[str]:
    return [_text(line[name]) for name in names]


def _text(interval: Interval) -> str:
    return with_interval(interval.to_json())


def _positives(scores: Column) -> list[Score]:
    return [score for score in scores if score.ask.primary and score.ask.kind == "present"]


def _of_set(scores: Column, name: str) -> list[Score]:
    return [score for score in _positives(scores) if score.ask.row.subset == name]


def _of_kind(scores: Column, kind: str) -> list[Score]:
    return [score for score in scores if score.ask.primary and score.ask.kind == kind]


def _from_scanner(score: Score) -> bool:
    return score.ask.row.modality.startswith(SCANNER_MODALITIES)


def _always(score: Score) -> bool:
    return True


def _subset(score: Score) -> str:
    return score.ask.row.subset


def _right(score: Score) -> float:
    return float(score.right)


def _dice(score: Score) -> float:
    return score.dice
