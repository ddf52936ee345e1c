"""from_onnx against ONNX Runtime: every attribute and layout of a chain."""

from __future__ import annotations

import numpy as np
import pytest
from frameworks import assert_agrees
from onnx import helper, numpy_helper
from onnx_chains import RNG, SQUARE, B, W, X, check, double
from onnx_graphs import answer, model, node
from variants import normal, same_bits

import laminet as ln

GEMM = {
    "alpha": {"alpha": 0.3},
    "beta": {"beta": 0.7},
    "beta 0": {"beta": 0.0},
    "negative": {"alpha": -2.0, "beta": -0.5},
    "transB": {"transB": 1},
    "all": {"alpha": 0.25, "beta": 1.5, "transB": 1},
}
BIASES = {
    "none": None,
    "scalar": np.array(0.5),
    "one": np.array([0.5]),
    "row": B,
    "row matrix": B[None, :],
    "one row of one": np.array([[0.5]]),
}


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("attributes", GEMM)
def test_gemm(attributes, bias):
    options, c = GEMM[attributes], BIASES[bias]
    weight = W.T.copy() if options.get("transB") else W
    constants = {"w": weight} | ({} if c is None else {"c": c})
    gemm = node("Gemm", "x,w" + ("" if c is None else ",c"), "y", **options)
    check(double([gemm], constants))


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm_of_a_square_after_two_transposes(trans_b, beta):
    """A square hides a transpose that is left out or made twice."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0]),
        node("Gemm", "t,w,c", "y", transA=1, transB=trans_b, beta=beta),
    ]
    check(double(nodes, {"w": SQUARE, "c": SQUARE[0]}))


@pytest.mark.parametrize("perm", [[0, 1], [1, 0], None])
def test_transpose_of_a_square_weight(perm):
    """The identity perm is not folded as a real one."""
    options = {} if perm is None else {"perm": perm}
    nodes = [node("Transpose", "w", "t", **options), node("MatMul", "x,t", "y")]
    check(double(nodes, {"w": SQUARE}))


def test_samples_as_columns_within_the_graph():
    nodes = [
        node("Transpose", "x", "t"),
        node("MatMul", "w,t", "z"),
        node("Add", "z,b", "a"),
        node("Tanh", "a", "h"),
        node("MatMul", "v,h", "o"),
        node("Transpose", "o", "y"),
    ]
    check(double(nodes, {"w": W.T.copy(), "b": B[:, None], "v": normal((2, 3), "f8")}))


@pytest.mark.parametrize("order", ["z,b", "b,z"])
@pytest.mark.parametrize("b", [B, B[None], np.array(0.3), np.array([[0.3]])], ids=np.shape)
def test_matmul_and_add(order, b):
    check(double([node("MatMul", "x,w", "z"), node("Add", order, "y")], {"w": W, "b": b}))


def test_float32_weights_keep_their_bits():
    w, b = W.astype("f4"), B.astype("f4")
    nodes = [node("MatMul", "x,w", "z"), node("Add", "z,b", "a"), node("Relu", "a", "y")]
    net = ln.from_onnx(model(nodes, {"w": w, "b": b}, ["batch", 4]))
    assert net.dtype == np.float32
    assert same_bits(np.ascontiguousarray(net.layers[0].weight), np.ascontiguousarray(w.T))
    assert same_bits(np.array(net.layers[0].bias), b)


def test_arithmetic_with_constants():
    c, d = RNG.random(4) + 0.5, RNG.standard_normal(3)
    nodes = [
        node("Sub", "x,c", "n"),
        node("Div", "n,c", "s"),
        node("MatMul", "s,w", "z"),
        node("Mul", "d,z", "m"),
        node("Sub", "d,m", "r"),
        node("Relu", "r", "h"),
        node("Neg", "h", "i"),
        node("Div", "i,two", "y"),
    ]
    check(double(nodes, {"c": c, "d": d, "w": W, "two": np.array(2.0)}))


@pytest.mark.parametrize("first", [True, False])
def test_batch_normalization(first):
    n = 4 if first else 3
    constants = {k: RNG.random(n) + 0.5 for k in ("s", "b", "m", "v")} | {"w": W}
    norm = node("BatchNormalization", ("x" if first else "z") + ",s,b,m,v", "n", epsilon=0.01)
    matmul = node("MatMul", ("n" if first else "x") + ",w", "z")
    nodes = [*([norm, matmul] if first else [matmul, norm])]
    nodes.append(node("Tanh", "z" if first else "n", "y"))
    check(double(nodes, constants))


PASSING = {
    "Identity": [node("Identity", "x", "p")],
    "Dropout": [node("Dropout", "x", "p")],
    "Flatten": [node("Flatten", "x", "p")],
    "Flatten axis -1": [node("Flatten", "x", "p", axis=-1)],
    "Cast": [node("Cast", "x", "p", to=1)],
    "two transposes": [node("Transpose", "x", "q"), node("Transpose", "q", "p")],
    "Unsqueeze, Squeeze": [node("Unsqueeze", "x,one", "q"), node("Squeeze", "q,one", "p")],
    "Reshape": [node("Reshape", "x,keep", "p")],
    "Reshape with -1": [node("Reshape", "x,rest", "p")],
    "Reshape with 0": [node("Reshape", "x,copy", "p")],
    "Reshape by Shape": [
        node("Shape", "x", "s"),
        node("Gather", "s,zero", "n"),
        node("Unsqueeze", "n,zero1", "n1"),
        node("Concat", "n1,minus", "t", axis=0),
        node("Reshape", "x,t", "p"),
    ],
}


@pytest.mark.parametrize("name", PASSING)
def test_nodes_that_compute_nothing(name):
    constants = {
        "w": W,
        "one": np.array([1]),
        "zero": np.array(0),
        "zero1": np.array([0]),
        "minus": np.array([-1]),
        "keep": np.array([-1, 4]),
        "rest": np.array([0, -1]),
        "copy": np.array([0, 0]),
    }
    used = {i for n in PASSING[name] for i in n.input} | {"w"}
    nodes = [*PASSING[name], node("Cast", "p", "d", to=11), node("MatMul", "d,w", "y")]
    proto = double(nodes, {k: v for k, v in constants.items() if k in used})
    if name == "Cast":  # to float32, in which ONNX Runtime then rounds, and the network does not
        net = ln.from_onnx(proto)
        np.testing.assert_allclose(net(X), answer(proto, X), rtol=1e-5, atol=1e-5)
    else:
        check(proto)


@pytest.mark.parametrize("perm", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]])
def test_features_in_two_axes(perm):
    """Wherever the samples go on the way, each weight meets its own feature."""
    back = [int(i) for i in np.argsort(perm)]
    swapped = [back, [back[0], back[2], back[1]]]
    x = RNG.standard_normal((20, 2, 2))
    for final in swapped:
        nodes = [
            node("Transpose", "x", "t", perm=perm),
            node("Transpose", "t", "u", perm=final),
            node("Flatten", "u", "f"),
            node("MatMul", "f,w", "y"),
        ]
        check(double(nodes, {"w": W}, ("batch", 2, 2)), x)


def test_outputs_in_another_order():
    x = RNG.standard_normal((20, 2, 3))
    nodes = [
        node("Mul", "x,s", "m"),
        node("Transpose", "m", "t", perm=[0, 2, 1]),
        node("Relu", "t", "y"),
    ]
    check(double(nodes, {"s": RNG.standard_normal((2, 3))}, ("batch", 2, 3)), x)
    nodes = [
        node("MatMul", "x,w", "z"),
        node("Tanh", "z", "h"),
        node("Reshape", "h,shape", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1]),
        node("Mul", "t,s", "y"),
    ]
    constants = {"w": normal((4, 6), "f8"), "shape": np.array([-1, 2, 3])}
    check(double(nodes, constants | {"s": RNG.standard_normal((3, 2))}))


@pytest.mark.parametrize("shape", [("batch", 4), (20, 4), (None, None), None, (20, None)])
def test_shapes_of_the_input(shape):
    nodes = [node("Relu", "x", "r"), node("MatMul", "r,w", "y")]
    if shape is not None and shape[1] is None:
        nodes = nodes[1:]
        nodes[0].input[0] = "x"
    proto = double(nodes, {"w": W}, shape) if shape else double(nodes, {"w": W})
    if shape is None:
        proto.graph.input[0].type.tensor_type.ClearField("shape")
        proto.graph.node[0].CopyFrom(node("Identity", "x", "r"))
    check(proto)


def test_one_sample_without_an_axis_for_samples():
    nodes = [node("MatMul", "x,w", "z"), node("Add", "z,b", "a"), node("Tanh", "a", "y")]
    check(double(nodes, {"w": W, "b": B}, (4,)), X[0])
    check(double([node("MatMul", "w,x", "y")], {"w": W.T.copy()}, (4,)), X[0])


def test_a_matrix_that_repeats_its_row():
    c = np.broadcast_to(B, (20, 3)).copy()
    check(double([node("Gemm", "x,w,c", "y")], {"w": W, "c": c}, (20, 4)))


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_opsets(opset):
    clip = {"min": -0.5, "max": 0.5} if opset < 11 else {}
    nodes = [
        node("Gemm", "x,w,b", "z", **({} if opset > 10 else {"beta": 1.0})),
        node("Clip", "z" if clip else "z,low,high", "c", **clip),
        node("Softmax", "c", "y", **({} if opset > 12 else {"axis": 1})),
    ]
    constants = {"w": W, "b": B}
    if not clip:
        constants |= {"low": np.array(-0.5), "high": np.array(0.5)}
    if opset < 12:  # ONNX Runtime has no Clip in float64 there
        constants = {k: v.astype("f4") for k, v in constants.items()}
        proto = model(nodes, constants, ["batch", 4], opset=opset)
        x = X.astype("f4")
        np.testing.assert_allclose(ln.from_onnx(proto)(x), answer(proto, x), rtol=1e-5)
    else:
        check(double(nodes, constants, opset=opset))


def test_half_precision_weights():
    w = W.astype("f2")
    nodes = [node("Cast", "w", "v", to=1), node("MatMul", "x,v", "y")]
    net = ln.from_onnx(model(nodes, {"w": w}, ["batch", 4]))
    assert same_bits(np.ascontiguousarray(net.layers[0].weight.T), w.astype("f4"))
    bits = (W.astype("f4").view(np.uint32) >> 16).astype(np.uint16)
    proto = model([node("MatMul", "x,w", "y")], {"w": w}, ["batch", 4], dtype="float16")
    for raw in (True, False):
        tensor = proto.graph.initializer[0]
        tensor.Clear()
        tensor.name, tensor.data_type = "w", 16
        tensor.dims.extend([4, 3])
        if raw:
            tensor.raw_data = bits.tobytes()
        else:
            tensor.int32_data.extend(int(b) for b in bits.ravel())
        expected = (W.astype("f4").view(np.uint32) & 0xFFFF0000).view("f4")
        got = ln.from_onnx(proto).layers[0].weight.T
        assert same_bits(np.ascontiguousarray(got), expected)


def test_initializers_that_are_inputs_too_and_are_shared():
    nodes = [node("Gemm", "x,w,b", "z"), node("Tanh", "z", "h"), node("Gemm", "h,w,b", "y")]
    proto = double(nodes, {"w": SQUARE, "b": SQUARE[1]})
    for name, array in (("w", SQUARE), ("b", SQUARE[1])):
        proto.graph.input.append(helper.make_tensor_value_info(name, 11, array.shape))
    assert len(check(proto).layers) == 2


def test_constants_in_nodes():
    nodes = [
        node("Constant", "", "w", value=numpy_helper.from_array(W)),
        node("Constant", "", "h", value=numpy_helper.from_array(np.array(0.5))),
        node("Sqrt", "h", "r"),
        node("Mul", "w,r", "v"),
        node("MatMul", "x,v", "y"),
    ]
    for n in nodes[:2]:
        n.ClearField("input")
    check(double(nodes, {}))


def test_nodes_that_the_output_does_not_need():
    nodes = [node("MatMul", "x,w", "y"), node("Floor", "y", "other")]
    check(double(nodes, {"w": W}))


def test_two_outputs():
    nodes = [node("MatMul", "x,w", "z"), node("Tanh", "z", "y")]
    proto = double(nodes, {"w": W}, outputs="y,z")
    both = ln.from_onnx(proto)
    assert both.outputs == ln.Quantities(["y[0]", "y[1]", "y[2]", "z[0]", "z[1]", "z[2]"])
    sides = np.concatenate([answer(proto, X, index) for index in range(2)], axis=1)
    assert_agrees(both, X, sides, folded=True)
    for index, name in enumerate(("y", "z")):
        net = ln.from_onnx(proto, output=name)
        assert_agrees(net, X, answer(proto, X, index), folded=True)
    with pytest.raises(ValueError, match="output must be one of y, z; got 'a'"):
        ln.from_onnx(proto, output="a")


def test_dtype_of_choice():
    proto = model([node("MatMul", "x,w", "y")], {"w": W.astype("f4")}, ["batch", 4])
    wide = ln.from_onnx(proto, dtype="float64")
    assert wide.dtype == np.float64
    assert wide.astype("float32") == ln.from_onnx(proto)
