"""Operations and bytes, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from streaming_wavlm.bench.work import Machine, floor_seconds, operations_per_second, parts, weight_bytes
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.loading import random_model
from tiny import tiny_config

LARGE = StreamingWavLMConfig.preset("large")


def test_a_second_of_full_size_takes_22_gflop() -> None:
    assert operations_per_second(LARGE) == pytest.approx(22.2e9, rel=3e-3)
    by_part = {part.name: part.operations * 2.5 for part in parts(LARGE)}
    # 12 × (4 · 1024² + 2 · 1024 · 4096) + 512 · 1024 weights, 50 frames a second.
    assert by_part["linears"] == 2 * 50 * (12 * 12 * 1024**2 + 512 * 1024)
    # Queries with keys and shares with values, 512 of each, in 12 layers.
    assert by_part["attention"] == 2 * 2 * 512 * 1024 * 12 * 50
    assert by_part["positional"] == 2 * 128 * 64 * 1024 * 50
    rates = (1600, 800, 400, 200), (100, 50)
    assert by_part["front end"] == 2 * (
        10 * 512 * 3200 + 3 * 512**2 * sum(rates[0]) + 2 * 512**2 * sum(rates[1])
    )


@pytest.mark.parametrize("chunk_ms", [80, 400, 1000])
def test_a_second_costs_the_same_in_any_chunk(chunk_ms) -> None:
    assert operations_per_second(LARGE.replace(chunk_ms=chunk_ms)) == pytest.approx(
        operations_per_second(LARGE)
    )


@pytest.mark.parametrize(
    "config", [StreamingWavLMConfig.preset("mini"), tiny_config(), tiny_config(conv_bias=True)]
)
def test_the_weights_are_those_of_the_model(config) -> None:
    model = random_model(config)
    # What no product reads: the gates, the table of the bias, the norm after the front end.
    small = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if "gru" in name or "relative_embedding" in name or name.startswith("norm.")
    )
    assert weight_bytes(config, "fp32") == 4 * (model.num_parameters() - small)


def test_full_size_weighs_657_mb() -> None:
    assert weight_bytes(LARGE, "fp32") == pytest.approx(657e6, rel=1e-3)
    assert weight_bytes(LARGE, "bf16") == weight_bytes(LARGE, "fp32") / 2


def test_the_floor_is_the_longer_of_computing_and_reading() -> None:
    machine = Machine({"fp32": 177e9, "bf16": 380e9, "int8": 870e9}, 33e9)
    floors = {
        (precision, chunk_ms): 1000 * floor_seconds(LARGE.replace(chunk_ms=chunk_ms), precision, machine)
        for precision in machine.rates
        for chunk_ms in (80, 400)
    }
    assert floors["fp32", 400] == pytest.approx(50, rel=0.01)  # computing
    assert floors["bf16", 400] == pytest.approx(23.3, rel=0.01)
    assert floors["int8", 400] == pytest.approx(14.3, rel=0.02)
    assert floors["fp32", 80] == pytest.approx(21.4, rel=0.01)  # reading
    assert floors["bf16", 80] == pytest.approx(10.7, rel=0.01)


def test_streams_that_step_together_read_the_weights_once() -> None:
    slow_memory = Machine({"fp32": 1e15, "bf16": 1e15, "int8": 1e15}, 1e9)
    one, two, three = (floor_seconds(LARGE, "fp32", slow_memory, batch) for batch in (1, 2, 3))
    cache = 4 * 2 * 512 * 1024 * 12 / 1e9
    assert two - one == pytest.approx(cache)
    assert three - two == pytest.approx(cache)
    assert one == pytest.approx(weight_bytes(LARGE, "fp32") / 1e9 + cache)
