"""What is refused, and that the message names the argument, what was expected and what came."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse
from variants import normal, random_net

import laminet as ln
from laminet.core import conversion as _convert

METHODS = ("__call__", "trace", "predict", "predict_proba", "predict_log_proba")


@pytest.fixture(params=METHODS)
def call(request, backend, dtype):
    net = random_net([4, 6, 3], ["tanh", "identity"], dtype=dtype)
    return getattr(net, request.param)


@pytest.mark.parametrize("shape", [(5,), (3,), (2, 5), (2, 3), (4, 2), (0,), (7, 0), (0, 5)])
def test_wrong_number_of_features(call, shape):
    message = f"x has {shape[-1]} features, the network takes 4"
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(np.zeros(shape))
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(), (1, 2, 4), (2, 2, 2, 4), (0, 0, 4)])
def test_wrong_number_of_axes(call, shape):
    expected = f"x must have shape (features,) or (batch, features), got shape {shape}"
    for dtype in (np.float32, np.float64, int):
        with pytest.raises(ValueError, match=re.escape(expected)):
            call(np.zeros(shape, dtype))


def test_a_number_is_not_a_sample(call):
    for x in (3.0, 3, np.float32(3), True):
        with pytest.raises(ValueError, match=r"x must have shape .* got shape \(\)"):
            call(x)


NOT_REAL = {
    "complex": np.zeros((2, 4), complex),
    "complex64": np.zeros(4, np.complex64),
    "object": np.zeros((2, 4), object),
    "object of floats": np.array([1.0, 2.0, 3.0, 4.0], object),
    "str": np.array(["1", "2", "3", "4"]),
    "bytes": np.array([b"1", b"2", b"3", b"4"]),
    "datetime64": np.zeros(4, "datetime64[s]"),
    "timedelta64": np.zeros(4, "timedelta64[s]"),
    "void": np.zeros(4, "V4"),
    "record": np.zeros(4, [("a", "f4"), ("b", "f4")]),
}


@pytest.mark.parametrize("x", NOT_REAL.values(), ids=NOT_REAL.keys())
def test_arrays_of_something_else(call, x):
    with pytest.raises(
        TypeError, match=re.escape(f"x must hold real numbers, got dtype {x.dtype}")
    ):
        call(x)


NOT_ARRAYS = {
    "None": (None, "NoneType"),
    "str": ("1234", "str"),
    "bytes": (b"1234", "bytes"),
    "dict": ({1: 2.0}, "dict"),
    "set": ({1.0, 2.0, 3.0, 4.0}, "set"),
}


@pytest.mark.parametrize(("x", "name"), NOT_ARRAYS.values(), ids=NOT_ARRAYS.keys())
def test_other_objects(call, x, name):
    with pytest.raises(TypeError, match=f"x must be an array of real numbers, got {name}"):
        call(x)


@pytest.mark.parametrize(
    "x",
    [object(), [None] * 4, ["a"] * 4, [1j] * 4, [[1, 2, 3, None]], (v for v in range(4)), str],
    ids=["object", "None", "str", "complex", "nested None", "generator", "type"],
)
def test_things_that_numpy_makes_an_array_of(call, x):
    with pytest.raises(TypeError, match="x must hold real numbers"):
        call(x)


@pytest.mark.parametrize(
    ("x", "where"),
    [
        ([[1, 2, 3, 4], [1, 2, 3]], "x[0] has length 4, x[1] has length 3"),
        ([1, [2, 3]], "x[0] is a number, x[1] has length 2"),
        ([[1, 2], 3], "x[0] has length 2, x[1] is a number"),
        ([[[1], [2, 3]], [[1], [2]]], "x[0][0] has length 1, x[0][1] has length 2"),
        ([np.ones(2), np.ones(3)], "x[0] has length 2, x[1] has length 3"),
    ],
)
def test_ragged_lists(call, x, where):
    message = f"x is not an array of numbers: its rows have different lengths: {where}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(x)


def test_ragged_lists_of_a_numpy_that_allows_them(monkeypatch):
    """Before 1.24, NumPy made an array of objects of them, with a warning."""
    monkeypatch.setattr(_convert.arrays, "_NUMPY_ALLOWS_RAGGED", True)
    ragged = ([[1, 2], [3]], [[1, 2], 3], [[[1, 2], [3]], [[1], [2]]], [np.ones(2), np.ones(3)])
    for value in ragged:
        with pytest.raises(ValueError, match="array of numbers: its rows have different lengths"):
            _convert.real_array(value, "x")
        with pytest.raises(ValueError, match="array of numbers: its rows have different lengths"):
            _convert.real_array(tuple(value), "x")
    with pytest.raises(TypeError, match="x must hold real numbers"):
        _convert.real_array([1, None], "x")
    for value in ([[1, 2], [3, 4]], [np.ones(2), np.ones(2)], [], 3, np.ones(2)):
        assert np.array_equal(_convert.real_array(value, "x"), value)


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_an_array_whose_error_has_its_own_constructor(kind):
    class Special(kind):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")

    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise Special("the sensor", "is off")

    message = "^x is not an array of numbers: a Broken, whose conversion to one fails$"
    with pytest.raises(kind, match=message) as caught:
        _convert.real_array(Broken(), "x")
    assert str(caught.value.__cause__) == "the sensor is off"


@pytest.mark.parametrize("mask", [False, True, [[True, False, False, False]] * 2])
def test_masked_arrays(call, mask):
    """Without any masked element also: what happens must not hang on the data."""
    for dtype in (np.float32, np.float64, int):
        x = np.ma.array(np.zeros((2, 4), dtype), mask=mask)
        with pytest.raises(TypeError, match="x is a masked array"):
            call(x)


@pytest.mark.parametrize("mask", [False, True])
def test_masked_arrays_in_lists(call, mask):
    """NumPy would read the numbers under the mask."""
    row = np.ma.array(np.zeros(4), mask=mask)
    for x in ([row, row], (np.zeros(4), row), [[0.0, np.ma.masked, 0.0, 0.0]]):
        with pytest.raises(TypeError, match=r"^x is a masked array; .*x\.filled\(0\)$"):
            call(x)


SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


@pytest.mark.parametrize("layout", SPARSE)
def test_sparse_matrices(call, layout):
    for x in (sparse.eye(4, format=layout), getattr(sparse, f"{layout}_array")(np.eye(4))):
        with pytest.raises(TypeError, match=r"^x is sparse \(.*\): give x\.toarray\(\)$"):
            call(x)
        with pytest.raises(TypeError, match=r"^weight is sparse .*: give weight\.toarray\(\)$"):
            ln.Dense(x)
    with pytest.raises(TypeError, match=r"x\[0\] is sparse: give x\[0\]\.toarray\(\)$"):
        call([sparse.eye(4, format=layout)] * 2)


def test_sparse_arrays_of_other_packages(call):
    class COO:
        """As of sparse, whose __array__ refuses; BCOO of JAX counts its elements as nse."""

        nnz = 4

        def todense(self):
            raise AssertionError

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError

    with pytest.raises(TypeError, match=r"^x is sparse \(COO\): give x\.todense\(\)$"):
        call(COO())


@pytest.mark.parametrize(("method", "told"), [("get", "x.get()"), ("other", "x.copy_to_host()")])
def test_arrays_of_a_gpu(call, method, told):
    class Array:
        """As of CuPy, and of Numba."""

        def __array__(self, dtype=None, copy=None):
            raise TypeError("implicit conversion is not allowed")

    Array.__cuda_array_interface__ = {}
    setattr(Array, method, None)
    with pytest.raises(TypeError, match=rf"^x \(Array\) .* GPU: give {re.escape(told)}$"):
        call(Array())


@pytest.mark.parametrize(
    ("x", "remedy"),
    [
        (np.zeros(4, object), "x.astype(float) makes numbers of objects that are such"),
        ([Fraction(1, 3)] * 4, "numpy.array(x).astype(float) makes numbers of objects"),
        ([Decimal("0.1")] * 4, "numpy.array(x).astype(float) makes numbers of objects"),
        (np.array(["1"] * 4), "x.astype(float) reads numbers that are written as text"),
        (np.zeros(4, complex), "take its real part or its absolute value: x.real, abs(x)"),
        (np.zeros(4, "M8[s]"), "count units, as in (x - x.min()) / numpy.timedelta64(1, 's')"),
        (np.zeros(4, "m8[s]"), "count units, as in x / numpy.timedelta64(1, 's')"),
        (np.zeros(4, [("a", "f4")]), "numpy.lib.recfunctions.structured_to_unstructured(x)"),
        ([[1, 2, 3, None]], "x[0][3] is None, and no number"),
        ([{"a": 1}] * 4, "x[0] is a dict, and no number"),
        ({"a": 1}, "give a table, as in pandas.DataFrame(x)"),
        ((v for v in range(4)), "got a generator; list(x) is one, of its items"),
        (object(), "x must hold real numbers, got an object"),
    ],
)
def test_a_refusal_says_what_to_do(call, x, remedy):
    with pytest.raises(TypeError, match=re.escape(remedy)):
        call(x)


def test_an_array_that_raises(call):
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the sensor is off")

    with pytest.raises(RuntimeError, match="the sensor is off"):
        _convert.real_array(Broken(), "x")


def test_missing_and_unknown_arguments():
    net = random_net([4, 3])
    with pytest.raises(TypeError, match="'x'"):
        net()
    with pytest.raises(TypeError, match="dtype"):
        net(np.zeros(4), dtype="float32")


def test_a_network_works_after_every_error(call):
    """A refused call leaves nothing behind."""
    good = call(normal((2, 4), "float32"))
    for bad in (None, np.zeros(5), np.zeros((2, 4), complex), np.ma.zeros(4)):
        with pytest.raises((TypeError, ValueError), match="x "):
            call(bad)
    again = call(normal((2, 4), "float32"))
    assert repr(good) == repr(again)


# --- Dense -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 3), (3, 0), (0, 0)])
def test_dense_weight_shape(shape):
    expected = (
        f"weight must have shape (out_features, in_features), none of them 0, got shape {shape}"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        ln.Dense(np.zeros(shape))


@pytest.mark.parametrize("shape", [(), (4,), (1,), (3, 1), (1, 3), (0,)])
def test_dense_bias_shape(shape):
    expected = f"bias must have shape (3,), got shape {shape}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        ln.Dense(np.zeros((3, 4)), np.zeros(shape))


@pytest.mark.parametrize("value", NOT_REAL.values(), ids=NOT_REAL.keys())
def test_dense_of_something_else(value):
    with pytest.raises(TypeError, match="weight must hold real numbers"):
        ln.Dense(np.array([value]))
    with pytest.raises(TypeError, match="bias must hold real numbers"):
        ln.Dense(np.zeros((4, 4)), value)


def test_dense_of_other_objects():
    for value in (None, "abc", b"abc", {}):
        with pytest.raises(TypeError, match="weight must be an array of real numbers"):
            ln.Dense(value)
    with pytest.raises(TypeError, match="bias must be an array of real numbers"):
        ln.Dense(np.zeros((3, 4)), "abc")
    with pytest.raises(TypeError, match="weight is a masked array"):
        ln.Dense(np.ma.zeros((3, 4)))
    with pytest.raises(TypeError, match="bias is a masked array"):
        ln.Dense(np.zeros((3, 4)), np.ma.zeros(3))
    with pytest.raises(ValueError, match="weight is not an array of numbers"):
        ln.Dense([[1, 2], [3]])


# --- Activations ---------------------------------------------------------------------------------


def test_unknown_activation():
    for make in (ln.Activation, lambda name: ln.Dense(np.zeros((3, 4)), None, name)):
        with pytest.raises(
            ValueError, match=r"unknown activation 'swishh', expected one of .*relu"
        ):
            make("swishh")
        with pytest.raises(ValueError, match="unknown activation 'ReLU'"):
            make("ReLU")
        for value in (None, 3, b"relu", ["relu"], np.tanh):
            with pytest.raises(TypeError, match="activation must be a str, got"):
                make(value)


def test_activation_parameters():
    with pytest.raises(ValueError, match="activation 'relu' has no parameter alpha"):
        ln.Activation("relu", alpha=0.1)
    with pytest.raises(ValueError, match="activation 'relu' has no parameter alpha"):
        ln.Activation("relu", alpha=0.0)
    with pytest.raises(ValueError, match="activation 'elu' has no parameter beta"):
        ln.Activation("elu", beta=0.1)
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=f"alpha must be finite, got {value}"):
            ln.Activation("elu", alpha=value)
        with pytest.raises(ValueError, match="beta must be finite"):
            ln.Activation("hard_sigmoid", beta=value)
    for value in (10**400, -(10**5000), Fraction(10**400)):
        with pytest.raises(ValueError, match=r"^alpha is too large for a float$"):
            ln.Activation("elu", alpha=value)
    for value in ("a", "1", b"1", True, np.True_, 1j, np.complex128(1)):
        expected = f"alpha must be a real number, got {type(value).__name__}"
        with pytest.raises(TypeError, match=f"^{expected}$"):
            ln.Activation("elu", alpha=value)


def test_activation_parameters_may_be_any_real_number():
    kinds = (float, int, Fraction, np.float16, np.float32, np.float64, np.longdouble, np.uint8)
    for kind in kinds:
        activation = ln.Activation("elu", alpha=kind(2))
        assert activation == ln.Activation("elu", alpha=2.0)
        assert type(activation.alpha) is float


# --- MLP -----------------------------------------------------------------------------------------


def test_mlp_layers():
    good = ln.Dense(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="layers is empty"):
        ln.MLP([])
    with pytest.raises(ValueError, match=r"layers\[1\] takes 4 features, layers\[0\] gives 3"):
        ln.MLP([good, good])
    with pytest.raises(TypeError, match=r"layers\[1\] must be a layer, .* got ndarray"):
        ln.MLP([good, np.zeros((4, 3))])
    with pytest.raises(TypeError, match=r"layers\[0\] must be a layer, such as .* got list"):
        ln.MLP([[good]])
    with pytest.raises(TypeError, match="layers must be a list of layers, got Dense"):
        ln.MLP(good)


def test_init_arguments():
    with pytest.raises(ValueError, match=r"sizes must have at least .* got 1"):
        ln.MLP.init([4])
    with pytest.raises(ValueError, match=r"sizes must have at least .* got 0"):
        ln.MLP.init([])
    with pytest.raises(ValueError, match=r"sizes\[1\] must be at least 1, got 0"):
        ln.MLP.init([4, 0, 2])
    with pytest.raises(ValueError, match=r"sizes\[0\] must be at least 1, got -4"):
        ln.MLP.init([-4, 2])
    with pytest.raises(TypeError, match=r"sizes\[1\] must be an integer, got 2.0"):
        ln.MLP.init([4, 2.0])
    with pytest.raises(ValueError, match="activation names 3 functions, the network has 1 hidden"):
        ln.MLP.init([4, 3, 2], ["relu", "relu", "tanh"])
    with pytest.raises(ValueError, match="unknown activation 'nope'"):
        ln.MLP.init([4, 3, 2], output_activation="nope")
    for dtype in ("float16", "int32", "complex64", "longdouble"):
        with pytest.raises(ValueError, match="dtype must be float32 or float64, got"):
            ln.MLP.init([4, 3], dtype=dtype)


def test_astype_argument():
    net = random_net([4, 3])
    for dtype in ("float16", int, complex, "S4"):
        with pytest.raises(ValueError, match="dtype must be float32 or float64, got"):
            net.astype(dtype)
    with pytest.raises(TypeError, match="nonsense"):
        net.astype("nonsense")


def test_messages_about_files_hold_nothing_that_a_terminal_obeys() -> None:
    """Names within a file are anybody's text."""
    error = ln.FormatError("layer '\x1b[31mé\0\udcff':\n  no\r")
    assert str(ln.FormatError("no: " + "x" * 4097)) == "no: " + "x" * 100 + "..."
    assert str(error) == "layer '\\x1b[31mé\\x00\\udcff':\n  no\\r"
