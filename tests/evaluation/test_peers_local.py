"""Systems on this machine: any image-text-to-text model that transformers reads, and LISA, from picture to table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_image_text import FAMILIES, SAM, teach, tiny_model, write_folder, write_lisa

from coreseg_core.errors import CheckpointError, InputError
from coreseg_core.evaluation import Row
from coreseg_core.evaluation.answers import read_answers
from coreseg_core.evaluation.ask import asks_of
from coreseg_core.evaluation.manifest import load_row
from coreseg_core.models.image_text import ImageTextModel, load_image_text
from coreseg_core.models.lisa import load_lisa
from training.peers.__main__ import main
from training.peers.answerer import filled_prompt, shown_size
from training.peers.config import PeerConfig, read_peer
from training.peers.lisa_answerer import LisaAnswerer

SQUARE_MM = (1.0, 1.0)
PICTURE = np.random.default_rng(5).integers(0, 255, (56, 84, 3), dtype=np.uint8)
PROMPT = "Where is the polyp?"
LISA = {
    "name": "LISA-tiny",
    "model": "lisa",
    "weights": "made up",
    "prompt": "{question} Please output segmentation mask.",
    "answer": "seg-state",
    "sam": SAM,
    "long_side_px": 84,
    "max_tokens": 12,
}
BOXES = {
    "name": "boxes-tiny",
    "model": "boxes",
    "weights": "made up",
    "prompt": "{question}",
    "answer": "thousandths",
    "long_side_px": 84,
    "max_tokens": 40,
}


def _taught(family: str, reply: str, prompt: str = PROMPT) -> ImageTextModel:
    model = tiny_model(family)
    teach(model, [PICTURE], [prompt], reply)
    model.model.eval()
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def lisa_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = _taught(request.param, "It is [SEG].", "Where is the polyp? Please output segmentation mask.")
    return write_lisa(tmp_path_factory.mktemp("lisa"), model)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_any_family_answers_from_its_folder_as_before_it_was_saved(
    family: str, tmp_path: Path
) -> None:
    model = _taught(family, "[[250, 250, 750, 500]]")
    loaded = load_image_text(write_folder(tmp_path / "model", model))
    written = loaded.write(PICTURE, PROMPT, max_tokens=40)
    assert written.text == "[[250, 250, 750, 500]]"
    assert written.states is None
    assert written.ids[-1] == loaded.tokenizer.eos_token_id
    assert loaded.write(PICTURE, PROMPT, max_tokens=3).ids == written.ids[:3]
    other = loaded.write(255 - PICTURE[:, ::-1], "Name it.", max_tokens=40, system="Speak.")
    assert len(other.ids) <= 40


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_that_predict_the_tokens(family: str) -> None:
    model = _taught(family, "It is [SEG].")
    written = model.write(PICTURE, PROMPT, max_tokens=12, keep_states=True)
    assert written.states is not None
    assert written.states.shape == (len(written.ids), model.dim)
    with torch.inference_mode():
        predicted = model.model.get_output_embeddings()(written.states).argmax(dim=-1)
    assert tuple(predicted.tolist()) == written.ids


def test_lisas_mask_is_sams_for_the_projected_state_before_seg(lisa_folder: Path) -> None:
    config = PeerConfig(**LISA)
    lisa = load_lisa(lisa_folder, sizes=config.sam_sizes)
    (finding,) = LisaAnswerer(lisa, config).answer(PICTURE, [PROMPT], pixel_mm=SQUARE_MM)
    assert (finding.outcome, finding.answer_text) == ("present", "It is [SEG].")

    shown_wh = shown_size(config, height=56, width=84, pixel_mm=SQUARE_MM)
    assert shown_wh == (84, 56)
    language = lisa.language
    inputs = language.inputs(PICTURE, filled_prompt(config, PROMPT, shown_wh), system=None)
    reply = language.tokenizer.encode(finding.answer_text, add_special_tokens=False)
    before = inputs["input_ids"].shape[1]
    ids = torch.cat([inputs["input_ids"], torch.tensor([reply])], dim=1)
    rest = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    if "mm_token_type_ids" in rest:
        rest["mm_token_type_ids"] = torch.nn.functional.pad(rest["mm_token_type_ids"], (0, len(reply)))
    with torch.inference_mode():
        states = language.model(input_ids=ids, **rest, output_hidden_states=True).hidden_states[-1][0]
        # One tokenized whole, the state one place before [SEG] predicts it.
        state = states[before + reply.index(language.token_id("[SEG]")) - 1]
        prompt = lisa.projection(state[None])[:, None]
        square, view = lisa.segmenter.prepare(PICTURE, pixel_mm=SQUARE_MM)
        logits, _ = lisa.segmenter.decode(lisa.segmenter.encode(square[None]), prompt)
        expected = view.logits_to_native(logits)[0]
    differs = finding.mask != (expected > 0).numpy()
    # Rounding may decide a pixel whose logit is next to nothing.
    assert not (differs & (expected.abs() > 1e-3).numpy()).any()


def test_an_answer_without_seg_draws_nothing_and_is_a_denial_only_if_it_says_so(tmp_path: Path) -> None:
    config = PeerConfig(**LISA)
    prompt = filled_prompt(config, PROMPT, (84, 56))
    for reply, outcome in (("There is no polyp.", "absent"), ("It is here.", "error")):
        folder = write_lisa(tmp_path / outcome, _taught("llava", reply, prompt))
        answerer = LisaAnswerer(load_lisa(folder, sizes=config.sam_sizes), config)
        (finding,) = answerer.answer(PICTURE, [PROMPT], pixel_mm=SQUARE_MM)
        assert finding.outcome == outcome
        assert not finding.mask.any() and finding.mask.shape == (56, 84)


def _system(folder: Path, values: dict[str, object]) -> Path:
    path = folder / "system.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_lisa_stands_in_the_table(
    lisa_folder: Path,
    make_manifest: Callable[..., tuple[Row, ...]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_manifest(1)
    arguments = ["--system", str(_system(tmp_path, LISA)), "--weights", str(lisa_folder), "--limit", "1"]
    arguments += ["--manifest", str(tmp_path / "manifest.jsonl"), "--answers", str(tmp_path / "a.jsonl")]
    assert main(arguments) == 0
    assert [answer.kind for answer in read_answers(tmp_path / "a.jsonl")].count("present") == 1
    printed = capsys.readouterr().out
    assert "LISA-3B-trained" in printed and "this model" in printed
    assert main([*arguments[:2], "--base-url", "http://127.0.0.1:9/v1", *arguments[4:]]) == 2
    assert "no server gives" in capsys.readouterr().err


def test_a_model_on_this_machine_is_asked_read_drawn_scored_and_not_asked_twice(
    make_manifest: Callable[..., tuple[Row, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_manifest(1)
    asks = [ask for ask in asks_of(rows, seed=0) if ask.kind == "present"]
    rgb, mask = load_row(rows[0])
    ys, xs = np.nonzero(mask)
    height, width = mask.shape
    corners = (xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height)
    reply = f"[{', '.join(str(round(1000 * float(value))) for value in corners)}]"
    model = tiny_model("llava")
    teach(model, [rgb] * len(asks), [ask.question for ask in asks], reply)
    model.model.eval()
    folder = write_folder(tmp_path / "model", model)
    arguments = ["--system", str(_system(tmp_path, BOXES)), "--weights", str(folder), "--limit", "1"]
    arguments += ["--manifest", str(tmp_path / "manifest.jsonl"), "--answers", str(tmp_path / "a.jsonl")]
    assert main(arguments) == 0
    found = [answer for answer in read_answers(tmp_path / "a.jsonl") if answer.kind == "present"]
    # The segmenter was given the disc's own box, so what it draws is the disc.
    assert found and all((answer.dice or 0) > 0.8 for answer in found)
    kept = [json.loads(line) for line in (tmp_path / "a_replies.jsonl").read_text().splitlines()]
    assert reply in {line["text"] for line in kept}

    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked a second time")

    monkeypatch.setattr(ImageTextModel, "write", never)
    assert main(arguments) == 0


def test_what_cannot_be_loaded_is_told_and_code_of_a_folder_is_never_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder 'nowhere'"):
        load_image_text(tmp_path / "nowhere")
    folder = write_folder(tmp_path / "model", tiny_model("llava"))
    config = json.loads((folder / "config.json").read_text())
    sign = tmp_path / "was_run"
    (folder / "evil.py").write_text(f"open({str(sign)!r}, 'w').close()\n")
    foreign = {
        "model_type": "evil",
        "auto_map": {"AutoModelForImageTextToText": "evil.Evil", "AutoConfig": "evil.E"},
    }
    (folder / "config.json").write_text(json.dumps({**config, **foreign}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_image_text(folder)
    assert not sign.exists()


def test_parts_of_another_lisa_are_refused(tmp_path: Path) -> None:
    config = PeerConfig(**LISA)
    model = tiny_model("llava")
    folder = write_lisa(tmp_path / "lisa", model)
    with pytest.raises(CheckpointError, match="visual_model"):
        load_lisa(folder, sizes=PeerConfig(**{**LISA, "sam": {**SAM, "depth": 3}}).sam_sizes)
    (folder / "lisa.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_lisa(folder, sizes=config.sam_sizes)
    with pytest.raises(CheckpointError, match="not one"):
        model.token_id("[NOTHING]")


def test_a_sam_belongs_to_a_seg_state_and_to_nothing_else() -> None:
    shipped = read_peer(Path(__file__).parents[2] / "training" / "configs" / "peers" / "lisa-3b.yaml")
    assert shipped.sam_sizes.depth == 32
    for values in ({**BOXES, "sam": "vit_h"}, {name: v for name, v in LISA.items() if name != "sam"}):
        with pytest.raises(InputError, match="SAM of its own"):
            PeerConfig(**values)  # type: ignore[arg-type]
