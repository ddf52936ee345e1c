"""Keras models in files: .keras and .h5, of Keras 2 too, and what is refused of them."""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops
from public_examples import failures_of

import laminet as ln

X = np.random.default_rng(0).standard_normal((40, 5)).astype("f4") * 2


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def dense(units, activation=None, **options):
    return layers.Dense(units, activation, bias_initializer="random_normal", **options)


def small(activation="tanh"):
    return keras.Sequential([keras.Input((5,)), dense(4, activation), dense(3)])


def saved(model, path):
    quiet(model.compile, "adam", "mse")
    quiet(model.save, path)
    return path


def answer(model, x=X):
    return quiet(lambda: keras.ops.convert_to_numpy(model(x)))


def assert_reads(path, expected, x=X):
    net = ln.from_keras(path)
    got = net(x.reshape(-1, net.in_features)).reshape(expected.shape)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    return net


def functional():
    inputs = keras.Input((5,))
    hidden = layers.BatchNormalization()(dense(8, layers.LeakyReLU(negative_slope=0.1))(inputs))
    hidden = ops.clip(ops.add(hidden, np.ones(8, "f4")), -1, 1)[:, :6]
    inner = keras.Sequential([keras.Input((6,)), dense(4, "relu"), layers.Dropout(0.2)])
    return keras.Model(inputs, dense(3)(inner(hidden)))


def regularized():
    options = {"kernel_regularizer": "l2", "kernel_constraint": "max_norm"}
    return keras.Sequential([keras.Input((5,)), dense(4, "relu", **options), dense(3)])


MODELS = {
    "Sequential": small,
    "functional": functional,
    "regularized": regularized,
    "mixed precision": lambda: keras.Sequential(
        [keras.Input((5,)), dense(4, "relu", dtype="mixed_bfloat16"), dense(3)]
    ),
}


# Keras writes no operations into .h5 files.
CASES = [(n, s) for n in MODELS for s in (".keras", ".h5") if (n, s) != ("functional", ".h5")]


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_models(name, suffix, tmp_path):
    model = quiet(MODELS[name])
    path = saved(model, tmp_path / f"model{suffix}")
    net = ln.from_keras(path)
    assert net == ln.from_keras(str(path)) == ln.from_keras(model)


def test_a_name_without_a_suffix(tmp_path):
    model = small()
    path = saved(model, tmp_path / "model.keras").rename(tmp_path / "model")
    assert ln.from_keras(path) == ln.from_keras(model)


def of_keras_2(path, change):
    """Make a file as Keras 2 writes them of one that Keras 3 has written."""
    with h5py.File(path, "r+") as file:
        configuration = json.loads(file.attrs["model_config"])
        change(configuration["config"])
        file.attrs["model_config"] = json.dumps(configuration)
        file.attrs["keras_version"] = "2.11.0"
        file["model_weights"].attrs["keras_version"] = "2.11.0"
    return path


def without_input_layer(configuration):
    first, second = configuration["layers"][0], configuration["layers"][1]
    second["config"]["batch_input_shape"] = first["config"]["batch_shape"]
    del configuration["layers"][0]
    for layer in configuration["layers"]:
        layer["config"]["dtype"] = "float32"
        layer["config"]["kernel_initializer"] = {"class_name": "Own>Initializer", "config": {}}


def test_an_old_file_without_an_input_layer(tmp_path):
    model = small()
    path = of_keras_2(saved(model, tmp_path / "old.h5"), without_input_layer)
    assert ln.from_keras(path) == ln.from_keras(model)


def test_hard_sigmoid_had_another_slope_in_keras_2(tmp_path):
    model = small("hard_sigmoid")
    path = of_keras_2(saved(model, tmp_path / "old.h5"), lambda _: None)
    first, last = ln.from_keras(path).layers
    assert first.activation == ln.Activation("hard_sigmoid", alpha=0.2, beta=0.5)
    kernel, bias = first.weight, first.bias
    z = X @ kernel.T + bias
    expected = np.clip(0.2 * z + 0.5, 0, 1) @ last.weight.T + last.bias
    np.testing.assert_allclose(ln.from_keras(path)(X), expected, rtol=1e-5, atol=1e-5)


def test_rows_of_an_old_file(tmp_path):
    model = keras.Sequential([keras.Input((None, 5)), dense(4, "tanh"), dense(3)])
    path = of_keras_2(saved(model, tmp_path / "old.h5"), lambda _: None)
    x = X.reshape(8, 5, 5)
    assert assert_reads(path, answer(model, x), x).in_features == 5


def counted_from_one(configuration):
    """Keras 2 counts the call that built a nested model, and lists the others only."""
    last = configuration["layers"][-1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
    last[1] = 1


def test_a_nested_model_of_keras_2(tmp_path):
    inner = keras.Sequential([keras.Input((5,)), dense(4, "relu"), dense(5)])
    inputs = keras.Input((5,))
    model = keras.Model(inputs, dense(3)(inner(inputs)))
    path = of_keras_2(saved(model, tmp_path / "old.h5"), counted_from_one)
    assert ln.from_keras(path) == ln.from_keras(model)


def archive_of_keras_2(path, tmp_path):
    """Make an archive as Keras 2.13 and later write them."""
    target = tmp_path / "old.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        configuration = json.loads(source.read("config.json"))
        configuration["module"] = "tf_keras.src.engine.functional"
        first = configuration["config"]["layers"][0]["config"]
        first["batch_input_shape"] = first.pop("batch_shape")
        for layer in configuration["config"]["layers"]:
            if layer["class_name"] == "BatchNormalization":
                layer["config"]["axis"] = [1]
        out.writestr("config.json", json.dumps(configuration))
        out.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        out.writestr("model.weights.h5", source.read("model.weights.h5"))
    return target


def test_an_archive_of_keras_2(tmp_path):
    inputs = keras.Input((5,))
    hidden = layers.BatchNormalization()(dense(4, "hard_sigmoid")(inputs))
    model = keras.Model(inputs, dense(3)(hidden))
    path = archive_of_keras_2(saved(model, tmp_path / "new.keras"), tmp_path)
    net = ln.from_keras(path)
    assert net.layers[0].activation.alpha == 0.2
    assert [layer.weight.tolist() for layer in net.layers] == [
        layer.weight.tolist() for layer in ln.from_keras(model).layers
    ]


class Own(layers.Dense):
    pass


def changed(path, change):
    """Change the description in an archive."""
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            text = source.read(name)
            if name == "config.json":
                configuration = json.loads(text)
                change(configuration["config"])
                text = json.dumps(configuration)
            out.writestr(name, text)
    return target


def with_module(configuration):
    configuration["layers"][1] |= {"module": "os", "class_name": "system"}


def with_registered_name(configuration):
    configuration["layers"][1] |= {"module": None, "registered_name": "mine>Own"}


def with_lambda(configuration):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}
    configuration["layers"][1]["config"]["activation"] = code


def with_unknown_activation(configuration):
    configuration["layers"][1]["config"]["activation"] = "my_function"


def too_deep(configuration):
    for _ in range(100):
        configuration["name"] = {"a": configuration.get("name")}


CHANGES = {
    "another module": (with_module, "layer 'one' (system): is a class of its own, whose code is"),
    "a registered class": (
        with_registered_name,
        "layer 'one' (Dense): is a class of its own, whose code is not in the file: make the model",
    ),
    "a lambda": (
        with_lambda,
        "layer 'one': its activation is no layer of a network: it runs Python code",
    ),
    "a function": (
        with_unknown_activation,
        "layer 'one': the activation 'my_function' is",
    ),
    "depth": (too_deep, "nests its layers too deep"),
    "no layers": (
        lambda c: c.clear(),
        f"Keras {keras.__version__} cannot rebuild the model in it",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_files(name, tmp_path):
    change, message = CHANGES[name]
    model = keras.Sequential([keras.Input((5,)), dense(4, name="one"), dense(3)])
    path = changed(saved(model, tmp_path / "model.keras"), change)
    with pytest.raises(ln.FormatError, match=re.escape(f"{path}: {message}")):
        ln.from_keras(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_layer(suffix, tmp_path):
    parts = [keras.Input((5,)), dense(3), layers.Lambda(lambda x: 2 * x, name="twice")]
    path = saved(keras.Sequential(parts), tmp_path / f"model{suffix}")
    with pytest.raises(ln.FormatError, match=r"layer 'twice' \(Lambda\): .* runs Python code"):
        ln.from_keras(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_layer_that_is_none_of_a_chain(suffix, tmp_path):
    parts = [keras.Input((5, 1)), layers.Conv1D(2, 1, name="conv"), layers.Flatten(), dense(3)]
    path = saved(keras.Sequential(parts), tmp_path / f"model{suffix}")
    with pytest.raises(ln.FormatError, match=r"layer 'conv' \(Conv1D\): .* is a convolution"):
        ln.from_keras(path)


def test_weights_alone(tmp_path):
    path = tmp_path / "model.weights.h5"
    quiet(small().save_weights, path)
    with pytest.raises(ln.FormatError, match="holds weights without a model: rebuild the model"):
        ln.from_keras(path)


def test_weights_in_another_file(tmp_path):
    path = saved(small(), tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        name = next(iter(file["model_weights"]))
        del file["model_weights"][name]
        file["model_weights"][name] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(ln.FormatError, match="that lie elsewhere"):
        ln.from_keras(path)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        ln.from_keras(tmp_path / "none.keras")
    (tmp_path / "saved").mkdir()
    with pytest.raises(ln.FormatError, match=r"is a directory, not a \.keras or \.h5 file"):
        ln.from_keras(tmp_path / "saved")
    (tmp_path / "saved" / "saved_model.pb").touch()
    with pytest.raises(ln.FormatError, match="is a SavedModel of TensorFlow, a graph that is not"):
        ln.from_keras(tmp_path / "saved")
    os.mkfifo(tmp_path / "pipe.keras")
    with pytest.raises(ln.FormatError, match="not a regular file"):
        ln.from_keras(tmp_path / "pipe.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ln.FormatError, match=r"is neither a \.keras archive nor an \.h5 file"):
        ln.from_keras(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("data.pkl", "")
    with pytest.raises(ln.FormatError, match=r"is no model of Keras: it has no config\.json"):
        ln.from_keras(tmp_path / "other.keras")
    for suffix in (".keras", ".h5"):
        whole = saved(small(), tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ln.FormatError, match="is damaged"):
            ln.from_keras(tmp_path / f"cut{suffix}")


def test_the_example_of_from_keras_runs():
    assert failures_of("from_keras", ln.from_keras.__doc__) == 0
