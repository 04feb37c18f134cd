"""A page stands by itself, shows the best, median and worst answers, and takes no word for markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from made_up_pictures import Oracle

from coreseg_core.evaluation import Row, asks_of, evaluate
from coreseg_core.evaluation.cases import chosen_cases, draw_cases
from coreseg_core.evaluation.page import report_page, tables_as_html


class _Balance(HTMLParser):
    """Counts what is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_shows_three_of_each_rank_and_fetches_nothing(
    make_manifest: Callable[..., tuple[Row, ...]], oracle: Callable[..., Oracle]
) -> None:
    answerer = oracle(reasoning="A <b>bright</b> disc.")
    report = evaluate(answerer, asks_of(make_manifest(10)))
    ranks = [rank for rank, _ in chosen_cases(report.scores)]
    assert ranks == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3
    cases = draw_cases(answerer, report.scores, each=1)
    assert [case.rank for case in cases] == ["best", "median", "worst"]
    assert all(case.found_png.startswith(b"\x89PNG") for case in cases)
    page = report_page(report, title="lite <v0>", cases=cases)
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.pictures) == 6
    assert all(source.startswith("data:image/png;base64,") for source in parser.pictures)
    assert "lite &lt;v0&gt;" in page
    assert "not a medical device" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "p1" not in re.sub(r"base64,[^\"]*", "", page)


def test_few_answers_are_shown_once(
    make_manifest: Callable[..., tuple[Row, ...]], oracle: Callable[..., Oracle]
) -> None:
    report = evaluate(oracle(), asks_of(make_manifest(4), negatives=False))
    assert len(chosen_cases(report.scores)) == 4


@pytest.mark.parametrize(
    ("markdown", "page"),
    [
        ("| a | b |\n|---|---:|\n| **x** | 1<2 |", "<td><strong>x</strong></td><td>1&lt;2</td>"),
        ("One & two.\n\nThree.", "<p>One &amp; two.</p><p>Three.</p>"),
    ],
)
def test_tables_and_paragraphs_become_html(markdown: str, page: str) -> None:
    assert page in tables_as_html(markdown)
