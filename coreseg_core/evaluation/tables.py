"""Reports as text that reads well in a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coreseg_core.evaluation.report import Report

_SUMMARY = ("mdice", "miou", "failure_rate", "surface_dice", "instance_f1", "specificity")
_HEADINGS = {
    "mdice": "Dice",
    "miou": "IoU",
    "failure_rate": "failure",
    "surface_dice": "NSD 2 px",
    "instance_f1": "lesion F1",
    "specificity": "specificity",
}


def report_table(report: Report) -> str:
    """Return the report as Markdown: all, domains, modalities, anatomies, sets, negatives, claims."""
    values = report.to_json()
    parts = [_overlap_table(values), _negatives_table(values["negatives"])]
    if values["claims"]:
        parts.append(_claims_table(values["claims"]))
    if values["shifted"]["probe"]["n"]:
        parts.append(f"Moved copies: {_cost(values['shifted'])}")
    parts += [f"Handwritten, {kind}: {_cost(cost)}" for kind, cost in values["handwritten"].items()]
    reworded = values["reworded"]
    if reworded["wordings"]:
        parts.append(
            f"Asked in up to {reworded['wordings']} wordings: mean Dice {with_interval(reworded['mean'])}, of the "
            f"worst wording {with_interval(reworded['worst'])} (n = {reworded['mean']['n']} pictures)."
        )
    calibration = values["calibration"]["present"]
    parts.append(
        f"Calibration of masks: ECE {number(calibration['ece'])}, AURC {number(calibration['aurc'])}"
        f" over {calibration['n']} answers."
    )
    scaled = values["calibration"]["scaled"]["together"]
    if scaled["n"]:
        parts.append(
            "Masks and denials, scaled on one half of the patients and measured on the other: ECE "
            f"{number(scaled['ece']['mean'])} [{number(scaled['ece']['low'])}, {number(scaled['ece']['high'])}], "
            f"AURC {number(scaled['aurc'])} over {scaled['n']} answers; a second look at the tenth that is least "
            f"confident catches {number(scaled['failures_caught'])} of {scaled['failures']} failures."
        )
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with columns of even width, the first one left and the others right."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    return "\n".join([line(header), rule, *map(line, rows)])


def number(value: float | None) -> str:
    """Return a share with three decimals, a dash where it was not measured."""
    return "-" if value is None else f"{value:.3f}"


def with_interval(interval: Mapping[str, Any]) -> str:
    """Return "mean [low, high]", a star where pictures instead of patients were drawn."""
    if interval["mean"] is None:
        return "-"
    star = "*" if interval["unit"] == "picture" else ""
    return f"{interval['mean']:.3f} [{interval['low']:.2f}, {interval['high']:.2f}]{star}"


def _overlap_table(values: Mapping[str, Any]) -> str:
    rows = [_overlap_row("**all**", values["intervals"])]
    macro = values["intervals"]["macro_mdice"]
    if len(values["by_domain"]) > 1:
        rows += [_overlap_row(f"**{name}**", group) for name, group in values["by_domain"].items()]
    for grouping in ("by_modality", "by_anatomy"):
        rows += [_overlap_row(f"*{name}*", group) for name, group in values[grouping].items()]
    rows += [_overlap_row(name, group) for name, group in values["by_subset"].items()]
    table = markdown_table(["set", "n", *(_HEADINGS[name] for name in _SUMMARY)], rows)
    return f"{table}\n\nMacro mean Dice over the larger sets: {with_interval(macro)} (n = {macro['n']})."


def _overlap_row(name: str, group: Mapping[str, Any]) -> list[str]:
    cells = [with_interval(group["mdice"]), *(number(group[key]["mean"]) for key in _SUMMARY[1:])]
    return [name, str(group["mdice"]["n"]), *cells]


def _negatives_table(negatives: Mapping[str, Any]) -> str:
    rows = [
        [
            kind.replace("_", " "),
            str(values["n"]),
            with_interval(values["right"]),
            number(values["no_mask"]["mean"]),
            number(values["mismatch"]["mean"]),
            number(values["modality_named"]["mean"]),
        ]
        for kind, values in negatives.items()
    ]
    return markdown_table(["not answerable", "n", "right", "no mask", "mismatch", "modality named"], rows)


def _claims_table(claims: Mapping[str, Any]) -> str:
    rows = [
        [
            kind,
            f"{values['stated']}/{values['asked']}",
            with_interval(values["accuracy"]),
            number(values["majority"]),
            number(values["majority_of_set"]),
            with_interval(values["shuffled"]),
        ]
        for kind, values in claims.items()
    ]
    return markdown_table(["claim", "stated", "true", "majority", "majority of set", "shuffled"], rows)


def _cost(cost: Mapping[str, Any]) -> str:
    return (
        f"{number(cost['probe']['mean'])} against {number(cost['primary']['mean'])} on the same pictures,"
        f" cost {with_interval(cost['cost'])} (n = {cost['probe']['n']})."
    )
