"""The runtimes that are compared, and the networks that they run.

Every runtime gets the weights once, in the form it likes best, and is called as its users call it:
a NumPy array in, a NumPy array out. `threads` is how many it may use, None what it takes by
default.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import block_runtimes
import numpy as np
import training_runtimes
from blocks import Blocks
from tasks import Task

Call = Callable[[np.ndarray], np.ndarray]
Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Network:
    """Sizes and hidden activation; the last layer has none."""

    sizes: tuple[int, ...]
    activation: str
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        """The sizes, with hyphens between them."""
        return "-".join(map(str, self.sizes))

    @property
    def in_features(self) -> int:
        """Of the first layer."""
        return self.sizes[0]

    @property
    def out_features(self) -> int:
        """Of the last layer."""
        return self.sizes[-1]

    @property
    def flops_per_sample(self) -> int:
        """Two for each weight."""
        return sum(2 * a * b for a, b in itertools.pairwise(self.sizes))

    @property
    def terms(self) -> int:
        """How many roundings follow one another, about: the depth times the root of the width."""
        return int((len(self.sizes) - 1) * max(self.sizes) ** 0.5)

    def weights(self, dtype: str) -> Weights:
        """He-normal weights and small biases, the same ones for every runtime."""
        rng = np.random.default_rng(1)
        return [
            (
                (rng.standard_normal((n, k)) * np.sqrt(2 / k)).astype(dtype),
                (rng.standard_normal(n) * 0.1).astype(dtype),
            )
            for k, n in itertools.pairwise(self.sizes)
        ]

    def samples(self, batch: int, dtype: str) -> np.ndarray:
        """Return normal random samples; a single one is a vector."""
        shape = (self.sizes[0],) if batch == 1 else (batch, self.sizes[0])
        return np.random.default_rng(2).standard_normal(shape).astype(dtype)


AnyNetwork = Network | Blocks | Task


def laminet_layers(net: Network, weights: Weights) -> list[Any]:
    """Return what `laminet.MLP` takes."""
    import laminet as ln

    last = len(weights) - 1
    return [
        ln.Dense(w, b, "identity" if i == last else net.activation)
        for i, (w, b) in enumerate(weights)
    ]


def laminet(net: Network, weights: Weights, _batch: int, _threads: int | None) -> Call:
    import laminet as ln

    return ln.MLP(laminet_layers(net, weights))


def _numpy(net: Network, weights: Weights, transposed: bool) -> Call:
    from scipy.special import erf  # NumPy has none; SciPy's is what its users take

    half, root = np.array([0.5, np.sqrt(0.5)], weights[0][0].dtype)

    def gelu(z: np.ndarray) -> np.ndarray:
        y = erf(z * root)
        y += 1
        y *= z
        y *= half
        return y

    function = {
        "relu": lambda z: np.maximum(z, 0, out=z),
        "tanh": lambda z: np.tanh(z, out=z),
        "gelu": gelu,
    }[net.activation]
    matrices = [w.T if transposed else np.ascontiguousarray(w.T) for w, _ in weights]
    layers = [(m, b) for m, (_, b) in zip(matrices, weights, strict=True)]
    (last_m, last_b) = layers.pop()

    def call(a: np.ndarray) -> np.ndarray:
        for m, b in layers:
            z = a @ m
            z += b
            a = function(z)
        y = a @ last_m
        y += last_b
        return y

    return call


def numpy_in_out(net: Network, weights: Weights, _batch: int, _threads: int | None) -> Call:
    """Weights stored as (in_features, out_features)."""
    return _numpy(net, weights, transposed=False)


def numpy_out_in(net: Network, weights: Weights, _batch: int, _threads: int | None) -> Call:
    """Weights stored as (out_features, in_features), as torch.nn.Linear has them."""
    return _numpy(net, weights, transposed=True)


def pytorch(net: Network, weights: Weights, _batch: int, threads: int | None) -> Call:
    import torch

    if threads:
        torch.set_num_threads(threads)
    functions = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "gelu": torch.nn.GELU}
    layers: list[torch.nn.Module] = []
    for w, b in weights:
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.from_numpy(w).dtype)
        linear.weight = torch.nn.Parameter(torch.from_numpy(w))
        linear.bias = torch.nn.Parameter(torch.from_numpy(b))
        layers += [linear, functions[net.activation]()]
    module = torch.nn.Sequential(*layers[:-1]).eval()

    def call(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(x)).numpy()

    return call


def onnx_model(net: Network, weights: Weights, shape: tuple[int, ...]) -> bytes:
    """Gemm and activation, layer by layer."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    operator = {"relu": "Relu", "tanh": "Tanh", "gelu": "Gelu"}[net.activation]
    nodes, initializers, value = [], [], "x"
    for i, (w, b) in enumerate(weights):
        initializers += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [f"z{i}"], transB=1))
        value = f"z{i}"
        if i < len(weights) - 1:
            nodes.append(helper.make_node(operator, [value], [f"a{i}"]))
            value = f"a{i}"
    out = (shape[0], net.sizes[-1])
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, out)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def onnx_models(net: AnyNetwork, weights: Weights, batch: int) -> list[bytes]:
    """Return the network as ONNX, in each form that there is."""
    if isinstance(net, Blocks):
        return block_runtimes.onnx_models(net, weights, batch)
    return [onnx_model(net, weights, (batch, net.sizes[0]))]


def _fastest(calls: list[Call], net: AnyNetwork, batch: int) -> Call:
    if len(calls) == 1:
        return calls[0]
    return block_runtimes.fastest(calls, net.samples(batch, "float32"))


def onnx_runtime(net: AnyNetwork, weights: Weights, batch: int, threads: int | None) -> Call:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: the default
    options.inter_op_num_threads = 1

    def form(model: bytes) -> Call:
        run = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
        if batch == 1:
            return lambda x: run(None, {"x": x[None]})[0][0]
        return lambda x: run(None, {"x": x})[0]

    return _fastest([form(model) for model in onnx_models(net, weights, batch)], net, batch)


def openvino(
    net: AnyNetwork, weights: Weights, batch: int, threads: int | None, hint: str = "f32"
) -> Call:
    import openvino as ov

    core = ov.Core()
    config = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads

    def form(model: bytes) -> Call:
        return _request(core.compile_model(core.read_model(model), "CPU", config), batch)

    return _fastest([form(model) for model in onnx_models(net, weights, batch)], net, batch)


def _request(compiled: Any, batch: int) -> Call:
    def request() -> Call:
        # Outputs are shared with the request, which saves a copy that the others do not make.
        infer = compiled.create_infer_request().infer

        def one(x: np.ndarray) -> np.ndarray:
            return infer(x[None], share_inputs=True, share_outputs=True)[0][0]

        def many(x: np.ndarray) -> np.ndarray:
            return infer(x, share_inputs=True, share_outputs=True)[0]

        call: Any = one if batch == 1 else many
        call.of_another_thread = request
        return call

    return request()


def of_another_thread(call: Call) -> Call:
    """Return the call of the same model for one more thread: OpenVINO's requests are one's own."""
    request: Callable[[], Call] = getattr(call, "of_another_thread", lambda: call)
    return request()


def jax_jit(net: Network, weights: Weights, _batch: int, _threads: int | None) -> Call:
    import jax

    jax.config.update("jax_enable_x64", weights[0][0].dtype == np.float64)
    function = {
        "relu": jax.nn.relu,
        "tanh": jax.numpy.tanh,
        "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    }[net.activation]
    layers = [(jax.numpy.asarray(w.T.copy()), jax.numpy.asarray(b)) for w, b in weights]

    @jax.jit
    def forward(layers: list[tuple[Any, Any]], a: Any) -> Any:
        for m, b in layers[:-1]:
            a = function(a @ m + b)
        m, b = layers[-1]
        return a @ m + b

    return lambda x: np.asarray(forward(layers, x))


OTHER = "laminet (other)"  # of the tree that --against names
NUMPY_OTHER = "NumPy (out, in)"

RUNTIMES: dict[str, Callable[[Any, Weights, int, int | None], Call]] = {
    "laminet": laminet,
    OTHER: laminet,
    "NumPy": numpy_in_out,
    NUMPY_OTHER: numpy_out_in,
    "PyTorch": pytorch,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "JAX": jax_jit,
}
_OF_BLOCKS: dict[str, Callable[[Any, Weights, int, int | None], Call]] = {
    "laminet": block_runtimes.laminet,
    OTHER: block_runtimes.laminet,
    "NumPy": block_runtimes.numpy,
    NUMPY_OTHER: block_runtimes.numpy,
    "PyTorch": block_runtimes.pytorch,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "JAX": block_runtimes.jax_jit,
}
#: Of each precision that `--precision` names, what runs in it beside those that run in float32.
NARROW = {
    "bfloat16": ("laminet (bfloat16)", "OpenVINO (bf16)"),
    "bfloat16_weights": ("laminet (bfloat16_weights)", "OpenVINO (bf16)"),
}
TRAINING: dict[str, type[training_runtimes.Training]] = {
    "laminet": training_runtimes.Laminet,
    OTHER: training_runtimes.Laminet,
    "laminet (bfloat16)": training_runtimes.LaminetBfloat16,
    "PyTorch": training_runtimes.PyTorch,
    "PyTorch (compile)": training_runtimes.PyTorchCompiled,
    "JAX": training_runtimes.Jax,
    "scikit-learn": training_runtimes.ScikitLearn,
}


def make(runtime: str, net: AnyNetwork, dtype: str, batch: int, threads: int | None) -> Call:
    """Return the network as a runtime's users call it, or what trains it."""
    if isinstance(net, Task):
        return TRAINING[runtime](net, dtype, batch, threads)
    table = _OF_BLOCKS if isinstance(net, Blocks) else RUNTIMES
    if runtime == "OpenVINO (bf16)":
        return openvino(net, net.weights(dtype), batch, threads, "bf16")
    for precision, (ours, _) in NARROW.items():
        if runtime == ours:
            made: Any = table["laminet"](net, net.weights(dtype), batch, threads)
            narrow: Call = made.with_precision(precision)
            return narrow
    return table[runtime](net, net.weights(dtype), batch, threads)


#: Those that run float64 as a matter of course.
FLOAT64_RUNTIMES = ("laminet", OTHER, "NumPy", NUMPY_OTHER, "PyTorch")

_PACKAGES = {
    "NumPy": "numpy",
    "PyTorch": "torch",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    "JAX": "jax",
    "scikit-learn": "scikit-learn",
}


def versions() -> dict[str, str]:
    """Versions of laminet, which may come by PYTHONPATH, and of the peers that are installed."""
    import laminet as ln

    found = {"laminet": ln.__version__}
    for name, package in _PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
