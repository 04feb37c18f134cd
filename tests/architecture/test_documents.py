"""The documents speak of this repository: what they name is there, and what is there is named."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from sources import REPOSITORY

DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("benchmarks/*.md")]
)
_LINK = re.compile(r"\]\(([^)#:]+)\)")
_PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|json|md|yaml))`")
_CORE = REPOSITORY / "coreseg_core"
_APP = REPOSITORY / "apps/coreseg"


def requirements() -> list[str]:
    """Return the names of everything that is needed at run time, extras for server and training included."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    lines = "\n".join([setup["options"]["install_requires"], extras["app"], extras["train"]]).split()
    return [re.split(r"[<>=!~]", line)[0] for line in lines]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not [link for link in _LINK.findall(text) if not (document.parent / link).exists()]


@pytest.mark.parametrize(
    "name", ["docs/architecture.md", "SECURITY.md", "CONTRIBUTING.md", "docs/dependencies.md"]
)
def test_files_that_are_named_exist(name: str) -> None:
    named = _PATH.findall((REPOSITORY / name).read_text(encoding="utf-8"))
    roots = (REPOSITORY, _CORE, _APP)
    assert named
    assert not [path for path in named if not any((root / path).exists() for root in roots)]


def test_the_tree_of_the_architecture_names_every_room() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = [f"{path.parent.name}/" for path in _CORE.glob("*/__init__.py")]
    tree = text[: text.index("## The way of a question")]
    assert not [room for room in rooms if room not in tree]


@pytest.mark.parametrize("requirement", requirements())
def test_every_dependency_is_explained(requirement: str) -> None:
    text = (REPOSITORY / "docs/dependencies.md").read_text(encoding="utf-8")
    assert f"| {requirement.lower()} |" in text.lower()
