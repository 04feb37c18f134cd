"""The other systems of the table: what they write is read, drawn and scored; a stand-in serves them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_in_server import StandIn, stand_in

from coreseg_core.errors import InputError
from coreseg_core.evaluation import Row
from coreseg_core.evaluation.answers import read_answers
from training.dataset.chat import ChatServer, Refused, ServerPlan
from training.journal import LineJournal
from training.peers.answerer import Asker
from training.peers.asking import asker
from training.peers.config import SEG_STATE, PeerConfig, read_peer
from training.peers.formats import READERS, Marked, read_pixels, read_seg_zero, read_thousandths

SHIPPED = sorted((Path(__file__).parents[2] / "training" / "configs" / "peers").glob("*.yaml"))
CONFIGS = [path for path in SHIPPED if read_peer(path).answer != SEG_STATE]
WRITTEN: dict[str, Callable[[tuple[int, int, int, int], tuple[int, int]], str]] = {
    "Qwen2.5-VL-72B": lambda box, wh: f'```json\n[{{"bbox_2d": {list(box)}, "label": "polyp"}}]\n```',
    "InternVL3-8B": lambda box, wh: f"The polyp <box>[{thousandths(box, wh)}]</box>.",
    "HuatuoGPT-7B": lambda box, wh: f"[{thousandths(box, wh)}]",
    "MedGemma-4B": lambda box, wh: f"Here it is: [{thousandths(box, wh)}]",
    "SegZero-7B": lambda box, wh: (
        "<think>Perhaps at [1, 2, 3, 4].</think><answer>"
        f'{{"bbox": {list(box)}, "points_1": [{(box[0] + box[2]) // 2}, {(box[1] + box[3]) // 2}], '
        f'"points_2": [{(box[0] + box[2]) // 2}, {(box[1] + box[3]) // 2 + 1}]}}</answer>'
    ),
}
"""What each system writes about a box in pixels of the picture it was shown."""


def thousandths(box: tuple[int, int, int, int], wh: tuple[int, int]) -> list[int]:
    return [round(value * 1000 / wh[number % 2]) for number, value in enumerate(box)]


def picture_of(request: dict[str, Any]) -> np.ndarray:
    from io import BytesIO

    from PIL import Image

    url = request["messages"][-1]["content"][0]["image_url"]["url"]
    return np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))))


def bright_box(rgb: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(rgb[..., 0] > 128)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def ask_of(state: StandIn, folder: Path) -> Asker:
    """Return what asks the stand-in, with a cache of its own."""
    plan = ServerPlan(model="m", base_url=state.url, max_tokens=9, temperature=0.0, retries=2)
    cache = LineJournal(folder / f"{len(list(folder.iterdir()))}.jsonl", what="cache of replies")
    config = PeerConfig(
        name="n",
        model="m",
        weights="w",
        prompt="{question}",
        answer="pixels",
        long_side_px=448,
        system="Be brief.",
    )
    return asker(ChatServer(plan, cache), config)


PICTURE = np.full((28, 56, 3), 40, np.uint8)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_system_is_asked_read_drawn_and_scored(
    path: Path,
    make_manifest: Callable[..., tuple[Row, ...]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from training.peers.__main__ import main

    config = read_peer(path)
    make_manifest(1)
    seen: list[dict[str, Any]] = []

    def write(body: dict[str, Any]) -> str:
        seen.append(body)
        rgb = picture_of(body)
        return WRITTEN[config.name](bright_box(rgb), (rgb.shape[1], rgb.shape[0]))

    with stand_in(write) as state:
        arguments = ["--system", str(path), "--base-url", state.url, "--limit", "1"]
        arguments += ["--manifest", str(tmp_path / "manifest.jsonl"), "--answers", str(tmp_path / "a.jsonl")]
        assert main(arguments) == 0
        asked = len(seen)
        assert main(arguments) == 0
    assert len(seen) == asked
    assert seen[0]["model"] == config.model
    assert seen[0]["temperature"] == 0
    shown = picture_of(seen[0])
    assert max(shown.shape[:2]) <= config.long_side_px
    assert not shown.shape[0] % config.multiple_px and not shown.shape[1] % config.multiple_px
    found = [answer for answer in read_answers(tmp_path / "a.jsonl") if answer.kind == "present"]
    # The segmenter was given the disc's own box, so what it draws is the disc.
    assert len(found) == 1
    assert (found[0].dice or 0) > 0.8
    printed = capsys.readouterr().out
    assert "CORE-Seg" in printed and "this model" in printed


def test_every_system_has_an_example_of_what_it_writes() -> None:
    assert {read_peer(path).name for path in CONFIGS} == set(WRITTEN)


@given(st.sampled_from(sorted(READERS)), st.text(max_size=300))
def test_no_text_raises(name: str, text: str) -> None:
    for written in (text, f"[{text}]", f"<answer>{text}</answer>", f"[1, 2, {text}, 4]"):
        marked = READERS[name](written, (56, 28))
        for x0, y0, x1, y1 in marked.boxes_xyxy_px if marked else ():
            assert 0 <= x0 < x1 <= 56
            assert 0 <= y0 < y1 <= 28


def test_boxes_are_clipped_ordered_and_counted_once() -> None:
    assert read_pixels("[40, 20, 10, 90] (40, 20, 10, 90)", (56, 28)) == Marked(((10, 20, 40, 28),))
    assert read_thousandths("[[500, 0, 1000, 1000]]", (56, 28)) == Marked(((28, 0, 56, 28),))
    assert read_pixels("[60, 20, 90, 25]", (56, 28)) is None
    assert len(read_pixels("[0, 0, 9, 9]" * 5000, (56, 28)).boxes_xyxy_px) == 1


@pytest.mark.parametrize("text", ["[]", "```json\n[]\n```", "[[]]", "There is no polyp here.", "None."])
def test_nothing_is_an_answer(text: str) -> None:
    assert read_pixels(text, (56, 28)) == Marked(())


@pytest.mark.parametrize("text", ["", "A polyp in the upper left.", "[1, 2, 3]", "[a, b, c, d]"])
def test_what_says_neither_is_unreadable(text: str) -> None:
    assert read_pixels(text, (56, 28)) is None


def test_seg_zeros_reasoning_is_not_its_answer() -> None:
    text = "<think>[1, 2, 3, 4]</think><answer>{'bbox': [10, 5, 20, 15], 'points_1': [12, 9], 'points_2': [99, 9]}"
    assert read_seg_zero(text, (56, 28)) == Marked(((10, 5, 20, 15),), ((12.0, 9.0),))
    assert read_seg_zero("<think>[1, 2, 3, 4]</think>", (56, 28)) is None


def test_a_server_that_is_gone_is_no_models_fault_and_a_refusal_is(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def write(body: dict[str, Any]) -> str:
        seen.append(body)
        return "[]"

    with stand_in(write, trouble=lambda number: ("500", "429", "")[min(number, 2)]) as state:
        assert ask_of(state, tmp_path)(PICTURE, "where?") == "[]"
    assert seen[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert np.array_equal(picture_of(seen[0]), PICTURE)
    for trouble, expected in (("500", ConnectionError), ("401", ConnectionError), ("400", Refused)):
        with stand_in(write, trouble=lambda _, kind=trouble: kind) as state, pytest.raises(expected):
            ask_of(state, tmp_path)(PICTURE, "where?")


def test_pictures_leave_this_machine_only_with_leave(
    make_manifest: Callable[..., tuple[Row, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.peers.__main__ import main

    make_manifest(1)
    arguments = ["--system", str(CONFIGS[0]), "--base-url", "https://example.org/v1", "--limit", "1"]
    arguments += ["--manifest", str(tmp_path / "manifest.jsonl"), "--answers", str(tmp_path / "a.jsonl")]
    assert main(arguments) == 2
    assert "--allow-upload" in capsys.readouterr().err


def test_a_configuration_that_cannot_work_is_refused(tmp_path: Path) -> None:
    values = {"name": "n", "model": "m", "weights": "w", "prompt": "{question}", "long_side_px": 448}
    with pytest.raises(InputError, match="no answer format"):
        PeerConfig(**values, answer="prose")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="where the question stands"):
        PeerConfig(**{**values, "prompt": "?"}, answer="pixels")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: n\n", "lacks model, weights, prompt, answer, long_side_px"),
        (b"naem: n\n", "no setting called 'naem'"),
        (b"1: n\n", "no setting called '1'"),
        (b"name: \xff\n", "cannot be read"),
        (b"{model: m, name: n, weights: w, prompt: 5, answer: pixels, long_side_px: 448}", "wrong kind"),
    ],
)
def test_a_configuration_file_is_refused_with_what_is_wrong_in_it(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "peer.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_peer(path)
