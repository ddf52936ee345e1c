"""Functions of keras.ops and keras.activations, axes and inputs, against Keras's own answers."""

from __future__ import annotations

import re
import warnings

import keras
import numpy as np
import pytest
from keras import activations, layers, ops
from variants import same_bits

import laminet as ln

RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((5, 4))
VECTOR = RNG.standard_normal(4)


@pytest.fixture(autouse=True)
def _float64():
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")


def dense(units, activation=None, **options):
    return layers.Dense(units, activation, bias_initializer="random_normal", **options)


def functional(make, shape=(5,), dtype="float64"):
    inputs = keras.Input(shape, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Keras on PyTorch, by NumPy 2
        return keras.Model(inputs, make(inputs))


def samples(shape, dtype="float64"):
    lengths = [3 if n is None else n for n in shape]
    return (5 * RNG.standard_normal((30, *lengths))).astype(dtype)


def answer(model, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return keras.ops.convert_to_numpy(model(x))


def assert_same(net, x, expected):
    """Keras on PyTorch multiplies float64 matrices in float32: each layer has 2^-24 of rounding."""
    got = net(x).reshape(expected.shape)
    assert np.abs(got - expected).max() <= 1e-5 * max(1.0, float(np.abs(expected).max()))


def check(make, shape=(5,), dtype="float64"):
    model, x = functional(make, shape, dtype), samples(shape, dtype)
    net = ln.from_keras(model)
    assert_same(net, x.reshape(-1, net.in_features).astype(net.dtype), answer(model, x))
    return net


def twice(function):
    """Give a function a value that is used twice."""
    return lambda x: function(dense(4)(x))


FUNCTIONS = {
    **{
        f"activations.{name}": twice(getattr(activations, name))
        for name in (
            "linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu",
            "tanh", "sigmoid", "log_sigmoid", "softplus", "softsign", "hard_sigmoid", "hard_tanh",
            "sparse_sigmoid", "softmax", "log_softmax",
        )
    },
    **{
        f"ops.{name}": twice(getattr(ops, name))
        for name in (
            "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "tanh",
            "sigmoid", "log_sigmoid", "softplus", "softsign", "hard_sigmoid", "hard_silu",
            "hard_tanh", "sparse_sigmoid", "softmax", "log_softmax", "stop_gradient", "copy",
            "negative",
        )
    },
    "relu with a maximum": twice(lambda h: activations.relu(h, max_value=0.5)),
    "relu with a slope": twice(lambda h: activations.relu(h, negative_slope=0.3)),
    "relu with both": twice(lambda h: activations.relu(h, negative_slope=0.3, max_value=0.5)),
    "celu of another unit": lambda x: dense(3)(ops.celu(dense(4)(x), 0.5)),
    "gelu, exact": twice(lambda h: ops.gelu(h, approximate=False)),
    "add a vector": twice(lambda h: h + VECTOR),
    "add to a vector": twice(lambda h: ops.add(VECTOR, h)),
    "subtract": twice(lambda h: 1 - (h - VECTOR)),
    "multiply": twice(lambda h: ops.relu(ops.multiply(h, VECTOR))),
    "divide": twice(lambda h: ops.tanh(h / 2) / VECTOR),
    "numbers before a layer": lambda x: dense(3)(2 * x - 1),
    "one column times a vector": lambda x: ops.tanh(dense(1)(x) * VECTOR),
    "matmul": lambda x: ops.matmul(x, MATRIX),
    "dot": lambda x: ops.dot(ops.tanh(x), MATRIX),
    "einsum": lambda x: ops.einsum("bi,io->bo", x, MATRIX),
    "einsum of more axes": lambda x: ops.einsum("...i,io->...o", x, MATRIX),
    "clip": twice(lambda h: ops.clip(h, -0.5, 1)),
    "clip the inputs": lambda x: dense(3)(ops.clip((x - 1) / 2, -1, 2)),
    "maximum": twice(lambda h: ops.maximum(h, 0.1)),
    "minimum": twice(lambda h: ops.minimum(0.1, h)),
    "leaky, spelled out": twice(lambda h: ops.maximum(h, 0.1 * h)),
    "silu, spelled out": twice(lambda h: h * ops.sigmoid(h)),
    "silu by a layer": twice(lambda h: layers.Multiply()([h, layers.Activation("sigmoid")(h)])),
    "softplus, spelled out": twice(lambda h: ops.log(1 + ops.exp(h))),
    "a value and itself": twice(lambda h: layers.Average()([h, 3 * h])),
    "cast": lambda x: dense(3)(ops.cast(x, "float64")),
    "slice of the inputs": lambda x: dense(2)(x[:, 1:4]),
    "slice by an ellipsis": lambda x: dense(2)(x[..., 3:]),
    "slice of the outputs": twice(lambda h: ops.tanh(h[:, :2])),
    "one output": twice(lambda h: h[:, 1]),
    "a new axis": lambda x: layers.Flatten()(dense(3)(x[:, None])),
    "squeeze": lambda x: ops.squeeze(dense(1)(x), -1),
    "expand_dims": lambda x: dense(3)(ops.expand_dims(x, 1)),
    "reshape": lambda x: dense(3)(ops.reshape(x, (-1, 5))),
    "take": lambda x: dense(3)(ops.take(x, np.array([4, 0]), axis=-1)),
    "flip": lambda x: dense(3)(ops.flip(x, 1)),
    "concatenate one": lambda x: dense(3)(ops.concatenate([x], -1)),
    "split and join": lambda x: dense(3)(ops.concatenate(ops.split(x, [2], -1)[::-1], -1)),
    "parts with scales": lambda x: dense(3)(ops.concatenate([2 * x[:, :2] + 1, x[:, 2:]], -1)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    check(FUNCTIONS[name])


def test_integer_inputs():
    check(lambda x: dense(3)(ops.cast(x, "float64")), dtype="int32")
    check(lambda x: dense(3)(layers.Rescaling(1 / 255)(x)), dtype="int32")


AXES = {
    "images": ((2, 3, 1), lambda x: dense(3)(layers.Flatten()(layers.Rescaling(1 / 255)(x)))),
    "channels first": ((2, 3, 2), lambda x: dense(3)(layers.Flatten("channels_first")(x))),
    "Permute": ((2, 3), lambda x: dense(3)(layers.Flatten()(layers.Permute((2, 1))(x)))),
    "transpose": ((2, 3), lambda x: dense(3)(layers.Flatten()(ops.transpose(x, (0, 2, 1))))),
    "swapaxes": ((2, 3), lambda x: dense(3)(layers.Flatten()(ops.swapaxes(x, 1, 2)))),
    "Reshape": ((2, 3), lambda x: dense(3)(layers.Reshape((6,))(layers.Reshape((3, -1))(x)))),
    "Cropping1D": ((3, 2), lambda x: dense(3)(layers.Flatten()(layers.Cropping1D((1, 0))(x)))),
    "Cropping2D": (
        (3, 3, 1),
        lambda x: dense(3)(layers.Flatten()(layers.Cropping2D(((1, 0), (0, 1)))(x))),
    ),
    "RepeatVector": ((2,), lambda x: dense(3)(layers.Flatten()(layers.RepeatVector(3)(x)))),
    "the last step": ((4, 2), lambda x: dense(3)(x[:, -1])),
    "BatchNormalization of rows": (
        (2, 3),
        lambda x: dense(2)(
            layers.Flatten()(layers.BatchNormalization(1, moving_variance_initializer="ones")(x))
        ),
    ),
    "one row": ((1, 5), lambda x: dense(3)(layers.Flatten()(dense(4, "tanh")(x)))),
    "a number": ((), lambda x: dense(3)(ops.expand_dims(x, -1))),
    "EinsumDense": (
        (5,),
        lambda x: layers.EinsumDense(
            "ab,bc->ac", 4, bias_axes="c", activation="relu", bias_initializer="random_normal"
        )(x),
    ),
    "EinsumDense to two axes": (
        (5,),
        lambda x: dense(2)(
            layers.Flatten()(
                layers.EinsumDense(
                    "ab,bcd->acd", (2, 3), bias_axes="cd", bias_initializer="random_normal"
                )(x)
            )
        ),
    ),
    "EinsumDense over two axes": ((3, 5), lambda x: layers.EinsumDense("abc,bcd->ad", 4)(x)),
}


@pytest.mark.parametrize("name", AXES)
def test_axes(name):
    shape, make = AXES[name]
    assert check(make, shape).in_features == int(np.prod(shape))


ROWS = {
    "unknown length": ((None, 5), lambda x: dense(3)(dense(4, "relu")(x))),
    "known length": ((2, 5), lambda x: dense(3, "softmax")(dense(4, "relu")(x))),
    "more axes": ((2, 3, 5), lambda x: dense(3)(dense(4, "relu")(x))),
    "normalised": ((2, 5), lambda x: dense(3)(layers.BatchNormalization()(dense(4)(x)))),
    "scaled by column": ((2, 5), lambda x: dense(3)(layers.Rescaling(np.arange(1.0, 6))(x))),
    "slice": ((None, 5), lambda x: dense(3)(x[..., 1:3])),
    "Reshape": ((4, 5), lambda x: dense(3)(layers.Reshape((2, 2, 5))(x))),
    "reshape to samples": ((4, 5), lambda x: dense(3)(ops.reshape(x, (-1, 5)))),
    "EinsumDense": ((3, 5), lambda x: layers.EinsumDense("abc,cd->abd", (None, 4))(x)),
    "TimeDistributed": (
        (3, 5),
        lambda x: layers.TimeDistributed(dense(2))(layers.TimeDistributed(dense(4, "relu"))(x)),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name):
    """Dense layers that act on the last axis: each row is a sample."""
    shape, make = ROWS[name]
    assert check(make, shape).in_features == 5


def two_inputs(join):
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    return keras.Model([a, b], join(a, b))


INPUTS = {
    "in order": (lambda a, b: layers.Concatenate()([a, b]), ("a", "b")),
    "in another order": (lambda a, b: ops.concatenate([b, a], 1), ("a", "b")),
    "each with its scale": (
        lambda a, b: layers.Concatenate()([layers.Rescaling(0.5, 1.0)(a), b]),
        ("a", "b"),
    ),
    "each with its normalisation": (
        lambda a, b: layers.Concatenate()(
            [
                layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0])(a),
                layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 1.0])(b),
            ]
        ),
        ("a", "b"),
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_several_inputs_are_columns_of_one(name):
    join, order = INPUTS[name]
    model = two_inputs(lambda a, b: dense(2)(dense(4, "tanh")(join(a, b))))
    net = ln.from_keras(model)
    assert len(net.layers) == 2
    assert net.inputs == tuple((name, {"a": 2, "b": 3}[name]) for name in order)
    parts = {"a": samples((2,)), "b": samples((3,))}
    expected = answer(model, [parts["a"], parts["b"]])
    assert_same(net, np.concatenate([parts[name] for name in order], 1), expected)


def test_joined_inputs_keep_the_bits_of_weights():
    model = two_inputs(lambda a, b: dense(4)(layers.Concatenate()([a, b])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        kernel = model.layers[-1].get_weights()[0]
    assert same_bits(np.ascontiguousarray(ln.from_keras(model).layers[0].weight.T), kernel)


def test_an_input_that_changes_nothing_is_not_taken():
    net = ln.from_keras(two_inputs(lambda a, b: dense(2)(b)))
    assert net.inputs is None
    assert net.in_features == 3


REFUSED = {
    "another function": (lambda x: ops.tan(dense(3)(x)), "(Tan): is no layer of a network"),
    "a threshold": (
        lambda x: activations.relu(dense(3)(x), threshold=0.5),
        "(ReLU): has a threshold of 0.5: the function jumps there",
    ),
    "gate": (lambda x: x * dense(5)(x), "(Multiply): multiplies two different results, as a g"),
    "a square": (lambda x: dense(3)(x) ** 2, "the output: is given"),
    "integers": (lambda x: dense(3)(ops.cast(x, "int32")), "(Cast): makes int32 of the numbers"),
    "rows joined": (
        lambda x: ops.reshape(x, (-1, 1)),
        "(Reshape): gives the shape (-1, 1), which joins samples",
    ),
    "a matrix from the left": (
        lambda x: ops.matmul(np.ones((5, 5)), ops.expand_dims(x, -1)),
        "(Matmul): multiplies by something else than a constant matrix from the right",
    ),
    "bounds for more features": (
        lambda x: ops.maximum(x[:, :1], np.arange(5.0)),
        "(Maximum): has more bounds than the (1,) numbers of a sample",
    ),
    "softmax over the wrong axis": (
        lambda x: ops.softmax(x[:, :, None] * np.ones(2), axis=1),
        "(Softmax): goes over axis 1, not over all the features",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.from_keras(functional(make))


REFUSED_ROWS = {
    "flattened": lambda x: dense(3)(layers.Flatten()(dense(4)(x))),
    "one of them": lambda x: dense(4)(x)[:, -1],
    "exchanged": lambda x: ops.transpose(dense(5)(x), (0, 2, 1)),
    "reversed": lambda x: ops.flip(dense(5)(x), 1),
    "the first": lambda x: dense(5)(x)[:, :1],
    "the second twice": lambda x: ops.take(dense(5)(x), np.array([1, 1]), axis=1),
    "each with others": lambda x: ops.reshape(dense(4)(x), (-1, 4, 2)),
}


@pytest.mark.parametrize("name", REFUSED_ROWS)
def test_rows_that_are_joined(name):
    with pytest.raises(ValueError, match="which the dense layers of this model take one by one"):
        ln.from_keras(functional(REFUSED_ROWS[name], (2, 5)))


def test_rows_of_unknown_number():
    with pytest.raises(ValueError, match="takes some of the rows of a sample"):
        ln.from_keras(functional(lambda x: dense(5)(x)[:, :3], (None, 5)))


def test_integers_are_not_computed_with():
    with pytest.raises(ValueError, match="computes with int32: cast the numbers"):
        ln.from_keras(functional(lambda x: dense(3)(x * 2), dtype="int32"))
