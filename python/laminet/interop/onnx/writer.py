"""`to_onnx`: an ONNX model from a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.floating_point import silent
from laminet.files.atomic import replacing, text_path, write_by_parts
from laminet.files.safetensors_files.description import KEY, Description
from laminet.files.suffixes import require_suffix
from laminet.interop.onnx.package import require_onnx
from laminet.interop.onnx.written import OPSET, Written, written

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["to_onnx"]

_IR_VERSION = 8
_LARGEST_MODEL = 2**31 - 2**20  # of protobuf, less some room for the names
_ALIGNMENT = 4096  # of weights in a file of their own: readers may map it
_SUFFIX = ".data"


@silent
def to_onnx(net: MLP, path: str | os.PathLike[str]) -> None:
    """Write a network as an ONNX model, complete or not at all.

    Parameters
    ----------
    net : MLP
    path : str or os.PathLike
        The file to write; replaced where it exists. Weights of 2 GiB and more, which an ONNX file
        cannot hold, go to a file beside it, of this name and ``.data``.

    Raises
    ------
    TypeError
        If `net` is not an MLP.
    ValueError
        If the name ends as files of another kind do, if a float64 network has gelu (ONNX Runtime
        has no erf in float64), if its labels are neither numbers nor text, or as `MLP.save` where
        there is too much of it.
    OSError
        If a file cannot be written.
    ImportError
        If the package onnx is not installed (``pip install 'laminet[onnx]'``).

    Notes
    -----
    Opset 17; the input is called ``x``, of shape (batch, in_features), the first output ``y``: what
    ``net(x)`` gives. Where the outputs stand for `Classes` or `Labels`, a second one, ``label``, is
    what ``net.predict(x)`` gives. Weights and their type are the network's, bit for bit. A dense
    layer is a Gemm and its activation, a LayerNorm a LayerNormalization, a parameter by unit a
    PRelu; layers side by side end in Concat, Add, Sum or Mean, a residual block in Add; columns are
    a Slice or a Gather; a dropout is left out. What ONNX Runtime does not have in float64, and what
    later opsets have added (RMSNorm), is spelled out. The model's metadata says what the outputs
    stand for and what the layers are, so that `from_onnx` gives a network equal to this one.

    In `precision` "bfloat16" what a Gemm reads is cast to BFLOAT16 and back to FLOAT before: its
    products are those of this network, which ONNX Runtime sums in its own order. Its results
    differ by that rounding alone.

    Examples
    --------
    >>> import onnx, tempfile, laminet as ln
    >>> net = ln.MLP.init([3, 8, 2], "tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ln.to_onnx(net, f"{folder}/net.onnx")
    ...     [node.op_type for node in onnx.load(f"{folder}/net.onnx").graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    """
    require_onnx()
    from laminet.core.mlp import MLP

    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, got {type(net).__name__}")
    require_suffix(path, ".onnx", "to_onnx")
    graph = written(net)
    text = Description.of(net).to_json()
    if sum(array.nbytes for array in graph.constants.values()) <= _LARGEST_MODEL:
        model = _model(graph, text, [_tensor(n, a) for n, a in graph.constants.items()])
        _checked(model)
        data = model.SerializeToString(deterministic=True)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            write_by_parts(file, data)
        return
    large = {n: a for n, a in graph.constants.items() if n.endswith((".weight", ".bias"))}
    beside = f"{os.path.basename(text_path(path))}{_SUFFIX}"
    tensors = [_tensor(n, a) for n, a in graph.constants.items() if n not in large]
    tensors += _external(large, beside)
    model = _model(graph, text, tensors)
    # The weights are moved to their place first: no model is there without them.
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        with replacing(f"{text_path(path)}{_SUFFIX}") as weights:
            _write(weights, large)


def _checked(model: Any) -> None:
    from onnx import checker

    checker.check_model(model)


def _model(graph: Written, description: str, tensors: list[Any]) -> Any:
    from onnx import helper

    proto = helper.make_graph(graph.nodes, "laminet", graph.inputs, graph.outputs, tensors)
    model = helper.make_model(
        proto,
        producer_name="laminet",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(model, {KEY: description})
    return model


def _tensor(name: str, array: NDArray[Any]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    if array.dtype.kind == "U":
        texts = [text.encode("utf-8") for text in array.tolist()]
        return helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return numpy_helper.from_array(native.reshape(array.shape), name)


def _external(arrays: dict[str, NDArray[Any]], location: str) -> list[Any]:
    """Return tensors whose elements are in a file, in this order, each at an aligned place."""
    from onnx import TensorProto, helper

    tensors, place = [], 0
    for name, array in arrays.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", place), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
        place += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return tensors


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with open(path, "wb") as file:
        for array in arrays.values():
            native = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            write_by_parts(file, native.data.cast("B"))
            file.write(bytes(-array.nbytes % _ALIGNMENT))
