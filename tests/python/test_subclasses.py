"""A class derived from a kind of layer is one of that kind everywhere, and stays what it is."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layer_kinds import EXAMPLES, FEATURES, KINDS

import laminet as ln
from laminet import reference
from laminet.analysis.error_bound import error_bound
from laminet.core.layers.layer import Layer, entry_of
from laminet.core.layers.tree import walk

X = np.array([[0.25, -0.75, 1.25, -2.0], [1.75, 0.375, -0.3125, 0.875]])


def _init(self: Any, example: Layer, note: str) -> None:
    """Take other arguments than the kind does, and have an attribute more."""
    kind = type(example)
    kind.__init__(self, **{name: getattr(example, name) for name in kind._fields})
    object.__setattr__(self, "note", note)


def _derived(kind: type, **own: Any) -> type:
    own.update(__module__=__name__, __init__=_init)
    return type(f"My{kind.__name__}", (kind,), own)


#: By the name of a kind; with what it has pickles find them by.
CLASSES = {name: _derived(kind) for name, kind in KINDS.items()}
SLOTTED = {name: _derived(kind, __slots__=("note",)) for name, kind in KINDS.items()}
globals().update({kind.__name__: kind for kind in CLASSES.values()})

each_kind = pytest.mark.parametrize("name", EXAMPLES)


def mine(name: str) -> Any:
    return CLASSES[name](EXAMPLES[name], "mine")


def networks(name: str) -> list[tuple[ln.MLP, ln.MLP]]:
    """Return networks with a layer of a derived class, alone and within others; and of its kind."""
    back = ln.Dense(np.arange(4.0 * EXAMPLES[name]._gives(FEATURES, "", "")).reshape(4, -1) / 8)
    nested = (
        lambda layer: [layer],
        lambda layer: [ln.Parallel([[layer], [layer]]), ln.Activation("relu")],
        lambda layer: [ln.Residual([layer, back])],
    )

    def network(layers: list[Layer]) -> ln.MLP:
        return ln.MLP(layers, in_features=FEATURES, dtype="float64")

    return [(network(nest(mine(name))), network(nest(EXAMPLES[name]))) for nest in nested]


def derived_in(net: ln.MLP, name: str) -> list[Any]:
    """Return the layers of the derived class, wherever they are."""

    def found(layers: Any) -> list[Any]:
        inside = [one for layer in layers for _, part in layer._parts() for one in found(part)]
        return [layer for layer in layers if type(layer) is CLASSES[name]] + inside

    return found(net.layers)


@each_kind
def test_copies_and_pickles_keep_the_class(name: str) -> None:
    layer = mine(name)
    copies = [copy.copy(layer), copy.deepcopy(layer)]
    copies += [pickle.loads(pickle.dumps(layer, protocol)) for protocol in range(6)]
    for again in copies:
        assert type(again) is CLASSES[name]
        assert again == layer
        assert again.note == "mine"
    assert layer != EXAMPLES[name]
    assert repr(layer).startswith(f"My{name}(")


@each_kind
def test_attributes_in_slots(name: str) -> None:
    layer: Any = SLOTTED[name](EXAMPLES[name], "slotted")
    again = copy.copy(layer)
    assert type(again) is SLOTTED[name]
    assert again == layer
    assert again.note == "slotted"


@each_kind
def test_networks_keep_it(name: str) -> None:
    for net, _ in networks(name):
        for again in (
            net,
            pickle.loads(pickle.dumps(net)),
            copy.deepcopy(net),
            net.astype("float32"),
            net.with_outputs(ln.Quantities()),
            reference.with_parameters(net, reference.parameters(net)),
        ):
            layers = derived_in(again, name)
            assert layers
            assert all(layer.note == "mine" for layer in layers)
        assert pickle.loads(pickle.dumps(net)) == net
        assert hash(copy.deepcopy(net)) == hash(net)
        assert net.astype("float32").astype("float64").dtype == np.float64


@each_kind
def test_a_network_has_arrays_of_its_own(name: str) -> None:
    """Also where what holds them is a subclass."""
    layer = mine(name)
    net = ln.MLP([layer], in_features=FEATURES, dtype="float64")
    before = {id(array) for array in layer._arrays()}
    for _, leaf in walk(net.layers):
        assert not any(np.shares_memory(a, b) for a in leaf._arrays() for b in layer._arrays())
    assert {id(array) for array in layer._arrays()} == before


@each_kind
def test_it_computes_what_its_kind_does(name: str) -> None:
    for net, base in networks(name):
        v = np.ones((2, net.out_features))
        for got, expected in (
            (net(X), base(X)),
            (net.jacobian(X), base.jacobian(X)),
            (net.vjp(X, v), base.vjp(X, v)),
            (net.jvp(X, X), base.jvp(X, X)),
            (net.trace(X).activations[-1], base.trace(X).activations[-1]),
            (net.gradients(X, v).input, base.gradients(X, v).input),
        ):
            assert np.array_equal(got, expected)
        assert net.gradients(X, v).layers == base.gradients(X, v).layers
        assert net.num_parameters == base.num_parameters
        assert ln.cost(net, 2) == ln.cost(base, 2)
        assert net.summary().layers == base.summary().layers
        assert str(net.plan(2)) == str(base.plan(2))
        assert repr(net) == repr(base)


@each_kind
def test_the_reference_knows_it(name: str) -> None:
    for net, base in networks(name):
        v = np.ones((2, net.out_features))
        for function in (
            reference.forward,
            reference.forward_components,
            reference.jacobian,
            reference.numerical_jacobian,
        ):
            assert np.array_equal(function(net, X), function(base, X))
        expected = reference.gradients(base, X, v)
        got = reference.gradients(net, X, v)
        assert list(got) == list(expected)
        assert all(np.array_equal(got[key], expected[key]) for key in got)
        double = {key: 2 * value for key, value in reference.parameters(base).items()}
        changed = [reference.with_parameters(one, double)(X) for one in (net, base)]
        assert np.array_equal(*changed)


@each_kind
def test_error_bound_knows_it(name: str) -> None:
    for net, base in networks(name):
        try:
            expected = error_bound(base, X)
        except ValueError as refused:
            with pytest.raises(ValueError, match=str(refused)):
                error_bound(net, X)
        else:
            assert np.array_equal(error_bound(net, X), expected)


@each_kind
def test_a_file_has_it_as_its_kind(name: str, tmp_path: Path) -> None:
    for net, base in networks(name):
        net.save(tmp_path / "net.safetensors")
        base.save(tmp_path / "base.safetensors")
        assert ln.load(tmp_path / "net.safetensors") == base
        written = [(tmp_path / f"{one}.safetensors").read_bytes() for one in ("net", "base")]
        assert written[0] == written[1]


def test_a_class_of_a_class() -> None:
    class Deeper(CLASSES["Residual"]):  # type: ignore[misc]  # what it is, is known as it runs
        pass

    net = ln.MLP([Deeper(ln.Residual([mine("Dense"), ln.Dense(np.ones((4, 3)))]), "deep")])
    assert type(net.layers[0]) is Deeper
    assert type(copy.deepcopy(net).astype("float32").layers[0]) is Deeper
    assert len(derived_in(net, "Dense")) == 1


def test_a_function_within_a_dense_layer() -> None:
    net = ln.MLP([ln.Dense(np.ones((FEATURES, 3)), None, mine("Activation"))])
    changed = reference.with_parameters(net, {"layers[0].activation.alpha": np.ones(FEATURES)})
    for again in (net, copy.deepcopy(net), net.astype("float32"), changed):
        (layer,) = again.layers
        assert isinstance(layer, ln.Dense)
        function: Any = layer.activation
        assert type(function) is CLASSES["Activation"]
        assert function.note == "mine"
    assert changed([-1.0, 0.0, 0.0]).tolist() == [-1.0] * FEATURES


def test_what_looks_like_a_dense_layer_is_none() -> None:
    """The reference takes anything with a weight, a bias and an activation for a dense layer."""
    norm = mine("LayerNorm")
    object.__setattr__(norm, "activation", ln.Activation("relu"))
    expected = reference.forward([EXAMPLES["LayerNorm"]], X)
    assert np.array_equal(reference.forward([norm], X), expected)


def test_without_its_ending_a_layer_is_what_it_was() -> None:
    """Logits are those of the network without its last activation: nothing else is lost."""
    dense = CLASSES["Dense"](ln.Dense(np.ones((3, 4)), None, "sigmoid"), "mine")
    bare = dense._without_ending()
    assert type(bare) is CLASSES["Dense"]
    assert bare.activation == ln.Activation("identity")
    parallel = CLASSES["Parallel"](ln.Parallel([[dense]]), "mine")
    assert type(parallel._without_ending()) is CLASSES["Parallel"]


def test_the_nearest_class_decides() -> None:
    class Derived(ln.Dropout):
        pass

    table: dict[type, str] = {ln.Dropout: "kind", Layer: "base"}
    assert entry_of(table, Derived(0.5)) == "kind"
    assert entry_of({**table, Derived: "own"}, Derived(0.5)) == "own"
    assert entry_of(table, ln.Residual([Derived(0.5)])) == "base"
    with pytest.raises(KeyError, match="Derived"):
        entry_of({ln.Residual: ""}, Derived(0.5))


# --- What outputs stand for ----------------------------------------------------------------------


class Sizes(ln.Quantities):
    def __init__(self, count: int) -> None:
        super().__init__([f"size {i}" for i in range(count)])
        object.__setattr__(self, "count", count)


class Answers(ln.Classes):
    def __init__(self) -> None:
        super().__init__(["no", "yes"])


class Tags(ln.Labels):
    def __init__(self) -> None:
        super().__init__(["warm", "wet"])


@pytest.mark.parametrize("outputs", [Sizes(2), Answers(), Tags()], ids=lambda o: type(o).__name__)
def test_outputs_keep_their_class(outputs: Any, tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(outputs))
    assert type(again) is type(outputs)
    assert again == outputs
    assert getattr(again, "count", None) == getattr(outputs, "count", None)
    net = ln.MLP.init([3, 4, 2], seed=0, outputs=outputs)
    assert pickle.loads(pickle.dumps(net)) == net
    assert type(net.astype("float64").outputs) is type(outputs)
    net.save(tmp_path / "net.safetensors")
    assert type(ln.load(tmp_path / "net.safetensors").outputs) is type(outputs).__mro__[1]
