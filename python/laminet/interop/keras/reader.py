"""`from_keras`: a Keras model's graph, from its inputs to its output."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.errors import FormatError
from laminet.core.floating_point import silent
from laminet.core.initialization import as_dtype
from laminet.core.mlp import MLP
from laminet.files.atomic import text_path
from laminet.interop.keras.files import read_model
from laminet.interop.keras.layers import read_layer
from laminet.interop.keras.operations import read_operation
from laminet.interop.keras.tensors import RowsNeededError, Tensor
from laminet.interop.origin import is_of
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.network import network_of_several
from laminet.interop.symbolic.reading import Reading
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from laminet.core.outputs import Outputs

__all__ = ["from_keras"]


@silent
def from_keras(
    model: Any, *, dtype: DTypeLike | None = None, outputs: Outputs | None = None
) -> MLP:
    """Return the network that computes what a Keras model does.

    Parameters
    ----------
    model : keras.Model, or str or os.PathLike
        Keras 3, any backend: ``Sequential``, or a functional model, nested ones included; or a
        file of one, ``.keras`` or ``.h5``, which is read without running code of its own. Layers
        may be ``InputLayer``, ``Dense``, ``EinsumDense`` over the last axes, ``Activation`` and the
        layers that are activations, ``Dropout`` and its like, ``BatchNormalization``,
        ``LayerNormalization``, ``RMSNormalization``, ``Rescaling`` and ``Normalization``, those
        that move numbers (``Flatten``, ``Reshape``, ``Permute``, ``Cropping``), ``TimeDistributed``
        of these, ``Concatenate``, ``Add``, ``Subtract`` and ``Average``. Functions of ``keras.ops``
        and ``keras.activations`` may do the same. A softmax at the end becomes the network's head.
    dtype : {"float32", "float64"}, optional
        By default float64 where a weight is, else float32.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for, which a Keras model does not say.

    Returns
    -------
    MLP
        ``net(x)`` equals ``model(x)`` but for rounding; its samples have one axis, flattened in C
        order. Where dense layers act on the last of several axes, its samples are the rows of that
        axis. A model of several inputs takes them side by side, in its order, as `MLP.inputs`
        tells. Several outputs stand side by side: `Quantities`, by the names of their layers, or by
        the keys of a dict. Weights are copied, bit for bit where nothing is folded into them.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If it is not built, or a layer is none of those above, with the layer's name.
    FormatError
        If the file is none of Keras, or holds a model that Keras cannot rebuild without code of
        its own.

    Notes
    -----
    A BatchNormalization, Rescaling or Normalization is folded into the layer beside it: multiplied
    out in float64 and rounded once. A feature whose mean is many standard deviations from 0 then
    loses as many digits in the first layer as its own rounding to the network's dtype costs.
    Weights of mixed-precision models are float32, and so is what the network computes.

    Examples
    --------
    >>> import keras, laminet as ln
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="relu")])
    >>> net = ln.from_keras(model)
    >>> net
    MLP(3 -> 2 relu, float32, 8 parameters)
    """
    target = None if dtype is None else as_dtype(dtype)
    if isinstance(model, (str, os.PathLike)):
        try:
            net = _network(read_model(model), target)
        except FormatError:
            raise
        except ValueError as error:
            raise FormatError(f"{text_path(model)}: {error}") from None
        except (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
            # Keras takes settings of any type until a layer is called.
            reason = "describes a layer by settings that are none"
            raise FormatError(f"{text_path(model)}: {reason}") from None
    else:
        net = _network(model, target)
    return net if outputs is None else net.with_outputs(outputs)


def _network(model: Any, dtype: np.dtype[Any] | None) -> MLP:
    if not is_of(model, "keras"):
        raise TypeError(_no_model(model))
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(_no_model(model))
    _require_graph(model)
    names, results = _tried(model)
    struct = getattr(model, "_outputs_struct", None)
    if isinstance(struct, dict) and len(struct) == len(model.outputs):
        called = [str(key) for key in sorted(struct)]  # Keras flattens a dict by its keys
    else:
        called = [_name_of(tensor) for tensor in model.outputs]
    if len(set(called)) < len(called):  # a layer of several outputs
        called = [f"{name}.{i}" for i, name in enumerate(called)]
    try:
        values = {
            name: Value(_of_output(result), head=result.value.head)
            for name, result in zip(called, results, strict=True)
        }
        return network_of_several(values, _dtype(model, dtype), inputs=names)
    except ValueError as error:
        several = f": name one, by {_ONE}" if len(called) > 1 else ""
        raise ValueError(f"the output: {error}{several}") from None


_ONE = "from_keras(keras.Model(model.inputs, model.outputs[0]))"


def _tried(model: Any) -> tuple[list[tuple[str, int]], list[Tensor]]:
    """Return the inputs and outputs of a model, as rows where its dense layers take those."""
    try:
        return _read(model, False, Reading())
    except RowsNeededError:
        return _read(model, True, Reading())


def _dtype(model: Any, dtype: np.dtype[Any] | None) -> np.dtype[Any]:
    if dtype is not None:
        return dtype
    wide = any(str(v.dtype) == "float64" for v in model.weights or model.outputs)
    return as_dtype("float64" if wide else "float32")


def _no_model(model: Any) -> str:
    kinds = [f"{c.__module__}.{c.__name__}" for c in type(model).__mro__]
    if any(kind.startswith(("tf_keras.", "tensorflow.")) for kind in kinds):
        return (
            f"model must be a model of Keras 3, got a {type(model).__name__} of Keras 2: save it "
            "(model.save('model.h5')) and give the file's name"
        )
    return (
        "model must be a Keras model or the name of a .keras or .h5 file, "
        f"got {type(model).__name__}"
    )


def _of_output(tensor: Tensor) -> Form:
    return tensor.value.resolved() if tensor.value.head is not None else tensor.form()


def _require_graph(model: Any) -> None:
    """Refuse a model whose layers are known by its code alone, or that has none yet."""
    import keras

    name, kind = model.name, type(model).__name__
    if not type(model).call.__module__.startswith("keras."):
        raise ValueError(
            f"model {name!r} ({kind}) has a call() of its own, which cannot be read: make a "
            "functional model of it, x = keras.Input((n,)); keras.Model(x, model.call(x))"
        )
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        how = "call it on data, or give it a keras.Input"
        if not isinstance(model, keras.Sequential):
            how = "make it by keras.Model(inputs, outputs)"
        raise ValueError(f"model {name!r} ({kind}) is not built: {how}")


def _read(model: Any, rows: bool, reading: Reading) -> tuple[list[tuple[str, int]], list[Tensor]]:
    """Return the inputs that are used, and what the model makes of them.

    Several inputs are columns of one: each is a value of the features from its first column on.
    """
    tensors = _reached_inputs(model)
    for tensor in tensors:
        if str(tensor.dtype) == "string":
            raise ValueError(f"{_name_of(tensor)!r} takes text: encode it beforehand")
    values = {id(t): Tensor.input(tuple(t.shape)[1:], rows, reading) for t in tensors}
    names = [(_name_of(t), values[id(t)].value.width or 0) for t in tensors]
    if len(tensors) > 1:
        whole = Form.input(sum(width for _, width in names), reading=reading)
        if any(width == 0 for _, width in names):
            raise RowsNeededError("takes inputs of unknown length")
        start = 0
        for tensor, (_, width) in zip(tensors, names, strict=True):
            values[id(tensor)] = values[id(tensor)].columns(whole, start)
            start += width
    return names, _model(model, [values.get(id(t)) for t in model.inputs])


def _name_of(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _node(tensor: Any) -> Any:
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _in_order(model: Any, visit: Callable[[Any], None]) -> None:
    """Visit the nodes that the outputs depend on, each after those that it depends on."""
    seen: set[int] = set()
    inputs = {id(tensor) for tensor in model.inputs}
    stack = [(tensor, False) for tensor in reversed(model.outputs)]
    while stack:
        tensor, ready = stack.pop()
        node = _node(tensor)
        if ready:
            visit(node)
        elif id(tensor) not in inputs and id(node) not in seen:
            seen.add(id(node))
            stack.append((tensor, True))
            stack += [(t, False) for t in reversed(node.arguments.keras_tensors)]


def _reached_inputs(model: Any) -> list[Any]:
    """Return those inputs that the outputs depend on."""
    reached = {id(tensor) for tensor in model.outputs}  # of a model that gives its input

    def visit(node: Any) -> None:
        for tensor in node.arguments.keras_tensors:
            reached.add(id(tensor))

    _in_order(model, visit)
    return [tensor for tensor in model.inputs if id(tensor) in reached]


def _model(model: Any, values: Sequence[Tensor | None]) -> list[Tensor]:
    """Return what a model makes of the values of its inputs."""
    _require_graph(model)
    known: dict[int, Tensor] = {
        id(tensor): value
        for tensor, value in zip(model.inputs, values, strict=True)
        if value is not None
    }

    def visit(node: Any) -> None:
        results = _call(node, known)
        known.update({id(t): v for t, v in zip(node.outputs, results, strict=True)})

    _in_order(model, visit)
    return [known[id(tensor)] for tensor in model.outputs]


def _call(node: Any, known: dict[int, Tensor]) -> list[Tensor]:
    """Return what a layer or operation makes of its arguments."""
    import keras

    operation = node.operation
    args, kwargs = node.arguments.convert(lambda a: known.get(id(a), a))
    if kwargs.get("training"):
        raise ValueError(
            f"layer {operation.name!r} ({type(operation).__name__}): is called with "
            "training=True, and then what it does depends on chance or on the other samples"
        )
    if isinstance(operation, keras.Model):
        values = [a for a in keras.tree.flatten((args, kwargs)) if isinstance(a, Tensor)]
        return _model(operation, values)
    if isinstance(operation, keras.layers.Layer):
        result = read_layer(operation, args, kwargs)
    else:
        result = read_operation(operation, args, kwargs, str(node.outputs[0].dtype))
    return list(result) if isinstance(result, (list, tuple)) else [result]
