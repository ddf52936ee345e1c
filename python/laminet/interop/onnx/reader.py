"""`from_onnx`: a network from an ONNX model."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.errors import FormatError
from laminet.core.floating_point import silent
from laminet.core.initialization import as_dtype
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels, Outputs, as_outputs
from laminet.files.atomic import errors_about, text_path
from laminet.interop.onnx.arrays import External
from laminet.interop.onnx.choice import Chosen, chosen
from laminet.interop.onnx.graph import UNKNOWN_AXES, Graph
from laminet.interop.onnx.operators import OPERATORS
from laminet.interop.onnx.operators.layers import SEVERAL_PARTS
from laminet.interop.onnx.package import require_onnx
from laminet.interop.onnx.restored import Restored
from laminet.interop.onnx.values import Rows, Tensor
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.network import network_of_several
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["from_onnx"]

_LARGEST_FILE = 2**31 - 1  # of protobuf


@silent
def from_onnx(
    model: Any,
    *,
    output: str | None = None,
    outputs: Outputs | None = None,
    dtype: DTypeLike | None = None,
) -> MLP:
    """Return the network that computes what an ONNX model does.

    Parameters
    ----------
    model : str, os.PathLike, bytes or onnx.ModelProto
        A path, the bytes of a file, or a model. Only with a path may weights be in other files,
        which must lie in the model's folder.
    output : str, optional
        Which output of the graph is the network's, or which value within it. By default all that
        are results of one, side by side, beside the labels that exporters of classifiers add,
        constants, and inputs that are passed on.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for, in place of what the model says itself.
    dtype : {"float32", "float64"}, optional
        By default float64 where the input or a weight is double, else float32: float16 and bfloat16
        weights are taken over exactly, and computed with in float32.

    Returns
    -------
    MLP
        ``net(x)`` equals the model's output but for rounding; samples are rows, and what the model
        gives and takes with more axes has one, flattened in C order. Where dense layers act on the
        last of three axes or more, as of (batch, time, features), all others count samples. Its
        outputs are `Classes` or `Labels` if the graph has an output of labels, as those of
        scikit-learn have, and `Quantities` by their names if there are several. Where samples are
        the second of three axes or more, as in a stack of members' results, they are the first of
        the network's. Several inputs are one, side by side in the model's order, see
        ``net.inputs``. A model that `to_onnx` wrote gives a network equal to the one written.

    Raises
    ------
    FormatError
        If the file is damaged, or a node is no step of a network, such as a product of two
        results, with its name.
    ValueError
        If there is no output of that name, or `outputs` do not fit.
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

    Examples
    --------
    >>> import tempfile, laminet as ln
    >>> net = ln.MLP.init([3, 8, 2], "tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ln.to_onnx(net, f"{folder}/net.onnx")
    ...     again = ln.from_onnx(f"{folder}/net.onnx")
    >>> again == net
    True
    """
    stated = as_outputs(outputs)
    if output is not None and not isinstance(output, str):
        raise TypeError(f"output must be a str, got {type(output).__name__}")
    proto, folder, name = _model(model)
    try:
        with np.errstate(all="ignore"):  # a model may hold any number; they show in its answers
            net = _network(proto, External(folder), output, dtype, stated is None)
    except FormatError as error:
        raise FormatError(f"{name}: {error}" if name else str(error)) from None
    return net if stated is None else net.with_outputs(stated)


def _model(model: Any) -> tuple[Any, str | None, str]:
    """Return a model, the folder it is in, and the name of its file."""
    folder, name = None, ""
    if isinstance(model, (bytes, bytearray, memoryview)):
        data = bytes(model)
    elif isinstance(model, (str, os.PathLike)):
        name = text_path(model)
        data = _read(name)
        folder = os.path.dirname(os.path.abspath(name))
    else:
        data = None
    require_onnx()
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        return model, None, ""
    if data is None:
        raise TypeError(
            f"model must be a path, bytes or an onnx.ModelProto, got {type(model).__name__}"
        )
    _check_size(len(data), name)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except (DecodeError, RuntimeError):
        raise FormatError(f"{name or 'the bytes'}: not an ONNX model, or a damaged one") from None
    return proto, folder, name


def _read(name: str) -> bytes:
    with errors_about(name):
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{name}: not a regular file")
        _check_size(status.st_size, name)
        with open(name, "rb") as file:
            return file.read()


def _check_size(size: int, name: str) -> None:
    if size > _LARGEST_FILE:
        raise FormatError(
            f"{name or 'the bytes'}: {size} bytes, and an ONNX file has less than 2 GiB: larger "
            "models have their weights in a file beside, as onnx.save(model, path, "
            "save_as_external_data=True) writes them"
        )


def _network(
    model: Any, external: External, output: str | None, dtype: DTypeLike | None, described: bool
) -> MLP:
    if not model.graph.node or not model.graph.output:
        raise FormatError("not an ONNX model: it has no nodes or no outputs")
    names = [o.name for o in model.graph.output]
    graph = Graph(model, external, OPERATORS)
    written = Restored(model) if described else None
    net = written.network(graph, output) if written is not None else None
    if net is not None:
        return net if dtype is None else net.astype(as_dtype(dtype))
    wanted = names if output is None else [output]
    try:
        graph, found = _chosen(model, external, wanted, output, leading_rows=False)
    except FormatError as error:
        if not graph.several_axes:
            raise
        try:
            graph, found = _chosen(model, external, wanted, output, leading_rows=True)
        except FormatError as second:
            # The second is worth more where the first says that a layer takes the last axis only.
            of_axes = any(text in str(error) for text in (UNKNOWN_AXES, SEVERAL_PARTS))
            raise second if of_axes else error from None
    try:
        net = _of_chosen(graph, found, dtype)
    except (ValueError, TypeError) as error:
        raise FormatError(f"the output: {error}") from None
    return net if written is None else written.described(net)


def _chosen(
    model: Any, external: External, wanted: list[str], output: str | None, *, leading_rows: bool
) -> tuple[Graph, Chosen]:
    """Return what the network is, as a function of those inputs alone that it is of."""
    names = [o.name for o in model.graph.output]
    only = Graph(model, external, OPERATORS, leading_rows).reached(wanted)
    graph = Graph(model, external, OPERATORS, leading_rows, only)
    found = chosen(graph, names, output)
    used = {name for tensor in found.tensors.values() for name, _ in tensor.inputs}
    if used and used != set(only):
        graph = Graph(model, external, OPERATORS, leading_rows, graph.in_order(used))
        found = chosen(graph, names, output)
    return graph, found


def _form(tensor: Tensor) -> Form:
    """Return the features of an output in C order."""
    if tensor.integer:
        raise ValueError("is the input, and no network")
    if not tensor.in_rows:
        before = [d for d in tensor.dims[: tensor.row_axes[-1]] if not isinstance(d, Rows)]
        stacked = tensor.rank > 2 and not tensor.is_input
        if (any(extent != 1 for extent in before) and not stacked) or len(tensor.row_axes) > 1:
            raise ValueError("has the samples in its columns: a Transpose must come last")
    form = tensor.value.resolved()
    if tensor.order is not None:
        if tensor.head is not None and tensor.order.size != tensor.order.shape[-1]:
            raise ValueError(f"the {tensor.head} goes over some of the features only")
        form = form.selected(tensor.order.ravel())
    return form


def _of_chosen(graph: Graph, found: Chosen, dtype: DTypeLike | None) -> MLP:
    values = {n: Value(_form(t), head=t.head) for n, t in found.tensors.items()}
    widths = dict(pair for tensor in found.tensors.values() for pair in tensor.inputs)
    outputs: Outputs | None = None
    if found.labels is not None:
        outputs = (Labels if found.multilabel else Classes)(found.labels)
    target = as_dtype(("float64" if graph.wide else "float32") if dtype is None else dtype)
    inputs = [(name, widths[name] or 0) for name in graph.in_order(widths)]
    named = not all(name.isdigit() for name in values)  # as exporters number them
    net = network_of_several(values, target, inputs=inputs, named=named)
    return net if outputs is None else net.with_outputs(outputs)
