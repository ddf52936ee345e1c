"""Activations and heads of ONNX models, whole and in parts, against ONNX Runtime."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from onnx_chains import W, X, check, double
from onnx_graphs import answer, model, node
from variants import normal, same_bits

import laminet as ln

SPELLED = {
    "gelu": [
        node("Div", "z,root", "a"), node("Erf", "a", "e"), node("Add", "e,one", "f"),
        node("Mul", "z,f", "g"), node("Mul", "g,half", "y"),
    ],
    "gelu, half first": [
        node("Mul", "z,half", "h"), node("Div", "z,root", "a"), node("Erf", "a", "e"),
        node("Add", "one,e", "f"), node("Mul", "f,h", "y"),
    ],
    "gelu_tanh": [
        node("Pow", "z,three", "c"), node("Mul", "c,k", "d"), node("Add", "z,d", "e"),
        node("Mul", "e,pi", "f"), node("Tanh", "f", "g"), node("Add", "g,one", "h"),
        node("Mul", "z,half", "i"), node("Mul", "i,h", "y"),
    ],
    "silu": [node("Sigmoid", "z", "s"), node("Mul", "s,z", "y")],
    "quick gelu": [node("Mul", "z,q", "a"), node("Sigmoid", "a", "s"), node("Mul", "z,s", "y")],
    "mish": [node("Softplus", "z", "s"), node("Tanh", "s", "t"), node("Mul", "z,t", "y")],
    "softsign": [node("Abs", "z", "a"), node("Add", "a,one", "b"), node("Div", "z,b", "y")],
    "sigmoid": [
        node("Neg", "z", "a"), node("Exp", "a", "b"), node("Add", "b,one", "c"),
        node("Reciprocal", "c", "y"),
    ],
    "hard_swish": [
        node("Add", "z,three", "a"), node("Clip", "a,zero,six", "b"), node("Mul", "z,b", "c"),
        node("Div", "c,six", "y"),
    ],
    "hard_swish of a HardSigmoid": [
        node("HardSigmoid", "z", "a", alpha=1 / 6), node("Mul", "z,a", "y"),
    ],
    "leaky_relu": [node("Mul", "z,half", "a"), node("Max", "z,a", "y")],
    "leaky_relu by Where": [
        node("Greater", "z,zero", "a"), node("Mul", "z,half", "b"), node("Where", "a,z,b", "y"),
    ],
    "clip": [node("Min", "z,one", "a"), node("Max", "a,zero", "y")],
    "clip of two": [node("Clip", "z,half,six", "y")],
    "softplus": [node("Exp", "z", "a"), node("Add", "a,one", "b"), node("Log", "b", "y")],
    "relu of tanh": [node("Tanh", "z", "a"), node("Relu", "a", "y")],
    "PRelu": [node("PRelu", "z,half", "y")],
    "Celu": [node("Celu", "z", "y", alpha=0.6)],
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLED)
@pytest.mark.parametrize("last", [True, False])
def test_activations_in_parts(name, last):
    """In float32: ONNX Runtime has no Erf in float64. Compared with the bound of both."""
    constants = {
        "w": W, "v": normal((3, 2), "f8"), "root": np.sqrt(2), "one": 1.0, "half": 0.5,
        "k": 0.044715, "three": 3.0, "pi": np.sqrt(2 / np.pi), "q": 1.702, "zero": 0.0, "six": 6.0,
    }  # fmt: skip
    nodes = [node("MatMul", "x,w", "z"), *copy.deepcopy(SPELLED[name])]
    if not last:
        nodes[-1].output[0] = "o"
        nodes.append(node("MatMul", "o,v", "y"))
    used = {i for n in nodes for i in n.input}
    arrays = {k: np.asarray(v, "f4") for k, v in constants.items() if k in used}
    proto = model(nodes, arrays, ["batch", 4])
    net = ln.from_onnx(proto)
    x = (3 * X).astype("f4")
    np.testing.assert_allclose(net(x), answer(proto, x), rtol=2e-6, atol=4e-6)
    if "gelu" in name and "quick" not in name:
        assert len(net.layers) == (1 if last else 2)
        assert same_bits(np.ascontiguousarray(net.layers[0].weight.T), arrays["w"])


SOFTMAX = {
    "Softmax": [node("Softmax", "z", "y", axis=-1)],
    "Softmax axis 1": [node("Softmax", "z", "y", axis=1)],
    "LogSoftmax": [node("LogSoftmax", "z", "y", axis=1)],
    "log of softmax": [node("Softmax", "z", "s"), node("Log", "s", "y")],
    "parts": [
        node("ReduceMax", "z", "m", axes=[-1]), node("Sub", "z,m", "d"), node("Exp", "d", "e"),
        node("ReduceSum", "e,axes", "s"), node("Div", "e,s", "y"),
    ],
    "parts without maximum": [
        node("Exp", "z", "e"), node("ReduceSum", "e,axes", "s"), node("Div", "e,s", "y"),
    ],
    "log parts": [
        node("ReduceMax", "z", "m", axes=[1]), node("Sub", "z,m", "d"), node("Exp", "d", "e"),
        node("ReduceSum", "e,axes", "s"), node("Log", "s", "l"), node("Sub", "d,l", "y"),
    ],
    "ReduceLogSumExp": [node("ReduceLogSumExp", "z", "l", axes=[1]), node("Sub", "z,l", "y")],
}  # fmt: skip


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax(name):
    nodes = [node("MatMul", "x,w", "z"), *SOFTMAX[name]]
    used = {i for n in nodes for i in n.input}
    constants = {k: v for k, v in {"w": W, "axes": np.array([1])}.items() if k in used}
    net = check(double(nodes, constants))
    assert net.head == ("log_softmax" if "og" in name else "softmax")
