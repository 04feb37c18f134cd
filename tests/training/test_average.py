"""The mean of several runs lies where the shares say, and its manifest names every run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from coreseg_core.checkpoint import load_weights, save_weights
from coreseg_core.errors import InputError
from training.average import average, averaged, main
from training.model_card import recipe_lines

PARENT = {"language.text.a": torch.tensor([0.0, 2.0]), "adapter.b": torch.tensor([[1.0]])}
LEARNED = (
    {"language.text.a": torch.tensor([1.0, 4.0]), "adapter.b": torch.tensor([[3.0]])},
    {"language.text.a": torch.tensor([3.0, 2.0]), "adapter.b": torch.tensor([[7.0]])},
)


def _saved(
    folder: Path, tensors: Mapping[str, torch.Tensor], *, parent: str | None, seed: int, data: str = "data"
) -> str:
    facts = {
        "preset": "lite",
        "version": "v0",
        "parent": parent,
        "recipe": "training.grpo",
        "seed": seed,
        "steps": 160,
        "dialogues": 5120,
        "data": {"manifest.jsonl": data},
        "confidence": {"scalings": {}},
    }
    manifest = save_weights(folder, tensors, facts, files={"tokenizer.json": b"{}"})
    return str(manifest["files"]["weights.safetensors"]["sha256"])


def test_words_and_masks_go_their_own_share_of_the_way_to_the_mean() -> None:
    weights = averaged(PARENT, LEARNED, words_share=0.25, masks_share=1.0)
    assert weights["language.text.a"].tolist() == [0.5, 2.25]
    assert weights["adapter.b"].tolist() == [[5.0]]


def test_one_run_all_of_the_way_is_that_run_bit_for_bit() -> None:
    half = {name: tensor.half() + 0.1 for name, tensor in PARENT.items()}
    parent = {name: tensor.half() for name, tensor in PARENT.items()}
    weights = averaged(parent, [half], words_share=1.0, masks_share=1.0)
    assert all(torch.equal(weights[name], half[name]) for name in half)


def test_none_of_the_way_is_the_parent_bit_for_bit() -> None:
    weights = averaged(PARENT, LEARNED, words_share=0.0, masks_share=0.0)
    assert all(torch.equal(weights[name], PARENT[name]) for name in PARENT)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_beyond_the_way_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        averaged(PARENT, LEARNED, words_share=share, masks_share=1.0)


def test_weights_of_other_shapes_are_refused() -> None:
    other = {**LEARNED[0], "adapter.b": torch.zeros(2, 2)}
    with pytest.raises(InputError, match="no line joins"):
        averaged(PARENT, [LEARNED[0], other], words_share=1.0, masks_share=1.0)


def test_the_manifest_names_the_parent_and_every_run(tmp_path: Path) -> None:
    parent = _saved(tmp_path / "parent", PARENT, parent=None, seed=0)
    runs = [
        _saved(tmp_path / f"run{seed}", weights, parent=parent, seed=seed)
        for seed, weights in enumerate(LEARNED, start=1)
    ]
    out = tmp_path / "averaged"
    arguments = ["--parent", str(tmp_path / "parent"), "--words", "0.5", "--out", str(out)]
    assert main([*arguments, str(tmp_path / "run1"), str(tmp_path / "run2")]) == 0
    weights, manifest = load_weights(out)
    assert weights["language.text.a"].tolist() == [1.0, 2.5]
    assert manifest["parent"] == parent
    assert [run["sha256"] for run in manifest["averaged"]["runs"]] == runs
    assert manifest["averaged"]["words_share"] == 0.5
    assert manifest["dialogues"] == 10240
    # What was fitted to the confidences of one run is not true of the mean.
    assert "confidence" not in manifest


def test_the_same_run_twice_and_a_run_on_other_data_are_refused(tmp_path: Path) -> None:
    parent = _saved(tmp_path / "parent", PARENT, parent=None, seed=0)
    _saved(tmp_path / "run", LEARNED[0], parent=parent, seed=1)
    _saved(tmp_path / "other", LEARNED[1], parent=parent, seed=2, data="other")
    for second, why in (("run", "twice"), ("other", "data")):
        with pytest.raises(InputError, match=why):
            average(
                tmp_path / "parent",
                [tmp_path / "run", tmp_path / second],
                tmp_path / "out",
                words_share=1.0,
                masks_share=1.0,
            )


def test_the_card_tells_which_runs_weights_are_the_mean_of(tmp_path: Path) -> None:
    parent = _saved(tmp_path / "parent", PARENT, parent=None, seed=0)
    for seed, weights in enumerate(LEARNED, start=1):
        _saved(tmp_path / f"run{seed}", weights, parent=parent, seed=seed)
    manifest = average(
        tmp_path / "parent",
        [tmp_path / "run1", tmp_path / "run2"],
        tmp_path / "out",
        words_share=0.5,
        masks_share=1.0,
    )
    told = recipe_lines(manifest)[1]
    assert "mean of 2 runs" in told
    assert "seeds 1, 2" in told
    assert "0.5 of the way for words" in told
    assert parent in told


def test_a_run_that_began_elsewhere_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path / "parent", PARENT, parent=None, seed=0)
    _saved(tmp_path / "run", LEARNED[0], parent="0" * 64, seed=1)
    with pytest.raises(InputError, match="did not begin"):
        average(tmp_path / "parent", [tmp_path / "run"], tmp_path / "out", words_share=1.0, masks_share=1.0)
    assert not (tmp_path / "out").exists()
