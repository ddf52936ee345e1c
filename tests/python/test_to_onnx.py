"""to_onnx: ONNX Runtime and the checker take what it writes, and agree."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnxruntime
import pytest
from frameworks import assert_agrees
from onnx_graphs import answer
from variants import ACTIVATION_CASES, normal, random_net, same_bits

import laminet as ln


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_runtime_agrees(activation, head, dtype, tmp_path):
    net = random_net([5, 7, 3], [activation, activation], dtype=dtype)
    net = ln.MLP([*net.layers, ln.Dense(normal((2, 3), dtype))], head=head)
    path = tmp_path / "net.onnx"
    if dtype == "float64" and activation.name == "gelu":
        with pytest.raises(ValueError, match=r"ONNX Runtime has no erf in float64, and so no gelu"):
            ln.to_onnx(net, path)
        assert not path.exists()
        return
    ln.to_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    x = 3 * normal((40, 5), dtype)
    expected = answer(str(path), x)
    assert expected.dtype == dtype
    assert_agrees(net, x, expected, folded=dtype == "float64")
    assert ln.from_onnx(path) == net
    # Without laminet's metadata the graph alone is read.
    proto = onnx.load(path)
    del proto.metadata_props[:]
    again = ln.from_onnx(proto)
    assert again.dtype == dtype
    assert again.head == head
    assert_agrees(again, x, expected, folded=dtype == "float64")
    # hard_sigmoid's clip and selu's scale are folded in float64, which ONNX Runtime lacks.
    if dtype == "float32" or activation.name not in ("hard_sigmoid", "selu"):
        assert len(again.layers) == len(net.layers)
        for layer, written in zip(again.layers, net.layers, strict=True):
            assert same_bits(np.array(layer.weight), np.array(written.weight))
            assert (layer.bias is None) == (written.bias is None)
            assert layer.bias is None or same_bits(np.array(layer.bias), np.array(written.bias))


def test_large_inputs_do_not_overflow(tmp_path):
    """softplus, elu and selu of 1000 in float64 are spelled out, and stay what they are."""
    for name in ("softplus", "elu", "selu", "mish", "leaky_relu"):
        net = ln.MLP([ln.Dense(np.eye(2), activation=name)])
        ln.to_onnx(net, tmp_path / "net.onnx")
        x = np.array([[1000.0, -1000.0], [800.0, -0.001]])
        given = answer(str(tmp_path / "net.onnx"), x)
        np.testing.assert_allclose(net(x), given, rtol=1e-12, atol=1e-15)


def test_no_bias_one_layer_and_one_number(tmp_path):
    net = ln.MLP([ln.Dense(np.float32([[2.0]]), activation="relu")])
    ln.to_onnx(net, tmp_path / "net.onnx")
    x = np.float32([[-1.0], [3.0]])
    assert answer(str(tmp_path / "net.onnx"), x).tolist() == [[0.0], [6.0]]
    assert ln.from_onnx(tmp_path / "net.onnx") == net
    assert answer(str(tmp_path / "net.onnx"), np.zeros((0, 1), "f4")).shape == (0, 1)


def test_the_file_is_complete_or_absent(tmp_path):
    net = random_net([5, 7, 3])
    ln.to_onnx(net, tmp_path / "a.onnx")
    ln.to_onnx(net, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    with pytest.raises(FileNotFoundError):
        ln.to_onnx(net, tmp_path / "none" / "net.onnx")
    with pytest.raises(TypeError, match="net must be an MLP, got list"):
        ln.to_onnx([net], tmp_path / "c.onnx")
    assert sorted(os.listdir(tmp_path)) == ["a.onnx", "b.onnx"]


OUTPUTS = {
    "quantities": ln.Quantities(),
    "names": ln.Quantities(["a", "b", "c"]),
    "text": ln.Classes(["no", "yes", "perhaps \u00e9"]),
    "negative": ln.Classes([-1, 0, 7]),
    "small": ln.Classes(np.array([1, 2, 255], np.uint8)),
    "real": ln.Classes([0.5, 1.5, 2.5]),
    "labels": ln.Labels(["red", "green", "blue"]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", ["identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_what_outputs_stand_for(name, last, dtype, tmp_path):
    """ONNX Runtime gives the labels too; y stays the first output."""
    head = "softmax" if last == "softmax" else None
    if head and name in ("labels", "quantities", "names"):
        return
    activation = ln.Activation("identity" if head else last)
    layers = random_net([5, 7, 3], [ln.Activation("tanh"), activation], dtype=dtype).layers
    net = ln.MLP(layers, head=head, outputs=OUTPUTS[name], feature_names=list("abcde"))
    compare_labels(net, tmp_path / "net.onnx")


@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("outputs", [ln.Classes(["no", "yes"]), ln.Labels([4]), ln.Quantities()])
def test_one_output(outputs, activation, tmp_path):
    layers = random_net([5, 1], [ln.Activation(activation)]).layers
    net = ln.MLP(layers, outputs=outputs, inputs=[("left", 2), ("right", 3)])
    compare_labels(net, tmp_path / "net.onnx")


def compare_labels(net, path):
    ln.to_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    x = normal((30, 5), net.dtype)
    session = onnxruntime.InferenceSession(str(path))
    results = session.run(None, {"x": x})
    np.testing.assert_allclose(results[0], net(x), rtol=1e-5, atol=1e-6)
    labelled = not isinstance(net.outputs, ln.Quantities)
    assert [o.name for o in session.get_outputs()] == ["y", "label"][: 1 + labelled]
    if labelled:
        assert results[1].tolist() == net.predict(x).tolist()
    again = ln.from_onnx(path)
    assert again == net
    assert repr(again) == repr(net)
    # The graph says it too, as any exporter's does.
    proto = onnx.load(path)
    del proto.metadata_props[:]
    if labelled:
        found = ln.from_onnx(proto)
        assert type(found.outputs) is type(net.outputs)
        assert (found.predict(x).tolist()) == net.predict(x).tolist()


def test_init_and_back(tmp_path):
    """Biases of zero stay biases."""
    for bias in (True, False):
        net = ln.MLP.init([4, 8, 3], activation="gelu", bias=bias, seed=0)
        ln.to_onnx(net, tmp_path / "net.onnx")
        assert ln.from_onnx(tmp_path / "net.onnx") == net
        assert ln.from_onnx(tmp_path / "net.onnx", dtype="float64") == net.astype("float64")


def changed(net, path, change):
    ln.to_onnx(net, path)
    proto = onnx.load(path)
    change(proto)
    return proto


def test_the_graph_is_right_where_the_metadata_is_not(tmp_path):
    """Numbers and functions are the graph's, whatever the metadata says."""
    net = random_net([4, 6, 3], [ln.Activation("leaky_relu", alpha=0.3), ln.Activation("tanh")])
    net = net.with_outputs(ln.Classes(["a", "b", "c"]))
    path = tmp_path / "net.onnx"
    x = normal((20, 4), "f4")

    def other_slope(proto):
        proto.graph.node[1].attribute[0].f = 0.5

    def other_function(proto):
        proto.graph.node[3].op_type = "Sigmoid"

    def one_more(proto):
        proto.graph.node[3].output[0] = "before"
        proto.graph.node.insert(4, onnx.helper.make_node("Mul", ["before", "before"], ["y"]))

    def head(proto):
        proto.graph.node[3].op_type = "Softmax"

    for change in (other_slope, other_function, head):
        proto = changed(net, path, change)
        found = ln.from_onnx(proto)
        np.testing.assert_allclose(found(x), answer(proto, x), rtol=1e-5, atol=1e-6)
        assert found.outputs == net.outputs  # by its label output
        assert found != net
    with pytest.raises(ln.FormatError, match="is no activation"):
        ln.from_onnx(changed(net, path, one_more))

    def without_labels(proto):
        del proto.graph.output[1]

    assert ln.from_onnx(changed(net, path, without_labels)).outputs == net.outputs

    def cut(proto):
        del proto.graph.output[1]
        proto.graph.output[0].name = proto.graph.node[1].output[0]

    assert ln.from_onnx(changed(net, path, cut)).outputs is None


def test_damaged_metadata(tmp_path):
    net = random_net([4, 3]).with_outputs(ln.Classes(["a", "b", "c"]))
    for text in ("{", "[]", '{"format": 99, "layers": []}'):

        def damage(proto, text=text):
            proto.metadata_props[0].value = text

        proto = changed(net, tmp_path / "net.onnx", damage)
        with pytest.raises(ln.FormatError, match="metadata 'laminet'"):
            ln.from_onnx(proto)
        assert ln.from_onnx(proto, outputs=ln.Quantities()).outputs == ln.Quantities()


def test_weights_in_a_file_beside(tmp_path, monkeypatch):
    """Where a model is too large for protobuf; here the limit is lowered."""
    from laminet.interop.onnx import writer

    monkeypatch.setattr(writer, "_LARGEST_MODEL", 100)
    for dtype in ("float32", "float64"):
        net = random_net([40, 70, 3], dtype=dtype).with_outputs(ln.Classes(["a", "b", "c"]))
        path = tmp_path / "net.onnx"
        ln.to_onnx(net, path)
        assert sorted(os.listdir(tmp_path)) == ["net.onnx", "net.onnx.data"]
        assert path.stat().st_size < 4000
        onnx.checker.check_model(str(path), full_check=True)
        assert ln.from_onnx(path) == net
        x = normal((5, 40), dtype)
        np.testing.assert_allclose(answer(str(path), x), net(x), rtol=1e-5)


def test_weights_in_a_file_beside_are_there_or_nothing_is(tmp_path, monkeypatch):
    from laminet.interop.onnx import writer

    monkeypatch.setattr(writer, "_LARGEST_MODEL", 100)

    def full(path, arrays):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(writer, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        ln.to_onnx(random_net([40, 70, 3]), tmp_path / "net.onnx")
    assert os.listdir(tmp_path) == []


def test_files_of_2_gib(tmp_path):
    path = tmp_path / "net.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)  # a hole: no disk is filled
    with pytest.raises(ln.FormatError, match=r"an ONNX file has less than 2 GiB: larger models"):
        ln.from_onnx(path)


def test_a_name_of_another_kind_is_refused(tmp_path):
    net = ln.MLP.init([3, 2], seed=0)
    for suffix, call in ((".safetensors", "net.save"), (".pt", "torch.save"), (".npz", "end it")):
        with pytest.raises(ValueError, match=f"to_onnx writes ONNX.*{call}"):
            ln.to_onnx(net, tmp_path / f"net{suffix}")
    assert not list(tmp_path.iterdir())
    ln.to_onnx(net, tmp_path / "net.of.mine")
    assert ln.from_onnx(tmp_path / "net.of.mine") == net
