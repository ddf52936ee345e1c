"""The runtimes that bench/peers.py compares, each in a process of its own.

A process of its own keeps the pools of threads apart: whoever is not being timed waits on a pipe,
its threads asleep, and its settings (threads, affinity) touch nobody else. Every runtime gets the
weights once, in the form it likes best, and is called as its users call it: a NumPy array in, a
NumPy array out.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

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
    def flops_per_sample(self) -> int:
        """Two for each weight."""
        return sum(2 * a * b for a, b in itertools.pairwise(self.sizes))

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


@dataclass(frozen=True)
class Timing:
    """Microseconds a call, over `samples` measurements."""

    median_us: float
    min_us: float
    samples: int


def laminet(net: Network, weights: Weights, _batch: int, _threads: int) -> Call:
    import laminet as ln

    last = len(weights) - 1
    return ln.MLP(
        ln.Dense(w, b, "identity" if i == last else net.activation)
        for i, (w, b) in enumerate(weights)
    )


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


def numpy_in_out(net: Network, weights: Weights, _batch: int, _threads: int) -> Call:
    """Weights stored as (in_features, out_features)."""
    return _numpy(net, weights, transposed=False)


def numpy_out_in(net: Network, weights: Weights, _batch: int, _threads: int) -> Call:
    """Weights stored as (out_features, in_features), as torch.nn.Linear has them."""
    return _numpy(net, weights, transposed=True)


def pytorch(net: Network, weights: Weights, _batch: int, threads: int) -> Call:
    import torch

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


def onnx_runtime(net: Network, weights: Weights, batch: int, threads: int) -> Call:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    model = onnx_model(net, weights, (batch, net.sizes[0]))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    run = session.run
    if batch == 1:
        return lambda x: run(None, {"x": x[None]})[0][0]
    return lambda x: run(None, {"x": x})[0]


def openvino(net: Network, weights: Weights, batch: int, threads: int) -> Call:
    import openvino as ov

    core = ov.Core()
    model = core.read_model(onnx_model(net, weights, (batch, net.sizes[0])))
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    # Outputs are shared with the request, which saves OpenVINO a copy that the others do not make.
    infer = compiled.create_infer_request().infer
    if batch == 1:
        return lambda x: infer(x[None], share_inputs=True, share_outputs=True)[0][0]
    return lambda x: infer(x, share_inputs=True, share_outputs=True)[0]


def jax_jit(net: Network, weights: Weights, _batch: int, _threads: int) -> Call:
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


RUNTIMES: dict[str, Callable[[Network, Weights, int, int], Call]] = {
    "laminet": laminet,
    "NumPy": numpy_in_out,
    "NumPy (out, in)": numpy_out_in,
    "PyTorch": pytorch,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "JAX": jax_jit,
}
#: Those that run float64 as a matter of course.
FLOAT64_RUNTIMES = ("laminet", "NumPy", "NumPy (out, in)", "PyTorch")

_PACKAGES = {
    "laminet": "laminet",
    "NumPy": "numpy",
    "PyTorch": "torch",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    "JAX": "jax",
}


def versions() -> dict[str, str]:
    """Versions of the installed runtimes."""
    from importlib import metadata

    found = {}
    for name, package in _PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _time(call: Call, x: np.ndarray, seconds: float) -> list[float]:
    """Microseconds a call: medians need many samples, and a sample must dwarf the clock."""
    clock = time.perf_counter_ns
    call(x)
    start = clock()
    call(x)
    once = max(clock() - start, 100)
    calls = max(1, 300_000 // once)
    end = clock() + int(seconds * 1e9)
    for _ in range(max(1, min(calls, int(0.3 * seconds * 1e9 / once)))):  # wakes threads and clocks
        call(x)
    samples = []
    while len(samples) < 3 or clock() < end:
        repeat = range(calls)
        start = clock()
        for _ in repeat:
            call(x)
        samples.append((clock() - start) / calls / 1e3)
    return samples


def _serve(pipe: Connection, runtime: str, threads: int, dtype: str) -> None:
    """Answer ("prepare", net, batch) with the result, ("time", seconds) with samples.

    And ("peak", seconds) with the GFLOP/s of multiply-adds in registers, by laminet's own loop.
    """
    call, x = None, None
    while (message := pipe.recv()) is not None:
        if message[0] == "prepare":
            net, batch = message[1:]
            call = RUNTIMES[runtime](net, net.weights(dtype), batch, threads)
            x = net.samples(batch, dtype)
            pipe.send(np.array(call(x)))
        elif message[0] == "peak":
            pipe.send(_peak(threads, dtype, message[1]))
        else:
            pipe.send(_time(call, x, message[1]))


def _peak(threads: int, dtype: str, seconds: float) -> float:
    from laminet import build_info, probe

    isa = build_info()["isa"]
    rates = []
    end = time.perf_counter() + seconds
    while not rates or time.perf_counter() < end:
        rates.append(probe.fma_rate(dtype, isa, threads, 0.002) / 1e9)
    return statistics.median(rates)


class Worker:
    """A runtime in its own process, held to `threads` CPUs."""

    def __init__(self, runtime: str, threads: int, dtype: str) -> None:
        self.runtime = runtime
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:threads])  # inherited by the child
        self._process = context.Process(
            target=_serve, args=(child, runtime, threads, dtype), daemon=True
        )
        self._process.start()
        child.close()
        os.sched_setaffinity(0, cpus)

    def _ask(self, *message: Any) -> Any:
        self._pipe.send(message)
        return self._pipe.recv()

    def prepare(self, net: Network, batch: int) -> np.ndarray:
        """Build the network and return its answer."""
        answer: np.ndarray = self._ask("prepare", net, batch)
        return answer

    def time(self, seconds: float) -> list[float]:
        """Return microseconds a call, measured for about `seconds`."""
        samples: list[float] = self._ask("time", seconds)
        return samples

    def peak(self, seconds: float) -> float:
        """Return the FMA peak in GFLOP/s, measured for about `seconds` on the same CPUs."""
        rate: float = self._ask("peak", seconds)
        return rate

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def summary(samples: list[float]) -> Timing:
    """Median and minimum."""
    return Timing(statistics.median(samples), min(samples), len(samples))
