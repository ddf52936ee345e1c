"""Operators of optimised, quantised and scikit-learn models, and those that are refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import answer, model, node

import laminet as ln

RNG = np.random.default_rng(0)
X = (2 * RNG.standard_normal((30, 4))).astype("f4")
W = RNG.standard_normal((4, 3)).astype("f4")
V = RNG.standard_normal((3, 3)).astype("f4")
B = RNG.standard_normal(3).astype("f4")
Q = RNG.integers(-128, 128, (4, 3)).astype("i1")
CONSTANTS = {
    "w": W, "wt": W.T.copy(), "v": V, "b": B, "q": Q, "scale": np.float32(0.01),
    "scales": np.float32([0.01, 0.02, 0.03]), "scales4": np.float32([0.01, 0.02, 0.03, 0.04]),
    "point": np.int8(3), "points": np.int8([1, -2, 3]), "one": [1], "qu": Q.view("u1"),
    "pointu": np.uint8(128), "four": np.float32([4.0]),
}  # fmt: skip


def single(nodes, outputs="y", shape=("batch", 4), **options):
    used = {i for n in nodes for i in n.input}
    held = {k: np.asarray(v) for k, v in CONSTANTS.items() if k in used}
    proto = model(nodes, held, list(shape), outputs, **options)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def check(proto, x=X, index=0, rtol=2e-6):
    net = ln.from_onnx(proto)
    expected = answer(proto, x, index)
    np.testing.assert_allclose(net(x).reshape(expected.shape), expected, rtol=rtol, atol=4e-6)
    return net


MS = {"domain": "com.microsoft"}
FUSED = {
    "FusedGemm": [node("FusedGemm", "x,wt,b", "y", transB=1, activation="Relu", **MS)],
    "FusedGemm of LeakyRelu": [
        node("FusedGemm", "x,w,b", "y", activation="LeakyRelu", activation_alpha=0.3, **MS),
    ],
    "FusedMatMul": [node("FusedMatMul", "x,wt", "y", alpha=0.5, transB=1, **MS)],
    "Gelu": [node("MatMul", "x,w", "z"), node("Gelu", "z", "y", **MS)],
    "BiasGelu": [node("MatMul", "x,w", "z"), node("BiasGelu", "z,b", "y", **MS)],
    "FastGelu": [node("MatMul", "x,w", "z"), node("FastGelu", "z,b", "y", **MS)],
    "FastGelu without a bias": [node("MatMul", "x,w", "z"), node("FastGelu", "z", "y", **MS)],
    "QuickGelu": [node("MatMul", "x,w", "z"), node("QuickGelu", "z", "y", alpha=1.702, **MS)],
}  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_what_the_optimiser_of_onnx_runtime_writes(name):
    check(single(FUSED[name]), rtol=5e-4 if "Fast" in name else 2e-6)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"activation": "Relu", "activation_alpha": 0.5}, "that the activation 'Relu' does not"),
        ({"activation": "LeakyRelu"}, "does not say the parameters of the activation 'LeakyRelu'"),
        ({"activation": "Cos"}, "the activation 'Cos', which laminet does not have"),
    ],
)
def test_fused_activations_that_are_refused(attributes, message):
    with pytest.raises(ln.FormatError, match=message):
        ln.from_onnx(single([node("FusedGemm", "x,w,b", "y", **attributes, **MS)]))


def test_constants_that_a_cast_would_cut():
    CONSTANTS["places"] = np.float32([0.5, 1])
    nodes = [node("Cast", "places", "i", to=7), node("Gather", "x,i", "y", axis=1)]
    with pytest.raises(ln.FormatError, match="casts a constant of float32 to type 7"):
        ln.from_onnx(single(nodes))


def test_an_optimised_model_is_the_network(tmp_path):
    """ONNX Runtime's own optimiser, on what to_onnx wrote: the meaning stays too."""
    net = ln.MLP.init([4, 8, 3], activation="relu", seed=0).with_outputs(ln.Labels(list("abc")))
    ln.to_onnx(net, tmp_path / "net.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), options)
    names = {n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "FusedGemm" in names
    assert ln.from_onnx(tmp_path / "optimised.onnx") == net


QUANTISED = {
    "one scale": node("DequantizeLinear", "q,scale", "w8"),
    "a zero point": node("DequantizeLinear", "q,scale,point", "w8"),
    "unsigned": node("DequantizeLinear", "qu,scale,pointu", "w8"),
    "a scale for each output": node("DequantizeLinear", "q,scales,points", "w8", axis=1),
    "a scale for each input": node("DequantizeLinear", "q,scales4", "w8", axis=0),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_weights(name):
    """As ONNX defines it: ONNX Runtime's optimiser makes another, less exact operator of it."""
    proto = single([QUANTISED[name], node("Gemm", "x,w8,b", "y")])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString(), options).run(
        None, {"x": X}
    )
    np.testing.assert_allclose(ln.from_onnx(proto)(X), expected, rtol=2e-6, atol=4e-6)


PASSED = {
    "a weight that is normalised": [
        node("ReduceL2", "w", "l", axes=[0]), node("Div", "w,l", "u"), node("MatMul", "x,u", "y"),
    ],
    "means of constants": [
        node("ReduceMean", "b", "m"), node("Gemm", "x,w,b", "z"), node("Sub", "z,m", "y"),
    ],
    "sums of constants": [
        node("ReduceSum", "w,first", "s", keepdims=0), node("Gemm", "x,w,s", "y"),
    ],
    "the mask of a Dropout": [
        node("Gemm", "x,w,b", "z"), node("Dropout", "z", "d,mask"), node("Tanh", "d", "y"),
    ],
    "Squeeze without axes": [
        node("Gemm", "x,w,b", "z"), node("Unsqueeze", "z,one", "u"), node("Squeeze", "u", "y"),
    ],
    "CastLike": [node("CastLike", "x,four", "c"), node("Gemm", "c,w,b", "y")],
    "ReLU by Where": [
        node("Gemm", "x,w,b", "z"), node("GreaterOrEqual", "z,zero", "g"),
        node("Where", "g,z,zero", "y"),
    ],
    "a condition negated": [
        node("Gemm", "x,w,b", "z"), node("Greater", "z,zero", "g"), node("Not", "g", "n"),
        node("Where", "n,zero,z", "y"),
    ],
    "Tile by one": [node("Gemm", "x,w,b", "z"), node("Tile", "z,ones", "y")],
    "constants computed": [
        node("Floor", "four", "f"), node("Div", "w,f", "g"), node("MatMul", "x,g", "y"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PASSED)
def test_steps_that_change_nothing(name):
    CONSTANTS.update(zero=np.float32(0), ones=[1, 1], first=[0])
    check(single(PASSED[name], opset=17))


# --- The domain of scikit-learn's exporter --------------------------------------------------------

ML = {"domain": "ai.onnx.ml"}
LINEAR = {"coefficients": W.T.ravel().tolist(), "intercepts": B.tolist()}
BINARY = [-1.5, 0.5, 2.0, -0.25, 1.5, -0.5, -2.0, 0.25]


@pytest.mark.parametrize("intercepts", [True, False])
def test_linear_regressors(intercepts):
    given = LINEAR if intercepts else {"coefficients": LINEAR["coefficients"]}
    net = check(single([node("LinearRegressor", "x", "y", targets=3, **given, **ML)]))
    assert net.outputs is None
    assert len(net.layers) == 1


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX"])
@pytest.mark.parametrize("labels", [{"classlabels_ints": [5, -1, 7]},
                                    {"classlabels_strings": ["a", "b", "c"]}])  # fmt: skip
def test_linear_classifiers(labels, transform):
    nodes = [
        node("LinearClassifier", "x", "label,s", post_transform=transform, **LINEAR, **labels, **ML)
    ]
    nodes.append(node("Identity" if transform == "NONE" else "Normalizer", "s", "y"))
    if transform != "NONE":
        nodes[-1].domain = "ai.onnx.ml"
        nodes[-1].attribute.append(helper.make_attribute("norm", "L1"))
    proto = single(nodes, "label,y")
    text = "classlabels_strings" in labels
    proto.graph.output[0].type.tensor_type.elem_type = 8 if text else 7
    net = check(proto, index=1)
    assert net.outputs == ln.Classes(next(iter(labels.values())))
    assert net.predict(X).tolist() == answer(proto, X, 0).tolist()


def test_a_linear_classifier_of_two_classes():
    given = {"coefficients": BINARY, "intercepts": [0.3, -0.3], "classlabels_ints": [0, 1]}
    classifier = node("LinearClassifier", "x", "label,y", post_transform="LOGISTIC", **given, **ML)
    proto = single([classifier], "label,y")
    proto.graph.output[0].type.tensor_type.elem_type = 7
    net = check(proto, index=1)
    np.testing.assert_allclose(net.predict_proba(X), answer(proto, X, 1), rtol=1e-5, atol=1e-6)
    assert net.predict(X).tolist() == answer(proto, X, 0).tolist()
    with pytest.raises(ln.FormatError, match="takes a statistic of each sample that no layer"):
        ln.from_onnx(
            single([node("MatMul", "x,w", "z"), node("Normalizer", "z", "y", norm="L1", **ML)])
        )


def test_decisions_by_a_threshold():
    """A label beside the probability, as PyTorch users write it: (p > 0.5).int()."""
    nodes = [
        node("Gemm", "x,w,b", "z"), node("Sigmoid", "z", "y"), node("Greater", "y,half", "g"),
        node("Cast", "g", "label", to=7),
    ]  # fmt: skip
    CONSTANTS["half"] = np.float32(0.5)
    proto = single(nodes, "y,label")
    proto.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    net = ln.from_onnx(proto)
    assert net.outputs == ln.Labels([0, 1, 2])
    assert net.predict(X).tolist() == answer(proto, X, 1).tolist()
    nodes[2] = node("Greater", "y,scale", "g")
    with pytest.raises(ln.FormatError, match=r"compares results with 0\.01"):
        ln.from_onnx(single(nodes, "y,label"))


# --- Refused by name ------------------------------------------------------------------------------

NAMED = {
    "IsNaN": ("z", "clean the samples before they go in"),
    "ReduceL2": ("z", "takes a statistic of each sample that no layer of laminet takes"),
    "ReduceMean": ("z", "is not taken over one axis"),
    "Conv": ("z,w", "slides over an image or a sequence"),
    "LSTM": ("z,w,w", "keeps a state from step to step"),
    "RandomNormalLike": ("z", "draws random numbers"),
    "DynamicQuantizeLinear": ("z", "export the model before it is quantised"),
    "TopK": ("z,one", "gives integers or picks by them"),
    "Einsum": ("z,w", "weighs values by other values"),
    "Loop": ("one,one,z", "export the model without a loop"),
    "Det": ("z", "the operator is none that a network is made of"),
}


@pytest.mark.parametrize("name", NAMED)
def test_operators_that_are_refused(name):
    """The refusal names the node, the reason, and the output that can be read."""
    inputs, reason = NAMED[name]
    nodes = [node("Gemm", "x,w,b", "z"), node(name, inputs, "y")]
    with pytest.raises(ln.FormatError) as caught:
        ln.from_onnx(single(nodes))
    message = str(caught.value)
    assert message.startswith(f"node 'y' ({name}): ")
    assert reason in message
    assert message.endswith("from_onnx(model, output='z') reads the network before it")
    assert ln.from_onnx(single(nodes), output="z").sizes == (4, 3)


@pytest.mark.parametrize("kind", [17, 22, 23])
def test_types_of_weights_that_are_refused(kind):
    proto = single([node("MatMul", "x,w", "y")])
    proto.graph.initializer[0].data_type = kind
    with pytest.raises(ln.FormatError, match=r"initializer 'w': .*(FLOAT8|INT4|FLOAT4|UINT4)"):
        ln.from_onnx(proto)


def test_sparse_weights_are_refused():
    proto = single([node("MatMul", "x,ws", "y")])
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.float32([1.0]), "ws"),
        numpy_helper.from_array(np.array([0]), "places"), [4, 3],
    )  # fmt: skip
    proto.graph.sparse_initializer.append(sparse)
    with pytest.raises(ln.FormatError, match="initializer 'ws' is sparse: save the model with a"):
        ln.from_onnx(proto)


@pytest.mark.parametrize(("batch", "squeezed"), [(1, True), (2, False), ("batch", None)])
def test_a_branch_by_the_number_of_samples(batch, squeezed):
    """Taken where the model fixes it; what would depend on the batch is refused."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(operator, "z", name)], name, [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, operator in (("then", "Tanh"), ("else", "Sigmoid"))
    }  # fmt: skip
    CONSTANTS.update(none=0, number=1)
    nodes = [
        node("Gemm", "x,w,b", "z"), node("Shape", "x", "s"), node("Gather", "s,none", "n"),
        node("Equal", "n,number", "c"), node("If", "c", "y", **branches),
    ]  # fmt: skip
    proto = single(nodes, shape=(batch, 4))
    if squeezed is None:
        with pytest.raises(ln.FormatError, match="compares the number of samples with 1"):
            ln.from_onnx(proto)
        return
    net = check(proto, X[:batch])
    assert net.layers[-1].activation.name == ("tanh" if squeezed else "sigmoid")


def test_operators_are_in_rooms_without_circles():
    """No module of the importer imports, by whatever way, one that imports it, but as a type."""
    folder = Path(ln.__file__).parent / "interop" / "onnx"
    uses = {}
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        found = re.findall(r"^from laminet\.interop\.onnx\.([\w.]+) import", path.read_text(), re.M)
        uses[name] = set(found) - {name}  # a package imports its own modules
    assert len(uses) > 15
    while uses:
        free = [name for name, used in uses.items() if not used & set(uses)]
        assert free, f"a circle runs through {sorted(uses)}"
        for name in free:
            del uses[name]
