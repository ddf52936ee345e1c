"""The numbers that layers are made of: none, NaN or too large is refused in words."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from variants import same_name

import laminet as ln
from laminet import reference
from laminet.core.conversion.counts import require_width
from laminet.core.layers.layer import Layer

# Beyond what Python writes: it would raise an error about itself in the middle of ours.
ENORMOUS = 10**5000

#: What takes a number, or one for each feature.
ONE_OR_SEVERAL = {
    "alpha": lambda value: ln.Activation("leaky_relu", alpha=value),
    "beta": lambda value: ln.Activation("gated", beta=value),
    "scale": lambda value: ln.Rescale(value),
    "shift": lambda value: ln.Rescale(1.0, value),
    "low": lambda value: ln.Rescale(low=value),
    "high": lambda value: ln.Rescale(high=value),
}
each_of_these = pytest.mark.parametrize("name", ONE_OR_SEVERAL)


class Tensor:
    """What another library has instead of arrays."""

    def __init__(self, values: Any) -> None:
        self.values = np.array(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values.astype(dtype or self.values.dtype)


@each_of_these
@pytest.mark.parametrize("value", [2, 2.0, Fraction(2), np.float16(2), np.array(2.0), Tensor(2.0)])
def test_one_number(name: str, value: Any) -> None:
    layer = ONE_OR_SEVERAL[name](value)
    assert type(getattr(layer, name)) is float
    assert layer == ONE_OR_SEVERAL[name](2.0)


@each_of_these
@pytest.mark.parametrize(
    "values",
    [[2, 3], (2.0, 3.0), np.array([2.0, 3.0]), range(2, 4), Tensor([2.0, 3.0])],
    ids=same_name,
)
def test_one_for_each(name: str, values: Any) -> None:
    layer = ONE_OR_SEVERAL[name](values)
    assert np.array_equal(getattr(layer, name), [2, 3])
    assert layer.in_features == 2


@each_of_these
@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        [True],
        [True, 1.0],
        np.array([True]),
        np.array(True),
        Tensor([True]),
        "a",
        b"a",
        {1.0},
        {"a": 1},
        1j,
        [1j],
        Decimal(1),
        ["a"],
        [None],
        object(),
        iter([1.0]),
    ],
    ids=same_name,
)
def test_no_numbers(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}( must |$)"):
        ONE_OR_SEVERAL[name](value)


@each_of_these
def test_shapes(name: str) -> None:
    make = ONE_OR_SEVERAL[name]
    ragged = f"{name} is not an array of numbers: its rows have different lengths"
    with pytest.raises(ValueError, match=ragged):
        make([[1.0, 2.0], [3.0]])
    for value in ([[1.0, 2.0]], np.zeros((2, 0)), []):
        with pytest.raises(ValueError, match=rf"^{name} must .*got shape \("):
            make(value)


@each_of_these
def test_integers_of_any_size(name: str) -> None:
    make = ONE_OR_SEVERAL[name]
    assert getattr(make(2**70), name) == 2.0**70
    assert getattr(make([2**70, 1, 0.5]), name).tolist() == [2.0**70, 1.0, 0.5]
    for value in (10**400, -(10**400), ENORMOUS):
        with pytest.raises(ValueError, match=f"^{name} is too large for a float$"):
            make(value)
        with pytest.raises(ValueError, match=rf"^{name}\[1\] is an integer of \d+ bits, too large"):
            make([1.0, value])


def test_integers_of_any_size_in_arrays() -> None:
    """What is converted to an array, samples too, is read alike."""
    net = ln.MLP([ln.Dense([[2**70, 2.0], [1, 0]], [2**65, 1])])
    assert net.layers[0].weight.tolist() == [[2.0**70, 2.0], [1.0, 0.0]]  # type: ignore[attr-defined]
    assert net([2**64, 0])[1] == 2.0**64 + 1
    calls = (
        (ln.Dense, "weight"),
        (net, "x"),
        (net.jacobian, "x"),
        (lambda rows: ln.linear(rows, [[1.0, 2.0]]), "x"),
        (lambda rows: reference.forward(net, rows), "x"),
    )
    for call, name in calls:
        for rows in ([[1, 2], [3, ENORMOUS]], [[0.5, 2], [3, 10**400]]):
            with pytest.raises(ValueError, match=rf"^{name}\[1\]\[1\] is an integer of \d+ bits"):
                call(rows)
    with pytest.raises(TypeError, match="got dtype object"):
        net([Decimal(1), 2**70])


# --- Not finite ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, [1.0, math.nan], np.array([math.nan])], ids=same_name)
def test_nan(value: Any) -> None:
    for name in ("scale", "shift", "low", "high"):
        with pytest.raises(ValueError, match=f"^{name} must be a number or infinity, got NaN$"):
            ONE_OR_SEVERAL[name](value)
    for name in ("alpha", "beta"):
        with pytest.raises(ValueError, match=f"^{name} must be finite"):
            ONE_OR_SEVERAL[name](value)


def test_infinite_scales_are_what_arithmetic_says() -> None:
    layer = ln.Rescale([math.inf, 1.0, 1.0], [0.0, -math.inf, 0.0], -math.inf, [math.inf, 0.0, 2.0])
    x = np.array([[1.0, 1.0, 3.0], [-2.0, 1.0, 1.0]])
    expected = [[math.inf, -math.inf, 2.0], [-math.inf, -math.inf, 1.0]]
    assert ln.MLP([layer])(x).tolist() == expected
    assert reference.forward([layer], x).tolist() == expected


def test_what_a_dtype_does_not_hold() -> None:
    """Numbers and arrays alike: nothing becomes infinite in silence."""
    for value in (1e300, [1e300, 1.0], np.array([-1e300, 1.0])):
        for name in ("scale", "shift"):
            with pytest.raises(ValueError, match=f"a {name} of 1e.300 is too large for float32"):
                ln.MLP([ONE_OR_SEVERAL[name](value)], in_features=2, dtype="float32")
        layers: list[list[Layer]] = [[ln.Activation("leaky_relu", alpha=value)]]
        layers.append([ln.Dense(np.ones((2, 2), "f4"), None, layers[0][0])])  # type: ignore[arg-type]  # it is an Activation
        for one in layers:
            with pytest.raises(ValueError, match=r"alpha of leaky_relu must be finite in float32"):
                ln.MLP(one, in_features=2, dtype="float32")
            wide = ln.MLP(one, in_features=2, dtype="float64")
            with pytest.raises(ValueError, match=r"alpha of leaky_relu must be finite in float32"):
                wide.astype("float32")


@pytest.mark.parametrize("bound", [1e300, [1e300, 1e300]])
def test_bounds_beyond_a_dtype_cut_nothing_off(bound: Any) -> None:
    low = -np.array(bound) if isinstance(bound, list) else -bound
    layers = [ln.Rescale(low=low, high=bound)]
    x = [3e38, -3e38]
    for net in (
        ln.MLP(layers, in_features=2, dtype="float32"),
        ln.MLP(layers, in_features=2, dtype="float64").astype("float32"),
    ):
        assert np.array_equal(net(x), np.array(x, "float32"))


# --- Parameters by unit are counted ---------------------------------------------------------------


def test_parameters_by_unit_are_parameters() -> None:
    """As many as the reference trains; one number for all units is a constant."""
    prelu = ln.Activation("leaky_relu", alpha=[0.1, 0.2])
    gated = ln.Activation("gated", alpha=[1.0, 2.0], beta=[0.0, 1.0])
    half = ln.Activation("gated", alpha=[1.0, 2.0], beta=0.5)
    inside: list[Layer] = [ln.Dense(np.ones((2, 2)), None, gated), half]
    net = ln.MLP([prelu, ln.Dense(np.ones((2, 2)), [0.0, 1.0], "elu"), ln.Residual(inside)])
    counted = sum(value.size for value in reference.parameters(net).values())
    assert net.num_parameters == counted == 2 + 6 + (4 + 4) + 2
    assert net.summary().parameters == counted
    assert f"{counted} parameters" in repr(net)


# --- Columns and widths ---------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [[2**63], [1, ENORMOUS], [-(2**63) - 1], [2**70]], ids=len)
def test_columns_that_cannot_be(columns: Any) -> None:
    with pytest.raises(ValueError, match=r"one of the columns is .*, beyond all that there can be"):
        ln.Select(columns)
    with pytest.raises(ValueError, match=r"stop of the slice is .*, beyond all that there can be"):
        ln.Select(slice(columns[-1]))


def test_ends_of_slices_as_others_write_them() -> None:
    every = ln.Select(slice(-sys.maxsize - 1, sys.maxsize))
    assert ln.MLP([every], in_features=3).out_features == 3


@pytest.mark.parametrize(
    "columns",
    [[[1, 2], [3, 4]], [[1], [2, 3]], np.array([[1, 2], [3, 4]]), [np.array([1])]],
    ids=same_name,
)
def test_columns_are_of_one_axis(columns: Any) -> None:
    with pytest.raises(TypeError, match=r"^columns must be a slice or a sequence of integers, got"):
        ln.Select(columns)
    assert ln.Select([np.array(1), np.int8(0)]).columns == (1, 0)


@pytest.mark.parametrize("features", [2**60, 2**63, 2**70, ENORMOUS], ids=int.bit_length)
@pytest.mark.parametrize(
    "layer",
    [ln.Activation("relu"), ln.Select(slice(None)), ln.Parallel([[], []]), ln.LayerNorm()],
    ids=same_name,
)
def test_widths_that_no_memory_holds(layer: Layer, features: int) -> None:
    with pytest.raises(ValueError, match=r"^in_features is .*, more than any memory holds"):
        ln.MLP([layer], in_features=features)


def test_widths_that_grow_beyond_memory() -> None:
    doubling: list[Layer] = [ln.Parallel([[], []])]
    with pytest.raises(ValueError, match=r"^layers\[59\] gives .*, more than any memory holds"):
        ln.MLP(doubling * 64, in_features=1)
    nested = ln.Residual([*doubling * 64, ln.Select([0])])
    with pytest.raises(ValueError, match=r"^layers\[0\]\.layers\[59\] gives .*, more than any"):
        ln.MLP([nested], in_features=1)
    assert ln.MLP(doubling * 59, in_features=1).out_features == 2**59
    require_width(2**60 - 1, "it has")


def test_how_many_columns_takes_no_memory() -> None:
    """A slice is asked for their number before anything is made of it."""
    assert ln.Select(slice(None))._gives(2**59, "", "") == 2**59
    with pytest.raises(MemoryError, match=f"no memory for the numbers of {2**59} columns"):
        ln.MLP([ln.Select(slice(None))], in_features=2**59)


def test_weights_that_no_memory_holds() -> None:
    expected = "no memory for a layer of 1000000000 inputs and 1000000000 outputs"
    with pytest.raises(MemoryError, match=expected):
        ln.MLP.init([10**9, 10**9])


def test_widths_of_inputs_that_cannot_be_written() -> None:
    layers = [ln.Dense([[1.0]])]
    with pytest.raises(ValueError, match=r"widths \[an integer of \d+ bits\], and the network"):
        ln.MLP(layers, inputs=[("a", ENORMOUS)])
    with pytest.raises(TypeError, match=r"inputs\[0\] must be a name and a width, got an integer"):
        ln.MLP(layers, inputs=[ENORMOUS])  # type: ignore[list-item]  # so it must be refused


@pytest.mark.parametrize("step", [10**400, ENORMOUS], ids=int.bit_length)
def test_steps_too_large(step: int) -> None:
    net = ln.MLP.init([2, 3], seed=0)
    with pytest.raises(ValueError, match=r"^step is too large for a float$"):
        ln.check_jacobian(net, [1.0, 2.0], step=step)
    with pytest.raises(ValueError, match=r"^step is too large for a float$"):
        reference.numerical_jacobian(net, [1.0, 2.0], step)


# --- What outputs stand for -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ln.Classes, ln.Labels])
@pytest.mark.parametrize("label", [object(), (1, 2), b"a", [], {}, {1}, 1j], ids=same_name)
def test_labels_are_numbers_or_text(kind: Any, label: Any) -> None:
    labels = np.empty(2, object)
    labels[:] = [label, "b"]
    with pytest.raises(TypeError, match=f"^{kind.__name__} takes numbers or text as labels"):
        kind(labels)


def test_labels_of_any_number() -> None:
    for labels in (
        [1, 2.5],
        [Fraction(1, 2), 3],
        [Decimal(1), 2],
        [2**70, 1],
    ):
        assert ln.Classes(labels).labels.tolist() == labels


def test_quantities_have_names_or_none() -> None:
    with pytest.raises(ValueError, match=r"^names is empty; leave it out"):
        ln.Quantities([])
    assert ln.Quantities().names is None
