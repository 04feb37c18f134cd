"""`coreseg batch`: every image of every study, a report for each, failures told and nothing asked twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from coreseg_core.cli import main
from coreseg_core.imaging import read_label, read_volume
from coreseg_core.phantoms.demo import write_demo

QUESTIONS = ("brain tumor", 'kidney stone & "more"')


class Page(HTMLParser):
    """Words and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass(frozen=True)
class Done:
    """A batch that was run."""

    studies: Path
    out: Path
    code: int
    said: str
    complained: str


@pytest.fixture(scope="module")
def done(
    head: Path, make_head: Callable[..., Path], random_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """Two folders: one image, and another one beside a damaged one."""
    place = tmp_path_factory.mktemp("batch")
    studies, out = place / "in", place / "out"
    for folder in ("first", "second"):
        (studies / folder).mkdir(parents=True)
    shutil.copy(head, studies / "first" / "head.nii.gz")
    make_head(studies / "second" / "again.nii.gz", nan="some")
    (studies / "second" / "broken.nii.gz").write_bytes(head.read_bytes()[:500])
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as complained:
        code = main(words(studies, out, random_weights))
    return Done(studies, out, code, said.getvalue(), complained.getvalue())


def words(studies: Path, out: Path, weights: Path, *questions: str) -> list[str]:
    place = ["--out", str(out), "--weights", str(weights), "--reasoning", "none"]
    return ["batch", str(studies), *(questions or QUESTIONS), *place]


def report(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    return values


def results(out: Path) -> dict[str, Any]:
    """Return all that a batch wrote, less what names the moment."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".json":
            text = re.sub(r'"(created|id|record_id)": "[^"]*"', "", path.read_text())
            found[name] = text
        elif path.suffix == ".png":
            found[name] = path.read_bytes()
        elif path.name.endswith(".nii.gz"):
            found[name] = read_volume(path).voxels.tobytes()
    return found


def test_each_study_has_a_report_with_what_failed_and_what_was_found(done: Done) -> None:
    assert done.code == 2 and "1 images failed" in done.complained
    assert "24 slices asked, 0 known" in done.said
    first, second = report(done.out / "first"), report(done.out / "second")
    assert [image["id"] for image in second["images"]] == ["again", "broken"]
    assert set(second["images"][1]["error"]) == {"code", "reason", "remedy"}
    (image,) = first["images"]
    assert [answer["query"] for answer in image["answers"]] == list(QUESTIONS)
    assert image["answers"][1]["outcome"] == "unsupported"
    geometry = read_volume(done.studies / "first/head.nii.gz").geometry
    for answer in image["answers"]:
        assert sum(map(len, answer["slices"].values())) == 6
        labels = read_label(done.out / "first" / answer["mask"], geometry)
        voxel_ml = 2 * 2 * 5 / 1000
        for lesion in answer["lesions"]:
            assert lesion["volume_ml"] == pytest.approx(np.sum(labels == lesion["id"]) * voxel_ml)
        assert answer["pictures"]
        kept = json.loads((done.out / "first" / answer["record"]).read_bytes())
        assert kept["id"] == answer["record_id"]


def test_the_page_says_it_in_words_without_scripts_and_its_pictures_are_there(done: Done) -> None:
    for study in ("first", "second"):
        page = Page((done.out / study / "report.html").read_text())
        assert "script" not in page.tags
        text = " ".join(page.words)
        assert QUESTIONS[1] in text and "NOT TRAINED FOR THIS" in text
        assert "not a medical device" in text
        assert page.links and all((done.out / study / link).is_file() for link in page.links)
    assert "Failed:" in " ".join(Page((done.out / "second" / "report.html").read_text()).words)


def test_a_second_run_asks_nothing_and_a_further_question_only_itself(
    done: Done, random_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results(done.out)
    main(words(done.studies, done.out, random_weights))
    assert "0 slices asked, 24 known" in capsys.readouterr().out
    assert results(done.out) == before
    main(words(done.studies, done.out, random_weights, *QUESTIONS, "kidney cyst"))
    assert "12 slices asked, 24 known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("questions", "why"), [(("",), "empty"), (tuple(f"q{n}" for n in range(40)), "40 questions")]
)
def test_what_cannot_be_asked_is_refused_before_anything_is_read(
    questions: tuple[str, ...], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", str(tmp_path), *questions, "--out", str(tmp_path / "out")]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_batches_do_not_write_one_folder(
    done: Done, random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        assert main(words(done.studies, tmp_path / "out", random_weights)) == 2
    assert "Another batch" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_in_the_middle_it_comes_to_the_same_and_looks_at_no_slice_twice(
    random_weights: Path, tmp_path: Path, run_batch: Callable[..., subprocess.Popen[str]]
) -> None:
    write_demo(tmp_path / "demo")
    questions = ("liver tumor", "brain tumor", "breast tumor")
    whole = run_batch(tmp_path / "demo", tmp_path / "whole", random_weights, *questions)
    told, _ = whole.communicate()
    total = int(re.search(r"(\d+) slices asked, 0 known", told)[1])  # type: ignore[index]
    killed = run_batch(tmp_path / "demo", tmp_path / "killed", random_weights, *questions)
    while kept(tmp_path / "killed") < total // 2:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = kept(tmp_path / "killed")
    print(f"{total} slices, killed after {before}")
    told, _ = run_batch(tmp_path / "demo", tmp_path / "killed", random_weights, *questions).communicate()
    assert f"{total - before} slices asked, {before} known" in told
    assert before >= total // 2
    assert results(tmp_path / "killed") == results(tmp_path / "whole")


@pytest.fixture
def run_batch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started = []

    def start(studies: Path, out: Path, weights: Path, *questions: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "coreseg_core.cli", *words(studies, out, weights, *questions)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ)
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def kept(out: Path) -> int:
    """Return how many findings lie whole in the journals."""
    lines = [path.read_bytes().rpartition(b"\n")[0] for path in (out / ".found").glob("*.jsonl")]
    return sum(len(json.loads(line)) for text in lines for line in text.splitlines())
