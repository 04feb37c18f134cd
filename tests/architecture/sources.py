"""The repository's Python files as syntax trees, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("coreseg_core", "training", "apps", "benchmarks", "slicer_extension")


@dataclass(frozen=True)
class Source:
    """One Python file.

    Attributes:
        path: Relative to the repository, with forward slashes.
        text: What it says.
    """

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file as a syntax tree."""
        return ast.parse(self.text, filename=self.path)

    @property
    def part(self) -> str:
        """The top folder it lies in."""
        return self.path.partition("/")[0]

    @cached_property
    def imports(self) -> frozenset[str]:
        """Dotted names of every module imported anywhere in the file, also for types alone."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found.update(f"{module}.{alias.name}" for alias in node.names)
        return frozenset(found)

    @property
    def packages(self) -> frozenset[str]:
        """First names of the imported modules."""
        return frozenset(name.partition(".")[0] for name in self.imports)

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Yield calls of a function, named as in `torch.load` or `eval`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                yield node


def sources(*parts: str) -> list[Source]:
    """Return the files of some parts of the repository, all but the tests without an argument."""
    return [
        Source(path.relative_to(REPOSITORY).as_posix(), path.read_text(encoding="utf-8"))
        for part in parts or PARTS
        for path in sorted((REPOSITORY / part).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]
