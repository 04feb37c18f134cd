"""The extension is packaged whole, loads without anything to install, and its plain half knows nothing of Slicer."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import CORESegLib

REPOSITORY = Path(__file__).resolve().parents[2]
EXTENSION = REPOSITORY / "slicer_extension"
MODULE = EXTENSION / "CORESeg"
LIBRARY = MODULE / "CORESegLib"
DESKTOP = {"slicer", "vtk", "qt", "ctk", "SampleData"}
# What Slicer 5.12 carries; imported inside functions, so that reading a module loads none of it.
CARRIED = {"numpy", "pydicom", "highdicom"}


def modules() -> list[Path]:
    return sorted(LIBRARY.glob("*.py"))


def names_imported(path: Path) -> set[str]:
    """Return the dotted names of modules that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module or "")
    return found


def imported(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in names_imported(path)}


def bound_to_slicer() -> set[str]:
    """Return the modules that import Slicer's, or one that does."""
    ours = {
        path.stem: {name.partition(".")[2] for name in names_imported(path) if name.startswith("CORESegLib.")}
        for path in modules()
    }
    bound = {path.stem for path in modules() if imported(path) & DESKTOP}
    while more := {name for name, others in ours.items() if others & bound} - bound:
        bound |= more
    return bound


def test_every_file_is_packaged_and_every_packaged_file_is_there() -> None:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "CORESeg")
    listed = set(re.findall(r"^\s+([\w/.]+\.(?:py|png|json|txt))$", text, re.MULTILINE))
    there = {path.relative_to(MODULE).as_posix() for path in [*MODULE.glob("*.py"), *modules()]}
    there |= {path.relative_to(MODULE).as_posix() for path in (MODULE / "Resources").rglob("*.*")}
    assert listed == there


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_configures_the_extension_from_the_root_and_packages_every_file(tmp_path: Path) -> None:
    stub = Path(__file__).with_name("stub_slicer")
    command = [
        "cmake",
        "-S",
        str(REPOSITORY),
        "-B",
        str(tmp_path),
        f"-DSlicer_DIR={stub}",
        "-DBUILD_TESTING=ON",
    ]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    packaged = (tmp_path / "packaged.txt").read_text(encoding="utf-8").split()
    assert {path for path in packaged if path.startswith("CORESegLib/")} == {
        f"CORESegLib/{path.name}" for path in modules()
    }


def test_the_index_entry_names_what_is_built() -> None:
    entry = json.loads((EXTENSION / "CORESeg.json").read_text(encoding="utf-8"))
    assert set(entry) == {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "scm_revision",
        "scm_url",
        "tier",
    }
    assert entry["scm_url"].startswith("https://")
    assert entry["category"] == "Segmentation"
    assert "project(CORESeg " in (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("icon", [EXTENSION / "CORESeg.png", MODULE / "Resources/Icons/CORESeg.png"])
def test_icons_are_128_pixels_square(icon: Path) -> None:
    header = icon.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:]) == (128, 128)


def test_only_the_files_that_are_named_know_slicer() -> None:
    assert bound_to_slicer() == set(CORESegLib.SLICER_BOUND)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_everything_imported_comes_with_python_or_with_slicer(path: Path) -> None:
    assert imported(path) <= sys.stdlib_module_names | CARRIED | DESKTOP | {"CORESegLib"}


def test_plain_modules_load_nothing_but_the_standard_library() -> None:
    names = [f"CORESegLib.{path.stem}" for path in modules() if path.stem not in CORESegLib.SLICER_BOUND]
    code = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r}); before = set(sys.modules)\n"
        f"import importlib; [importlib.import_module(name) for name in {names!r}]\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'CORESegLib'}))"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


def test_slicer_reads_the_module_without_loading_the_rest() -> None:
    tree = ast.parse((MODULE / "CORESeg.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.partition(".")[0]
        for node in top
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert names <= {"__future__", "typing", "slicer"}
