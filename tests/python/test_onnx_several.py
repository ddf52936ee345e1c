"""ONNX models of several inputs and several outputs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from frameworks import assert_agrees
from onnx_around import CONSTANTS, LAYER, RNG, B, W, X, check, double
from onnx_graphs import node

import laminet as ln


@pytest.mark.parametrize("order", ["x,x2", "x2,x", "x,x2,x", "x2,x3,x"])
def test_inputs_that_are_joined_first(order):
    widths = {"x": 4, "x2": 3, "x3": 2}
    names = order.split(",")
    total = sum(widths[name] for name in names)
    w = RNG.standard_normal((total, 2))
    nodes = [
        node("Concat", order, "c", axis=-1),
        node("MatMul", "c,w2", "z"),
        node("Tanh", "z", "y"),
    ]
    CONSTANTS["w2"] = w
    more = [(n, widths[n]) for n in ("x2", "x3") if n in names]
    proto = double(nodes, inputs=more)
    net = ln.from_onnx(proto)
    distinct = [n for n in ("x", "x2", "x3") if n in names]  # as the model has them
    assert net.inputs == tuple((n, widths[n]) for n in distinct)
    assert all(repr(n) in repr(net) or n in repr(net) for n in distinct)
    given = {n: RNG.standard_normal((9, widths[n])) for n in distinct}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (expected,) = session.run(None, given)
    assert_agrees(net, np.concatenate([given[n] for n in distinct], 1), expected, folded=True)


def test_inputs_that_are_normalised_and_joined():
    nodes = [
        node("Sub", "x,mean", "n"), node("Flatten", "x2", "f"), node("Mul", "f,half", "g"),
        node("Concat", "n,g", "c", axis=1), node("MatMul", "c,w7", "y"),
    ]  # fmt: skip
    CONSTANTS["w7"] = RNG.standard_normal((7, 2))
    proto = double(nodes, inputs=[("x2", 3)])
    net = ln.from_onnx(proto)
    assert net.inputs == (("x", 4), ("x2", 3))
    given = {"x": X, "x2": RNG.standard_normal((20, 3))}
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)
    assert_agrees(net, np.concatenate([X, given["x2"]], 1), expected, folded=True)


INPUTS_REFUSED = {
    "multiplied": (
        [node("Mul", "x,x2", "a"), node("MatMul", "a,w", "y")], "multiplies two different results",
    ),
    "of unknown width, after a layer": (
        [node("MatMul", "x,w", "a"), node("MatMul", "x3,w", "d"), node("Add", "a,d", "y")],
        "results of different inputs",
    ),
    "of unknown width": (
        [node("Concat", "x,x3", "c", axis=1), node("MatMul", "c,w8", "y")], "unknown, or too many",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS_REFUSED)
def test_inputs_that_are_refused(name):
    nodes, message = INPUTS_REFUSED[name]
    CONSTANTS["w8"] = RNG.standard_normal((8, 2))
    with pytest.raises(ln.FormatError, match=message):
        ln.from_onnx(double(nodes, inputs=[("x2", 4), ("x3", "any")]))


INPUTS_THAT_MEET = {
    "added": ([node("Add", "x,x2", "a"), node("MatMul", "a,w", "y")]),
    "after a layer": [node("MatMul", "x,w", "a"), node("Concat", "a,x2", "y", axis=1)],
    "after a layer each": [
        node("MatMul", "x2,w", "a"), node("MatMul", "x,w", "d"), node("Add", "a,d", "y"),
    ],
    "used again": [
        node("Concat", "x2,x", "c", axis=1), node("MatMul", "c,w8", "z"),
        node("Concat", "z,x2", "y", axis=1),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS_THAT_MEET)
def test_inputs_that_meet_anywhere(name):
    """They are columns of one, in the model's order; one that is not used may have any width."""
    CONSTANTS["w8"] = RNG.standard_normal((8, 2))
    proto = double(INPUTS_THAT_MEET[name], inputs=[("x2", 4), ("x3", "any")])
    net = ln.from_onnx(proto)
    assert net.inputs == (("x", 4), ("x2", 4))
    given = {"x": X, "x2": RNG.standard_normal((20, 4)), "x3": np.zeros((20, 1))}
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)
    assert_agrees(net, np.concatenate([X, given["x2"]], 1), expected, folded=True)


def test_a_part_of_an_input_that_is_joined():
    nodes = [
        node("Gather", "x2,some3", "g", axis=1), node("Concat", "x,g", "c", axis=1),
        node("MatMul", "c,w6", "y"),
    ]  # fmt: skip
    CONSTANTS.update(some3=[2, 0], w6=RNG.standard_normal((6, 2)))
    proto = double(nodes, inputs=[("x2", 3)])
    net = ln.from_onnx(proto)
    assert net.inputs == (("x", 4), ("x2", 3))
    given = {"x": X, "x2": RNG.standard_normal((20, 3))}
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)
    assert_agrees(net, np.concatenate([X, given["x2"]], 1), expected, folded=True)


def test_samples_and_features_that_are_mixed():
    """A square batch would hide it: rows beside columns, and columns that become rows."""
    turned = node("Transpose", "x", "q", perm=[1, 0])
    nodes = [turned, node("Concat", "x,q", "c", axis=1), node("MatMul", "c,w8", "y")]
    CONSTANTS["w8"] = RNG.standard_normal((8, 2))
    with pytest.raises(ln.FormatError, match="joins values of different axes of samples"):
        ln.from_onnx(double(nodes, shape=(4, 4)))
    nodes = [turned, node("Reshape", "q,rows4", "r"), node("MatMul", "r,w", "y")]
    for shape in (("batch", 4), ("batch", None), (4, 4)):
        with pytest.raises(ln.FormatError, match="moves features past the samples"):
            ln.from_onnx(double(nodes, shape=shape))


def test_inputs_beside_that_are_not_used():
    proto = double([LAYER, node("Tanh", "z", "y")], inputs=[("action_masks", 3)])
    net = ln.from_onnx(proto)
    assert net.inputs is None
    assert net.in_features == 4


# --- Several outputs ------------------------------------------------------------------------------


def test_what_is_beside_the_network():
    """As ML-Agents has it: constants, shapes, an input passed on; the network is the one left."""
    nodes = [
        node("Concat", "x", "c", axis=-1), node("Gemm", "c,w,b", "z"), node("Tanh", "z", "y"),
        node("Identity", "x", "observation"), node("Constant", "", "memory_size", value_float=0.0),
        node("Identity", "three", "version_number"), node("Shape", "z", "shape"),
        node("ConstantOfShape", "shape", "filled"),
    ]  # fmt: skip
    nodes[4].ClearField("input")
    names = "version_number,memory_size,observation,y,shape,filled,six"
    proto = double(nodes, names)
    for index, kind in ((0, 7), (1, 1), (4, 7), (5, 1), (6, 7)):
        proto.graph.output[index].type.tensor_type.elem_type = kind
    check(proto, index=3)
    for name in ("version_number", "memory_size", "filled"):
        with pytest.raises(ln.FormatError, match=f"output '{name}': it is a constant; from_onnx"):
            ln.from_onnx(proto, output=name)


@pytest.mark.parametrize("names", ["random,y", "y,random"])
def test_random_outputs_beside(names):
    nodes = [
        LAYER, node("Tanh", "z", "y"), node("RandomNormalLike", "z", "e"),
        node("Add", "z,e", "random"),
    ]  # fmt: skip
    proto = double(nodes, names)
    with pytest.raises(ln.FormatError) as caught:
        ln.from_onnx(proto)
    message = str(caught.value)
    assert "output 'random': node 'e' (RandomNormalLike): draws random numbers" in message
    assert message.endswith("from_onnx(model, output='y') reads what is a network")
    net = ln.from_onnx(proto, output="y")
    np.testing.assert_allclose(net(X), np.tanh(X @ W + B), rtol=1e-12)


def test_values_within_the_graph_by_name():
    nodes = [LAYER, node("Tanh", "z", "h"), node("ReduceL2", "h", "y")]
    proto = double(nodes)
    with pytest.raises(
        ln.FormatError, match=r"from_onnx\(model, output='h'\) reads the network be"
    ):
        ln.from_onnx(proto)
    np.testing.assert_allclose(ln.from_onnx(proto, output="h")(X), np.tanh(X @ W + B), rtol=1e-12)
    with pytest.raises(ValueError, match="output must be one of y; got 'nothing'"):
        ln.from_onnx(proto, output="nothing")
    with pytest.raises(TypeError, match="output must be a str, got int"):
        ln.from_onnx(proto, output=0)


def test_one_result_under_two_names():
    nodes = [LAYER, node("Tanh", "z", "y"), node("Identity", "y", "action")]
    check(double(nodes, "y,action"))
    nodes[-1] = node("Softmax", "y", "action")
    with pytest.raises(ln.FormatError, match="outputs y, action, and a softmax or labels over"):
        ln.from_onnx(double(nodes, "y,action"))


def test_labels_of_another_chain():
    """Labels of one head do not become those of another."""
    tail = [node("ArgMax", "q", "i", axis=1, keepdims=0), node("Gather", "names", "label")]
    tail[1].input.append("i")
    CONSTANTS["names"] = np.arange(6) + 10
    heads = [LAYER, node("MatMul", "x,w", "y"), node("Softmax", "z", "q")]
    proto = double([*heads, *tail], "y,label")
    proto.graph.output[1].type.tensor_type.elem_type = 7
    with pytest.raises(ln.FormatError, match="labels are of other results than its output"):
        ln.from_onnx(proto)
    assert ln.from_onnx(proto, output="y").outputs is None
    assert ln.from_onnx(proto, output="q").outputs == ln.Classes(CONSTANTS["names"])
    proto.graph.output[0].name = "q"
    assert ln.from_onnx(proto).outputs == ln.Classes(CONSTANTS["names"])


def test_outputs_of_choice():
    proto = double([LAYER, node("Softmax", "z", "y")])
    assert ln.from_onnx(proto).outputs is None
    letters = ln.Classes(list("abcdef"))
    assert ln.from_onnx(proto, outputs=letters).outputs == letters
    with pytest.raises(ValueError, match="2 labels"):
        ln.from_onnx(proto, outputs=ln.Classes(["a", "b"]))
    with pytest.raises(TypeError, match="outputs"):
        ln.from_onnx(proto, outputs=["a"])
