"""Names of features and of inputs, and what subclasses keep of them."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from named_outputs import layers

import laminet as ln


def test_names_of_inputs_are_kept(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    net = ln.MLP(layers(), feature_names=names, inputs=[("obs", 3), ("act", 2)])
    assert net.feature_names == tuple(names)
    assert net.inputs == (("obs", 3), ("act", 2))
    assert "inputs: obs 3 + act 2" in repr(net)
    net.save(tmp_path / "net")
    plain = ln.MLP(layers())
    for again in (
        ln.load(tmp_path / "net"),
        pickle.loads(pickle.dumps(net)),
        copy.deepcopy(net),
        net.with_outputs(ln.Quantities()).with_outputs(None),
    ):
        assert again == net != plain
        assert hash(again) == hash(net)
        assert again.feature_names == net.feature_names
        assert again.inputs == net.inputs
    assert net.astype("float32").feature_names == net.feature_names
    assert net.astype("float32").inputs == net.inputs


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"feature_names": ["a"]}, ValueError, "feature_names has 1 names, the network takes 5"),
        ({"feature_names": list("aabcd")}, ValueError, "feature_names must all be different"),
        ({"feature_names": "abcde"}, TypeError, "feature_names must be a sequence of str"),
        ({"feature_names": [1, 2, 3, 4, 5]}, TypeError, "feature_names[0] must be a str, got int"),
        ({"inputs": [("a", 2), ("b", 2)]}, ValueError, "inputs have the widths [2, 2], and the"),
        ({"inputs": [("a", 5), ("b", 0)]}, ValueError, "inputs have the widths [5, 0]"),
        ({"inputs": []}, ValueError, "inputs have the widths []"),
        ({"inputs": [("a", 2), ("a", 3)]}, ValueError, "'a' comes twice"),
        ({"inputs": [("a", 2.7), ("b", 2)]}, TypeError, "inputs[0] must be an integer, got 2.7"),
        ({"inputs": [("a", "x")]}, TypeError, "the width of inputs[0] must be an integer"),
        ({"inputs": [("a", np.True_)]}, TypeError, "the width of inputs[0] must be an integer"),
        ({"inputs": [("a", 1, 2)]}, TypeError, "inputs[0] must be a name and a width"),
        ({"inputs": ["ab"]}, TypeError, "inputs[0] must be a name and a width, got 'ab'"),
        ({"inputs": 5}, TypeError, "inputs must be a sequence of names with widths, got int"),
        ({"feature_names": 5}, TypeError, "feature_names must be a sequence of str, got a int"),
    ],
)
def test_names_of_inputs_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ln.MLP(layers(), **arguments)


class Scaled(ln.MLP):
    """A user's network, which takes other arguments and has attributes of its own."""

    __slots__ = ("__dict__", "__hidden", "slot")

    def __init__(self, layers, unit):
        super().__init__(layers)
        self.unit = unit
        self.slot = [unit]
        self.__hidden = unit * 2

    def hidden(self):
        return self.__hidden


def test_a_subclass_keeps_its_class_and_attributes():
    net = Scaled(layers(), "m")
    with_classes = net.with_outputs(ln.Classes([1, 2, 3]))
    for again in (
        pickle.loads(pickle.dumps(net)),
        copy.copy(net),
        copy.deepcopy(net),
        net.astype("float32"),
        with_classes,
        pickle.loads(pickle.dumps(with_classes)),
    ):
        assert type(again) is Scaled
        assert (again.unit, again.slot, again.hidden()) == ("m", ["m"], "mm")
    assert with_classes.outputs == ln.Classes([1, 2, 3])
    copied = copy.copy(net)
    copied.unit = "cm"
    assert net.unit == "m"
    assert copied == net
    assert repr(net).startswith("Scaled(5 -> 7")
    assert ln.MLP(layers()) != net


def test_init_takes_what_mlp_takes():
    outputs = ln.Classes(["no", "yes"])
    net = ln.MLP.init([3, 2], head="softmax", outputs=outputs, feature_names=["a", "b", "c"])
    assert (net.head, net.outputs, net.feature_names) == ("softmax", outputs, ("a", "b", "c"))
