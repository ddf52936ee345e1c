"""from_onnx against ONNX Runtime: every attribute and layout of a chain, and what is refused."""

from __future__ import annotations

import copy
import os
import re

import numpy as np
import onnx
import pytest
from frameworks import assert_agrees
from onnx import helper, numpy_helper
from onnx_graphs import answer, model, node
from variants import normal, same_bits

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4))
W = RNG.standard_normal((4, 3))  # (in, out), as MatMul takes it
SQUARE = RNG.standard_normal((4, 4))
B = RNG.standard_normal(3)


def check(proto, x=X, *, shape=None, **options):
    """Compare in float64; a float32 model is compared with the float64 weights it has."""
    net = ln.from_onnx(proto, **options)
    expected = answer(proto, x)
    samples = x.reshape(len(x), -1) if x.ndim > 1 else x
    assert_agrees(net, samples, expected.reshape(net(samples).shape), folded=True)
    return net


def double(nodes, constants, shape=("batch", 4), **options):
    arrays = {k: np.asarray(v) for k, v in constants.items()}
    return model(nodes, arrays, shape, dtype="float64", **options)


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


# --- Where a model comes from ---------------------------------------------------------------------


def test_paths_bytes_and_models(tmp_path):
    proto = model([node("MatMul", "x,w", "y")], {"w": W.astype("f4")}, ["batch", 4])
    onnx.save(proto, tmp_path / "net.onnx")
    net = ln.from_onnx(proto)
    for source in (tmp_path / "net.onnx", str(tmp_path / "net.onnx"), proto.SerializeToString()):
        assert ln.from_onnx(source) == net
    with pytest.raises(
        TypeError, match=r"model must be a path, bytes or an onnx.ModelProto, got i"
    ):
        ln.from_onnx(3)
    with pytest.raises(FileNotFoundError):
        ln.from_onnx(tmp_path / "none.onnx")


@pytest.fixture
def external(tmp_path):
    """A model whose weight is in another file of its folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    w = W.astype("f4")
    proto = model([node("MatMul", "x,w", "y")], {"w": w}, ["batch", 4])
    onnx.save(
        proto, folder / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (tmp_path / "outside.bin").write_bytes(w.tobytes())
    return folder


def located(folder, **entries):
    proto = onnx.load(folder / "net.onnx", load_external_data=False)
    tensor = proto.graph.initializer[0]
    known = {e.key: e.value for e in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in known.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    return folder / "net.onnx"


def test_external_data(external, monkeypatch):
    expected = np.ascontiguousarray(W.astype("f4").T)
    assert same_bits(np.array(ln.from_onnx(external / "net.onnx").layers[0].weight), expected)
    monkeypatch.chdir(external)
    assert same_bits(np.array(ln.from_onnx("net.onnx").layers[0].weight), expected)
    assert ln.from_onnx(located(external, length=None)).sizes == (4, 3)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../outside.bin"}, "outside the model's folder"),
        ({"location": "link.bin"}, "outside the model's folder"),
        ({"location": "{absolute}"}, "outside the model's folder"),
        ({"location": ""}, "outside the model's folder"),
        ({"location": "."}, "not a regular file"),
        ({"location": "pipe"}, "not a regular file"),
        ({"location": "none.bin"}, "No such file"),
        ({"location": "a" * 5000}, "File name too long"),
        ({"length": "47"}, "has 47 bytes, and its shape takes 48"),
        ({"length": "-1"}, "is '-1', not a number"),
        ({"offset": "4"}, "ends at byte 52 of 'w.bin', which has 48"),
        ({"offset": "9" * 40}, "not a number"),
        ({"offset": "999999999999999999"}, "ends at byte"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_external_data_that_is_refused(external, entries, message):
    (external / "link.bin").symlink_to(external.parent / "outside.bin")
    os.mkfifo(external / "pipe")
    absolute = str(external / "w.bin")
    path = located(external, **{k: v.format(absolute=absolute) for k, v in entries.items()})
    with pytest.raises(ln.FormatError, match=re.escape(message)):
        ln.from_onnx(path)


def test_external_data_of_a_model_in_no_file(external):
    with pytest.raises(ln.FormatError, match="the model is in none: give its path"):
        ln.from_onnx((external / "net.onnx").read_bytes())


# --- Refused --------------------------------------------------------------------------------------

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
