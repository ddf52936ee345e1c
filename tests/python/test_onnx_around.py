"""What exporters put around a chain: several inputs and outputs, parts of them, rows of rows."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from frameworks import assert_agrees
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import answer, model, node
from variants import same_bits

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4))
W = RNG.standard_normal((4, 6))
V = RNG.standard_normal((6, 6))
B = RNG.standard_normal(6)
CONSTANTS = {
    "w": W, "v": V, "b": B, "half": 0.5, "low": -0.4, "high": 0.7, "one": [1], "zero": [0],
    "two": [2], "three": [3], "six": [6], "big": [2**63 - 1], "back": [-1], "first": 0,
    "last": [-1], "some": [4, 0, 2], "sizes": [3, 3], "parts": [1, 2, 3], "mean": X.mean(0),
    "std": X.std(0), "u": RNG.standard_normal((3, 2)), "flat": [-1], "zeros": np.zeros(6),
    "shape22": [0, 2, 2], "rows4": [-1, 4], "t": RNG.standard_normal((2, 4)), "single": 2,
    "lows": np.linspace(-1, -0.2, 6), "highs": np.linspace(0.1, 1, 6),
}  # fmt: skip


def double(nodes, outputs="y", shape=("batch", 4), inputs=(), **options):
    """A float64 model with the constants it uses; `inputs` are more inputs, by name and width."""
    used = {i for n in nodes for i in n.input} | set(outputs.split(","))
    held = {k: np.asarray(v) for k, v in CONSTANTS.items() if k in used}
    proto = model(nodes, held, list(shape), outputs, dtype="float64", **options)
    for name, width in inputs:
        info = helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["batch", width])
        proto.graph.input.append(info)
    return proto


def check(proto, x=X, index=0, **options):
    net = ln.from_onnx(proto, **options)
    expected = answer(proto, x, index)
    samples = x.reshape(-1, net.in_features)
    assert_agrees(net, samples, expected.reshape(len(samples), net.out_features), folded=True)
    return net


# --- Parts of the features ------------------------------------------------------------------------

LAYER = node("Gemm", "x,w,b", "z")
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


# --- Several inputs -------------------------------------------------------------------------------


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


# --- Constants of the batch's shape, clips, and versions ------------------------------------------

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
