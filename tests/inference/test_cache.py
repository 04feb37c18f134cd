"""Caches stay within their bytes, keep what was used last, and may be shared between threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coreseg_core.inference.cache import ByteLRU
from coreseg_core.models.coreseg import CoreSegModel


@dataclass(frozen=True)
class Block:
    """A value of a given size."""

    nbytes: int
    name: str = ""


STEPS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.booleans()), max_size=60)


class ModelLRU:
    """The same promise, written the slow and obvious way: a list, oldest use first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.kept: list[tuple[str, Block]] = []

    def get(self, key: str) -> Block | None:
        for place, (name, block) in enumerate(self.kept):
            if name == key:
                self.kept.append(self.kept.pop(place))
                return block
        return None

    def put(self, key: str, block: Block) -> None:
        self.kept = [entry for entry in self.kept if entry[0] != key]
        if block.nbytes <= self.limit_bytes:
            self.kept.append((key, block))
        while sum(entry.nbytes for _, entry in self.kept) > self.limit_bytes:
            self.kept.pop(0)


@given(limit_bytes=st.integers(0, 150), steps=STEPS)
def test_holds_what_was_used_last_and_never_more_than_its_bytes(
    limit_bytes: int, steps: list[tuple[str, int, bool]]
) -> None:
    cache: ByteLRU[Block] = ByteLRU(limit_bytes)
    oracle = ModelLRU(limit_bytes)
    for number, (key, size, reading) in enumerate(steps):
        if reading:
            assert cache.get(key) == oracle.get(key)
        else:
            block = Block(size, f"{key}{number}")
            cache.put(key, block)
            oracle.put(key, block)
        assert cache.nbytes == sum(block.nbytes for _, block in oracle.kept) <= limit_bytes
    reads = sum(reading for *_, reading in steps)
    assert cache.hits + cache.misses == reads


def test_a_value_is_made_once_while_it_is_kept() -> None:
    cache: ByteLRU[Block] = ByteLRU(100)
    made: list[str] = []

    def make(name: str) -> Block:
        made.append(name)
        return Block(60)

    for name in ("a", "a", "b", "b", "a"):
        cache.get_or_make(name, lambda name=name: make(name))
    assert made == ["a", "b", "a"]


def test_a_value_larger_than_the_cache_is_returned_and_not_kept() -> None:
    cache: ByteLRU[Block] = ByteLRU(10)
    cache.put("a", Block(4))
    assert cache.get_or_make("b", lambda: Block(11)).nbytes == 11
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_a_cleared_cache_holds_nothing() -> None:
    cache: ByteLRU[Block] = ByteLRU(10)
    cache.put("a", Block(4))
    cache.clear()
    assert cache.nbytes == 0
    assert cache.get("a") is None


def test_bytes_stay_true_when_many_threads_write() -> None:
    cache: ByteLRU[Block] = ByteLRU(500)

    def work(seed: int) -> None:
        for step in range(300):
            key = str((seed * 7 + step * 13) % 40)
            cache.get_or_make(key, lambda key=key: Block(10 + int(key)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    kept = [block for key in map(str, range(40)) if (block := cache.get(key)) is not None]
    assert cache.nbytes == sum(block.nbytes for block in kept) <= 500


@pytest.mark.parametrize("length", [1, 17])
def test_a_prefix_knows_the_bytes_it_holds(model: CoreSegModel, length: int) -> None:
    picture = torch.randn(1, length, model.language.dim)
    prefix = model.language.prefill_pictures(picture, (1, length))
    tokens = len(model.language.tokenizer.prefix_ids(length))
    config = model.language.text.config
    head_dim = config.hidden_size // config.num_attention_heads
    expected = 2 * config.num_hidden_layers * config.num_key_value_heads * tokens * head_dim * 4
    assert prefix.length == tokens
    assert prefix.nbytes == expected
