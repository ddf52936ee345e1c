"""ONNX as the frameworks' own exporters write it, against the frameworks' own answers."""

from __future__ import annotations

import copy
import logging
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx_graphs import answer
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

import laminet as ln

ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.GELU(),
    nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(),
    nn.Softplus(2.0), nn.Softsign(), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(), nn.CELU(0.5),
    nn.PReLU(), nn.LogSigmoid(),
]  # fmt: skip

# The older exporter (by TorchScript) and the newer one (by torch.export).
EXPORTERS = [(False, 13), (False, 17), (False, 20), (True, 18), (True, 20)]


def export(module, n, path, newer, opset):
    """Write a model; both exporters warn of much, deprecation first."""
    x = torch.randn(2, n)
    names = {"input_names": ["x"], "output_names": ["y"], "opset_version": opset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            if newer:
                shapes = ({0: torch.export.Dim("batch")},)
                torch.onnx.export(
                    module, (x,), path, dynamo=True, dynamic_shapes=shapes, verbose=False, **names
                )
            else:
                axes = {"x": {0: "batch"}}
                torch.onnx.export(module, (x,), path, dynamo=False, dynamic_axes=axes, **names)
        finally:
            logging.disable(logging.NOTSET)
    return path


@pytest.mark.parametrize(("newer", "opset"), EXPORTERS)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_torch(activation, newer, opset, tmp_path):
    torch.manual_seed(0)
    activation = copy.deepcopy(activation)  # that of PReLU has a weight
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5), activation, nn.Dropout(),
        nn.Linear(5, 6, bias=False), activation, nn.Linear(6, 3), nn.LogSoftmax(-1),
    )  # fmt: skip
    with torch.no_grad():
        module[2].running_mean.normal_()
        module[2].running_var.uniform_(0.5, 2)
    module.eval()
    path = export(module, 4, tmp_path / "net.onnx", newer, opset)
    net = ln.from_onnx(path)
    dense = [layer for layer in net.layers if isinstance(layer, ln.Dense)]
    assert [layer.out_features for layer in dense] == [5, 6, 3]
    clips = type(activation) is nn.Hardtanh
    assert len(net.layers) == 3 + 2 * clips
    assert net.head == "log_softmax"
    x = torch.randn(50, 4) * 3
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    # The model's weights are float32, and those folded by the exporter were rounded once more.
    np.testing.assert_allclose(net(x.numpy()), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("newer", [False, True])
def test_torch_modules_with_a_forward(newer, tmp_path):
    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)
            self.register_buffer("mean", torch.randn(4))

        def forward(self, x):
            x = (x - self.mean).view(x.shape[0], -1) / 3
            h = self.a(x)
            h = 0.5 * h * (1 + torch.erf(h / 2**0.5))
            return torch.tanh(self.b(h)) * 2 + 1

    torch.manual_seed(0)
    module = Policy().eval()
    net = ln.from_onnx(export(module, 4, tmp_path / "net.onnx", newer, 18))
    x = torch.randn(50, 4) * 3
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    np.testing.assert_allclose(net(x.numpy()), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("flat", [True, False])
def test_torch_policies(flat, newer, tmp_path):
    """Observations clipped after a normaliser, the mean of a Split, actions scaled and clamped."""

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ELU(), nn.Linear(8, 8), nn.SiLU())
            self.heads = nn.Linear(8, 6)
            self.register_buffer("mean", torch.randn(4))
            self.register_buffer("std", torch.rand(4) + 0.5)
            self.register_buffer("low", -torch.rand(3) - 0.1)
            self.register_buffer("high", torch.rand(3) + 0.1)

        def forward(self, x):
            x = torch.clamp((x - self.mean) / self.std, -1.5, 1.5)
            mean, _ = self.heads(self.body(x)).chunk(2, dim=-1)
            mean = torch.tanh(mean) * 2
            return mean[..., [2, 0]] if flat else torch.clamp(mean, self.low, self.high)

    torch.manual_seed(0)
    module = Policy().eval()
    net = ln.from_onnx(export(module, 4, tmp_path / "net.onnx", newer, 18))
    x = torch.randn(50, 4) * 3
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    np.testing.assert_allclose(net(x.numpy()), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("newer", "opset"), EXPORTERS)
def test_torch_on_the_last_of_three_axes(newer, opset, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3)).eval()
    path, x = tmp_path / "net.onnx", torch.randn(2, 5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            if newer:
                dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}
                torch.onnx.export(
                    module, (x,), path, dynamo=True, dynamic_shapes=(dims,), verbose=False,
                    opset_version=opset,
                )  # fmt: skip
            else:
                axes = {"x": {0: "batch", 1: "time"}}
                torch.onnx.export(
                    module, (x,), path, dynamo=False, dynamic_axes=axes, opset_version=opset,
                    input_names=["x"],
                )  # fmt: skip
        finally:
            logging.disable(logging.NOTSET)
    net = ln.from_onnx(path)
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    assert net.sizes == (4, 8, 3)
    got = net(x.numpy().reshape(-1, 4)).reshape(2, 5, 3)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("newer", "opset"), EXPORTERS)
def test_a_residual_network_of_torch(newer, opset, tmp_path):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(self.norm(x))))

    module = nn.Sequential(nn.Linear(4, 8), Block(), Block(), nn.LayerNorm(8), nn.Linear(8, 3))
    path = export(module.eval(), 4, tmp_path / "net.onnx", newer, opset)
    net = ln.from_onnx(path)
    assert [type(layer).__name__ for layer in net.layers] == [
        "Dense", "Residual", "Residual", "LayerNorm", "Dense"
    ]  # fmt: skip
    x = torch.randn(50, 4) * 3
    with torch.no_grad():
        expected = module.double()(x.double()).numpy()
    np.testing.assert_allclose(net(x.numpy()), expected, rtol=2e-5, atol=2e-5)


# --- scikit-learn ---------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 4)).astype("f4")
SUM = X[:, 0] + X[:, 1]
TARGETS = {
    "binary": (SUM > 0).astype(int),
    "binary text": np.where(SUM > 0, "yes", "no"),
    "multiclass": np.digitize(SUM, [-0.5, 0.5]) + 5,
    "multiclass text": np.array(["a", "b", "c"])[np.digitize(SUM, [-0.5, 0.5])],
    "multilabel": (X[:, :3] > 0).astype(int),
}


def fitted(estimator, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def small(kind, **options):
    return kind(
        hidden_layer_sizes=(8, 5), max_iter=60, learning_rate_init=0.05, random_state=0, **options
    )


@pytest.mark.parametrize("pipeline", [False, True])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("target", TARGETS)
def test_sklearn_classifiers(target, activation, pipeline):
    last = estimator = small(MLPClassifier, activation=activation)
    if pipeline:
        estimator = make_pipeline(StandardScaler(), MinMaxScaler(), PCA(3, whiten=True), estimator)
    fitted(estimator, TARGETS[target])
    for zipmap in (False, True):
        if zipmap and target == "multilabel":
            continue
        proto = to_onnx(estimator, X[:1], options={id(last): {"zipmap": zipmap}})
        net = ln.from_onnx(proto)
        proba = estimator.predict_proba(X)
        # The exporter rounds scikit-learn's float64 weights to float32.
        np.testing.assert_allclose(net.predict_proba(X), proba, atol=2e-4)
        clear = (np.abs(np.sort(proba, axis=1)[:, -1:] - 0.5) > 1e-3).all(axis=1)
        if target == "multilabel":
            clear = (np.abs(proba - 0.5) > 1e-3).all(axis=1)
        assert clear.sum() > 100
        assert (net.predict(X[clear]) == estimator.predict(X[clear])).all()
        if not zipmap:
            np.testing.assert_allclose(net(X), answer(proto, X, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", ["binary", "binary text", "multiclass", "multiclass text"])
def test_zip_map_as_columns(target):
    """One output a class, each a column of the softmax."""
    estimator = fitted(small(MLPClassifier), TARGETS[target])
    proto = to_onnx(estimator, X[:1], options={id(estimator): {"zipmap": "columns"}})
    net = ln.from_onnx(proto)
    assert net.outputs == ln.Classes(estimator.classes_)
    np.testing.assert_allclose(net.predict_proba(X), estimator.predict_proba(X), atol=2e-4)
    columns = [answer(proto, X, i + 1) for i in range(len(estimator.classes_))]
    np.testing.assert_allclose(net(X), np.stack(columns, 1), rtol=1e-4, atol=1e-5)
    names = [o.name for o in proto.graph.output]
    with pytest.raises(ln.FormatError, match="it is one output of a softmax"):
        ln.from_onnx(proto, output=names[1])
    del proto.graph.output[1]
    with pytest.raises(ln.FormatError, match="gives some outputs of a softmax"):
        ln.from_onnx(proto)


@pytest.mark.parametrize(
    "labels", [[-1, 5], [1.0, 2.0], [True, False], ["a", "b", "c"], [3, -4, 0]]
)
def test_labels_of_every_kind(labels):
    y = np.array(labels)[np.digitize(SUM, np.linspace(-0.5, 0.5, len(labels) - 1))]
    estimator = fitted(small(MLPClassifier), y)
    net = ln.from_onnx(to_onnx(estimator, X[:1], options={id(estimator): {"zipmap": False}}))
    assert isinstance(net.outputs, ln.Classes)
    assert net.outputs.labels.tolist() == estimator.classes_.tolist()


@pytest.mark.parametrize("model", [LinearRegression, Ridge, LogisticRegression])
def test_linear_models(model):
    y = TARGETS["multiclass text"] if model is LogisticRegression else X[:, :2] + SUM[:, None]
    estimator = fitted(make_pipeline(StandardScaler(), model()), y)
    net = ln.from_onnx(to_onnx(estimator, X[:1]))
    assert len(net.layers) == 1
    if model is LogisticRegression:
        np.testing.assert_allclose(net.predict_proba(X), estimator.predict_proba(X), atol=1e-5)
        assert (net.predict(X) == estimator.predict(X)).all()
    else:
        assert net.outputs is None
        np.testing.assert_allclose(net(X), estimator.predict(X), rtol=1e-4, atol=1e-4)


def test_sklearn_regressors():
    estimator = fitted(small(MLPRegressor), SUM)
    net = ln.from_onnx(to_onnx(estimator, X[:1]))
    assert net.outputs is None  # the graph does not say what its output stands for
    np.testing.assert_allclose(net(X)[:, 0], estimator.predict(X), rtol=1e-4, atol=1e-4)


def test_sklearn_regressors_of_several_outputs():
    """The exporter puts all outputs of all samples into one column: that is no network."""
    estimator = fitted(small(MLPRegressor), X[:, :2] + SUM[:, None])
    proto = to_onnx(estimator, X[:1])
    assert answer(proto, X).shape == (400, 1)
    with pytest.raises(
        ln.FormatError, match=r"mixes the samples; from_onnx\(model, output='(\w+)'"
    ):
        ln.from_onnx(proto)
    net = ln.from_onnx(proto, output="add_result2")
    np.testing.assert_allclose(net(X), estimator.predict(X), rtol=1e-4, atol=1e-4)


def test_models_of_older_onnx(tmp_path):
    """Initializers listed as inputs, as before IR version 4."""
    path = export(nn.Sequential(nn.Linear(4, 3)).eval(), 4, tmp_path / "net.onnx", False, 13)
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        proto.graph.input.append(info)
    proto.ir_version = 3
    assert ln.from_onnx(proto) == ln.from_onnx(path)


@pytest.mark.parametrize(
    "first",
    [
        VarianceThreshold(0.01),
        ColumnTransformer(
            [("s", StandardScaler(), [2, 0]), ("m", MinMaxScaler(), [3])], remainder="passthrough"
        ),
        ColumnTransformer([("keep", "passthrough", [1, 3])]),
    ],
    ids=["variance", "columns", "some"],
)
def test_scikit_learn_picks_columns(first):
    x = X.copy()
    x[:, 1] = 1.0 if isinstance(first, VarianceThreshold) else x[:, 1]
    estimator = make_pipeline(first, small(MLPRegressor))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(x, SUM)
    model = to_onnx(estimator, x[:1].astype("float32"))
    net = ln.from_onnx(model)
    given = estimator.predict(x)
    np.testing.assert_allclose(net(x)[:, 0], given, rtol=1e-4, atol=1e-4)
