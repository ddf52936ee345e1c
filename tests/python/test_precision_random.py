"""Networks of lesser precisions, drawn at random: within two derived bounds, which others break.

A result is within `tree_bounds.value_bound` of the model of its precision, which rounds the same
numbers and nothing else (`laminet.reference`). That bound is so tight that float32's result of the
same network is outside. And it is within the bound that `compare_precision` reports of float32's
result, for which nothing cancels: that is wide, and rejects zeros where few layers follow each
other.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from compare import assert_close
from tree_bounds import gradient_bounds, jacobian_bound, value_bound
from trees import Draw, kinds_of
from variants import ACTIVATION_CASES, BACKENDS, ISAS, instruction_set

import laminet as ln
from laminet import reference
from laminet.analysis.error_bound import difference_bound
from laminet.core.activation import ACTIVATIONS
from laminet.core.layers.tree import walk

COUNT = 300
GROUPS = 12
PRECISIONS: tuple[Any, ...] = ("bfloat16_weights", "bfloat16")
HEADS: tuple[Any, ...] = (None, None, "softmax", "log_softmax")


class Drawn(NamedTuple):
    """A network of float32, where it is computed, and samples."""

    net: ln.MLP
    backend: Any
    isa: str
    x: np.ndarray


def draw(index: int) -> Drawn:
    """Return number `index`: chains and trees by turns, half of them with numbers of any size."""
    rng = np.random.default_rng([15, index])
    turn = index // GROUPS  # the same share of all in each group
    head = HEADS[turn // 4 % 4]
    net = chain(rng, head) if turn % 2 else Draw(rng, np.float32).network(head)
    x = rng.standard_normal((int(rng.integers(1, 71)), net.in_features))
    if turn // 2 % 2:
        net = of_any_size(net, rng)
        x *= 10 ** rng.uniform(-15, 15)
    layout: Any = rng.choice(["C", "F"])
    where = str(rng.choice(BACKENDS)), str(rng.choice(ISAS))
    return Drawn(net, *where, np.asarray(x, np.float32, layout))


def chain(rng: np.random.Generator, head: Any) -> ln.MLP:
    widths = [int(n) for n in rng.integers(1, 90, int(rng.integers(2, 5)))]
    layers = []
    for n, m in pairwise(widths):
        weight = (rng.standard_normal((m, n)) / np.sqrt(n)).astype(np.float32)
        bias = rng.standard_normal(m).astype(np.float32) if rng.random() < 0.8 else None
        function = ACTIVATION_CASES[int(rng.integers(len(ACTIVATION_CASES)))]
        layers.append(ln.Dense(weight, bias, function))
    return ln.MLP(layers, head=head)


def of_any_size(net: ln.MLP, rng: np.random.Generator) -> ln.MLP:
    """Return a network whose weights and biases are larger or smaller, by layer."""

    def leaf(layer: Any) -> Any:
        if not isinstance(layer, ln.Dense):
            return layer
        size, beside = np.float32(10 ** rng.uniform(-9, 9, 2))
        bias = None if layer.bias is None else layer.bias * beside
        return layer._again(weight=layer.weight * size, bias=bias)

    return net._like([layer._mapped(leaf) for layer in net.layers])


def check(index: int, precision: Any, found: Counter[str]) -> None:
    """Hold one network to both bounds; count what these reject."""
    net, backend, isa, x = draw(index)
    with ln.backend(backend), instruction_set(isa):
        narrow = net.with_precision(precision)
        y, of_float32 = narrow(x), net(x)
        of_weights = net.with_precision("bfloat16_weights")(x)
    model = reference.forward(net, x, precision=precision)
    bound = value_bound(narrow, x, with_model=True)
    if not np.isfinite(bound).all() or not np.isfinite(of_float32).all():
        return  # a norm of what may be equal numbers, or what float32 has no number for
    found["bounded"] += 1
    assert_close(y, model, bound)
    for name, other in ("float32", of_float32), ("weights", of_weights):
        if not np.array_equal(y, other):
            found[f"not {name}"] += 1
            found[f"{name} rejected"] += bool((np.abs(other - model) > bound).any())
    if model.any():
        found["not zeros"] += 1
        found["zeros rejected"] += bool((np.abs(model) > bound).any())
    moved = difference_bound(net, narrow, x)
    usable = np.isfinite(moved)
    found["moved"] += bool(usable.all())
    assert_close(y[usable], of_float32.astype(np.float64)[usable], moved[usable])
    found["zeros too far"] += bool((np.abs(of_float32[usable]) > moved[usable]).any())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("group", range(GROUPS))
def test_within_the_bounds(group: int, precision: Any) -> None:
    found: Counter[str] = Counter()
    for index in range(group, COUNT, GROUPS):
        try:
            check(index, precision, found)
        except AssertionError as error:
            net, backend, isa, x = draw(index)
            where = f"{net!r}, {len(x)} samples, {backend}, {isa}"
            raise AssertionError(f"network {index}: {where}: {error}") from error
    # What saturates is the same number in each precision, or off by less than the bound, as is what
    # a sine makes of large numbers; and a norm may have no bound.
    assert found["bounded"] >= 20
    assert found["moved"] >= 20
    assert found["not float32"] >= 12
    assert found["float32 rejected"] >= 0.6 * found["not float32"]
    assert (found["not weights"] >= 10) == (precision == "bfloat16")
    assert found["weights rejected"] >= 0.6 * found["not weights"]
    assert found["not zeros"] >= 20
    assert found["zeros rejected"] >= 0.75 * found["not zeros"]
    assert found["zeros too far"] >= 0.7 * found["not zeros"]


@pytest.mark.parametrize("group", range(GROUPS))
def test_derivatives_are_those_of_the_model(group: int) -> None:
    """Slopes are those at what is computed, and of a rounding 1.

    Gradients of weights are sums of what these were multiplied by.
    """
    found: Counter[str] = Counter()
    for index in range(group, COUNT, 2 * GROUPS):
        rng = np.random.default_rng([16, index])
        net = chain(rng, None) if index // GROUPS % 4 else Draw(rng, np.float32).network()
        narrow = net.with_precision("bfloat16")
        x = rng.standard_normal((5, net.in_features)).astype(np.float32)
        v = rng.standard_normal((5, net.out_features)).astype(np.float32)
        backend: Any = rng.choice(BACKENDS)
        with ln.backend(backend), instruction_set(str(rng.choice(ISAS))):
            jacobian, gradients = narrow.jacobian(x), narrow.gradients(x, v)
        model = reference.jacobian(net, x, precision="bfloat16")
        bound = jacobian_bound(narrow, x, with_model=True)
        if not np.isfinite(bound).all():
            continue  # a norm of what may be equal numbers
        assert_close(jacobian, model, bound)
        other = reference.jacobian(narrow, x)  # slopes at what would be computed in float64
        if (other != model).any():
            found["other slopes"] += 1
            found["slopes rejected"] += bool((np.abs(other - model) > bound).any())
        exact = reference.gradients(net, x, v, precision="bfloat16")
        unrounded = reference.gradients(narrow, x, v)
        bounds = gradient_bounds(narrow, x, v, with_model=True)
        dense = [(place, leaf) for place, leaf in walk(narrow.layers) if isinstance(leaf, ln.Dense)]
        found["dense"] += bool(dense)
        rejected = False
        for (place, leaf), weight in zip(dense, gradients.weights, strict=True):
            expected = exact[f"{place}.weight"]
            assert_close(weight, expected, bounds[id(leaf)][0])
            off = np.abs(unrounded[f"{place}.weight"] - expected)
            rejected |= bool((off > bounds[id(leaf)][0]).any())
        found["rejected"] += rejected
    assert found["other slopes"] >= 5
    assert found["slopes rejected"] >= 0.6 * found["other slopes"]
    assert found["dense"] >= 7
    assert found["rejected"] >= 0.75 * found["dense"]


def test_the_drawing_covers_what_it_should() -> None:
    drawn = [draw(index) for index in range(COUNT)]
    assert {len(one.x) for one in drawn} >= {1, 2, 70}
    assert {(one.backend, one.isa) for one in drawn} == {(b, i) for b in BACKENDS for i in ISAS}
    assert {(kind, one.net.head) for one in drawn for kind in kinds_of(one.net)} >= {
        (kind, head)
        for kind in ("Dense", "Residual", "Parallel", "LayerNorm", "RMSNorm", "Rescale", "Select")
        for head in HEADS
    }
    functions = {
        leaf.activation.name
        for one in drawn
        for _, leaf in walk(one.net.layers)
        if isinstance(leaf, ln.Dense)
    }
    assert functions == set(ACTIVATIONS)
    sizes = np.array([np.abs(one.x).max() for one in drawn])
    assert sizes.min() < 1e-12
    assert sizes.max() > 1e12
