"""Networks of layers of every kind in safetensors files: what comes back."""

from __future__ import annotations

import json
import math
import os
import struct

import numpy as np
import pytest
from tree_files import again, dense, every_kind, parts, within
from trees import Draw, kinds_of
from variants import DTYPES, normal, same_bits

import laminet as ln
from laminet.files.safetensors_files.description import Description

HEADS = (None, "softmax", "log_softmax")


def test_random_networks_come_back(tmp_path):
    found = set()
    for index in range(200):
        rng = np.random.default_rng([7, index])
        net = Draw(rng, DTYPES[index % 2]).network(HEADS[index % 3])
        other = again(net, tmp_path)
        assert other == net, index
        assert hash(other) == hash(net)
        assert type(other) is ln.MLP
        x = normal((5, net.in_features), net.dtype)
        assert same_bits(other(x), net(x))
        found |= {(kind, net.dtype) for kind in kinds_of(net)}
    assert len(found) == 9 * 2  # every kind, in both types


def test_names_of_tensors_are_places(tmp_path):
    net = every_kind()
    assert again(net, tmp_path) == net
    description, tensors = parts(tmp_path / "net.safetensors")
    assert sorted(tensors) == [
        "layers.0.high",
        "layers.0.scale",
        "layers.1.layers.0.bias",
        "layers.1.layers.0.weight",
        "layers.1.layers.1.bias",
        "layers.1.layers.1.weight",
        "layers.1.layers.3.bias",
        "layers.1.layers.3.weight",
        "layers.3.branches.2.0.branches.0.0.bias",
        "layers.3.branches.2.0.branches.0.0.weight",
        "layers.3.branches.2.0.branches.1.0.bias",
        "layers.3.branches.2.0.branches.1.0.weight",
        "layers.5.bias",
        "layers.5.weight",
    ]
    inner = net.layers[3].branches[2][0].branches[1][0]
    assert same_bits(tensors["layers.3.branches.2.0.branches.1.0.weight"], np.array(inner.weight))
    assert {t.dtype.name for t in tensors.values()} == {"float32"}
    assert {k: v for k, v in description.items() if k != "layers"} == {
        "format": 4,
        "dtype": "float32",
        "in_features": 3,
        "feature_names": ["a", "b", "c"],
    }
    rows = description["layers"]
    assert rows[0] == {
        "kind": "Rescale",
        "scale": "tensor",
        "shift": -0.0,
        "low": "-inf",
        "high": "tensor",
    }
    assert rows[1]["layers"][0] == {
        "kind": "LayerNorm",
        "weight": "tensor",
        "bias": "tensor",
        "eps": 1e-5,
    }
    assert rows[2] == {
        "kind": "Activation",
        "name": "gated",
        "alpha": [0.1, -2.0, 1 / 3],
        "beta": [1.0, -0.0, 5e-324],
    }
    assert rows[3]["branches"][1][0] == {"kind": "Select", "columns": [2, 0, -1]}
    assert rows[4] == {"kind": "Select", "columns": {"start": None, "stop": -1, "step": 2}}
    assert rows[5]["activation"] == {"name": "leaky_relu", "alpha": [0.1, 0.2, 0.3, 0.4]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_bit_is_kept(tmp_path, dtype):
    info = np.finfo(dtype)
    values = np.array([-0.0, info.smallest_subnormal, info.max, np.inf, np.nan, 0.1], dtype)
    layers = [
        ln.Rescale(np.where(np.isnan(values), 1, values), -math.inf, -math.inf),
        ln.LayerNorm(values, values[::-1], 0.0),
        ln.RMSNorm(None, 1e-300),
        ln.Rescale(0.1, math.inf, None, math.inf),
        ln.Residual([ln.Dense(np.stack([np.roll(values, i) for i in range(6)]))]),
        ln.Dropout(1e-9),
    ]
    net = ln.MLP(layers, dtype=dtype)
    assert again(net, tmp_path) == net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_without_arrays(tmp_path, dtype):
    for layers in ([ln.Activation("sin")], [ln.Dropout(0.5)], [ln.Parallel([[], []], "sum")]):
        net = ln.MLP(layers, in_features=7, dtype=dtype)
        assert again(net, tmp_path) == net
        assert parts(tmp_path / "net.safetensors")[1] == {}


def test_what_is_beside_the_layers(tmp_path):
    layers = [ln.Select([1, 0]), dense(2, 3)]
    net = ln.MLP(
        layers,
        in_features=4,
        outputs=ln.Classes(["no", "yes", "perhaps"]),
        inputs=[("obs", 3), ("act", 1)],
        head="softmax",
    )
    other = again(net, tmp_path)
    assert other == net
    assert repr(other) == repr(net)


def test_slices_keep_their_form(tmp_path):
    for columns in (slice(None), slice(-2, None), slice(3, 0, -2), slice(0, 2**63 - 1), [0, -1]):
        net = ln.MLP([ln.Select(columns)], in_features=4)
        assert again(net, tmp_path).layers[0].columns == net.layers[0].columns


class Named(ln.MLP):
    __slots__ = ("name",)


def test_a_subclass_comes_back_as_the_network_it_is(tmp_path):
    net = Named(every_kind().layers, in_features=3)
    net.name = "mine"
    other = again(net, tmp_path)
    assert type(other) is ln.MLP
    assert other.layers == net.layers


def test_a_layer_of_a_class_of_ones_own(tmp_path):
    class Shifted(ln.Rescale):
        __slots__ = ()

    net = ln.MLP([Shifted(2.0), dense(3, 2)])
    assert again(net, tmp_path).layers[0] == ln.Rescale(2.0)


# Of chains the text and the names are what laminet has always written: older ones read them.
CHAINS = {
    '{"format": 1, "layers": [{"activation": "elu", "alpha": 0.2}, '
    '{"activation": "identity"}]}': {},
    '{"format": 2, "layers": [{"activation": "elu", "alpha": 0.2}, {"activation": "identity"}], '
    '"head": "softmax"}': {"head": "softmax"},
    '{"format": 3, "layers": [{"activation": "elu", "alpha": 0.2}, {"activation": "identity"}], '
    '"head": "softmax", "outputs": {"kind": "classes", "labels": {"type": "str", "values": ["a", '
    '"b"]}}, "feature_names": ["u", "v"], "inputs": [{"name": "x", "width": 2}]}': {
        "head": "softmax",
        "outputs": ln.Classes(["a", "b"]),
        "feature_names": ["u", "v"],
        "inputs": [("x", 2)],
    },
}


@pytest.mark.parametrize("text", CHAINS)
def test_chains_are_written_as_they_were(tmp_path, text):
    net = ln.MLP([dense(2, 3, ln.Activation("elu", alpha=0.2)), dense(3, 2)], **CHAINS[text])
    assert again(net, tmp_path) == net
    data = (tmp_path / "net.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"laminet": text}
    assert sorted(header) == ["0.bias", "0.weight", "1.bias", "1.weight"]


def test_what_a_description_describes():
    """Layers of the same kinds with the same functions in the same places, whatever the numbers."""

    def net(*layers, head=None):
        return ln.MLP([ln.Residual([dense(3, 3, "tanh")]), *layers], head=head)

    said = Description.of(net(ln.Rescale(2.0), dense(3, 2)))
    assert said.describes(net(ln.Rescale(np.ones(3), low=0.0), dense(3, 4)))
    for other in (
        net(dense(3, 2)),
        net(ln.Rescale(2.0), dense(3, 2, "relu")),
        net(ln.Rescale(2.0), dense(3, 2), head="softmax"),
        net(ln.Rescale(2.0), ln.Residual([dense(3, 3)])),
        net(ln.Parallel([[ln.Rescale(2.0)]]), dense(3, 2)),
        ln.MLP([ln.Residual([dense(3, 3)]), ln.Rescale(2.0), dense(3, 2)]),
        ln.MLP([dense(3, 3, "tanh"), dense(3, 2)]),
    ):
        assert not said.describes(other)
        assert not Description.of(other).describes(net(ln.Rescale(2.0), dense(3, 2)))
    mean = Description.of(net(ln.Parallel([[]], "mean")))
    assert not mean.describes(net(ln.Parallel([[]], "sum")))
    assert not mean.describes(net(ln.Parallel([[], []], "mean")))
    chain = Description.of(ln.MLP([dense(3, 3, "tanh"), dense(3, 2)]))
    assert chain.describes(ln.MLP([dense(4, 3, "tanh"), dense(3, 1)]))
    assert not chain.describes(ln.MLP([dense(4, 3), dense(3, 1)]))


# --- Too much of a network -----------------------------------------------------------------------


def test_the_deepest(tmp_path):
    assert again(within(63), tmp_path) == within(63)
    # An empty branch is no layer deeper.
    innermost = ln.Parallel([[]])
    assert again(within(63, innermost), tmp_path) == within(63, innermost)
    for net in (within(64), within(62, ln.Parallel([[ln.Dropout(0.0)]]))):
        with pytest.raises(ValueError, match="layers within layers within layers, too deep"):
            net.save(tmp_path / "deep.safetensors")
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_what_load_would_refuse_is_not_written(tmp_path, monkeypatch):
    wide = ln.MLP([ln.Parallel([[], []])] * 31, in_features=1)
    many = ln.MLP([ln.Select(slice(None))] * 5, in_features=2**20)
    within_blocks = ln.MLP([ln.Residual([ln.Select(slice(None))] * 5)], in_features=2**20)
    far = ln.MLP([ln.Select(slice(-(2**63), None))], in_features=3)
    for net, message in (
        (wide, "a layer has more features than files can have"),
        (many, "slices select 5242880 columns; files can have 4194304"),
        (within_blocks, "slices select 5242880 columns; files can have 4194304"),
        (far, r"layers\[0\].columns: the slice has an end too large"),
    ):
        with pytest.raises(ValueError, match=message):
            net.save(tmp_path / "net.safetensors")
    monkeypatch.setattr("laminet.files.safetensors_files.header.MAX_HEADER", 200)
    with pytest.raises(ValueError, match="2 layers are too many for one file, or too long"):
        ln.MLP([ln.Residual([dense(3, 3)]), dense(3, 2)]).save(tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []
