"""Which of a model's outputs are the network, and what the others say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.errors import FormatError
from laminet.interop.onnx.graph import Graph
from laminet.interop.onnx.values import Column, Decision, Failure, Repeated, Tensor

__all__ = ["Chosen", "chosen"]

_SHOWN = 8


@dataclass(frozen=True)
class Chosen:
    """The outputs that are the network, by their names; labels where the graph gives them."""

    tensors: dict[str, Tensor]
    labels: NDArray[Any] | None = None
    multilabel: bool = False


def chosen(graph: Graph, names: list[str], output: str | None) -> Chosen:
    """Return the outputs that are the network's.

    Parameters
    ----------
    graph : Graph
    names : list of str
        The model's outputs.
    output : str or None
        The one that the user named: any value of the graph. None for all that are results of a
        network: those that pass an input on, or are constants, are none.

    Raises
    ------
    ValueError
        If there is no value of that name.
    FormatError
        If it is no network, or none of the outputs is one, or several are.
    """
    values = dict(zip(names, graph.run(names), strict=True))
    if output is not None:
        if output not in values and not graph.knows(output):
            shown = ", ".join(name[:60] for name in names[:_SHOWN])
            raise ValueError(f"output must be one of {shown}; got {output[:60]!r}")
        (value,) = graph.run([output])
        if isinstance(value, Decision) and value.probabilities:
            value = value.tensor
        if not isinstance(value, Tensor):
            raise FormatError(f"output {output[:60]!r}: {_reason(value)}" + _advice(graph, values))
        return _with_labels({output: value}, values)
    return _only_one(graph, values)


def _only_one(graph: Graph, values: dict[str, Any]) -> Chosen:
    networks = {n: v for n, v in values.items() if isinstance(v, Tensor) and not v.is_input}
    failures = {n: v for n, v in values.items() if isinstance(v, Failure)}
    maps = [v for v in values.values() if isinstance(v, Decision) and v.probabilities]
    if failures:
        name, failure = next(iter(failures.items()))
        about = f"output {name[:60]!r}: " if len(values) > 1 else ""
        raise FormatError(f"{about}{failure.reason}{_advice(graph, values, failure)}")
    if len(networks) > 1 and not _all_same(list(networks.values())):
        ended = any(v.head is not None for v in networks.values())
        if not ended and not any(isinstance(v, Decision) for v in values.values()):
            return Chosen(networks)
        shown = ", ".join(name[:60] for name in list(networks)[:_SHOWN])
        raise FormatError(
            f"the model has the outputs {shown}, and a softmax or labels over some of them: name "
            "the network's, as in from_onnx(model, output=...)"
        )
    tensor = next(iter(networks.values()), maps[0].tensor if maps else None)
    if tensor is None:
        tensor = _of_columns([v for v in values.values() if isinstance(v, Column)])
    if tensor is None and any(isinstance(v, Decision) for v in values.values()):
        raise FormatError(
            "the model gives labels only: its probabilities must be an output too"
            + _advice(graph, values)
        )
    passed = [v for v in values.values() if isinstance(v, Tensor)]
    if tensor is None and len(passed) == 1 and not passed[0].integer:
        tensor = passed[0]
    if tensor is None:
        name, value = next(iter(values.items()))
        raise FormatError(f"output {name[:60]!r} is no result of a network: {_reason(value)}")
    return _with_labels({"": tensor}, values, strict=True)


def _all_same(tensors: list[Tensor]) -> bool:
    """Whether some outputs are one value by several names."""
    first = tensors[0]
    return all(
        t.value.same_as(first.value)
        and t.axes == first.axes
        and np.array_equal(t.feature_order(), first.feature_order())
        for t in tensors[1:]
    )


def _of_columns(columns: list[Column]) -> Tensor | None:
    """Return the softmax of which each output is an output of the model."""
    if not columns:
        return None
    tensor = columns[0].tensor
    if any(c.tensor is not tensor for c in columns):
        raise FormatError("the model's outputs are single outputs of two softmaxes")
    if [c.index for c in columns] != list(range(tensor.feature_order().size)):
        raise FormatError(
            f"the model gives some outputs of a {tensor.head}, and a laminet network all of them"
        )
    return tensor


def _with_labels(
    tensors: dict[str, Tensor], values: dict[str, Any], *, strict: bool = False
) -> Chosen:
    """Return one output with the labels that the model's others give of it."""
    (tensor,) = tensors.values()
    decisions = [v for v in values.values() if isinstance(v, Decision)]
    own = [d for d in decisions if d.tensor.value.form is tensor.value.form]
    if strict and len(own) < len(decisions):
        raise FormatError(
            "the model's labels are of other results than its output: "
            "name the network's, as in from_onnx(model, output=...), to leave them out"
        )
    if not own:
        return Chosen(tensors)
    multilabel = any(d.multilabel for d in own)
    known = [d.classes for d in own if d.classes is not None]
    if any(not np.array_equal(k, known[0]) for k in known[1:]):
        raise FormatError("the model's outputs give its classes different labels")
    labels = known[0] if known else np.arange(tensor.feature_order().size)
    return Chosen(tensors, labels, multilabel)


def _reason(value: Any) -> str:
    if isinstance(value, Failure):
        return value.reason
    if isinstance(value, (np.ndarray, Repeated)):
        return "it is a constant"
    if isinstance(value, Tensor):
        return "it is the input"
    if isinstance(value, Column):
        return "it is one output of a softmax, and the network has them all"
    if isinstance(value, Decision):
        return "it is a label, and a network's outputs are numbers"
    return "it is a step within a softmax or an activation"


def _advice(graph: Graph, values: dict[str, Any], failure: Failure | None = None) -> str:
    """Return what the user can do: the names that work."""
    works = [n for n, v in values.items() if isinstance(v, Tensor) and graph.is_network(v)]
    if not works and failure is not None and failure.before is not None:
        (value,) = graph.run([failure.before])
        works = [failure.before] if isinstance(value, Tensor) and graph.is_network(value) else []
        if works:
            return f"; from_onnx(model, output={works[0][:60]!r}) reads the network before it"
    if not works:
        decisions = [v.tensor for v in values.values() if isinstance(v, Decision)]
        return "" if not decisions else _before(graph, decisions[0])
    shown = " or ".join(f"output={name[:60]!r}" for name in works[:_SHOWN])
    return f"; from_onnx(model, {shown}) reads what is a network"


def _before(graph: Graph, tensor: Tensor) -> str:
    name = graph.name_of(tensor)
    return "" if name is None else f"; from_onnx(model, output={name[:60]!r}) reads them"
