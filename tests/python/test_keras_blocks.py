"""Functional models of Keras that are no chain, as trees of layers: against Keras's own answers."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops
from layer_trees import assert_computes

import laminet as ln

X = np.random.default_rng(0).standard_normal((9, 4)) * 2


@pytest.fixture(autouse=True)
def _float64():
    """A model casts its input to the global type before any layer sees it."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")


@contextmanager
def keras_alone():
    """Keras on PyTorch hands NumPy arrays over in a way that NumPy 2 asks to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def dense(units, activation=None):
    return layers.Dense(units, activation=activation, bias_initializer="random_normal")


def norm(**options):
    return layers.LayerNormalization(
        epsilon=1e-3, gamma_initializer="random_normal", beta_initializer="random_normal", **options
    )


def made(forward, *widths):
    """A model of inputs of these widths."""
    inputs = [
        keras.Input((n,), name=f"in{i}", dtype="float64") for i, n in enumerate(widths or (4,))
    ]
    return keras.Model(inputs, forward(*inputs))


def check(model, expected_layers=None, x=X):
    ends = np.cumsum([i.shape[1] for i in model.inputs])[:-1]
    with keras_alone():
        parts = [torch.from_numpy(part) for part in np.split(x, ends, axis=1)]
        given = model(parts if len(parts) > 1 else parts[0])
        given = [given[k] for k in sorted(given)] if isinstance(given, dict) else given
        given = given if isinstance(given, (list, tuple)) else [given]
        results = [ops.convert_to_numpy(g).reshape(len(x), -1) for g in given]
        tree = ln.from_keras(model, dtype="float64")
    # Keras on PyTorch multiplies float64 matrices in float32: each layer has 2^-24 of rounding.
    assert_computes(tree, x, np.concatenate(results, axis=1), expected_layers, 1e-5)
    return tree


def block(x):
    return layers.Add()([x, dense(8)(dense(32, "relu")(norm()(x)))])


def test_simba():
    model = made(lambda x: dense(3)(norm()(block(block(dense(8)(x))))))
    one = "x + (norm, 8>32 relu, 32>8)"
    tree = check(model, f"4>8, {one}, {one}, norm, 8>3")
    (source,) = [layer for layer in model.layers if layer.name == tree_norm_name(model)]
    with keras_alone():
        gamma, beta = source.get_weights()
    assert tree.layers[1].layers[0].weight.tobytes() == gamma.tobytes()
    assert tree.layers[1].layers[0].bias.tobytes() == beta.tobytes()
    assert tree.layers[1].layers[0].eps == 1e-3


def tree_norm_name(model):
    return next(x.name for x in model.layers if isinstance(x, layers.LayerNormalization))


def nerf(x):
    h = x
    for i in range(8):
        h = dense(16, "relu")(h)
        if i == 4:
            h = layers.Concatenate()([x, h])
    rgb = dense(3, "sigmoid")(dense(8, "relu")(dense(16)(h)))
    return [rgb, layers.Dense(1, name="sigma")(h)]


def test_nerf():
    four = ", ".join(["16>16 relu"] * 4)
    trunk = f"concat(x | 4>16 relu, {four}), 20>16 relu, 16>16 relu, 16>16 relu"
    tree = check(made(nerf), f"{trunk}, concat(16>16, 16>8 relu, 8>3 sigmoid | 16>1)")
    assert tree.outputs.names[3:] == ("sigma",)
    assert tree.outputs.names[0].endswith("[0]")


def twins(obs, action):
    x = layers.Concatenate()([obs, action])
    return [dense(1)(dense(16, "relu")(x)) for _ in range(2)]


def test_twin_critics():
    x = np.random.default_rng(1).standard_normal((9, 7))
    tree = check(made(twins, 5, 2), "concat(7>16 relu, 16>1 | 7>16 relu, 16>1)", x)
    assert tree.inputs == (("in0", 5), ("in1", 2))
    assert len(tree.outputs.names) == 2


def dueling(x):
    h = dense(8, "relu")(x)
    value, advantage = dense(1)(dense(6, "tanh")(h)), dense(5)(dense(6, "tanh")(h))
    return value + (advantage - ops.mean(advantage, axis=1, keepdims=True))


def spelled(x):
    d = x - ops.mean(x, axis=-1, keepdims=True)
    return d / ops.sqrt(ops.mean(ops.square(d), axis=-1, keepdims=True) + 1e-3)


def spelled_by_var(x):
    mean, variance = ops.mean(x, axis=-1, keepdims=True), ops.var(x, axis=-1, keepdims=True)
    return (x - mean) * ops.rsqrt(variance + 1e-3)


def members(x, count=3):
    return [dense(3)(dense(8, "relu")(x)) for _ in range(count)]


MEMBERS = " | ".join(["4>8 relu, 8>3"] * 3)
MODELS = {
    "residual": (lambda x: x + dense(4, "tanh")(x), "x + (4>4 tanh)"),
    "add": (lambda x: layers.Add()([x, dense(4)(x), dense(4)(x)]), "x + (sum(4>4 | 4>4))"),
    "subtract": (lambda x: layers.Subtract()([x, dense(4)(x)]), "x + (4>4)"),
    "average": (lambda x: layers.Average()(members(x)), f"mean({MEMBERS})"),
    "stacked": (lambda x: ops.stack(members(x), axis=1), f"concat({MEMBERS})"),
    "mean of a stack": (
        lambda x: ops.mean(ops.stack(members(x), axis=1), axis=1),
        f"mean({MEMBERS})",
    ),
    "concatenated": (lambda x: layers.Concatenate()(members(x)), f"concat({MEMBERS})"),
    "dueling": (dueling, "4>8 relu, sum(8>6 tanh, 6>5 | 8>6 tanh, 6>5)"),
    "dense net": (
        lambda x: layers.Concatenate()([h := layers.Concatenate()([x, dense(3)(x)]), dense(2)(h)]),
        None,
    ),
    "spelled out": (spelled, "norm"),
    "spelled out by var": (lambda x: spelled_by_var(dense(4, "relu")(x)), "4>4 relu, norm"),
    "without scale": (lambda x: norm(scale=False)(x), "norm"),
    "without center": (lambda x: norm(center=False)(x), "norm"),
    "batch norm after a sum": (
        lambda x: layers.ReLU()(layers.BatchNormalization()(x + dense(4)(x))),
        "x + (4>4), scale, relu",
    ),
    "slopes": (
        lambda x: layers.PReLU(alpha_initializer="random_normal")(dense(4)(x)),
        "4>4 leaky_relu",
    ),
    "clip": (lambda x: dense(2)(ops.clip(dense(4)(x), -0.5, 0.5)), "4>4, low*high, 4>2"),
    "softmax": (lambda x: layers.Softmax()(x + dense(4)(x)), "x + (4>4)"),
    "clip each, in another order": (
        lambda x: ops.clip(ops.flip(dense(4)(x), 1), -np.arange(1.0, 5) / 4, 0.5),
        "4>4, low*high",
    ),
    "sum of a stack": (lambda x: ops.sum(ops.stack(members(x), axis=1), axis=1), f"sum({MEMBERS})"),
    "sum of the features": (lambda x: ops.sum(dense(3)(x), axis=1, keepdims=True), "4>3, 3>1"),
    "deviation": (
        lambda x: (x - ops.mean(x, axis=1, keepdims=True)) / ops.std(x, axis=1, keepdims=True),
        "norm",
    ),
    "waves": (
        lambda x: dense(2)(layers.Concatenate()([ops.sin(3 * x), ops.cos(x)])),
        "concat(scale, sin | shift, sin), 8>2",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    forward, expected = MODELS[name]
    check(made(forward), expected)


def test_outputs_by_the_keys_of_a_dict():
    """Keras gives them in the order of the keys, however they were given."""
    x = keras.Input((4,), dtype="float64")
    made_of = {"sigma": dense(1)(x), "rgb": dense(3, "tanh")(x)}
    net = check(keras.Model(x, made_of), "concat(4>3 tanh | 4>1)")
    assert net.outputs == ln.Quantities(["rgb[0]", "rgb[1]", "rgb[2]", "sigma"])


def test_rms_normalization():
    layer = getattr(layers, "RMSNormalization", None)
    if layer is None:
        pytest.skip("this Keras has no RMSNormalization")
    check(made(lambda x: dense(2)(layer(epsilon=1e-3)(x))), "rms, 4>2")


REFUSED = {
    "gate": (
        lambda x: layers.Multiply(name="gate")([dense(4)(x), dense(4, "sigmoid")(x)]),
        "layer 'gate' (Multiply): multiplies two different results, as a gate does",
    ),
    "two softmaxes": (
        lambda x: [dense(2)(x), dense(3, "softmax")(x)],
        "has several outputs, and a",
    ),
    "mean of samples": (lambda x: x - ops.mean(x, axis=0), "(Mean): is taken over the samples"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    forward, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)), keras_alone():
        ln.from_keras(made(forward))
