"""Counts against figures worked out by hand."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import rich.console

import laminet as ln
from laminet import _core


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
    net = ln.MLP.init([784, 512, 256, 10], activation="relu", seed=0)
    counts = ln.cost(net, batch=32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        counts.batch = 1
    lines = [line.split() for line in str(counts).splitlines()]
    assert " ".join(lines[0]) == "forward, 32 samples: 34,292,032 FLOPs, 1,071,626 a sample"
    assert " ".join(lines[2]) == "1 784 -> 512 relu 25,690,112 16,384 16,384 25,722,880"
    assert " ".join(lines[5]) == "all batch 32 34,242,560 24,896 24,576 34,292,032"
    # read 100,352 + 1,605,632 + 2,048
    assert " ".join(lines[8]) == "1 3 1,708,032 65,536 1,773,568 14.50"
    assert " ".join(lines[11]) == "all 3 2,341,928 99,584 2,441,512 14.05"
    assert len(lines) == 12
    assert max(map(len, str(counts).splitlines())) <= 80
    assert repr(counts) == str(counts)
    assert counts._repr_html_().count("<tr>") == 10
    console = rich.console.Console(width=100, record=True, file=io.StringIO())
    console.print(counts)
    shown = console.export_text()
    assert [line.split() for line in shown.splitlines()] == lines


def test_a_cost_as_plain_data() -> None:
    net = ln.MLP.init([784, 512, 256, 10], activation="relu", seed=0)
    plain = json.loads(json.dumps(ln.cost(net, batch=32).to_dict()))
    assert plain["flops"] == 34_292_032
    assert plain["operation"] == "forward"
    assert plain["mode"] is None
    assert plain["layers"][0]["bytes_read"] == 1_708_032
    assert plain["layers"][0]["intensity"] == 25_722_880 / 1_773_568


def test_level_of_blas() -> None:
    net = ln.MLP.init([3, 4, 1], seed=0)
    for operation, single in {"forward": 2, "vjp": 2, "gradients": 2, "jacobian": 2}.items():
        assert ln.cost(net, 1, operation).blas_level == single
        assert ln.cost(net, 2, operation).blas_level == 3
    # One sample, but two rows from the output down: a product of matrices.
    counts = ln.cost(ln.MLP.init([3, 4, 2], seed=0), 1, "jacobian")
    assert [layer.blas_level for layer in counts.layers] == [3, 2]


@pytest.mark.parametrize("operation", ["backward", "", None, 3])
def test_an_unknown_operation(operation: object) -> None:
    net = ln.MLP.init([2, 1], seed=0)
    with pytest.raises(ValueError, match=r"^operation is .*, expected one of 'forward', 'vjp'"):
        ln.cost(net, 1, operation)


def test_derivatives_of_784_512_256_10_at_batch_32() -> None:
    net = ln.MLP.init([784, 512, 256, 10], activation="relu", dtype="float32", seed=0)
    vjp = ln.cost(net, 32, "vjp")
    # two products: 2 * 25,690,112; value, slope, product with it: 3 * 16,384
    first = vjp.layers[0]
    assert (first.matmul_flops, first.bias_flops, first.activation_flops) == (
        51_380_224,
        16_384,
        49_152,
    )
    # 4 * 32 * (784 + 512 + 512); 2 * 1,605,632; 4 * 32 * (512 + 784)
    assert (first.input_bytes, first.weight_bytes, first.bias_bytes, first.output_bytes) == (
        231_424,
        3_211_264,
        2_048,
        165_888,
    )
    gradients = ln.cost(net, 32, "gradients")
    # three times 34,242,560, the products of the forward pass
    assert sum(layer.matmul_flops for layer in gradients.layers) == 102_727_680
    # The last layer reads its input twice, the gradient twice, no slopes; and writes besides its
    # output the gradients with respect to input, weights and biases.
    last = gradients.layers[2]
    assert last.input_bytes == 4 * 32 * (2 * 256 + 2 * 10)
    assert last.output_bytes == 4 * (32 * 10 + 32 * 256 + 10 * 256 + 10)
    assert last.bias_flops == 2 * 32 * 10

    jacobian = ln.cost(net, 32, "jacobian")
    assert jacobian.mode == "reverse"
    assert "jacobian (reverse mode), 32 samples" in str(jacobian)
    # and 10 rows a sample through W_2 and W_1; the first product is a copy of W_3
    assert [layer.matmul_flops for layer in jacobian.layers] == [
        11 * 25_690_112,
        11 * 8_388_608,
        163_840,
    ]
    assert jacobian.layers[2].activation_flops == 0
    # 10 rows of 256 in, of 512 out
    assert jacobian.layers[1].output_bytes == 4 * 32 * (256 + 10 * 512)


def test_a_jacobian_of_few_inputs_goes_forward() -> None:
    net = ln.MLP.init([2, 64, 64, 50], activation="tanh", seed=0)
    counts = ln.cost(net, 4, "jacobian")
    assert counts.mode == "forward"
    # 2 rows a sample, through W_2 and W_3
    assert [layer.matmul_flops for layer in counts.layers] == [
        2 * 4 * 64 * 2,
        3 * 2 * 4 * 64 * 64,
        3 * 2 * 4 * 50 * 64,
    ]
    # Equal: reverse.
    assert ln.cost(ln.MLP.init([5, 4, 5], seed=0), 1, "jacobian").mode == "reverse"


@pytest.mark.parametrize(
    "sizes", [(2, 64, 64, 50), (5, 4, 5), (784, 256, 10), (3, 2), (1, 9, 9, 1), (4, 8, 6, 3)]
)
def test_jacobians_go_the_way_that_the_core_takes(sizes: tuple[int, ...]) -> None:
    net = ln.MLP.init(sizes, seed=0)
    mode, chain = _core.jacobian_rule(sizes)
    counts, forward = ln.cost(net, 7, "jacobian"), ln.cost(net, 7)
    assert counts.mode == mode
    products = [sum(layer.matmul_flops for layer in c.layers) for c in (counts, forward)]
    assert products[0] - products[1] == 7 * chain


class Counted:
    """A number whose sums and products are counted."""

    operations = 0

    def __add__(self, other: Counted) -> Counted:
        Counted.operations += 1
        return self

    __mul__ = __add__


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b by its definition: n products and n additions an entry, the first to zero."""
    result = np.empty((len(a), b.shape[1]), object)
    for i, j in np.ndindex(result.shape):
        total = Counted()
        for k in range(len(b)):
            total = total + a[i, k] * b[k, j]
        result[i, j] = total
    return result


def numbers(*shape: int) -> np.ndarray:
    return np.array([Counted() for _ in range(int(np.prod(shape)))], object).reshape(shape)


def each(a: np.ndarray) -> np.ndarray:
    """An activation or its slope: one operation an element, as agreed."""
    Counted.operations += a.size
    return a


def carry_out(net: ln.MLP, batch: int, operation: str, mode: str | None) -> int:
    """Do the operation on numbers that count, by the formulas; return what they counted."""
    Counted.operations = 0
    weights = [numbers(*layer.weight.shape) for layer in net.layers]
    curved = [layer.activation.name != "identity" for layer in net.layers]
    inputs = [numbers(batch, net.in_features)]
    for layer, w, s in zip(net.layers, weights, curved, strict=True):
        z = product(inputs[-1], w.T)
        if layer.bias is not None:
            z = z + numbers(*layer.bias.shape)
        inputs.append(each(z) if s else z)
    if operation == "forward":
        return Counted.operations
    slopes = [each(a) if s else None for a, s in zip(inputs[1:], curved, strict=True)]
    if operation in ("vjp", "gradients"):
        g = numbers(batch, net.out_features)
        for i in reversed(range(len(weights))):
            g = g if slopes[i] is None else g * slopes[i]
            if operation == "gradients":
                product(g.T, inputs[i])
                if net.layers[i].bias is not None:
                    total = numbers(g.shape[1])
                    for row in g:
                        total = total + row
            g = product(g, weights[i])
    if operation == "jacobian":
        order = list(range(len(weights)))
        order = order[::-1] if mode == "reverse" else order
        for sample in range(batch):
            j = None
            for i in order:
                d = None if slopes[i] is None else slopes[i][sample]
                if j is None:
                    j = weights[i] if d is None else weights[i] * d[:, None]
                elif mode == "reverse":
                    j = product(j if d is None else j * d, weights[i])
                else:
                    j = product(weights[i], j)
                    j = j if d is None else j * d[:, None]
    return Counted.operations


@pytest.mark.parametrize("operation", ["forward", "vjp", "jacobian", "gradients"])
@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 2), (2, 4, 3, 6), (5, 4, 4, 1)])
@pytest.mark.parametrize("activation", ["tanh", "identity"])
@pytest.mark.parametrize("bias", [True, False])
def test_counts_are_those_of_the_formulas_carried_out(
    operation: str, sizes: tuple[int, ...], activation: str, bias: bool
) -> None:
    net = ln.MLP.init(sizes, activation, output_activation=activation, bias=bias, seed=0)
    counts = ln.cost(net, 3, operation)
    assert counts.flops == carry_out(net, 3, operation, counts.mode)


def test_summary_shows_shapes_parameters_and_flops() -> None:
    net = ln.MLP(
        [
            ln.Dense(np.ones((3, 2)), np.ones(3), ln.Activation("leaky_relu", alpha=0.2)),
            ln.Dense(np.ones((1, 3))),
        ]
    )
    lines = [line.split() for line in str(net.summary()).splitlines()]
    assert lines[1] == ["1", "(3,", "2)", "(3,)", "leaky_relu(alpha=0.2)", "9", "18"]
    assert lines[2] == ["2", "(1,", "3)", "-", "identity", "3", "6"]
    assert lines[3] == ["all", "float64", "12", "24"]
