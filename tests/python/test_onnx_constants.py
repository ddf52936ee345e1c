"""Constants, clips, versions, functions and branches in ONNX models."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_around import CONSTANTS, LAYER, W, check, double
from onnx_graphs import model, node
from variants import same_bits

import laminet as ln

NUMBER = [
    node("Shape", "x", "s"), node("Gather", "s,first", "n"), node("Unsqueeze", "n,zero", "n1"),
]  # fmt: skip
FILLED = {
    "zeros added": [
        *NUMBER, node("Concat", "n1,six", "ns", axis=0), node("ConstantOfShape", "ns", "k"),
        node("Cast", "k", "kd", to=11), LAYER, node("Add", "z,kd", "y"),
    ],
    "ones of the shape of the result": [
        LAYER, node("Shape", "z", "zs"), node("ConstantOfShape", "zs", "k"),
        node("Cast", "k", "kd", to=11), node("Add", "kd,half", "h"), node("Mul", "z,h", "y"),
    ],
    "Expand of a constant": [
        LAYER, node("Shape", "z", "zs"), node("Expand", "b,zs", "k"), node("Mul", "k,z", "y"),
    ],
    "Expand of the result": [LAYER, node("Shape", "z", "zs"), node("Expand", "z,zs", "y")],
    "Expand as PyTorch writes it": [
        LAYER, node("Shape", "z", "zs"), node("Constant", "", "m1", value_ints=[-1, -1]),
        node("Equal", "zs,m1", "e"), node("Where", "e,m1,zs", "w1"), node("Expand", "b,w1", "k"),
        node("Sub", "z,k", "y"),
    ],
    "clip by tensors of the shape": [
        LAYER, node("Shape", "z", "zs"), node("Expand", "high,zs", "k"), node("Min", "z,k", "y"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FILLED)
def test_constants_of_the_shape_of_the_batch(name):
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in FILLED[name]]
    for n in nodes:
        if n.op_type == "Constant":
            n.ClearField("input")
    check(double(nodes))


CLIPS = {
    "after normalisation": [
        node("Sub", "x,mean", "c"), node("Div", "c,std", "n"), node("Clip", "n,low,high", "k"),
        node("MatMul", "k,w", "y"),
    ],
    "after a number": [node("Mul", "x,half", "n"), node("Clip", "n,low,high", "k"),
                       node("MatMul", "k,w", "y")],
    "with bounds for each feature": [
        LAYER, node("Max", "z,lows", "a"), node("Min", "a,highs", "y"),
    ],
    "from below for each feature": [LAYER, node("Max", "lows,z", "y")],
    "from above for each feature": [LAYER, node("Min", "z,highs", "y")],
    "by Where": [
        LAYER, node("Less", "z,none", "c"), node("Where", "c,none,z", "y"),
    ],
    "by Where, the other way": [
        LAYER, node("LessOrEqual", "none,z", "c"), node("Where", "c,z,none", "y"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("width", [4, None])
@pytest.mark.parametrize("name", CLIPS)
def test_clips(name, width):
    CONSTANTS["none"] = 0.0
    check(double(CLIPS[name], shape=("batch", width)))


def test_the_same_opset_twice():
    proto = double([LAYER, node("Tanh", "z", "y")])
    proto.opset_import.append(helper.make_opsetid("ai.onnx", 17))
    assert len(ln.from_onnx(proto).layers) == 1
    proto.opset_import[-1].version = 18
    with pytest.raises(ln.FormatError, match="imports 17 and 18 of the versions"):
        ln.from_onnx(proto)


def test_biases_of_zero_stay():
    for nodes, has in (
        ([node("Gemm", "x,w,zeros", "y")], True),
        ([node("Gemm", "x,w", "y")], False),
        ([node("MatMul", "x,w", "z"), node("Add", "z,zeros", "y")], True),
        ([node("MatMul", "x,w", "y")], False),
    ):
        net = check(double(nodes))
        assert (net.layers[0].bias is not None) == has


# --- Functions and branches -----------------------------------------------------------------------


def with_functions(functions, nodes, **options):
    proto = double(nodes, **options)
    proto.functions.extend(functions)
    proto.ir_version = 9
    proto.opset_import.append(helper.make_opsetid("pkg", 1))
    return proto


def function(name, inputs, outputs, nodes, attributes=()):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("pkg", 1)]
    return helper.make_function("pkg", name, inputs, outputs, nodes, imports, attributes)


def test_functions_of_the_model():
    leaky = node("LeakyRelu", "m", "o")
    attribute = leaky.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = "alpha", "slope", 1
    dense = function(
        "dense", ["i", "k", "c"], ["o"], [node("Gemm", "i,k,c", "m"), leaky], ["slope"]
    )
    block = function(
        "block", ["i", "k", "c"], ["o"],
        [node("dense", "i,k,c", "o", domain="pkg", slope=0.25)],
    )  # fmt: skip
    nodes = [
        node("block", "x,w,b", "h", domain="pkg"),
        node("dense", "h,v", "y", domain="pkg", slope=0.5),
    ]
    net = check(with_functions([dense, block], nodes))
    assert [layer.activation.alpha for layer in net.layers] == [0.25, 0.5]
    assert net.layers[1].bias is None


def test_functions_that_call_themselves():
    nodes = [node("f", "x", "y", domain="pkg")]
    circle = [function("f", ["i"], ["o"], [node("f", "i", "o", domain="pkg")])]
    with pytest.raises(ln.FormatError, match="within more than 16 functions"):
        ln.from_onnx(with_functions(circle, nodes))
    doubling = [
        function(
            f"f{i}" if i < 15 else "f", ["i"], ["o"],
            [node(f"f{i - 1}" if i else "Neg", name, to, domain="pkg" if i else "")
             for name, to in (("i", "a"), ("a", "c"), ("c", "d"), ("d", "o"))],
        )
        for i in range(16)
    ]  # fmt: skip
    with pytest.raises(ln.FormatError, match="functions with too many nodes"):
        ln.from_onnx(with_functions(doubling, nodes))


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_by_a_constant(condition):
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(operator, "z", name)], name, [],
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)],
        )
        for name, operator in (("then", "Tanh"), ("else", "Sigmoid"))
    }  # fmt: skip
    CONSTANTS["condition"] = np.array(condition)
    check(double([LAYER, node("If", "condition", "y", **branches)]))


def test_double_transposes_and_constants_first():
    nodes = [
        node("Transpose", "x", "q", perm=[1, 0]), node("MatMul", "wt", "m"),
        node("Transpose", "m", "y", perm=[1, 0]),
    ]  # fmt: skip
    nodes[1].input.append("q")
    CONSTANTS["wt"] = W.T.copy()
    check(double(nodes))


def test_bfloat16_and_float16_of_ml_dtypes():
    """A weight in 16 bits is taken over exactly, of a type that NumPy has or does not have."""
    import ml_dtypes

    for kind in (ml_dtypes.bfloat16, np.float16):
        w = W.astype(kind)
        proto = model([node("Cast", "w", "f", to=1), node("MatMul", "x,f", "y")], {}, ["batch", 4])
        proto.graph.initializer.append(numpy_helper.from_array(w, "w"))
        (layer,) = ln.from_onnx(proto).layers
        assert layer.weight.dtype == np.float32
        assert same_bits(np.ascontiguousarray(layer.weight.T), w.astype("f4"))
