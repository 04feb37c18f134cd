"""`coreseg ask --box`: what lies in the box is outlined, and a box that cannot be meant is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coreseg_core.cli import main
from coreseg_core.imaging import extract_slice, read_label, read_volume


def ball_box(head: Path, index: int) -> tuple[str, np.ndarray]:
    """Return the box round the bright ball on a slice as displayed, and the ball (i, j)."""
    volume = read_volume(head)
    bright = volume.voxels > 0.5 * np.percentile(volume.voxels, 99.9)
    shown = extract_slice(volume, 2, index).voxels_to_mask(bright[:, :, index])
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return f"{columns[0]},{rows[0]},{columns[-1] + 1},{rows[-1] + 1}", bright[:, :, index]


@pytest.mark.parametrize("question", ["Is there a brain tumor?", "Is there a kidney stone?"])
def test_a_box_is_outlined_whatever_untrained_weights_say_and_words_rule_out(
    question: str, head: Path, random_weights: Path, tmp_path: Path
) -> None:
    box, ball = ball_box(head, 3)
    mask = tmp_path / "mask.nii.gz"
    words = ["ask", str(head), question, "--slice", "3", "--box", box, "--out", str(mask)]
    assert main([*words, "--weights", str(random_weights), "--reasoning", "none"]) == 0
    drawn = read_label(mask, read_volume(head).geometry)[:, :, 3] > 0
    assert 2 * np.count_nonzero(drawn & ball) / (np.count_nonzero(drawn) + np.count_nonzero(ball)) > 0.7
    record = json.loads((tmp_path / "mask.json").read_text())
    assert len(record["marks"]["boxes_ijk"]) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--slices", "1:3", "--box", "1,1,9,9"], "one slice"),
        (["--slice", "3", "--box", "400,1,409,9"], "beyond the slice"),
    ],
)
def test_a_box_without_a_place_is_refused(
    words: list[str], told: str, head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(head), "brain tumor", *words]) == 2
    said = capsys.readouterr().err
    assert told in said


@pytest.mark.parametrize("box", ["1,1,9", "a,b,c,d", "9,1,1,9", "-1,1,9,9", "1,1,1,9", "1.5,1,9,9"])
def test_what_is_no_box_is_refused_with_the_form_that_is(
    box: str, head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["ask", str(head), "brain tumor", f"--box={box}"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "X0,Y0,X1,Y1" in said or "X0 < X1" in said
