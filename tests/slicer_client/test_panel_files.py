"""Images as files on their way: the same voxels in the same place for whoever reads them, and an id without a name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from CORESegLib.address import read_address
from CORESegLib.geometry import Matrix
from CORESegLib.remembered import MAX_QUESTIONS, REASONING, Remembered
from CORESegLib.stopping import CancelToken
from CORESegLib.transport import Timeouts
from CORESegLib.trouble import Trouble
from CORESegLib.volume_file import VoxelImage, content_digest, write_nrrd

OBLIQUE: Matrix = ((-0.9, 0.1, 0.05, 40.0), (0.05, -0.8, 0.2, -30.0), (0.02, 0.15, 2.4, 7.0), (0, 0, 0, 1))


@pytest.mark.parametrize(
    "kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
def test_other_programs_read_the_same_voxels_in_the_same_place(tmp_path: Path, kind: str) -> None:
    itk = pytest.importorskip("SimpleITK")
    voxels = np.random.default_rng(0).integers(0, 120, (3, 4, 5)).astype(kind)
    # ITK takes axes at right angles only, so the place is checked with a turned grid.
    turn, _ = np.linalg.qr(np.array(OBLIQUE)[:3, :3])
    grid = np.eye(4)
    grid[:3, :3] = turn * [0.7, 0.8, 2.5]
    grid[:3, 3] = [40, -30, 7]
    write_nrrd(tmp_path / "a.nrrd", voxels, tuple(tuple(row) for row in grid.tolist()))
    image = itk.ReadImage(str(tmp_path / "a.nrrd"))
    assert (itk.GetArrayFromImage(image) == voxels).all()
    point = image.TransformIndexToPhysicalPoint((4, 2, 1))
    expected = (grid @ [4, 2, 1, 1])[:3] * [-1, -1, 1]
    assert np.allclose(point, expected)


def test_a_sheared_series_is_read_by_the_servers_own_reader(tmp_path: Path) -> None:
    imaging = pytest.importorskip("coreseg_core.imaging")
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    write_nrrd(tmp_path / "a.nrrd", voxels, OBLIQUE)
    volume = imaging.read_volume(tmp_path / "a.nrrd")
    assert (volume.voxels == voxels.transpose(2, 1, 0)).all()
    assert np.allclose(volume.geometry.affine_ras, OBLIQUE, atol=1e-5)


def test_voxels_that_are_not_in_one_piece_or_of_another_byte_order_are_written_right(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    voxels = np.arange(240, dtype=">i2").reshape(6, 8, 5)[::2, ::2]
    write_nrrd(tmp_path / "a.nrrd", voxels, tuple(tuple(row) for row in np.eye(4).tolist()))
    assert (itk.GetArrayFromImage(itk.ReadImage(str(tmp_path / "a.nrrd"))) == voxels).all()


@pytest.mark.parametrize("voxels", [np.zeros((2, 3, 4, 3), np.uint8), np.zeros((2, 3, 4), np.complex64)])
def test_what_such_a_file_cannot_hold_is_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    with pytest.raises(Trouble):
        write_nrrd(tmp_path / "a.nrrd", voxels, OBLIQUE)
    assert not list(tmp_path.iterdir())


def test_writing_stops_when_the_question_is_cancelled_and_leaves_no_file(tmp_path: Path) -> None:
    cancel = CancelToken()
    image = VoxelImage(voxels_kji=np.zeros((3, 4, 5), np.int16), ijk_to_ras=OBLIQUE, folder=tmp_path)
    cancel.cancel()
    with pytest.raises(Trouble):
        image.write(cancel)
    assert not list(tmp_path.iterdir())


def test_the_id_changes_with_voxels_and_place_and_with_nothing_else(tmp_path: Path) -> None:
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    moved = (*OBLIQUE[:2], (0.02, 0.15, 2.4, 8.0), OBLIQUE[3])
    ids = {
        content_digest(voxels, OBLIQUE),
        content_digest(voxels + 1, OBLIQUE),
        content_digest(voxels.astype(np.int32), OBLIQUE),
        content_digest(voxels.reshape(4, 3, 5), OBLIQUE),
        content_digest(voxels, moved),
    }
    assert len(ids) == 5
    assert content_digest(voxels.copy(order="F"), OBLIQUE) == content_digest(voxels, OBLIQUE)


def test_an_image_that_came_from_the_store_keeps_its_id_until_it_is_changed(tmp_path: Path) -> None:
    voxels = np.zeros((3, 4, 5), np.int16)
    known = ("demo_ct", content_digest(voxels, OBLIQUE))
    image = VoxelImage(voxels_kji=voxels, ijk_to_ras=OBLIQUE, folder=tmp_path, known_as=known)
    assert image.identify(CancelToken()) == "demo_ct"
    voxels[0, 0, 0] = 1
    assert image.identify(CancelToken()).startswith("px-")


class Kept(dict[str, str]):
    """Settings, as `QSettings` keeps them."""

    def value(self, key: str, default: str = "") -> object:
        return self.get(key, default)

    def setValue(self, key: str, value: str) -> None:  # noqa: N802
        self[key] = value


def test_the_last_questions_are_remembered_once_each_the_newest_first() -> None:
    remembered = Remembered(Kept())
    for number in range(MAX_QUESTIONS + 5):
        remembered.add_question(f"question {number}")
    remembered.add_question("question  20\n")
    assert remembered.questions[:2] == ("question 20", "question 24")
    assert len(remembered.questions) == MAX_QUESTIONS


def test_images_go_to_this_machine_and_to_servers_that_were_allowed() -> None:
    remembered = Remembered(Kept())
    far = read_address("https://server.org")
    assert remembered.may_send_to(read_address("127.0.0.1"))
    assert not remembered.may_send_to(far)
    remembered.allow(far)
    assert remembered.may_send_to(far)
    assert not remembered.may_send_to(read_address("http://server.org"))
    remembered.revoke()
    assert not remembered.may_send_to(far)


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1, 2]", "7"])
def test_settings_that_were_damaged_are_empty_not_fatal(text: str) -> None:
    assert Remembered(Kept({"CORESeg/questions": text})).questions == ()


def test_an_administrator_chooses_the_server_by_setting_or_environment() -> None:
    assert Remembered(Kept({"CORESeg/lockedServer": "https://a"})).locked_server == "https://a"
    environment = {"CORESEG_LOCKED_SERVER": "https://b"}
    assert Remembered(Kept(), lambda name: environment.get(name, "")).locked_server == "https://b"


@pytest.mark.parametrize("kept", ["", "0", "-3", "1e9", "nan", "soon", None, 7.5])
def test_settings_that_cannot_be_are_as_if_nobody_had_set_them(kept: object) -> None:
    settings = Kept()
    for key in ("connectSeconds", "readSeconds", "reasoning"):
        settings.setValue(f"CORESeg/{key}", kept)  # type: ignore[arg-type]
    remembered = Remembered(settings)
    usual = Timeouts()
    assert remembered.timeouts.connect_s in (usual.connect_s, 7.5)
    assert remembered.timeouts.read_s in (usual.read_s, 7.5)
    assert remembered.timeouts.stream_s == usual.stream_s
    assert remembered.reasoning == REASONING[0]


def test_the_server_of_the_settings_comes_before_those_of_the_history() -> None:
    remembered = Remembered(Kept())
    for host in ("a.example", "b.example"):
        remembered.add_server(read_address(host))
    remembered.server = "http://a.example:80"
    assert remembered.servers == ("http://a.example:80", "http://b.example:80")
