"""A study's report as a page: one file without scripts, which a browser shows and prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from coreseg_core.html_page import html_page
from coreseg_core.reports.words import CAUTIONS, HEADLINES, millilitres, spoken_slices

_STYLE = """
h2 { border-top: 1px solid var(--rule); padding-top: 1rem; } .outcome { font-weight: 600; }
figure { margin: .8rem 0; break-inside: avoid; } img { max-width: 100%; height: auto; }
footer { border-top: 1px solid var(--rule); margin-top: 2rem; color: var(--quiet); }
@media print { body { max-width: none; background: none; color: #000; } }
"""


def page(report: Mapping[str, Any]) -> str:
    """Return the HTML of a report, as `write_report` has its values."""
    images: list[dict[str, Any]] = report["images"]
    failed = [image for image in images if "error" in image]
    body = [
        f"<h1>Study {escape(report['study'])}</h1>",
        f"<p>{_counted(len(images), 'image')}, {len(failed)} failed. {escape(report['created'])}.</p>",
        f"<p class=quiet>{escape(report['notice'])} Only &ldquo;{HEADLINES['absent'].lower()}&rdquo; may be read "
        "as absence, and only of what was asked.</p>",
        *_summary(images),
        *(part for image in images for part in _image(image)),
        f"<footer><p>{escape(report['notice'])} Left and right in the reasoning "
        "are those of the picture.</p></footer>",
    ]
    return html_page(f"Study {report['study']}", "\n".join(body), style=_STYLE)


def _summary(images: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = []
    for image in images:
        for answer in image.get("answers", ()):
            volume_mm3 = sum(lesion["volume_ml"] for lesion in answer["lesions"]) * 1000
            cells = (image["id"], answer["query"], HEADLINES[answer["outcome"]].capitalize())
            located = image["spacing_mm"] is not None and answer["lesions"]
            sizes = (str(len(answer["lesions"])), millilitres(volume_mm3) if located else "")
            rows.append(
                "<tr>"
                + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
                + "".join(f"<td class=number>{size}</td>" for size in sizes)
                + "</tr>"
            )
        if "error" in image:
            why = escape(image["error"]["reason"])
            rows.append(
                f"<tr><td>{escape(image['id'])}</td><td class=warning colspan=4>Failed: {why}</td></tr>"
            )
    head = (
        "<th>Image</th><th>Question</th><th>Outcome</th><th class=number>Lesions</th><th class=number>mL</th>"
    )
    return ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>", *rows, "</tbody>", "</table>"]


def _image(image: Mapping[str, Any]) -> list[str]:
    parts = [f"<h2>{escape(image['id'])}</h2>"]
    if "error" in image:
        error = image["error"]
        return [*parts, f"<p class=warning>Failed: {escape(error['reason'])} {escape(error['remedy'])}</p>"]
    shape = " x ".join(str(side) for side in image["shape"])
    spacing = image["spacing_mm"]
    size = f", {' x '.join(f'{side:g}' for side in spacing)} mm" if spacing else ""
    parts.append(
        f"<p class=quiet>{escape(image['modality'] or 'modality unknown')}, {shape} voxels{size}</p>"
    )
    for answer in image["answers"]:
        parts += _answer(answer, located=spacing is not None)
    return parts


def _answer(answer: Mapping[str, Any], *, located: bool) -> list[str]:
    outcome = answer["outcome"]
    parts = [f"<h3>{escape(answer['query'])}</h3>", f"<p class=outcome>{HEADLINES[outcome]}</p>"]
    where = f" ({escape(answer['plane'])})" if answer["plane"] else ""
    told = [
        f"{HEADLINES[kind].capitalize()}: {spoken_slices(numbers)}"
        for kind, numbers in answer["slices"].items()
    ]
    parts.append(f"<p class=quiet>{'; '.join(told)}{where}</p>")
    if outcome in CAUTIONS:
        parts.append(f"<p class=quiet>{escape(CAUTIONS[outcome])}</p>")
    parts += [
        f"<p class=quiet>{spoken_slices(reason['slices']).capitalize()}: {escape(reason['text'])}</p>"
        for reason in answer["reasons"]
    ]
    parts += [
        f"<p class=warning>Slice {warning['slice']}: {escape(warning['text'])}</p>"
        for warning in answer["warnings"]
    ]
    if answer["lesions"]:
        parts += _lesions(answer["lesions"], located=located)
        parts.append(f"<p class=quiet>Confidence: {escape(answer['confidence_meaning'])}.</p>")
    parts += [
        f'<figure><img src="{quote(picture["file"])}" alt="Slice {picture["slice"]}: {escape(answer["query"])}">'
        "</figure>"
        for picture in answer["pictures"]
    ]
    links = [
        f'<a href="{quote(answer[key])}">{key}</a>'
        for key in ("mask", "record")
        if answer.get(key) is not None
    ]
    model = answer["model"]
    made_by = escape(f"Model {model['preset']} {model['version']} ({model['sha256'][:12]})")
    parts.append(f"<p class=quiet>{', '.join([made_by, *links])}</p>")
    return parts


def _lesions(lesions: Iterable[Mapping[str, Any]], *, located: bool) -> list[str]:
    rows = []
    for lesion in lesions:
        size = f"{millilitres(lesion['volume_ml'] * 1000)} mL" if located else ""
        rows.append(
            f"<tr><td>Lesion {lesion['id']}</td><td class=number>{size}</td>"
            f"<td>{spoken_slices(lesion['slices'])}</td><td>confidence {lesion['confidence']:.2f}</td></tr>"
        )
    return ["<table>", *rows, "</table>"]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
