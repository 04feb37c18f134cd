"""The descriptions that ship fit the folders they are written for, as far as those are known without the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_sets import SIDE, speckle, square, write_nifti, write_picture

from coreseg_core.errors import InputError
from training.dataset.cases import Case
from training.dataset.importing import Given, import_sources
from training.dataset.layouts import find_cases
from training.dataset.layouts.files import FileIndex
from training.dataset.sources import find_source, shipped_sources
from training.dataset.splits import SplitPlan

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/dataset.md"

# The 24 sets that the paper's figure names.
NAMED = (
    "crossmoda2021", "brats2021", "isles2022", "amd_sd", "drac2022", "tg3k", "tn3k", "ddti", "siim_pneumothorax",
    "msd_lung", "fumpe", "emidec", "busi", "isic2016", "isic2017", "isic2018", "fusc2021", "lits", "msd_colon",
    "msd_hepatic_vessel", "kits", "msd_pancreas", "qubiq2021", "atlas2023",
)  # fmt: skip

# One image of each set that is found by its name, with the masks that belong to it, where copies usually have them.
FILES = {
    "crossmoda2021": (
        "source_training/crossmoda2021_ldn_1_ceT1.nii.gz",
        ["source_training/crossmoda2021_ldn_1_Label.nii.gz"],
    ),
    "brats2021": (
        "BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz",
        ["BraTS2021_00000/BraTS2021_00000_seg.nii.gz"],
    ),
    "isles2022": (
        "sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.nii.gz",
        ["derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz"],
    ),
    "amd_sd": ("images/1-12.png", ["masks/1-12.png"]),
    "drac2022": (
        "A. Segmentation/1. Original Images/a. Training Set/030.png",
        ["A. Segmentation/2. Groundtruths/a. Training Set/2. Nonperfusion Areas/030.png"],
    ),
    "tg3k": ("tg3k/thyroid-image/0001.jpg", ["tg3k/thyroid-mask/0001.jpg"]),
    "tn3k": ("tn3k/test-image/0001.jpg", ["tn3k/test-mask/0001.jpg"]),
    "ddti": ("p_image/1.PNG", ["p_mask/1.PNG"]),
    "siim_pneumothorax": ("png_images/0_train_1_.png", ["png_masks/0_train_1_.png"]),
    "fumpe": ("images/PAT001.nii.gz", ["masks/PAT001.nii.gz"]),
    "emidec": ("Case_P042/Images/Case_P042.nii.gz", ["Case_P042/Contours/Case_P042.nii.gz"]),
    "busi": (
        "Dataset_BUSI_with_GT/benign/benign (100).png",
        [
            "Dataset_BUSI_with_GT/benign/benign (100)_mask.png",
            "Dataset_BUSI_with_GT/benign/benign (100)_mask_1.png",
        ],
    ),
    "isic2016": (
        "ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg",
        ["ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png"],
    ),
    "isic2017": (
        "ISIC-2017_Test_v2_Data/ISIC_0012086.jpg",
        ["ISIC-2017_Test_v2_Part1_GroundTruth/ISIC_0012086_segmentation.png"],
    ),
    "isic2018": (
        "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg",
        ["ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png"],
    ),
    "fusc2021": ("train/images/0011.png", ["train/labels/0011.png"]),
    "lits": ("Training Batch 1/volume-0.nii", ["Training Batch 1/segmentation-0.nii"]),
    "kits": ("case_00000/imaging.nii.gz", ["case_00000/segmentation.nii.gz"]),
    "qubiq2021": (
        "pancreatic-lesion/Training/case01/image.nii.gz",
        ["pancreatic-lesion/Training/case01/task01_seg01.nii.gz"],
    ),
}


def test_each_of_the_24_sets_that_the_paper_names_is_described() -> None:
    shipped = shipped_sources()
    assert sorted(shipped) == sorted(NAMED)
    assert {source.layout for source in shipped.values()} >= {"folders", "decathlon", "bids"}
    for source in shipped.values():
        assert source.cite and source.licence and source.modality and source.anatomy


def test_weights_may_ship_only_where_the_licence_is_open_or_the_facts_say_so() -> None:
    open_licences = ("CC0-1.0", "CC BY 4.0", "CC BY-SA 4.0")
    for source in shipped_sources().values():
        if source.weights == "yes":
            assert source.licence in open_licences or source.name == "busi"
        assert (source.redistributable == "yes") == (source.licence in open_licences)


@pytest.mark.parametrize("name", FILES)
def test_a_description_finds_image_and_masks_among_other_files(name: str, tmp_path: Path) -> None:
    image, masks = FILES[name]
    for place in (image, *masks, "readme.txt", "labels/other.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    (case,) = find_cases(find_source(name), tmp_path)
    assert isinstance(case, Case) and case.key == image
    found = {path.relative_to(tmp_path).as_posix() for outline in case.outlines for path in outline.files}
    assert found == set(masks)


def test_several_masks_of_one_picture_are_joined_and_the_kind_becomes_the_disease(tmp_path: Path) -> None:
    folder = tmp_path / "raw/Dataset_BUSI_with_GT"
    write_picture(folder / "malignant/malignant (3).png", speckle(1))
    write_picture(folder / "malignant/malignant (3)_mask.png", square(2, 2))
    write_picture(folder / "malignant/malignant (3)_mask_1.png", square(30, 30))
    write_picture(folder / "normal/normal (1).png", speckle(2))
    write_picture(folder / "normal/normal (1)_mask.png", np.zeros((SIDE, SIDE), np.uint8))
    rows = import_sources(
        [Given(find_source("busi"), tmp_path / "raw")], tmp_path / "out", plan=SplitPlan(), long_side_px=512,
        progress=lambda *_: None,
    ).rows  # fmt: skip
    with_lesion = next(row for row in rows if not row.lesion_free)
    assert (with_lesion.disease, with_lesion.n_components) == ("malignant breast tumor", 2)
    assert [row.disease for row in rows if row.lesion_free] == ["none"]


def test_a_slice_with_two_lesions_of_one_set_gives_a_row_for_each(tmp_path: Path) -> None:
    labels = np.zeros((32, 32, 6), np.uint8)
    labels[2:30, 2:30] = 1
    labels[5:12, 5:12, 3] = 2
    labels[20:26, 20:26, 3] = 3
    rng = np.random.default_rng(0)
    write_nifti(tmp_path / "raw/case_00001/imaging.nii.gz", rng.normal(40, 30, labels.shape).astype(np.int16))
    write_nifti(tmp_path / "raw/case_00001/segmentation.nii.gz", labels)
    rows = import_sources(
        [Given(find_source("kits"), tmp_path / "raw")], tmp_path / "out", plan=SplitPlan(), long_side_px=512,
        progress=lambda *_: None,
    ).rows  # fmt: skip
    both = [row for row in rows if not row.lesion_free]
    assert {row.target for row in both} == {"kidney tumor", "kidney cyst"}
    assert len({row.image for row in both}) == 1 and len({row.mask for row in both}) == 2


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("masks/{stem}.png", ["masks/a (1).png"]),
        ("**/{stem}.png", ["a (1).png", "masks/a (1).png", "x/masks/a (1).png"]),
        ("**/masks/{stem}.*", ["masks/a (1).png", "x/masks/a (1).png"]),
        ("*/{stem}.png", ["masks/a (1).png"]),
        ("", []),
    ],
)
def test_templates_name_files_literally_but_for_their_wildcards(template: str, found: list[str]) -> None:
    keys = ["a (1).png", "a 1.png", "masks/a (1).png", "masks/b.png", "x/masks/a (1).png"]
    assert FileIndex(keys).named(template, {"stem": "a (1)"}) == found


def test_a_template_that_asks_for_an_unnamed_part_is_refused() -> None:
    with pytest.raises(InputError, match="does not have"):
        FileIndex(["a.png"]).named("{patient}.png", {"stem": "a"})


def test_an_unknown_source_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError) as raised:
        find_source("nonesuch")
    assert "busi" in raised.value.remedy


def test_the_document_has_a_line_for_each_source_that_says_whether_it_was_tried() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, source in shipped_sources().items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[-1] == source.tried and source.licence in line and source.layout in line
