"""A process has one network of each content that comes out of pickles."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
from layer_kinds import EXAMPLES, FEATURES
from test_threads import together

import laminet as ln
from laminet.core import interned, mlp
from laminet.core.layers.tree import walk

NAMES = [f"x{i}" for i in range(30)]


def network(seed: int = 0, **more: Any) -> ln.MLP:
    return ln.MLP(ln.MLP.init([30, 40, 5], seed=seed).layers, **more)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the core has made since: each packs its own weights once."""
    found: list[Any] = []
    for kind, make in list(mlp._CORES.items()):

        def noting(*arguments: Any, make: Any = make) -> Any:
            found.append(make(*arguments))
            return found[-1]

        monkeypatch.setitem(mlp._CORES, kind, noting)
    return found


def packed(net: ln.MLP) -> int:
    return sum(row.now for row in net.summary().memory if row.kind == "packed")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_same_network_again_is_the_one_that_is_there(protocol: int, made: list[Any]) -> None:
    data = pickle.dumps(network(), protocol)
    made.clear()
    first = pickle.loads(data)
    with ln.backend("tiled"):
        first(np.ones((50, 30)))
    for _ in range(5):
        again = pickle.loads(data)
        assert again is first
        assert packed(again) > 0
    assert len(made) == 1


def test_of_a_network_that_was_made_here_too(made: list[Any]) -> None:
    net = network()
    made.clear()
    assert pickle.loads(pickle.dumps(net)) is net
    assert copy.copy(net) is copy.deepcopy(net) is net
    assert made == []


def test_memory_is_given_back() -> None:
    net = network(1)
    data, there = pickle.dumps(net), weakref.ref(net)
    assert len(interned._networks) > 0
    before = len(interned._networks)
    del net
    gc.collect()
    assert there() is None
    assert len(interned._networks) < before
    assert pickle.loads(data) == network(1)


def test_pickles_are_small() -> None:
    net = ln.MLP.init([784, 256, 128, 10], seed=0)
    assert len(pickle.dumps(net)) < 4 * net.num_parameters + 1000
    parts: list[pickle.PickleBuffer] = []
    assert len(pickle.dumps(net, 5, buffer_callback=parts.append)) < 1500
    assert sum(part.raw().nbytes for part in parts) == 4 * net.num_parameters


@pytest.mark.parametrize("precision", ["bfloat16_weights", "bfloat16"])
def test_pickles_of_bfloat16_hold_two_bytes_a_weight(precision: Any) -> None:
    biases = 256 + 128 + 10
    net = ln.MLP.init([784, 256, 128, 10], seed=0).with_precision(precision)
    size = 2 * (net.num_parameters - biases) + 4 * biases
    assert size < len(pickle.dumps(net)) < size + 1000
    parts: list[pickle.PickleBuffer] = []
    data = pickle.dumps(net, 5, buffer_callback=parts.append)
    assert sum(part.raw().nbytes for part in parts) == size
    assert pickle.loads(data, buffers=parts) is net


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("precision", ["bfloat16_weights", "bfloat16"])
def test_pickles_of_bfloat16_are_exact(precision: Any, protocol: int) -> None:
    """Of every kind of number, within layers too, and where layers have attributes of their own."""
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 0x7F000000, (30, 20)).astype(np.uint32).view(np.float32)
    weight[0, :6] = np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.38e38
    layer: Any = NotedLayer(weight)
    layer.note = "first"
    down = ln.Dense(rng.standard_normal((20, 30)).astype(np.float32), np.ones(20, np.float32))
    branches = ln.Parallel([[layer, down], [ln.LayerNorm(np.ones(20, np.float32))]], "sum")
    kept: Any = Noted([ln.Residual([branches]), ln.Dense(weight[:, :20])], dtype="float32")
    for made in (kept, ln.MLP(kept.layers)):
        net = made.with_precision(precision)
        for again in (pickle.loads(pickle.dumps(net, protocol)), copy.deepcopy(net)):
            assert again == net
            assert type(again) is type(net)
            assert again.precision == precision
            assert again.layers[0].layers[0].branches[0][0].note == "first"
            for one, other in zip(walk(again.layers), walk(net.layers), strict=True):
                for array, there in zip(one[1]._arrays(), other[1]._arrays(), strict=True):
                    assert type(array) is np.ndarray
                    assert array.tobytes() == there.tobytes()
                    assert not array.flags.writeable


def test_pickles_of_bfloat16_from_before_are_read() -> None:
    """Those of versions that wrote all weights in float32."""
    net = ln.MLP.init([7, 5], seed=0).with_precision("bfloat16")
    restore, (kind, _, described, bits) = net.__reduce__()
    assert restore(kind, net.layers, described, bits) is net


@pytest.mark.parametrize(
    "other",
    [
        network(2),
        network(head="softmax"),
        network(outputs=ln.Quantities()),
        network(outputs=ln.Classes([*"abcde"])),
        network(outputs=ln.Labels([*"abcde"])),
        network(outputs=ln.Classes(range(5))),
        network(outputs=ln.Classes([0.0, 1.0, 2.0, 3.0, 4.0])),
        network(feature_names=NAMES),
        network(inputs=[("a", 10), ("b", 20)]),
        network(dtype="float64"),
        network().with_precision("bfloat16_weights"),
        ln.MLP([*network().layers[:-1], ln.Dropout(0.5), network().layers[-1]]),
        ln.MLP([ln.Residual([ln.Activation("relu")]), *network().layers]),
    ],
    ids=repr,
)
def test_other_networks_are_others(other: ln.MLP) -> None:
    net = network()
    again = pickle.loads(pickle.dumps((net, other)))
    assert again[0] is net
    assert again[1] is other
    assert net != other


def test_numbers_are_told_apart_by_their_bits() -> None:
    nets = [ln.MLP([ln.Dense([[value]])]) for value in (0.0, -0.0, np.nan)]
    again = pickle.loads(pickle.dumps(nets))
    assert all(a is b for a, b in zip(again, nets, strict=True))
    assert len({id(net) for net in again}) == 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_networks_of_every_kind_of_layer(name: str) -> None:
    net = ln.MLP([EXAMPLES[name]], in_features=FEATURES, dtype="float64")
    assert pickle.loads(pickle.dumps(net)) is net


class Noted(ln.MLP):
    """A network with attributes of its own."""

    note: str


class NotedLayer(ln.Dense):
    """A layer with attributes of its own."""

    note: str


class NotedClasses(ln.Classes):
    """Outputs with attributes of their own."""


def test_what_may_have_attributes_of_its_own_is_not_shared() -> None:
    net: Any = Noted(network().layers)
    layer: Any = NotedLayer([[1.0]])
    net.note = layer.note = "first"
    within = ln.MLP([ln.Residual([ln.Parallel([[layer]])])])
    classes = network(outputs=NotedClasses([*"abcde"]))
    object.__setattr__(classes.outputs, "note", "first")
    for one in (net, within, classes):
        for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert again == one
            assert again is not one
    again = pickle.loads(pickle.dumps(net))
    again.note = "second"
    assert net.note == "first"


def test_threads_that_unpickle_at_once_have_one(made: list[Any]) -> None:
    for seed in range(10):
        data = pickle.dumps(network(seed))
        found = together(lambda i, data=data: pickle.loads(data))
        assert len({id(net) for net in found}) == 1
    for _ in range(100):  # also while the last one goes
        together(lambda i, data=data: pickle.loads(data)(np.ones(30)), 4)


def test_a_digest_of_other_arrays_is_seen() -> None:
    net, other = network(), network(2)
    pickle.dumps(net)
    restore, (kind, _, described, bits) = net.__reduce__()
    again = restore(kind, other.layers, described, bits)
    assert again == other
    assert hash(again) == hash(other)
    assert pickle.loads(pickle.dumps(net)) is net


def test_pickles_without_a_digest_are_read() -> None:
    """Those of versions before."""
    restore, arguments = network().__reduce__()
    assert restore(*arguments[:3]) == network()


def test_of_several_the_first_that_is_alive_is_kept() -> None:
    first, second = network(3), network(3)
    key = ("a content",)
    assert interned.interned(key, first) is first
    assert interned.interned(key, second) is first
    # Gone, and not yet forgotten, as another thread may find it.
    gone = network(3)
    interned._networks[key] = weakref.ref(gone)
    del gone
    assert interned.interned(key, second) is second
    assert interned.known(key) is second
