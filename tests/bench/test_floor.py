"""The floor counts each operation and each byte that has to move, and nothing that a better program could save."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clock import Times
from benchmarks.floor import Work, count_work
from benchmarks.machine import Machine

FLOAT = 4


def test_a_product_counts_its_operations_weights_input_and_result() -> None:
    x, weight = torch.randn(7, 11), torch.randn(5, 11)
    work = count_work(lambda: F.linear(x, weight), dtype=torch.float32)
    assert work.flops == 2 * 7 * 11 * 5
    assert work.bytes == FLOAT * (7 * 11 + 5 * 11 + 7 * 5)


def test_a_weight_that_is_read_twice_counts_once_and_what_lies_between_not_at_all() -> None:
    x, weight = torch.randn(3, 8), torch.randn(8, 8)
    work = count_work(lambda: F.relu(x @ weight) @ weight, dtype=torch.float32)
    assert work.flops == 2 * 2 * 3 * 8 * 8
    assert work.bytes == FLOAT * (3 * 8 + 8 * 8 + 3 * 8)


def test_a_table_counts_the_rows_that_are_looked_up() -> None:
    table, ids = torch.randn(1000, 16), torch.tensor([3, 5])
    work = count_work(lambda: F.embedding(ids, table), dtype=torch.float32)
    assert work.bytes == ids.nbytes + 2 * (FLOAT * 2 * 16)


def test_an_expanded_tensor_counts_what_lies_behind_it() -> None:
    row = torch.randn(1, 16)
    work = count_work(lambda: row.expand(100, 16).sum(0), dtype=torch.float32)
    assert work.bytes == 2 * row.nbytes


def test_attention_and_convolution_are_counted() -> None:
    query = torch.randn(1, 2, 6, 8)
    attention = count_work(lambda: F.scaled_dot_product_attention(query, query, query), dtype=torch.float32)
    assert attention.flops == 2 * 2 * (2 * 6 * 6 * 8)
    conv, picture = nn.Conv2d(3, 4, 3, padding=1), torch.randn(1, 3, 10, 10)
    assert count_work(lambda: conv(picture), dtype=torch.float32).flops == 2 * 3 * 9 * 4 * 100


def test_the_floor_is_the_longer_of_multiplying_and_moving() -> None:
    machine = Machine(torch.device("cpu"), _flops_per_s={torch.float32: 1e9}, _bytes_per_s={4 * 2**20: 1e6})
    assert Work(flops=2 * 10**9, bytes=10, dtype=torch.float32).floor_s(machine) == pytest.approx(2.0)
    assert Work(flops=10, bytes=3 * 10**6, dtype=torch.float32).floor_s(machine) == pytest.approx(3.0)


def test_peak_rates_are_measured_once_and_for_each_dtype() -> None:
    machine = Machine(torch.device("cpu"), repeats=1)
    rates = {dtype: machine.flops_per_s(dtype) for dtype in (torch.float32, torch.bfloat16)}
    assert all(rate > 1e6 for rate in rates.values())
    assert machine.flops_per_s(torch.float32) == rates[torch.float32]
    assert machine.bytes_per_s(1) == machine.bytes_per_s(2**20) > 1e6
    assert set(machine.to_json()["gemm_gflops_per_s"]) == {"float32", "bfloat16"}


def test_best_and_median_are_those_of_the_runs() -> None:
    times = Times((0.003, 0.001, 0.002))
    assert times.best_ms == pytest.approx(1.0)
    assert times.median_ms == pytest.approx(2.0)


def test_a_stage_without_gradients_counts_under_inference_too() -> None:
    layer = nn.Linear(4, 4)

    def run() -> Tensor:
        return layer(torch.ones(2, 4))

    with torch.inference_mode():
        assert count_work(run, dtype=torch.float32).flops == 2 * 2 * 4 * 4
