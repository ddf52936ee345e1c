"""What exporters put around a chain: parts of the features, and several axes of samples."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_around import CONSTANTS, LAYER, RNG, B, W, X, check, double
from onnx_graphs import node
from variants import same_bits

import laminet as ln

# --- Parts of the features ------------------------------------------------------------------------

PARTS = {
    "Split in two": [LAYER, node("Split", "z", "y,s", axis=-1)],
    "Split by sizes": [LAYER, node("Split", "z,sizes", "s,y", axis=1)],
    "the middle of three": [LAYER, node("Split", "z,parts", "r,y,s", axis=-1)],
    "brax": [
        node("Sub", "x,mean", "c"), node("Div", "c,std", "n"), node("MatMul", "n,w", "m"),
        node("Add", "m,b", "z"), node("Sigmoid", "z", "s"), node("Mul", "z,s", "h"),
        node("MatMul", "h,v", "o"), node("Split", "o", "loc,scale", axis=-1),
        node("Tanh", "loc", "y"),
    ],
    "Slice and Clip": [
        LAYER, node("Slice", "z,zero,three,one", "a"), node("Clip", "a,low,high", "y"),
    ],
    "Slice and Mul": [
        LAYER, node("Tanh", "z", "h"), node("Slice", "h,one,big,last", "a"),
        node("Mul", "a,half", "y"),
    ],
    "Slice backwards": [LAYER, node("Slice", "z,back,negative,one,back", "y")],
    "Gather": [LAYER, node("Gather", "z,some", "y", axis=1)],
    "Gather of one": [LAYER, node("Gather", "z,single", "y", axis=-1)],
    "between layers": [
        LAYER, node("Relu", "z", "h"), node("Gather", "h,some", "g", axis=1),
        node("MatMul", "g,u", "y"),
    ],
    "of the input": [node("Slice", "x,one,big,one", "a"), node("MatMul", "a,u", "y")],
    "of the input, repeated": [node("Gather", "x,four", "a", axis=1), node("MatMul", "a,u", "y")],
    "of the scaled input": [
        node("Sub", "x,mean", "n"), node("Slice", "n,zero,three,one", "a"),
        node("Relu", "a", "r"), node("MatMul", "r,u", "y"),
    ],
    "halves that meet again": [
        node("Split", "x", "a,d", axis=1), node("Concat", "d,a", "c", axis=1),
        node("MatMul", "c,w", "y"),
    ],
    "a part that is scaled": [
        node("Split", "x", "a,d", axis=1), node("Mul", "a,half", "e"),
        node("Concat", "e,d", "c", axis=1), node("Gemm", "c,w,b", "y"),
    ],
    "two heads as one": [
        LAYER, node("Tanh", "z", "h"), node("MatMul", "h,v", "p"), node("Gemm", "h,v,b", "q"),
        node("Concat", "p,q", "y", axis=-1),
    ],
    "two heads after a gate": [
        LAYER, node("Sigmoid", "z", "s"), node("Mul", "z,s", "h"), node("MatMul", "h,v", "p"),
        node("Gemm", "h,v,b", "q"), node("Concat", "p,q", "y", axis=-1),
    ],
    "Slice of a reshaped input": [
        node("Reshape", "x,shape22", "r"), node("Gather", "r,single1", "a", axis=2),
        node("Flatten", "a", "f"), node("MatMul", "f,u2", "y"),
    ],
}  # fmt: skip
MORE = {
    "negative": [-7],
    "four": [3, 3, 0],
    "single1": 1,
    "u2": RNG.standard_normal((2, 3)),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("opset", [13, 18, 21])
def test_parts_of_the_features(name, opset):
    CONSTANTS.update(MORE)
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in PARTS[name]]
    for split in nodes:
        if split.op_type == "Split" and len(split.input) == 1 and opset > 17:
            split.attribute.append(helper.make_attribute("num_outputs", len(split.output)))
    check(double(nodes, opset=opset))


def test_dropped_outputs_are_dropped_rows():
    nodes = [LAYER, node("Split", "z", "y,s", axis=-1)]
    (layer,) = ln.from_onnx(double(nodes)).layers
    assert same_bits(np.ascontiguousarray(layer.weight), np.ascontiguousarray(W.T[:3]))
    assert same_bits(np.array(layer.bias), B[:3])
    nodes = [node("Slice", "x,one,big,one", "a"), node("MatMul", "a,u", "y")]
    net = ln.from_onnx(double(nodes))
    selection, layer = net.layers
    assert net.in_features == 4
    assert selection == ln.Select(slice(1, 4))
    assert same_bits(np.ascontiguousarray(layer.weight.T), CONSTANTS["u"])


@pytest.mark.parametrize("axis", ["zero", "first"])
@pytest.mark.parametrize("batch", [1, "batch"])
def test_the_first_sample_of_one(batch, axis):
    nodes = [LAYER, node("Gather", "z," + axis, "y", axis=0)]
    proto = double(nodes, shape=(batch, 4))
    if batch == 1:
        check(proto, X[:1])
    else:
        with pytest.raises(ln.FormatError, match="picks some of the samples"):
            ln.from_onnx(proto)


# --- Several axes of samples ----------------------------------------------------------------------

DENSE = [node("MatMul", "x,w", "m"), node("Add", "m,b", "z"), node("Tanh", "z", "h")]
LAST = [node("MatMul", "h,v", "y")]
ROWS = {
    "MatMul": [*DENSE, *LAST],
    "Softmax": [*DENSE, node("MatMul", "h,v", "o"), node("Softmax", "o", "y", axis=-1)],
    "Tensordot of tf2onnx": [
        node("Shape", "x", "s"), node("Reshape", "x,rows4", "r"), node("MatMul", "r,w", "m"),
        node("Slice", "s,zero,two", "lead"), node("Concat", "lead,six", "full", axis=0),
        node("Reshape", "m,full", "z"), node("Add", "z,b", "a"), node("Relu", "a", "y"),
    ],
    "Gemm of flattened rows": [
        node("Shape", "x", "s"), node("Gather", "s,first", "n"), node("Gather", "s,single1", "t1"),
        node("Mul", "n,t1", "nt"), node("Unsqueeze", "nt,zero", "nt1"),
        node("Concat", "nt1,last", "to", axis=0), node("Reshape", "x,to", "r"),
        node("Gemm", "r,w,b", "g"), node("Unsqueeze", "n,zero", "n1"),
        node("Unsqueeze", "t1,zero", "t2"), node("Concat", "n1,t2,six", "back2", axis=0),
        node("Reshape", "g,back2", "y"),
    ],
    "Flatten": [node("Flatten", "x", "f", axis=2), node("Gemm", "f,w,b", "y")],
    "Split": [*DENSE, node("Split", "h", "y,other", axis=-1)],
    "Transpose there and back": [
        node("Transpose", "x", "q", perm=[1, 0, 2]), node("MatMul", "q,w", "m"),
        node("Transpose", "m", "y", perm=[1, 0, 2]),
    ],
    "Squeeze of the last": [*DENSE, node("MatMul", "h,v1", "o"), node("Squeeze", "o,last", "y")],
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", [("batch", "time", 4), ("batch", 5, 4), (3, 5, 4)])
def test_dense_layers_on_the_last_axis(name, shape):
    CONSTANTS.update(MORE, v1=RNG.standard_normal((6, 1)))
    check(double(ROWS[name], shape=shape), RNG.standard_normal((3, 5, 4)))


def test_four_axes():
    check(double([*DENSE, *LAST], shape=("a", 2, "c", 4)), RNG.standard_normal((3, 2, 5, 4)))


def test_features_in_two_axes_stay_one_sample():
    """Where a graph flattens the axes behind the first, they are features as before."""
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f,w", "y")]
    net = check(double(nodes, shape=("batch", 2, 2)), RNG.standard_normal((20, 2, 2)))
    assert net.in_features == 4


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("MatMul", "x,w", "m"), node("Transpose", "m", "y", perm=[1, 0, 2])], "samples"),
        ([node("MatMul", "x,w", "m"), node("Softmax", "m", "y", axis=1)], "not the features"),
        ([node("MatMul", "x,w", "m"), node("Slice", "m,zero,one,one", "y")], "some of the samples"),
        ([node("MatMul", "x,w", "m"), node("ReduceMean", "m", "y", axes=[1])], "ReduceMean"),
        ([node("MatMul", "x,w", "m"), node("Reshape", "m,flat", "y")], "mixes the samples"),
    ],
)
def test_several_axes_of_samples_that_are_mixed(nodes, message):
    with pytest.raises(ln.FormatError, match=message):
        ln.from_onnx(double(nodes, shape=("batch", 5, 4)))


@pytest.mark.parametrize("to", [[-1], [4], [1, -1], [1, 4], [-1, 4], [2, 2], [1, 2, 2]])
def test_one_sample_that_loses_its_axis_and_gets_it_again(to):
    CONSTANTS["to"] = to
    CONSTANTS["one4"] = [1, 4]
    nodes = [
        node("Reshape", "x,to", "r"),
        node("Reshape", "r,one4", "q"),
        node("MatMul", "q,w", "y"),
    ]
    check(double(nodes, shape=(1, 4)), X[:1])
