"""ONNX as Keras's own exporter writes it (on PyTorch), against Keras's own answers."""

from __future__ import annotations

import logging
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import laminet as ln

NAMES = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid",
    "softplus", "softsign", "hard_sigmoid", "hard_silu", "softmax", "log_softmax",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_keras(name, tmp_path):
    keras.utils.set_random_seed(0)
    x = 2 * np.random.default_rng(0).standard_normal((40, 5)).astype("f4")
    hidden = "tanh" if "max" in name else name
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, hidden),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(3, name),
        ]
    )
    expected = keras.ops.convert_to_numpy(model(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            model.export(tmp_path / "net.onnx", format="onnx", verbose=False)
        finally:
            logging.disable(logging.NOTSET)
    net = ln.from_onnx(tmp_path / "net.onnx")
    assert net.head == (name if "max" in name else None)
    np.testing.assert_allclose(net(x), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ln.from_keras(model)(x), expected, rtol=1e-5, atol=1e-5)
