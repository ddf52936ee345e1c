"""ONNX models that are refused, and in which words."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_chains import SQUARE, B, W, double
from onnx_graphs import node
from variants import normal

import laminet as ln

V = normal((3, 3), "f8")
REFUSED = {
    "two branches": (
        [node("MatMul", "x,w", "a"), node("MatMul", "x,w", "d"), node("Mul", "a,d", "y")],
        "node 'y' (Mul): multiplies two different results, as a gate does, which no layer of",
    ),
    "another operator": (
        [node("MatMul", "x,w", "z"), node("LpNormalization", "z", "y")],
        "node 'y' (LpNormalization): takes a statistic of each sample",
    ),
    "another domain": (
        [node("Relu", "x", "y", domain="com.example")],
        "the operator of 'com.example' is none",
    ),
    "no activation": (
        [node("MatMul", "x,w", "z"), node("Sigmoid", "z", "a"), node("Sigmoid", "a", "d"),
         node("Mul", "z,d", "y")],
        "which is no activation that laminet has",
    ),
    "gelu with another constant": (
        [node("MatMul", "x,w", "z"), node("Mul", "z,point", "a"), node("Erf", "a", "e"),
         node("Add", "e,two", "f"), node("Mul", "z,f", "y")],
        "which is no activation that laminet has",
    ),
    "softmax inside": (
        [node("Softmax", "x", "z"), node("MatMul", "z,w", "y")],
        "node 'y' (MatMul): comes after a softmax",
    ),
    "softmax of the batch": ([node("Softmax", "x", "y", axis=0)], "goes over the axes [0]"),
    "samples as columns": ([node("MatMul", "w,x", "y")], "that sums over the samples"),
    "transA": ([node("Gemm", "x,w,b", "y", transA=1)], "sums over the samples"),
    "left in columns": (
        [node("MatMul", "x,w", "z"), node("Transpose", "z", "y")],
        "has the samples in its columns",
    ),
    "a sum over samples": ([node("ReduceSum", "x,zero", "y")], "is taken over the samples"),
    "a wrong matrix": ([node("MatMul", "x,v", "y")], "does not take 4 features"),
    "a wrong bias": ([node("Gemm", "x,w,s", "y")], "does not fit (batch, 3)"),
    "a constant that widens": (
        [node("MatMul", "x,n", "z"), node("Add", "z,b", "y")],
        "does not fit (batch, 1)",
    ),
    "a uniform constant that widens": (
        [node("MatMul", "x,n", "z"), node("Add", "z,ones", "y")],
        "does not fit (batch, 1)",
    ),
    "celu by 0": ([node("Celu", "x", "y", alpha=0.0)], "(Celu): has an alpha of 0; laminet's elu"),
    "celu below 0": ([node("Celu", "x", "y", alpha=-1.0)], "(Celu): has an alpha of -1; laminet"),
    "an unknown attribute": ([node("Relu", "x", "y", alpha=3.0)], "has the attribute alpha"),
    "an attribute of another type": ([node("Gemm", "x,w", "y", alpha=3)], "alpha is no float"),
    "flattened batch": ([node("Flatten", "x", "y", axis=0)], "flattens the samples"),
    "reshaped batch": ([node("Reshape", "x,flat", "y")], "which mixes the samples"),
    "slopes for more features": ([node("PRelu", "x,five", "y")], "does not fit (batch, 4)"),
    "an undefined name": ([node("MatMul", "x,nothing", "y")], "'nothing' is used before"),
    "a cycle": ([node("Add", "x,b1", "a"), node("Relu", "y", "b1"), node("Relu", "a", "y")],
                "is used before a node gives it"),
    "a name given twice": ([node("Relu", "x", "y"), node("Tanh", "x", "y")], "two nodes give 'y'"),
    "training": (
        [node("BatchNormalization", "x,c,c,c,c", "y", training_mode=1)], "is in training mode",
    ),
    "cast to integers": ([node("Cast", "x", "y", to=7)], "casts to type 7"),
    "labels alone": ([node("ArgMax", "x", "y", axis=1)], "gives labels only"),
    "nothing": ([node("Identity", "w", "y")], "output 'y' is no result of a network"),
    "a huge constant": (
        [node("ConstantOfShape", "big", "k"), node("Add", "x,k", "y")], "makes a constant of shape",
    ),
    "an outer product": (
        [node("Mul", "col,row", "k"), node("Add", "x,k", "y")], "makes a constant",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    nodes, message = REFUSED[name]
    constants = {
        "w": W, "s": SQUARE, "b": B, "v": V, "n": W[:, :1], "c": np.arange(1.0, 5), "zero": [0],
        "five": np.arange(5.0), "point": 0.6, "two": 2.0, "ones": np.ones(5), "flat": [-1],
        "big": [10**6, 10**6],
        "col": np.ones((10**4, 1)), "row": np.ones((1, 10**4)),
    }  # fmt: skip
    used = {i for n in nodes for i in n.input}
    proto = double(nodes, {k: v for k, v in constants.items() if k in used})
    with pytest.raises(ln.FormatError) as caught:
        ln.from_onnx(proto)
    assert message in str(caught.value)


@pytest.mark.parametrize("opset", [1, 6, 999])
def test_other_opsets_are_refused(opset):
    proto = double([node("MatMul", "x,w", "y")], {"w": W})
    proto.opset_import[0].version = opset
    with pytest.raises(ln.FormatError, match=f"opset {opset}: 7 to"):
        ln.from_onnx(proto)


def test_widths_that_no_weight_confirms():
    """A graph can claim any size: nothing is allocated for it."""
    for shape in (["batch", 10**15], ["batch", 10**9, 10**6]):
        proto = double([node("Mul", "x,c", "z"), node("Relu", "z", "y")], {"c": 2.0}, shape)
        with pytest.raises(ln.FormatError):
            ln.from_onnx(proto)
    proto = double([node("MatMul", "x,w", "y")], {"w": W}, ["batch", 10**15])
    with pytest.raises(ln.FormatError, match="does not take 1000000000000000 features"):
        ln.from_onnx(proto)
