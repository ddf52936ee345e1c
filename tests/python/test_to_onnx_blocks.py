"""to_onnx of networks of layers of every kind: ONNX Runtime and the reference evaluator agree."""

from __future__ import annotations

import os
from functools import reduce

import numpy as np
import onnx
import onnxruntime
import pytest
from bounds import unit_roundoff
from compare import assert_close
from layer_kinds import EXAMPLES, FEATURES, KINDS
from onnx.reference import ReferenceEvaluator
from onnx_graphs import answer
from tree_bounds import value_bound
from trees import Draw, every_function, kinds_of
from variants import DTYPES, normal

import laminet as ln
from laminet import reference

HEADS = (None, None, "softmax", "log_softmax")


def evaluated(path, x) -> np.ndarray:
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(str(path)).run(None, {"x": x})[0]


def both(net, path, x) -> list[np.ndarray]:
    """What ONNX Runtime and ONNX's own evaluator give of what is written; it is sound, and read."""
    ln.to_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert ln.from_onnx(path) == net
    results = [answer(str(path), x), evaluated(path, x)]
    assert {y.dtype for y in results} == {net.dtype}
    return results


def operators(net, path) -> list[str]:
    ln.to_onnx(net, path)
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("group", range(8))
def test_random_networks(group, tmp_path):
    """Within the derived bounds, with room for activations of a few more ULP than ours."""
    rejecting = 0
    for index in range(group, 160, 8):
        rng = np.random.default_rng([2032, index])
        net = Draw(rng, DTYPES[index // 8 % 2]).network(HEADS[rng.integers(4)])
        x = rng.standard_normal((7, net.in_features)).astype(net.dtype)
        exact, bound = reference.forward(net, x), 4 * value_bound(net, x)
        for y in both(net, tmp_path / "net.onnx", x):
            assert_close(y, exact, bound)
        rejecting += bool((np.abs(exact) > bound).any()) or not exact.any()
    assert rejecting >= 19  # of 20: carried through many norms a bound may say nothing


def test_the_drawing_covers_what_it_should():
    found = set()
    for index in range(160):
        rng = np.random.default_rng([2032, index])
        net = Draw(rng, DTYPES[index // 8 % 2]).network(HEADS[rng.integers(4)])
        found |= {(net.dtype, kind) for kind in (*kinds_of(net), net.head)}
    assert len(found) == 2 * (9 + 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", every_function(5), ids=str)
def test_functions_and_their_parameters_by_unit(activation, dtype, tmp_path):
    """Each is at most eight operations of at most 4 ULP, of numbers no larger than `most`."""
    x = 3 * normal((40, 5), dtype)
    x[:5] = np.array([[0.0], [-0.0], [1e-3], [-30.0], [40.0]], dtype)
    factors = [1 + np.abs(value) for value in activation.parameters.values()]
    weight = np.diag([1.0, -0.5, 2.0, 1.0, 4.0]).astype(dtype)
    for layers in ([activation], [ln.Dense(weight, None, activation), ln.Dropout(0.5)]):
        net = ln.MLP(layers, in_features=5, dtype=dtype)
        if dtype == "float64" and activation.name == "gelu":
            with pytest.raises(ValueError, match="ONNX Runtime has no erf in float64"):
                ln.to_onnx(net, tmp_path / "net.onnx")
            assert os.listdir(tmp_path) == []
            continue
        exact = reference.forward(net, x)
        z = np.abs(x if layers[0] is activation else x @ weight)
        most = reduce(np.multiply, factors, 1 + z)
        for y in both(net, tmp_path / "net.onnx", x):
            assert_close(y, exact, 64 * unit_roundoff(np.dtype(dtype)) * most)


def dense(n, m, activation="identity", dtype="float32"):
    return ln.Dense(normal((m, n), dtype), normal(m, dtype, 2), activation)


ROW = np.arange(1.0, 5.0, dtype=np.float32)
SPELLED = ["Mul", "ReduceMean", "Add", "Sqrt", "Div"]
CENTRED = ["ReduceMean", "Sub", *SPELLED]
UNIT = ln.Activation("leaky_relu", alpha=ROW)
# What a layer of four features is in float32, and in float64 where that is something else.
OPERATORS = {
    "dense": (ln.Dense(np.eye(4), None, "tanh"), ["Gemm", "Tanh"], None),
    "slopes": (ln.Activation("leaky_relu", alpha=ROW), ["PRelu"], ["Min", "Relu", "Mul", "Add"]),
    "slope": (
        ln.Activation("leaky_relu", alpha=0.3),
        ["LeakyRelu"],
        ["Clip", "Relu", "Mul", "Add"],
    ),
    "sin": (ln.Activation("sin"), ["Sin"], None),
    "silu": (ln.Activation("gated"), ["Sigmoid", "Mul"], None),
    "gate": (
        ln.Activation("gated", alpha=2.0, beta=0.5),
        ["Mul", "Sigmoid", "Mul", "Add", "Mul"],
        None,
    ),
    "scale": (ln.Rescale(2.0), ["Mul"], None),
    "shift": (ln.Rescale(shift=ROW), ["Add"], None),
    "numbers": (ln.Rescale(2.0, 1.0, -1.0, 1.0), ["Mul", "Add", "Clip"], None),
    "one bound": (ln.Rescale(low=0.0), ["Max"], None),
    "no bounds": (ln.Rescale(low=-np.inf, high=1.0), ["Min"], None),
    "bounds": (ln.Rescale(low=-ROW, high=ROW), ["Max", "Min"], None),
    "both": (ln.Rescale(low=-ROW, high=1.0), ["Max", "Min"], None),
    "no change": (ln.Rescale(), ["Identity"], None),
    "norm": (ln.LayerNorm(ROW, ROW), ["LayerNormalization"], [*CENTRED, "Mul", "Add"]),
    "exact eps": (ln.LayerNorm(eps=0.5), ["LayerNormalization"], None),
    "plain norm": (ln.LayerNorm(), ["LayerNormalization"], CENTRED),
    "rms": (ln.RMSNorm(ROW), [*SPELLED, "Mul"], None),
    "plain rms": (ln.RMSNorm(), SPELLED, None),
    "slice": (ln.Select(slice(1, 3)), ["Slice"], None),
    "one column": (ln.Select([-1]), ["Slice"], None),
    "columns": (ln.Select([0, 2]), ["Gather"], None),
    "backwards": (ln.Select(slice(None, None, -1)), ["Gather"], None),
    "all": (ln.Select([0, 1, 2, 3]), ["Identity"], None),
    "dropout": (ln.Dropout(0.5), ["Identity"], None),
    "residual": (ln.Residual([ln.Activation("relu")]), ["Relu", "Add"], None),
    "concat": (ln.Parallel([[], [ln.Activation("relu")]]), ["Relu", "Concat"], None),
    "sum": (ln.Parallel([[], [ln.Activation("relu")]], "sum"), ["Relu", "Add"], None),
    "sums": (ln.Parallel([[], [ln.Activation("relu")], []], "sum"), ["Relu", "Sum"], None),
    "mean": (ln.Parallel([[], []], "mean"), ["Mean"], ["Add", "Div"]),
    "one branch": (ln.Parallel([[ln.Activation("relu")]], "mean"), ["Relu"], None),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_subclass_is_written_as_its_kind(name, tmp_path):
    derived = type(f"My{name}", (KINDS[name],), {})
    mine = derived(**EXAMPLES[name]._arguments())
    written = []
    for layer in (mine, EXAMPLES[name]):
        net = ln.MLP([ln.Parallel([[layer]])], in_features=FEATURES, dtype="float64")
        ln.to_onnx(net, tmp_path / "net.onnx")
        written.append((tmp_path / "net.onnx").read_bytes())
    assert written[0] == written[1]


def test_every_kind_is_among_them():
    kinds = {type(layer) for layer, *_ in OPERATORS.values()}
    assert {*kinds, ln.Dense} == set(KINDS.values())  # Dense is in all other tests


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name, tmp_path):
    layer, single, double = OPERATORS[name]
    for dtype, expected in (("float32", single), ("float64", double or single)):
        net = ln.MLP([layer], in_features=4, dtype=dtype)
        assert operators(net, tmp_path / "net.onnx") == expected
        x = 2 * normal((6, 4), dtype)
        exact, bound = reference.forward(net, x), 64 * unit_roundoff(np.dtype(dtype))
        for y in both(net, tmp_path / "net.onnx", x):
            assert_close(y, exact, bound * (1 + np.abs(exact)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_rows_and_what_is_not_finite(dtype, tmp_path):
    path = tmp_path / "net.onnx"
    row = np.array([1.0, 2.0, -1.0], dtype)
    for low, high in (
        (-1.0, None),
        (None, row),
        (-np.abs(row), 1.0),
        (-np.inf, np.inf),
        (np.inf, None),
    ):
        net = ln.MLP([ln.Rescale(2.0, row, low, high)])
        x = np.array([[np.nan, np.inf, -np.inf], [-np.inf, np.nan, 1.0]], dtype)
        for y in both(net, path, x):
            np.testing.assert_array_equal(y, net(x))
        assert [y.shape for y in both(net, path, x[:0])] == [(0, 3)] * 2


def test_initializers_are_called_as_in_safetensors_files(tmp_path):
    layers = [
        ln.Rescale(ROW, high=ROW),
        ln.Residual([ln.LayerNorm(ROW, ROW), dense(4, 4, UNIT)]),
        ln.Parallel([[], [ln.Select([2, 0]), dense(2, 3)]]),
    ]
    net = ln.MLP(layers, head="softmax")
    ln.to_onnx(net, tmp_path / "net.onnx")
    held = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert sorted(tensor.name for tensor in held) == [
        "layers.0.high",
        "layers.0.scale",
        "layers.1.layers.0.bias",
        "layers.1.layers.0.weight",
        "layers.1.layers.1.activation.alpha",
        "layers.1.layers.1.bias",
        "layers.1.layers.1.weight",
        "layers.2.branches.1.0.columns",
        "layers.2.branches.1.1.bias",
        "layers.2.branches.1.1.weight",
    ]


OUTPUTS = [
    (4, "identity", ln.Classes(["a", "b", "c", "d"])),
    (4, "sigmoid", ln.Labels([1, 2, 3, 4])),
    (4, "identity", ln.Labels(["a", "b", "c", "d"])),
    (1, "sigmoid", ln.Classes(["no", "yes"])),
    (1, "identity", ln.Classes([0, 1])),
    (4, "tanh", ln.Quantities(["a", "b", "c", "d"])),
]


@pytest.mark.parametrize(("width", "last", "outputs"), OUTPUTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_outputs_stand_for(width, last, outputs, dtype, tmp_path):
    ends = [dense(3, width, dtype=dtype), ln.Activation(last), ln.Dropout(0.1)]
    layers = [ln.Select([0, 2, 4]), ln.Residual([dense(3, 3, "tanh", dtype)]), *ends]
    net = ln.MLP(
        layers,
        in_features=5,
        outputs=outputs,
        feature_names=list("abcde"),
        inputs=[("left", 2), ("right", 3)],
    )
    path = tmp_path / "net.onnx"
    ln.to_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    again = ln.from_onnx(path)
    assert again == net
    assert repr(again) == repr(net)
    x = normal((50, 5), dtype)
    results = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    if isinstance(outputs, ln.Quantities):
        assert len(results) == 1
    else:
        assert results[1].tolist() == net.predict(x).tolist()
        assert len(np.unique(results[1])) > 1


def test_the_numbers_are_the_graphs(tmp_path):
    """A weight that somebody has changed is the network's; another graph is read, or refused."""
    net = ln.MLP([ln.Residual([dense(3, 3, "relu")]), ln.LayerNorm(ROW[:3]), dense(3, 2)])
    ln.to_onnx(net, tmp_path / "net.onnx")
    proto = onnx.load(tmp_path / "net.onnx")
    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    bias = held["layers.0.layers.0.bias"]
    bias.CopyFrom(onnx.numpy_helper.from_array(np.float32([5, 6, 7]), bias.name))
    x = normal((5, 3), "f4")
    again = ln.from_onnx(proto)
    assert again.layers[0].layers[0].bias.tolist() == [5, 6, 7]
    np.testing.assert_allclose(again(x), answer(proto, x), rtol=1e-4, atol=1e-5)
    assert again.layers[1:] == net.layers[1:]

    def other_function(proto):
        proto.graph.node[1].op_type = "Tanh"

    def other_epsilon(proto):
        proto.graph.node[3].attribute[1].f = 0.5

    def other_place(proto):
        proto.graph.node[2].input[0] = proto.graph.node[0].output[0]

    for change in (other_function, other_epsilon, other_place):
        changed = onnx.load(tmp_path / "net.onnx")
        before = answer(changed, x)
        change(changed)
        assert np.abs(answer(changed, x) - before).max() > 1e-3
        try:
            found = ln.from_onnx(changed)
        except ln.FormatError:
            continue
        np.testing.assert_allclose(found(x), answer(changed, x), rtol=1e-4, atol=1e-5)


def test_damaged_metadata(tmp_path):
    net = ln.MLP([ln.Residual([dense(3, 3)])])
    ln.to_onnx(net, tmp_path / "net.onnx")
    text = onnx.load(tmp_path / "net.onnx").metadata_props[0].value
    for old, new, message in (
        ('"format": 4', '"format": 6', "format 6 is of a later laminet"),
        ('"Residual"', '"Residue"', "unknown kind of layer 'Residue'"),
        ('"dtype"', '"type"', "is not of the form that format 4 has"),
        ("{", "{" + " " * 2**24, "at most 16777216 are accepted"),
    ):
        proto = onnx.load(tmp_path / "net.onnx")
        assert old in text
        proto.metadata_props[0].value = text.replace(old, new, 1)
        with pytest.raises(ln.FormatError, match=message):
            ln.from_onnx(proto)


def test_weights_in_a_file_beside(tmp_path, monkeypatch):
    from laminet.interop.onnx import writer

    monkeypatch.setattr(writer, "_LARGEST_MODEL", 10_000)
    net = ln.MLP(
        [ln.Residual([dense(40, 70, "relu"), dense(70, 40)]), ln.LayerNorm(np.ones(40, "f4"))]
    )
    path = tmp_path / "net.onnx"
    ln.to_onnx(net, path)
    assert sorted(os.listdir(tmp_path)) == ["net.onnx", "net.onnx.data"]
    assert path.stat().st_size < 4000
    onnx.checker.check_model(str(path), full_check=True)
    assert ln.from_onnx(path) == net
    x = normal((5, 40), "f4")
    assert_close(answer(str(path), x), reference.forward(net, x), 4 * value_bound(net, x))
