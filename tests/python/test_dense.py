"""Dense: its arrays, dtypes, equality and text."""

from __future__ import annotations

import numpy as np
import pytest
from variants import normal, same_bits

import laminet as ln


def test_dense_attributes(dtype):
    weight, bias = normal((3, 5), dtype), normal(3, dtype)
    dense = ln.Dense(weight, bias, "relu")
    assert (dense.in_features, dense.out_features) == (5, 3)
    assert dense.dtype == dtype
    assert same_bits(dense.weight, weight)
    assert same_bits(dense.bias, bias)
    assert dense.activation == ln.Activation("relu")
    assert ln.Dense(weight).bias is None
    assert ln.Dense(weight).activation == ln.Activation("identity")
    leaky = ln.Activation("leaky_relu", alpha=0.2)
    assert ln.Dense(weight, None, leaky).activation == leaky


def test_dense_arrays_are_read_only(dtype):
    weight, bias = normal((3, 5), dtype), normal(3, dtype)
    dense = ln.Dense(weight, bias)
    for array in (dense.weight, dense.bias):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    for name in ("weight", "bias", "activation", "in_features"):
        with pytest.raises(AttributeError):
            setattr(dense, name, weight)
    assert weight.flags.writeable
    assert bias.flags.writeable


def test_dense_refers_to_arrays_of_its_dtype(dtype):
    weight = normal((3, 5), dtype)
    assert np.shares_memory(ln.Dense(weight).weight, weight)


@pytest.mark.parametrize(
    ("weight", "bias", "expected"),
    [
        ("f4", None, "f4"),
        ("f8", None, "f8"),
        ("f2", None, "f4"),
        ("i1", None, "f4"),
        ("i2", None, "f4"),
        ("?", None, "f4"),
        ("i4", None, "f8"),
        ("i8", None, "f8"),
        ("g", None, "f8"),
        ("f4", "f4", "f4"),
        ("f4", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("f2", "i8", "f8"),
        (">f4", "<f4", "f4"),
        ("<f4", ">f8", "f8"),
    ],
)
def test_dense_dtype(weight, bias, expected):
    dense = ln.Dense(np.ones((2, 3), weight), None if bias is None else np.ones(2, bias))
    assert dense.dtype == np.dtype(expected)
    assert dense.weight.dtype == np.dtype(expected)
    assert dense.weight.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert bias is None or dense.bias.dtype == np.dtype(expected)


def test_dense_of_lists():
    dense = ln.Dense([[1, 2], [3, 4]], [5, 6])
    assert dense.weight.tolist() == [[1, 2], [3, 4]]
    assert dense.bias.tolist() == [5, 6]
    assert dense.dtype == np.float64


def test_dense_equality(dtype):
    weight, bias = normal((3, 5), dtype), normal(3, dtype)
    dense = ln.Dense(weight, bias, "elu")
    assert dense == ln.Dense(weight.copy(), bias.copy(), ln.Activation("elu", alpha=1))
    other = weight.copy()
    other[2, 4] += 1
    assert dense != ln.Dense(other, bias, "elu")
    assert dense != ln.Dense(weight, bias + 1, "elu")
    assert dense != ln.Dense(weight, None, "elu")
    assert dense != ln.Dense(weight, bias, "relu")
    assert dense != ln.Dense(weight, bias, ln.Activation("elu", alpha=2))
    assert dense != ln.Dense(weight.astype("f4" if dtype == "f8" else "f8"), bias, "elu")
    assert dense != "dense"
    with pytest.raises(TypeError, match="unhashable"):
        hash(dense)


def test_dense_text():
    dense = ln.Dense(np.ones((2, 3), "f4"), activation=ln.Activation("elu", alpha=2))
    assert repr(dense) == "Dense(3 -> 2, elu(alpha=2), bias=False, float32)"
    assert repr(ln.Dense(np.ones((2, 3)), np.zeros(2))) == (
        "Dense(3 -> 2, identity, bias=True, float64)"
    )
