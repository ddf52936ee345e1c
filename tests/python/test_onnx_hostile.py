"""Broken and hostile ONNX files: a FormatError or a network, and nothing else."""

from __future__ import annotations

import tracemalloc

import numpy as np
import onnx
import pytest
from google.protobuf.message import EncodeError
from onnx import numpy_helper
from onnx_graphs import model, node

import laminet as ln

RNG = np.random.default_rng(0)


def samples():
    """Small models that pass through many operators."""
    w, v, b = (RNG.standard_normal(s).astype("f4") for s in ((4, 3), (3, 3), 3))
    chain = [
        node("Flatten", "x", "f"), node("Gemm", "f,w,b", "z", alpha=0.5), node("Erf", "z", "e"),
        node("Add", "e,one", "g"), node("Tanh", "z", "h"), node("MatMul", "h,v", "i"),
        node("Transpose", "i", "t"), node("Transpose", "t", "u", perm=[1, 0]),
        node("Reshape", "u,shape", "r"), node("Clip", "r,low,one", "c"), node("Softmax", "c", "y"),
    ]  # fmt: skip
    constants = {
        "w": w, "v": v, "b": b, "one": np.float32(1), "low": np.float32(-1), "shape": [-1, 3],
    }  # fmt: skip
    yield model(chain, constants, ["batch", 4])
    tail = [
        node("Cast", "x", "a", to=1), node("MatMul", "a,w", "z"), node("Add", "z,b", "s"),
        node("Softmax", "s", "p"), node("ArgMax", "p", "i", axis=1),
        node("ArrayFeatureExtractor", "l,i", "e", domain="ai.onnx.ml"),
        node("Reshape", "e,flat", "label"),
    ]  # fmt: skip
    yield model(tail, {"w": w, "b": b, "l": [5, 6, 7], "flat": [-1]}, ["batch", 4], "p,label")
    shapes = [
        node("Shape", "x", "s"), node("Slice", "s,zero,one", "n"),
        node("Concat", "n,m", "t", axis=0), node("Reshape", "x,t", "r"),
        node("Unsqueeze", "r,one", "u"), node("Squeeze", "u,one", "q"),
        node("BatchNormalization", "q,c,c,c,c", "k"), node("MatMul", "k,w", "z"),
        node("ReduceMax", "z", "mx", axes=[-1]), node("Sub", "z,mx", "d"), node("Exp", "d", "e"),
        node("ReduceSum", "e,one", "su"), node("Div", "e,su", "y"),
    ]  # fmt: skip
    constants = {"w": w, "c": np.ones(4, "f4") + 1, "zero": [0], "one": [1], "m": [-1]}
    yield model(shapes, constants, ["batch", 2, 2])
    parts = [
        node("Shape", "x", "s"), node("Reshape", "x,flat", "r"), node("Gemm", "r,w,b", "z"),
        node("Slice", "s,zero,two", "lead"), node("Concat", "lead,three", "full", axis=0),
        node("Reshape", "z,full", "q"), node("Split", "q,sizes", "a,c", axis=2),
        node("Concat", "c,a", "j", axis=-1), node("Gather", "j,some", "g", axis=2),
        node("Shape", "g", "gs"), node("ConstantOfShape", "gs", "k"), node("Add", "g,k", "i"),
        node("Less", "i,half", "l"), node("Where", "l,half,i", "y"),
    ]  # fmt: skip
    constants = {
        "w": w, "b": b, "flat": [-1, 4], "zero": [0], "two": [2], "three": [3], "sizes": [1, 2],
        "some": [2, 0], "half": np.float32(0),
    }  # fmt: skip
    yield model(parts, constants, ["batch", "time", 4])


GOOD = [m.SerializeToString() for m in samples()]


def read(data):
    """A FormatError with a short message, or a network that runs; within 100 MB."""
    tracemalloc.start()
    try:
        try:
            net = ln.from_onnx(data)
        except ln.FormatError as error:
            message = str(error)
            net = None
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            assert peak < 10**8
    finally:
        tracemalloc.stop()
    if net is None:
        assert 0 < len(message) < 1000
    elif net.num_parameters < 10**6:
        with np.errstate(all="ignore"):
            net(np.ones((2, net.in_features)))
    return net


@pytest.mark.parametrize("data", GOOD)
def test_the_models_are_good(data):
    assert read(data) is not None


@pytest.mark.parametrize("data", GOOD)
def test_every_truncation(data):
    for length in range(len(data)):
        read(data[:length])


@pytest.mark.parametrize("data", GOOD)
@pytest.mark.parametrize("seed", range(4))
def test_mutated_bytes(data, seed):
    rng = np.random.default_rng(seed)
    accepted = 0
    for _ in range(700):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 5)):
            place = int(rng.integers(len(changed)))
            kind = rng.integers(4)
            if kind == 0:
                changed[place] = int(rng.integers(256))
            elif kind == 1:
                changed[place] ^= 1 << int(rng.integers(8))
            elif kind == 2:
                del changed[place : place + int(rng.integers(1, 9))]
            else:
                begin = int(rng.integers(len(changed)))
                changed[place:place] = changed[begin : begin + int(rng.integers(1, 40))]
        accepted += read(bytes(changed)) is not None
    assert accepted > 0  # a changed weight is a network still


def mutate(proto, rng):
    """Change something that stays a sound message: names, shapes, types, attributes, order."""
    graph = proto.graph
    chosen = graph.node[int(rng.integers(len(graph.node)))]
    tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
    names = [n for other in graph.node for n in (*other.input, *other.output)]
    names += [t.name for t in graph.initializer]
    some = names[int(rng.integers(len(names)))]
    extremes = [0, 1, -1, 2, 3, 7, 2**31, -(2**31), 2**62, -(2**63), 10**12]
    extreme = extremes[int(rng.integers(len(extremes)))]
    kind = int(rng.integers(13))
    if kind == 0 and chosen.input:
        chosen.input[int(rng.integers(len(chosen.input)))] = some
    elif kind == 1 and chosen.output:
        chosen.output[0] = some
    elif kind == 2:
        other = graph.node[int(rng.integers(len(graph.node)))]
        chosen.op_type, other.op_type = other.op_type, chosen.op_type
    elif kind == 3 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = extreme
    elif kind == 4:
        tensor.data_type = int(rng.integers(-1, 26))
    elif kind == 5 and chosen.attribute:
        chosen.attribute[0].i = extreme
    elif kind == 6:
        chosen.attribute.add(
            name=["axis", "perm", "to", "alpha", "axes"][int(rng.integers(5))],
            type=int(rng.integers(1, 8)),
            i=extreme,
            ints=[extreme] * 3,
            f=1e38,
        )
    elif kind == 7:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[int(rng.integers(len(dims)))].dim_value = extreme
    elif kind == 8:
        graph.input[0].type.tensor_type.elem_type = int(rng.integers(-1, 26))
    elif kind == 9:
        proto.opset_import[0].version = int(rng.integers(0, 30))
    elif kind == 10:
        array = np.array([extreme, 0, -1])[: int(rng.integers(4))]
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    elif kind == 11:
        tensor.CopyFrom(numpy_helper.from_array(np.float32([np.nan, np.inf, 0]), tensor.name))
    else:
        del graph.node[int(rng.integers(len(graph.node)))]


@pytest.mark.parametrize("seed", range(6))
def test_mutated_graphs(seed):
    rng = np.random.default_rng(seed)
    for _ in range(500):
        proto = onnx.ModelProto()
        proto.ParseFromString(GOOD[int(rng.integers(len(GOOD)))])
        for _ in range(int(rng.integers(1, 5))):
            if len(proto.graph.node) > 1:
                mutate(proto, rng)
        try:
            data = proto.SerializeToString()
        except (EncodeError, ValueError):
            continue
        read(data)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, b"PK\3\4", b"\xff" * 1000, b"{}", bytes(range(256))]
)
def test_other_files(data, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ln.FormatError) as caught:
        ln.from_onnx(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_folders_and_pipes(tmp_path):
    with pytest.raises(ln.FormatError, match="not a regular file"):
        ln.from_onnx(tmp_path)
    with pytest.raises(ln.FormatError, match="not a regular file"):
        ln.from_onnx("/dev/zero")


def test_a_long_chain():
    """No recursion, and no time that grows with the square of the nodes."""
    nodes = [node("MatMul", "x,w", "0")]
    for i in range(1500):
        nodes += [node("Tanh", str(i), f"h{i}"), node("MatMul", f"h{i},w", str(i + 1))]
    nodes[-1].output[0] = "y"
    deep = model(nodes, {"w": np.eye(3, dtype="f4")}, ["batch", 3])
    assert len(ln.from_onnx(deep).layers) == 1501
    nodes = [node("Tanh", "x", "0")]
    nodes += [node("Tanh" if i % 2 else "Exp", str(i), str(i + 1)) for i in range(5000)]
    with pytest.raises(ln.FormatError, match="the last of more than 16 functions of one layer"):
        ln.from_onnx(model(nodes, {}, ["batch", 3], "5000"))


def test_constants_that_double():
    """A file of a few nodes cannot ask for more than its weights have."""
    nodes = [node("Concat", "w,w", "0", axis=0)]
    nodes += [node("Concat", f"{i},{i}", str(i + 1), axis=0) for i in range(60)]
    nodes += [node("MatMul", "x,60", "y")]
    with pytest.raises(ln.FormatError, match="much larger than the model's weights"):
        ln.from_onnx(model(nodes, {"w": np.ones((4, 4), "f4")}, ["batch", 4]))


def test_sizes_that_explode():
    """Sizes of shapes are integers of any length in Python: x, x^2, x^4 and so on."""
    nodes = [node("Shape", "x", "s"), node("Slice", "s,one,two", "0")]
    nodes += [node("Mul", f"{i},{i}", str(i + 1)) for i in range(60)]
    nodes += [node("Reshape", "x,60", "y")]
    with pytest.raises(ln.FormatError, match="something else than a shape"):
        ln.from_onnx(model(nodes, {"one": [1], "two": [2]}, ["batch", 4]))


def test_text_that_is_multiplied():
    """Python would repeat it."""
    nodes = [node("Mul", "l,n", "k"), node("Add", "x,k", "y")]
    proto = model(nodes, {"n": [10**9]}, ["batch", 4])
    proto.graph.initializer.append(numpy_helper.from_array(np.array(["a"], object), "l"))
    with pytest.raises(ln.FormatError, match="constants that are no numbers"):
        ln.from_onnx(proto)


def test_selections_of_many_features():
    nodes = [node("Slice", "x,zero,one,one", "a"), node("Relu", "a", "y")]
    proto = model(nodes, {"zero": [0], "one": [1]}, ["batch", 10**15])
    with pytest.raises(ln.FormatError, match="unknown, or too many"):
        ln.from_onnx(proto)
