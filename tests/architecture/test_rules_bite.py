"""The rules of `test_imports` see what they are meant to see."""

from __future__ import annotations

import ast

import pytest
from sources import Source
from test_imports import _silent


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("import torch.nn as nn", {"torch"}),
        ("from transformers.models import x", {"transformers"}),
        ("def f():\n    import pickle", {"pickle"}),
        ("if TYPE_CHECKING:\n    from training.loop import TrainingLoop", {"training"}),
    ],
)
def test_imports_are_seen_wherever_they_stand(text: str, packages: set[str]) -> None:
    assert Source("coreseg_core/a.py", text).packages == packages


def test_relative_imports_are_seen() -> None:
    assert Source("coreseg_core/a.py", "from . import b\nfrom ..c import d").imports == {"..b", "..c.d"}


def test_calls_are_seen_by_their_full_name() -> None:
    source = Source("a.py", "model.eval()\neval('1')\ntorch.load(p, weights_only=True)")
    assert [ast.unparse(call) for call in source.calls("eval")] == ["eval('1')"]
    assert len(list(source.calls("torch.load"))) == 1


def test_public_names_without_a_docstring_are_seen() -> None:
    loose = "def f(): ...\ndef _g(): ...\n"
    plain = "class A:\n    'd'\n    def m(self): ...\n    def _n(self): ...\n"
    protocol = "class P(Protocol):\n    'd'\n    def m(self): ...\n"
    assert _silent(ast.parse(loose + plain + protocol)) == ["f", "A.m"]
