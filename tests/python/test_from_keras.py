"""from_keras against Keras's own answers (on PyTorch), and what is refused."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import torch
from frameworks import assert_agrees
from keras import layers
from variants import same_bits

import laminet as ln

X = np.random.default_rng(0).standard_normal((40, 5)) * 2


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


def answer(model, x):
    with keras_alone():
        return keras.ops.convert_to_numpy(model(torch.from_numpy(x)))


def weights(layer):
    with keras_alone():
        return layer.get_weights()


def set_weights(layer, values):
    with keras_alone():
        layer.set_weights(values)


def sequential(*parts, shape=(5,), dtype="float64"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts])


def dense(units, activation=None, **options):
    return layers.Dense(
        units, activation, dtype="float64", bias_initializer="random_normal", **options
    )


def assert_close(got, expected):
    """Keras on PyTorch multiplies float64 matrices in float32: each layer has 2^-24 of rounding."""
    scale = max(1.0, float(np.abs(expected).max()))
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-5 * scale


def check(model, x=X):
    net = ln.from_keras(model)
    assert net.dtype == np.float64
    assert_close(net(x.reshape(len(x), -1)), answer(model, x))
    return net


NAMES = {
    "linear": "identity", "relu": "relu", "relu6": "relu6", "leaky_relu": "leaky_relu(alpha=0.2)",
    "elu": "elu", "selu": "selu", "gelu": "gelu", "silu": "silu", "swish": "silu", "mish": "mish",
    "tanh": "tanh", "sigmoid": "sigmoid", "softplus": "softplus", "softsign": "softsign",
    "hard_sigmoid": "hard_sigmoid", "hard_silu": "hard_swish", "hard_swish": "hard_swish",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_activations(name):
    model = sequential(
        dense(8, name), dense(6, use_bias=False), layers.Activation(name), dense(3, name)
    )
    net = check(model)
    assert [str(layer.activation) for layer in net.layers] == [NAMES[name]] * 3


def test_weights_keep_their_bits_in_float32():
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    model = keras.Sequential([keras.Input((5,)), layers.Dense(8, "relu"), layers.Dense(3)])
    net = ln.from_keras(model)
    assert net.dtype == np.float32
    kernel = weights(model.layers[0])[0]
    assert same_bits(np.ascontiguousarray(net.layers[0].weight.T), kernel)
    assert_agrees(net, X.astype("f4"), answer(model, X.astype("f4")))
    assert ln.from_keras(model, dtype="float64").dtype == np.float64


LAYERS = {
    "ReLU": layers.ReLU(dtype="float64"),
    "ReLU with a maximum": layers.ReLU(max_value=1.5, dtype="float64"),
    "ReLU with 6": layers.ReLU(max_value=6, dtype="float64"),
    "ReLU with both": layers.ReLU(max_value=0.5, negative_slope=0.3, dtype="float64"),
    "ReLU with a slope": layers.ReLU(negative_slope=0.3, dtype="float64"),
    "LeakyReLU": layers.LeakyReLU(dtype="float64"),
    "LeakyReLU with a slope": layers.LeakyReLU(negative_slope=0.05, dtype="float64"),
    "ELU": layers.ELU(0.7, dtype="float64"),
    "PReLU": layers.PReLU(keras.initializers.Constant(0.1), dtype="float64"),
    "Dropout": layers.Dropout(0.5, dtype="float64"),
    "AlphaDropout": layers.AlphaDropout(0.5, dtype="float64"),
    "GaussianNoise": layers.GaussianNoise(0.5, dtype="float64"),
    "Identity": layers.Identity(dtype="float64"),
    "GaussianDropout": layers.GaussianDropout(0.5, dtype="float64"),
    "Flatten": layers.Flatten(dtype="float64"),
    "Reshape": layers.Reshape((8,), dtype="float64"),
    "ActivityRegularization": layers.ActivityRegularization(0.1, dtype="float64"),
    "Rescaling": layers.Rescaling(0.5, -1.0, dtype="float64"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    layer = LAYERS[name]
    check(sequential(dense(8), type(layer).from_config(layer.get_config()), dense(3)))
    check(sequential(dense(8), type(layer).from_config(layer.get_config())))


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}])
def test_batch_normalization(options):
    norms = [layers.BatchNormalization(dtype="float64", **options) for _ in range(3)]
    model = sequential(norms[0], dense(8), norms[1], layers.Activation("tanh"), norms[2], dense(3))
    rng = np.random.default_rng(1)
    for norm in norms:
        set_weights(norm, [rng.random(w.shape) + 0.5 for w in weights(norm)])
    check(model)


@pytest.mark.parametrize("invert", [False, True])
def test_normalization(invert):
    norm = layers.Normalization(dtype="float64", invert=invert)
    norm.adapt(X * [1, 10, 0.1, 1, 1] + 3)
    check(sequential(norm, dense(8, "relu"), dense(3)))
    norm = layers.Normalization(mean=2.0, variance=9.0, dtype="float64", invert=invert)
    check(sequential(norm, dense(3)))


def test_images():
    images = np.random.default_rng(2).random((30, 4, 3)) * 255
    rescaling = layers.Rescaling(1 / 255, dtype="float64")
    model = sequential(rescaling, layers.Flatten(dtype="float64"), dense(3), shape=(4, 3))
    check(model, images)


@pytest.mark.parametrize("head", ["softmax", "log_softmax"])
def test_heads(head):
    assert check(sequential(dense(8, "relu"), dense(3, head))).head == head
    assert check(sequential(dense(3), layers.Activation(head, dtype="float64"))).head == head
    if head == "softmax":
        assert check(sequential(dense(3), layers.Softmax(dtype="float64"))).head == head


def test_functional_models_nested_and_shared():
    square = dense(5, "tanh")
    inner = sequential(dense(5), layers.Dropout(0.2, dtype="float64"))
    x = inputs = keras.Input((5,), dtype="float64")
    for part in (square, inner, square, dense(3)):
        x = part(x)
    assert len(check(keras.Model(inputs, x)).layers) == 4


def test_only_what_leads_to_the_output():
    inputs = keras.Input((5,), dtype="float64")
    hidden = dense(4, "relu")(inputs)
    dense(2)(hidden)
    check(keras.Model(inputs, dense(3)(hidden)))


def test_a_subclass_made_functional_as_the_message_says():
    model, inputs = subclassed(), keras.Input((5,), dtype="float64")
    check(keras.Model(inputs, model.call(inputs)))


class Preset(layers.Dense):
    def __init__(self, units, **options):
        super().__init__(units, activation="tanh", **options)


class Trained(keras.Model):
    """A functional model of a class of its own, which computes what its layers do."""

    def __init__(self):
        inputs = keras.Input((5,), dtype="float64")
        super().__init__(inputs, dense(3)(inputs))

    def train_step(self, data):
        raise NotImplementedError


def test_classes_of_the_users_own_that_compute_the_same():
    assert check(sequential(Preset(4), dense(2))).layers[0].activation == ln.Activation("tanh")
    check(Trained())


ACTIVATIONS = {
    "ReLU()": lambda: layers.ReLU(),
    "ReLU(max_value=1)": lambda: layers.ReLU(max_value=1.0),
    "LeakyReLU(0.1)": lambda: layers.LeakyReLU(negative_slope=0.1),
    "ELU(0.5)": lambda: layers.ELU(0.5),
    "Activation": lambda: layers.Activation("silu"),
    "Softmax": lambda: layers.Softmax(),
    "keras.activations.gelu": lambda: keras.activations.gelu,
    "keras.ops.relu": lambda: keras.ops.relu,
    "keras.activations.celu": lambda: "celu",
    "keras.activations.log_sigmoid": lambda: "log_sigmoid",
    "keras.activations.hard_tanh": lambda: "hard_tanh",
    "keras.activations.sparse_sigmoid": lambda: "sparse_sigmoid",
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_layer_or_function_as_activation(name):
    check(sequential(dense(6, "tanh"), dense(4, ACTIVATIONS[name]())))
    check(sequential(dense(4), layers.Activation(ACTIVATIONS[name]())))


def test_lora():
    model = sequential(dense(4, "tanh"), dense(3))
    model.layers[0].enable_lora(2)
    rng = np.random.default_rng(1)
    values = [rng.standard_normal(w.shape) for w in weights(model.layers[0])]
    set_weights(model.layers[0], values)
    check(model)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float16"])
def test_narrow_policies(policy):
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float32")
    model = keras.Sequential([keras.Input((5,)), layers.Dense(8, "relu"), layers.Dense(3)])
    net = ln.from_keras(model)
    assert net.dtype == np.float32
    kernels = [w.astype("f4") for layer in model.layers for w in weights(layer)[:1]]
    for layer, kernel in zip(net.layers, kernels, strict=True):
        assert same_bits(np.ascontiguousarray(layer.weight.T), kernel)


def test_what_the_outputs_stand_for():
    model = sequential(dense(4, "relu"), dense(1, "sigmoid"))
    assert ln.from_keras(model).outputs is None
    net = ln.from_keras(model, outputs=ln.Classes(["no", "yes"]))
    p = answer(model, X)[:, 0]
    np.testing.assert_allclose(net.predict_proba(X), np.stack([1 - p, p], 1), atol=1e-5)


def joined():
    inputs = keras.Input((5,), dtype="float64")
    hidden = dense(5)(inputs)
    return keras.Model(inputs, layers.Multiply(name="product")([inputs, hidden]))


def two_outputs():
    inputs = keras.Input((5,), dtype="float64")
    return keras.Model(
        inputs, [dense(2, name="first")(inputs), dense(3, "softmax")(inputs)], name="two"
    )


def calculated():
    inputs = keras.Input((5,), dtype="float64")
    return keras.Model(inputs, keras.ops.tan(dense(3)(inputs)))


def called_in_training(layer):
    inputs = keras.Input((5,), dtype="float64")
    return keras.Model(inputs, dense(2)(layer(inputs, training=True)))


def quantized():
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int8")
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = dense(4, "tanh"), dense(2)

    def call(self, inputs):
        return self.second(self.first(inputs))


def subclassed():
    model = Subclassed()
    answer(model, X)
    return model


def text():
    words = keras.Input((5,), dtype="string", name="words")
    return keras.Model(words, words)


class Own(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


REFUSED = {
    "convolution": (
        lambda: sequential(layers.Conv1D(2, 1), shape=(5, 1)),
        "(Conv1D): is",
    ),
    "LayerNormalization": (
        lambda: sequential(layers.Reshape((2, 2)), layers.LayerNormalization(name="n"), shape=(4,)),
        "layer 'n' (LayerNormalization): normalises a part of the features of each sample",
    ),
    "gate": (joined, "layer 'product' (Multiply): multiplies two different results, as a gate"),
    "two outputs": (two_outputs, "has several outputs, and a softmax over one of them"),
    "not built": (
        lambda: keras.Sequential([layers.Dense(3)], name="new"),
        "model 'new' (Sequential) is not built: call it on data",
    ),
    "another activation": (
        lambda: sequential(dense(3, "sparse_plus")),
        "the activation 'sparse_plus' is none that laminet has; import the layers before it",
    ),
    "a function": (lambda: sequential(dense(3, lambda x: x)), "the activation '<lambda>' is none"),
    "an own layer": (lambda: sequential(Own(3)), "(Own): is no layer of a network"),
    "an operation": (calculated, "(Tan): is no layer of a network"),
    "softmax inside": (
        lambda: sequential(dense(3, "softmax"), dense(3, name="last")),
        "layer 'last' (Dense): comes after a softmax",
    ),
    "dense before flatten": (
        lambda: sequential(dense(3), layers.Flatten(), shape=(5, 2)),
        "(Flatten): moves or joins the rows of a sample, which the dense layers of this model take",
    ),
    "ReLU with a threshold": (
        lambda: sequential(dense(3), layers.ReLU(threshold=1.0)),
        "(ReLU): has a threshold",
    ),
    "Lambda": (
        lambda: sequential(layers.Lambda(lambda x: 2 * x, name="twice")),
        "layer 'twice' (Lambda): is no layer of a network: it runs Python code",
    ),
    "Embedding": (
        lambda: sequential(layers.Embedding(3, 2)),
        "(Embedding): is no layer of a network: it looks up a row of a table",
    ),
    "recurrent": (
        lambda: sequential(layers.LSTM(2), shape=(5, 1)),
        "(LSTM): is no layer of a network: it carries a state",
    ),
    "Masking": (
        lambda: sequential(layers.Masking(), dense(2), shape=(5, 1)),
        "(Masking): is no layer of a network: it marks steps to be skipped",
    ),
    "padding": (
        lambda: sequential(layers.ZeroPadding1D(1), dense(2), shape=(5, 1)),
        "(ZeroPadding1D): is no layer of a network: it puts zeros",
    ),
    "chance": (
        lambda: called_in_training(layers.Dropout(0.5, name="drop")),
        "layer 'drop' (Dropout): is called with training=True",
    ),
    "batch statistics": (
        lambda: called_in_training(layers.BatchNormalization(name="norm")),
        "layer 'norm' (BatchNormalization): is called with training=True",
    ),
    "quantized": (quantized, "(Dense): is quantized (int8), and rounds what it multiplies"),
    "subclassed": (subclassed, "(Subclassed) has a call() of its own, which cannot be read: make"),
    "text": (text, "'words' takes text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.from_keras(make())


def test_other_things():
    with pytest.raises(TypeError, match=r"model must be a Keras model or .*, got Dense"):
        ln.from_keras(layers.Dense(3))
