"""ONNX graphs that are no chain, as trees of layers: against ONNX Runtime's answers."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from layer_trees import assert_computes
from onnx import helper, numpy_helper
from onnx_graphs import TYPES, model, node
from variants import normal

import laminet as ln

F8 = np.dtype("float64")
X = normal((9, 4), "f8", seed=7) * 2


def arrays(**shapes):
    """Random arrays, a different one for each name."""
    seeds = {name: sum(map(ord, name)) for name in shapes}
    return {name: normal(shape, "f8", seed=seeds[name]) for name, shape in shapes.items()}


CONSTANTS = {
    **arrays(w=(4, 4), v=(4, 4), b=(4,), up=(4, 8), down=(8, 4), a=(4, 3), g=(4,), h=(4,)),
    **arrays(one=(4, 1), wide=(8, 2), wide8=(8, 4), x5=(5, 4), act=(2, 4)),
    **arrays(stack1=(3, 4, 5), stackb=(3, 1, 5), stack2=(3, 5, 2)),
    **arrays(up1=(7, 8), up2=(7, 8), q1=(8, 1), q2=(8, 1)),
    "var": np.array([0.5, 1.0, 2.0, 0.3]),
    "two": np.array(2.0),
    "eps": np.array(1e-3),
    "axes": np.array([-1]),
    "low": np.array(-0.5),
    "high": np.array(0.5),
    "first": np.array([1]),
    "zero": np.array([0]),
    "four": np.array([4]),
}


def graph(nodes, outputs="y", *, inputs=None, opset=17):
    """A model of float64 of these nodes, with the constants that they name."""
    used = {name for n in nodes for name in n.input} - {name for n in nodes for name in n.output}
    constants = {name: array for name, array in CONSTANTS.items() if name in used}
    if inputs is None:
        return model(nodes, constants, ["batch", 4], outputs, opset=opset, dtype=F8)
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, TYPES[F8], ["batch", w]) for n, w in inputs],
        [helper.make_tensor_value_info(n, TYPES[F8], None) for n in outputs.split(",")],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(source, layers=None, x=X):
    session = onnxruntime.InferenceSession(
        source.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ends = np.cumsum([i.shape[1] for i in session.get_inputs()])[:-1]
    parts = np.split(x, ends, axis=1)
    given = session.run(None, {i.name: p for i, p in zip(session.get_inputs(), parts, strict=True)})
    expected = np.concatenate([np.asarray(g).reshape(len(x), -1) for g in given], axis=1)
    tree = ln.from_onnx(source)
    assert_computes(tree, x, expected, layers)
    return tree


def residual(x="x", y="y", tag=""):
    """x + relu(layer_norm(x) up) down"""
    return [
        node("LayerNormalization", f"{x},g,h", f"n{tag}", epsilon=1e-3),
        node("MatMul", f"n{tag},up", f"u{tag}"),
        node("Relu", f"u{tag}", f"r{tag}"),
        node("Gemm", f"r{tag},down,b", f"d{tag}"),
        node("Add", f"{x},d{tag}", y),
    ]


def spelled(*, opset, product=False, x="x"):
    """A layer normalisation as exporters write it."""
    axes = {"axes": [-1]} if opset < 18 else {}
    over = ",axes" if opset >= 18 else ""
    return [
        node("ReduceMean", f"{x}{over}", "mean", **axes),
        node("Sub", f"{x},mean", "d"),
        node("Mul", "d,d", "square") if product else node("Pow", "d,two", "square"),
        node("ReduceMean", f"square{over}", "variance", **axes),
        node("Add", "variance,eps", "v"),
        node("Sqrt", "v", "deviation"),
        node("Div", "d,deviation", "scaled"),
        node("Mul", "scaled,g", "weighted"),
        node("Add", "weighted,h", "y"),
    ]


def test_simba():
    nodes = [
        node("Gemm", "x,w,b", "first"),
        *residual("first", "second", "1"),
        *residual("second", "third", "2"),
        node("LayerNormalization", "third,g,h", "n"),
        node("MatMul", "n,a", "y"),
    ]
    block = "x + (norm, 4>8 relu, 8>4)"
    tree = check(graph(nodes), f"4>4, {block}, {block}, norm, 4>3")
    norm = tree.layers[1].layers[0]
    assert norm.weight.tobytes() == CONSTANTS["g"].tobytes()
    np.testing.assert_allclose(norm.eps, 1e-3, rtol=1e-7)  # a float32


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize("product", [False, True])
def test_layer_normalization_spelled_out(opset, product):
    (norm,) = check(graph(spelled(opset=opset, product=product), opset=opset), "norm").layers
    assert norm.eps == 1e-3
    assert norm.weight.tobytes() == CONSTANTS["g"].tobytes()
    assert norm.bias.tobytes() == CONSTANTS["h"].tobytes()


def test_spelled_out_after_a_layer():
    nodes = [node("Gemm", "x,w,b", "z"), node("Relu", "z", "r"), *spelled(opset=17, x="r")]
    check(graph(nodes), "4>4 relu, norm")


GRAPHS = {
    "residual": ([node("Gemm", "x,w,b", "z"), node("Add", "z,x", "y")], "x + (4>4)"),
    "difference": ([node("Gemm", "x,w,b", "z"), node("Sub", "x,z", "y")], "x + (4>4)"),
    "three": (
        [node("MatMul", "x,w", "z"), node("MatMul", "x,v", "u"), node("Sum", "z,u,x", "y")],
        "x + (sum(4>4 | 4>4))",
    ),
    "joined": (
        [node("MatMul", "x,a", "z"), node("Relu", "z", "r"), node("Concat", "x,r", "y", axis=-1)],
        "concat(x | 4>3 relu)",
    ),
    "joined and split": (
        [
            *[node("MatMul", "x,a", "z"), node("Relu", "z", "r")],
            node("Concat", "x,r", "c", axis=1),
            node("Split", "c", "p,q", axis=1, num_outputs=2),
            node("Concat", "q,p", "y", axis=1),
        ],
        None,
    ),
    "heads of one layer": (
        [node("MatMul", "x,w", "z"), node("Relu", "z", "r"), node("MatMul", "r,a", "y")],
        "4>4 relu, 4>3",
    ),
    "dueling": (
        [
            *[node("MatMul", "x,w", "z"), node("Relu", "z", "t")],
            *[node("MatMul", "t,v", "u"), node("Tanh", "u", "r"), node("MatMul", "r,one", "value")],
            *[node("MatMul", "t,w", "s"), node("Tanh", "s", "q"), node("MatMul", "q,a", "adv")],
            node("ReduceMean", "adv", "mean", axes=[1], keepdims=1),
            *[node("Add", "value,adv", "sum"), node("Sub", "sum,mean", "y")],
        ],
        "4>4 relu, sum(4>4 tanh, 4>3 | 4>4 tanh, 4>3)",
    ),
    "stacked ensemble": (
        [
            *[node("MatMul", f"x,{w}", f"z{w}") for w in "wv"],
            *[node("Tanh", f"z{w}", f"t{w}") for w in "wv"],
            *[node("Unsqueeze", f"t{w},first", f"s{w}") for w in "wv"],
            node("Concat", "sw,sv", "stack", axis=1),
            node("ReduceMean", "stack", "y", axes=[1], keepdims=0),
        ],
        "mean(4>4 tanh | 4>4 tanh)",
    ),
    "sum of a stack": (
        [
            *[node("MatMul", f"x,{w}", f"z{w}") for w in "wv"],
            *[node("Tanh", f"z{w}", f"t{w}") for w in "wv"],
            *[node("Unsqueeze", f"t{w},first", f"s{w}") for w in "wv"],
            *[node("Concat", "sw,sv", "stack", axis=1), node("ReduceSum", "stack,first", "y")],
        ],
        "sum(4>4 tanh | 4>4 tanh)",
    ),
    "sum of the features": (
        [node("MatMul", "x,a", "z"), node("ReduceSum", "z,axes", "y")],
        "4>3, 3>1",
    ),
    "stack of matrices": (
        [
            *[
                node("MatMul", "x,stack1", "z"),
                node("Add", "z,stackb", "s"),
                node("Tanh", "s", "t"),
            ],
            *[node("MatMul", "t,stack2", "u"), node("ReduceMean", "u", "y", axes=[0], keepdims=0)],
        ],
        "mean(4>5 tanh, 5>2 | 4>5 tanh, 5>2 | 4>5 tanh, 5>2)",
    ),
    "waves": (
        [node("Sin", "x", "s"), node("Cos", "x", "c"), node("Concat", "s,c", "y", axis=1)],
        "concat(sin | shift, sin)",
    ),
    "clip": (
        [node("MatMul", "x,w", "z"), node("Clip", "z,low,high", "c"), node("MatMul", "c,a", "y")],
        "4>4, low*high, 4>3",
    ),
    "slopes": ([node("MatMul", "x,w", "z"), node("PRelu", "z,g", "y")], "4>4 leaky_relu"),
    "softmax": (
        [node("MatMul", "x,w", "z"), node("Add", "z,x", "s"), node("Softmax", "s", "y")],
        "x + (4>4)",
    ),
    "batch normalisation after a sum": (
        [
            *[node("MatMul", "x,w", "z"), node("Add", "z,x", "s")],
            *[node("BatchNormalization", "s,g,h,b,var", "n"), node("Relu", "n", "y")],
        ],
        "x + (4>4), scale*shift, relu",
    ),
    "centred": (
        [
            node("MatMul", "x,w", "z"),
            node("ReduceMean", "z", "m", axes=[1]),
            node("Sub", "z,m", "y"),
        ],
        "4>4",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name):
    nodes, layers = GRAPHS[name]
    check(graph(nodes, opset=18 if name == "joined and split" else 17), layers)


def test_nerf():
    nodes = [
        *[node("MatMul", "x,w", "z1"), node("Relu", "z1", "h1")],
        node("Concat", "x,h1", "c", axis=1),
        *[node("MatMul", "c,wide8", "z2"), node("Relu", "z2", "h2")],
        node("Gemm", "h2,one", "sigma"),
        *[node("Gemm", "h2,w,b", "f"), node("Gemm", "f,a", "z3"), node("Sigmoid", "z3", "rgb")],
    ]
    tree = check(
        graph(nodes, "rgb,sigma"),
        "concat(x | 4>4 relu), 8>4 relu, concat(4>4, 4>3 sigmoid | 4>1)",
    )
    assert tree.outputs == ln.Quantities(["rgb[0]", "rgb[1]", "rgb[2]", "sigma"])


def test_twin_critics_of_two_inputs():
    """Inputs are columns of one, in the model's order, wherever they are joined."""
    nodes = []
    for w in "12":
        nodes += [
            node("Concat", "obs,action", f"c{w}", axis=1),
            node("MatMul", f"c{w},up{w}", f"z{w}"),
        ]
        nodes += [node("Relu", f"z{w}", f"r{w}"), node("MatMul", f"r{w},q{w}", f"y{w}")]
    source = graph(nodes, "y1,y2", inputs=(("obs", 5), ("action", 2)))
    branch = "7>8 relu, 8>1"
    tree = check(source, f"concat({branch} | {branch})", normal((9, 7), "f8"))
    assert tree.inputs == (("obs", 5), ("action", 2))
    assert tree.outputs == ln.Quantities(["y1", "y2"])


def test_an_input_that_tells_a_shape_alone_is_none_of_the_network():
    nodes = [
        *[node("Shape", "other", "shape"), node("Gather", "shape,zero", "count")],
        *[node("Concat", "count,four", "sizes", axis=0), node("Reshape", "x,sizes", "r")],
        node("MatMul", "r,w", "y"),
    ]
    net = ln.from_onnx(graph(nodes, ("y"), inputs=(("other", 3), ("x", 4))))
    assert (net.inputs, net.in_features) == (None, 4)


def test_outputs_with_the_numbers_of_an_exporter_have_no_names():
    nodes = [node("MatMul", "x,a", "9"), node("MatMul", "x,one", "10")]
    assert check(graph(nodes, "9,10"), "4>4").outputs == ln.Quantities()


def test_towers_of_two_inputs():
    """Each input has layers of its own before they meet."""
    nodes = [
        *[node("MatMul", "obs,x5", "z"), node("Relu", "z", "r")],
        *[node("MatMul", "action,act", "u"), node("Tanh", "u", "t")],
        *[node("Concat", "r,t", "c", axis=1), node("MatMul", "c,wide", "y")],
    ]
    source = graph(nodes, inputs=(("obs", 5), ("action", 2)))
    check(source, "concat([0:5], 5>4 relu | [5:7], 2>4 tanh), 8>2", normal((9, 7), "f8"))


def test_mean_of_several():
    """ONNX Runtime has it in float32 alone."""
    nodes = [
        *[node("MatMul", f"x,{w}", f"z{w}") for w in "wv"],
        *[node("Tanh", f"z{w}", f"t{w}") for w in "wv"],
        node("Mean", "tw,tv,x", "y"),
    ]
    expected = (np.tanh(X @ CONSTANTS["w"]) + np.tanh(X @ CONSTANTS["v"]) + X) / 3
    assert_computes(ln.from_onnx(graph(nodes)), X, expected, "mean(x | 4>4 tanh | 4>4 tanh)")


def test_rms_normalization_of_opset_23():
    if onnx.defs.onnx_opset_version() < 23:
        pytest.skip("this onnx has no RMSNormalization")
    source = graph([node("RMSNormalization", "x,g", "y", epsilon=1e-3)], opset=23)
    (norm,) = ln.from_onnx(source).layers
    eps = float(np.float32(1e-3))
    expected = X / np.sqrt((X**2).mean(axis=1, keepdims=True) + eps) * CONSTANTS["g"]
    assert_computes(ln.from_onnx(source), X, expected, "rms")
    assert norm.eps == eps


def test_skip_layer_normalization():
    nodes = [
        node("MatMul", "x,w", "z"),
        node("SkipLayerNormalization", "x,z,g,h,b", "y", domain="com.microsoft", epsilon=1e-3),
    ]
    source = graph(nodes)
    source.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    total = X + X @ CONSTANTS["w"] + CONSTANTS["b"]
    d = total - total.mean(axis=1, keepdims=True)
    eps = float(np.float32(1e-3))
    expected = d / np.sqrt((d**2).mean(axis=1, keepdims=True) + eps)
    expected = expected * CONSTANTS["g"] + CONSTANTS["h"]
    assert_computes(ln.from_onnx(source), X, expected, "x + (4>4), shift, norm")


REFUSED = {
    "gate": (
        [node("MatMul", "x,w", "z"), node("Sigmoid", "z", "s"), node("Mul", "s,x", "y")],
        "node 'y' (Mul): multiplies two different results, as a gate does",
    ),
    "minimum": (
        [node("MatMul", "x,w", "z"), node("MatMul", "x,v", "u"), node("Min", "z,u", "y")],
        "node 'y' (Min): takes the minimum of two results",
    ),
    "mean of samples": (
        [node("ReduceMean", "x", "m", axes=[0]), node("Sub", "x,m", "y")],
        "node 'm' (ReduceMean): is taken over the samples",
    ),
    "statistic": (
        [node("Mul", "x,x", "s"), node("ReduceMean", "s", "m", axes=[1]), node("Sqrt", "m", "y")],
        "the output: is given 1 t^2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    nodes, message = REFUSED[name]
    with pytest.raises(ln.FormatError, match=re.escape(message)):
        ln.from_onnx(graph(nodes))
