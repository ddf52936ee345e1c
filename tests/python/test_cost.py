"""Counts against figures worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import laminet as ln


def test_counts_of_784_512_256_10_at_batch_32() -> None:
    net = ln.MLP.init([784, 512, 256, 10], activation="relu", dtype="float32", seed=0)
    counts = ln.cost(net, batch=32)
    first, second, third = counts.layers

    # 2 * 32 * 512 * 784; 32 * 512
    assert (first.matmul_flops, first.bias_flops, first.activation_flops) == (
        25_690_112,
        16_384,
        16_384,
    )
    # 2 * 32 * 256 * 512; 32 * 256
    assert (second.matmul_flops, second.bias_flops, second.activation_flops) == (
        8_388_608,
        8_192,
        8_192,
    )
    # 2 * 32 * 10 * 256; 32 * 10; identity
    assert (third.matmul_flops, third.bias_flops, third.activation_flops) == (163_840, 320, 0)
    assert [layer.flops for layer in counts.layers] == [25_722_880, 8_404_992, 164_160]
    assert counts.flops == 34_292_032
    assert counts.flops_per_sample == 1_071_626

    # 32 * 784 * 4; 512 * 784 * 4; 512 * 4; 32 * 512 * 4
    assert (first.input_bytes, first.weight_bytes, first.bias_bytes, first.output_bytes) == (
        100_352,
        1_605_632,
        2_048,
        65_536,
    )
    assert first.bytes == 1_773_568
    # 32 * 512 * 4 + 256 * 512 * 4 + 256 * 4 + 32 * 256 * 4
    assert second.bytes == 65_536 + 524_288 + 1_024 + 32_768
    # 32 * 256 * 4 + 10 * 256 * 4 + 10 * 4 + 32 * 10 * 4
    assert third.bytes == 32_768 + 10_240 + 40 + 1_280
    assert counts.bytes == 2_441_512
    assert counts.intensity == 34_292_032 / 2_441_512


def test_counts_of_512_256_at_batch_128() -> None:
    net = ln.MLP.init([512, 256], output_activation="tanh", dtype="float64", seed=0)
    (layer,) = ln.cost(net, batch=128).layers
    assert layer.matmul_flops == 33_554_432
    assert layer.bias_flops == 32_768
    assert layer.activation_flops == 32_768
    assert layer.flops == 33_619_968
    # float64: 128 * 512 * 8, 256 * 512 * 8, 256 * 8, 128 * 256 * 8
    assert layer.input_bytes == 524_288
    assert layer.weight_bytes == 1_048_576
    assert layer.bias_bytes == 2_048
    assert layer.output_bytes == 262_144
    assert layer.intensity == 33_619_968 / 1_837_056


def test_no_bias_and_identity_cost_nothing() -> None:
    net = ln.MLP([ln.Dense(np.ones((3, 2), np.float32))])
    counts = ln.cost(net)
    assert (counts.layers[0].bias_flops, counts.layers[0].bias_bytes) == (0, 0)
    assert counts.layers[0].activation_flops == 0
    assert counts.flops == 12
    assert counts.bytes == 4 * (2 + 6 + 3)


def test_counts_are_exact_far_beyond_64_bits() -> None:
    net = ln.MLP.init([784, 512, 256, 10], seed=0)
    counts = ln.cost(net, batch=3**50)
    assert counts.flops == 1_071_626 * 3**50
    assert counts.flops_per_sample == 1_071_626


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_has_at_least_one_sample(batch: int) -> None:
    net = ln.MLP.init([2, 1], seed=0)
    with pytest.raises(ValueError, match=f"batch is {batch}, expected 1 or more"):
        ln.cost(net, batch)


def test_a_batch_is_an_integer() -> None:
    net = ln.MLP.init([2, 1], seed=0)
    with pytest.raises(TypeError):
        ln.cost(net, 1.5)
    assert ln.cost(net, np.int32(3)).batch == 3


def test_results_are_frozen_and_print_as_tables() -> None:
    net = ln.MLP.init([784, 512, 256, 10], seed=0)
    counts = ln.cost(net, batch=32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        counts.batch = 1
    lines = str(counts).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["1", "784", "->", "512", "relu", "25,722,880", "1,773,568", "14.50"]
    assert lines[4].split() == ["all", "batch", "32", "34,292,032", "2,441,512", "14.05"]
    assert max(map(len, lines)) <= 80


def test_summary_shows_shapes_parameters_and_flops() -> None:
    net = ln.MLP(
        [
            ln.Dense(np.ones((3, 2)), np.ones(3), ln.Activation("leaky_relu", alpha=0.2)),
            ln.Dense(np.ones((1, 3))),
        ]
    )
    lines = [line.split() for line in net.summary().splitlines()]
    assert lines[1] == ["1", "(3,", "2)", "(3,)", "leaky_relu(alpha=0.2)", "9", "18"]
    assert lines[2] == ["2", "(1,", "3)", "-", "identity", "3", "6"]
    assert lines[3] == ["all", "float64", "12", "24"]
