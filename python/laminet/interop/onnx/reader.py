"""`from_onnx`: a network from an ONNX model."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import outputs as meaning
from laminet.errors import FormatError
from laminet.initialization import as_dtype
from laminet.interop.atomic import errors_about, text_path
from laminet.interop.onnx.arrays import External
from laminet.interop.onnx.graph import Graph
from laminet.interop.onnx.operators import OPERATORS
from laminet.interop.onnx.package import require_onnx
from laminet.interop.onnx.values import Labels, Tensor
from laminet.interop.symbols import Symbol

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from laminet.mlp import MLP

__all__ = ["from_onnx"]


def from_onnx(model: Any, *, output: str | None = None, dtype: DTypeLike | None = None) -> MLP:
    """Return the network that computes what an ONNX model does.

    Parameters
    ----------
    model : str, os.PathLike, bytes or onnx.ModelProto
        A path, the bytes of a file, or a model. Only with a path may weights be in other files,
        which must lie in the model's folder.
    output : str, optional
        Which output of the graph is the network's. By default the only one; or, beside the labels
        that exporters of classifiers add, the only other one.
    dtype : {"float32", "float64"}, optional
        By default float64 where the input or a weight is double, else float32: float16 and bfloat16
        weights are taken over exactly, and computed with in float32.

    Returns
    -------
    MLP
        ``net(x)`` equals the model's output but for rounding; samples are rows, and what the model
        gives and takes with more axes has one, flattened in C order. Its outputs are `Classes` or
        `Labels` if the graph has an output of labels, as those of scikit-learn have.

    Raises
    ------
    FormatError
        If the file is damaged, or a node is not a step of a chain of dense layers, with its name.
    TypeError
        If `model` is none of those above.
    OSError
        If the file cannot be read.
    ImportError
        If the package onnx is not installed (``pip install 'laminet[onnx]'``).

    Notes
    -----
    Weights are taken over bit by bit. What is folded into them, such as a BatchNormalization or a
    Gemm's alpha, is multiplied out in float64 and rounded once. Casts between floating-point types
    are left out: nothing is rounded to a narrower type on the way. Activations that exporters spell
    out in parts are recognised if their constants are right to four roundings in float32 (two in
    their own type, if that has 16 bits).
    """
    require_onnx()
    proto, folder, name = _model(model)
    try:
        with np.errstate(all="ignore"):  # a model may hold any number; they show in its answers
            return _network(proto, External(folder), output, dtype)
    except FormatError as error:
        raise FormatError(f"{name}: {error}" if name else str(error)) from None


def _model(model: Any) -> tuple[Any, str | None, str]:
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        return model, None, ""
    if isinstance(model, (bytes, bytearray, memoryview)):
        data, folder, name = bytes(model), None, ""
    elif isinstance(model, (str, os.PathLike)):
        name = text_path(model)
        with errors_about(name):
            if not stat.S_ISREG(os.stat(name).st_mode):
                raise FormatError(f"{name}: not a regular file")
            with open(name, "rb") as file:
                data = file.read()
        folder = os.path.dirname(os.path.abspath(name))
    else:
        raise TypeError(
            f"model must be a path, bytes or an onnx.ModelProto, got {type(model).__name__}"
        )
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, RuntimeError) as error:
        raise FormatError(f"{name or 'the bytes'}: not an ONNX model: {error}") from None
    return proto, folder, name


def _network(model: Any, external: External, output: str | None, dtype: DTypeLike | None) -> MLP:
    if not model.graph.node or not model.graph.output:
        raise FormatError("not an ONNX model: it has no nodes or no outputs")
    graph = Graph(model, external, OPERATORS)
    tensor, labels = _chosen(graph, model, output)
    if tensor.integer:
        raise FormatError("the output is the input, and no network")
    try:
        tensor = _batch_first(tensor)
        chain = tensor.symbol.resolved(graph.tolerance)
        if tensor.order is not None:
            order = tensor.order.ravel()
            if tensor.head is not None and tensor.order.size != tensor.order.shape[-1]:
                raise ValueError(f"the {tensor.head} goes over some of the features only")
            chain = chain.selected(order)
        target = as_dtype(("float64" if graph.wide else "float32") if dtype is None else dtype)
        net = chain.network(target, tensor.head)
        if labels is not None and (labels.classes is not None or labels.multilabel):
            found = np.arange(net.out_features) if labels.classes is None else labels.classes
            kind = meaning.Labels if labels.multilabel else meaning.Classes
            return net.with_outputs(kind(found))
    except ValueError as error:
        raise FormatError(f"the output: {error}") from None
    return net


def _chosen(graph: Graph, model: Any, output: str | None) -> tuple[Tensor, Labels | None]:
    """Return the output that is the network's, and the labels beside it."""
    names = [o.name for o in model.graph.output]
    if output is not None:
        if output not in names:
            raise ValueError(f"output must be one of {', '.join(names)}; got {output!r}")
        (value,) = graph.run([output])
        if isinstance(value, Tensor):
            return value, None
        if isinstance(value, Labels) and value.probabilities:
            return value.tensor, value
        raise FormatError(f"output {output!r} is no result of a network")
    values = graph.run(names)
    labels = [v for v in values if isinstance(v, Labels)]
    tensors = [v for v in values if isinstance(v, Tensor)]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, (Labels, Tensor)):
            raise FormatError(f"output {name[:60]!r} is no result of a network")
    if len(tensors) > 1:
        raise FormatError(
            f"the model has the outputs {', '.join(n[:60] for n in names[:8])}: "
            "name the network's, as in from_onnx(model, output=...)"
        )
    known = next((v for v in labels if v.classes is not None or v.multilabel), None)
    maps = [v.tensor for v in labels if v.probabilities]
    if not tensors and not maps:
        raise FormatError("the model gives labels only: its probabilities must be an output too")
    tensor = (tensors + maps)[0]
    if any(v.tensor.symbol.chain is not tensor.symbol.chain for v in labels):
        raise FormatError("the model's labels are of other results than its output")
    return tensor, known or (labels[0] if labels else None)


def _batch_first(tensor: Tensor) -> Tensor:
    if tensor.batch_axis not in (None, 0):
        sizes = tensor.feature_order().shape[: tensor.batch_axis]
        if any(extent != 1 for extent in sizes):
            raise ValueError("has the samples in its columns: a Transpose must come last")
        return replace(tensor, batch_axis=0)
    return replace(tensor, symbol=Symbol(tensor.symbol.chain, tensor.symbol.function))
