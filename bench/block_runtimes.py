"""Networks of blocks (blocks.py) in the operations of each runtime.

Where a runtime can be told something in several ways (equal branches as one batched product, or
one by one), the one that is faster for the batch counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from blocks import EPS, Blocks, Parameters

Call = Callable[[np.ndarray], np.ndarray]
Weights = list[Parameters]


def fastest(calls: list[Call], x: np.ndarray) -> Call:
    """Return the call that took least of a few short rounds."""
    best = [float("inf")] * len(calls)
    for _ in range(5):
        for i, call in enumerate(calls):
            call(x)
            begin = time.perf_counter()
            number = 0
            while time.perf_counter() - begin < 0.01:
                call(x)
                number += 1
            best[i] = min(best[i], (time.perf_counter() - begin) / number)
    return calls[best.index(min(best))]


def forms(net: Blocks) -> tuple[bool, ...]:
    """Whether equal branches are one batched product; both where there are some."""
    return (True, False) if any(len(shape) == 3 for shape in net.shapes()) else (False,)


def one_by_one(layer: Parameters) -> list[Parameters]:
    """Return the parameters of each branch."""
    return [(w, b) for w, b in zip(*layer, strict=True)]


class Numpy:
    """Samples are rows; what is new is changed in place."""

    def __init__(self, batched: bool = False) -> None:
        self.batched = batched

    def store(self, layer: Parameters) -> Any:
        w, b = layer
        if w.ndim == 1:
            return layer
        if w.ndim == 3 and not self.batched:
            return [self.store(one) for one in one_by_one(layer)]
        w = np.ascontiguousarray(np.swapaxes(w, -1, -2))
        return w, b[:, None, :] if w.ndim == 3 else b

    def act(self, z: Any, activation: str) -> Any:
        if activation == "relu":
            return np.maximum(z, 0, out=z)
        return np.tanh(z, out=z) if activation == "tanh" else z

    def dense(self, x: Any, layer: Any, activation: str = "identity") -> Any:
        w, b = layer
        z = x @ w
        z += b
        return self.act(z, activation)

    def norm(self, x: Any, layer: Any) -> Any:
        scale, shift = layer
        centred = x - x.mean(-1, keepdims=True)
        variance = np.einsum("...i,...i->...", centred, centred)[..., None] / x.shape[-1]
        variance += EPS
        centred /= np.sqrt(variance, out=variance)
        centred *= scale
        centred += shift
        return centred

    def add(self, x: Any, y: Any) -> Any:
        y += x
        return y

    def concat(self, parts: list[Any]) -> Any:
        return np.concatenate(parts, -1)

    def for_each(self, x: Any, members: int) -> Any:
        return np.atleast_2d(x) if self.batched else [x] * members

    def each(self, h: Any, layer: Any, activation: str = "identity") -> Any:
        if self.batched:
            return self.dense(h, layer, activation)
        return [self.dense(a, one, activation) for a, one in zip(h, layer, strict=True)]

    def side_by_side(self, h: Any) -> Any:
        return np.concatenate(list(h), -1)


def numpy(net: Blocks, weights: Weights, batch: int, _threads: int | None) -> Call:
    def form(batched: bool) -> Call:
        ops = Numpy(batched)
        parameters = [ops.store(layer) for layer in weights]
        if batch == 1:  # a batched product has a batch of one
            return lambda x: np.reshape(net.compute(ops, parameters, x), -1)
        return lambda x: net.compute(ops, parameters, x)

    x = net.samples(batch, str(weights[0][0].dtype))
    return fastest([form(batched) for batched in forms(net)], x)


def reference(net: Blocks, weights: Weights, x: np.ndarray) -> np.ndarray:
    """Return the outputs in float64."""
    ops = Numpy()
    parameters = [ops.store((w.astype(float), b.astype(float))) for w, b in weights]
    return np.asarray(net.compute(ops, parameters, x.astype(float)))


class Torch:
    """The functions that PyTorch's modules call."""

    def __init__(self, batched: bool = False) -> None:
        import torch

        self.torch = torch
        self.functional = torch.nn.functional
        self.batched = batched

    def store(self, layer: Parameters) -> Any:
        w, b = map(self.torch.from_numpy, layer)
        if w.ndim < 3:
            return w, b
        if self.batched:
            return w.transpose(1, 2).contiguous(), b[:, None, :].contiguous()
        return list(zip(w, b, strict=True))

    def act(self, z: Any, activation: str) -> Any:
        if activation == "relu":
            return self.torch.relu(z)
        return self.torch.tanh(z) if activation == "tanh" else z

    def dense(self, x: Any, layer: Any, activation: str = "identity") -> Any:
        return self.act(self.functional.linear(x, *layer), activation)

    def norm(self, x: Any, layer: Any) -> Any:
        return self.functional.layer_norm(x, (x.shape[-1],), *layer, EPS)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def concat(self, parts: list[Any]) -> Any:
        return self.torch.cat(parts, -1)

    def for_each(self, x: Any, members: int) -> Any:
        if not self.batched:
            return [x] * members
        rows = x if x.ndim == 2 else x[None]
        return rows.expand(members, *rows.shape)

    def each(self, h: Any, layer: Any, activation: str = "identity") -> Any:
        if self.batched:
            return self.act(self.torch.baddbmm(layer[1], h, layer[0]), activation)
        return [self.dense(a, one, activation) for a, one in zip(h, layer, strict=True)]

    def side_by_side(self, h: Any) -> Any:
        return self.torch.cat(list(h), -1)


def pytorch(net: Blocks, weights: Weights, batch: int, threads: int | None) -> Call:
    import torch

    if threads:
        torch.set_num_threads(threads)

    def form(batched: bool) -> Call:
        ops = Torch(batched)
        parameters = [ops.store(layer) for layer in weights]

        def call(x: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return net.compute(ops, parameters, torch.from_numpy(x)).numpy()

        return (lambda x: call(x).reshape(-1)) if batch == 1 else call

    x = net.samples(batch, str(weights[0][0].dtype))
    return fastest([form(batched) for batched in forms(net)], x)


class Jax:
    """What `jax.jit` is given."""

    def __init__(self, batched: bool = False) -> None:
        import jax

        self.jax = jax
        self.jnp = jax.numpy
        self.batched = batched

    def store(self, layer: Parameters) -> Any:
        w, b = layer
        if w.ndim == 3 and not self.batched:
            return [self.store(one) for one in one_by_one(layer)]
        if w.ndim > 1:
            w = np.ascontiguousarray(np.swapaxes(w, -1, -2))
        return self.jnp.asarray(w), self.jnp.asarray(b[:, None, :] if w.ndim == 3 else b)

    def act(self, z: Any, activation: str) -> Any:
        if activation == "relu":
            return self.jax.nn.relu(z)
        return self.jnp.tanh(z) if activation == "tanh" else z

    def dense(self, x: Any, layer: Any, activation: str = "identity") -> Any:
        return self.act(x @ layer[0] + layer[1], activation)

    def norm(self, x: Any, layer: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        variance = x.var(-1, keepdims=True)
        return (x - mean) * self.jax.lax.rsqrt(variance + EPS) * layer[0] + layer[1]

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def concat(self, parts: list[Any]) -> Any:
        return self.jnp.concatenate(parts, -1)

    def for_each(self, x: Any, members: int) -> Any:
        return self.jnp.atleast_2d(x) if self.batched else [x] * members

    def each(self, h: Any, layer: Any, activation: str = "identity") -> Any:
        if self.batched:
            return self.dense(h, layer, activation)
        return [self.dense(a, one, activation) for a, one in zip(h, layer, strict=True)]

    def side_by_side(self, h: Any) -> Any:
        return self.jnp.concatenate(list(h), -1)


def jax_jit(net: Blocks, weights: Weights, batch: int, _threads: int | None) -> Call:
    import jax

    jax.config.update("jax_enable_x64", weights[0][0].dtype == np.float64)

    def form(batched: bool) -> Call:
        ops = Jax(batched)
        parameters = [ops.store(layer) for layer in weights]

        def forward(parameters: list[Any], x: Any) -> Any:
            y = net.compute(ops, parameters, x)
            return y.reshape(-1) if batch == 1 else y

        compiled = jax.jit(forward)
        return lambda x: np.asarray(compiled(parameters, x))

    x = net.samples(batch, str(weights[0][0].dtype))
    return fastest([form(batched) for batched in forms(net)], x)


class Onnx:
    """Nodes of an ONNX graph over a fixed shape; values are names."""

    def __init__(self, batched: bool = False) -> None:
        self.batched = batched
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def store(self, layer: Parameters) -> Any:
        w, b = layer
        if w.ndim < 3:
            return self.constant(w), self.constant(b)
        if self.batched:
            return self.constant(np.swapaxes(w, 1, 2)), self.constant(b[:, None, :])
        return [self.store(one) for one in one_by_one(layer)]

    def act(self, z: str, activation: str) -> str:
        operator = {"relu": "Relu", "tanh": "Tanh"}.get(activation)
        return self.node(operator, z) if operator else z

    def dense(self, x: str, layer: Any, activation: str = "identity") -> str:
        return self.act(self.node("Gemm", x, *layer, transB=1), activation)

    def norm(self, x: str, layer: Any) -> str:
        return self.node("LayerNormalization", x, *layer, axis=-1, epsilon=EPS)

    def add(self, x: str, y: str) -> str:
        return self.node("Add", x, y)

    def concat(self, parts: list[str]) -> str:
        return self.node("Concat", *parts, axis=-1)

    def for_each(self, x: str, members: int) -> Any:
        return x if self.batched else [x] * members

    def each(self, h: Any, layer: Any, activation: str = "identity") -> Any:
        if self.batched:
            product = self.node("MatMul", h, layer[0])
            return self.act(self.node("Add", product, layer[1]), activation)
        return [self.dense(a, one, activation) for a, one in zip(h, layer, strict=True)]

    def side_by_side(self, h: Any) -> str:
        if not self.batched:
            return self.concat(h)
        turned = self.node("Transpose", h, perm=[1, 0, 2])
        rows = self.constant(np.array([0, -1], np.int64))
        return self.node("Reshape", turned, rows)


def onnx_models(net: Blocks, weights: Weights, batch: int) -> list[bytes]:
    """Return the network as a graph, in each of its forms."""
    import onnx
    from onnx import TensorProto, helper

    models = []
    for batched in forms(net):
        ops = Onnx(batched)
        result = net.compute(ops, [ops.store(layer) for layer in weights], "x")
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, net.in_features))]
        outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, (batch, None))]
        graph = helper.make_graph(ops.nodes, "blocks", inputs, outputs, ops.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        models.append(bytes(model.SerializeToString()))
    return models


def laminet(net: Blocks, weights: Weights, _batch: int, _threads: int | None) -> Call:
    import laminet as ln

    return ln.MLP(net.layers(weights), in_features=net.in_features)
