"""Arithmetic, element by element, and the folding of constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.aligned import alike
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.constants import folded, repeated
from laminet.interop.onnx.values import Greater, Repeated, Rows, RowWise, Tensor
from laminet.interop.symbolic import functions
from laminet.interop.symbolic.functions import Function
from laminet.interop.symbolic.reading import BranchError
from laminet.interop.symbolic.value import Value

__all__ = ["OPERATORS", "add", "affine"]

Array = NDArray[Any]


def affine(x: Tensor, scale: Array, shift: Array) -> Tensor:
    """Return ``scale * x + shift``, constants that are broadcast to x."""
    longest = max(a.shape[-1] if a.ndim else 1 for a in (scale, shift))
    if longest > 1 and x.rank and x.axes[-1] is None:
        x = x.sized(longest)
    k, m = x.broadcast(scale), x.broadcast(shift)
    form = x.value.form
    whole = shift.ndim > 0 and shift.size == form.width
    without = x.value.is_plain and form.weight is not None and form.bias is None
    if isinstance(k, float) and k == 1 and whole and without:
        # Of zeros too: the layer has a bias then, as it would have for other numbers.
        bias = np.broadcast_to(m, shift.size) if isinstance(m, np.ndarray) else shift.reshape(-1)
        return replace(x, value=Value(form.biased(bias)))
    return x.applied(lambda value: value.scaled(k, m))


def add(a: Any, b: Any) -> Any:
    """Return the sum of two values."""
    return _combined(a, b, "add")


def _combined(a: Any, b: Any, name: str) -> Any:
    """Return a + b, a * b or max(a, b)."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        numpy = {"add": np.add, "multiply": np.multiply, "maximum": np.maximum}
        return folded(numpy[name], a, b)
    if isinstance(a, np.ndarray):
        a, b = b, a
    if isinstance(a, Tensor) and isinstance(b, np.ndarray):
        x = a.open()
        if name == "maximum":
            return _clipped(x, b, None)
        one, zero = np.ones(()), np.zeros(())
        return affine(x, *((one, b) if name == "add" else (b, zero)))
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise ValueError("is not given steps of the network and constants")
    return _of_two(a, b, name)


def _of_two(a: Any, b: Any, name: str | None) -> Tensor:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise ValueError("combines a step of a softmax with another")
    x, y = a.open(), b.open()
    if name is not None:
        x, y = alike(x, y)
    same_order = x.order is y.order or (
        x.order is not None and y.order is not None and np.array_equal(x.order, y.order)
    )
    if x.axes != y.axes or not same_order:
        raise ValueError("combines the features of a layer in two different orders")
    if name is None:
        return x
    try:
        both = tuple(dict.fromkeys((*x.inputs, *y.inputs)))
        return replace(x, value=x.open().value.combined(y.value, name), inputs=both)
    except BranchError as error:
        raise ValueError(
            f"{error}, which no layer of laminet does (sums and joins of them it has)"
        ) from None


def _subtract(node: Node) -> Any:
    a, b = node.value(0), node.value(1)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return folded(np.subtract, a, b)
    if isinstance(b, RowWise):
        return _of_row(a, b)
    return _combined(a, _negative(b), "add")


def _negative(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.applied(lambda v: v.scaled(-1.0, 0.0))
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "u":
            raise ValueError("negates unsigned integers")
        return np.asarray(-value)
    raise ValueError("is not given steps of the network and constants")


def _of_row(a: Any, row: RowWise) -> Any:
    """Return x minus its largest, or minus the logarithm of its sum of exponentials."""
    if row.kind == "max" and a is row.tensor:
        return RowWise("shifted", row.tensor)
    own = row.shifted and isinstance(a, RowWise) and a.kind == "shifted" and a.tensor is row.tensor
    if row.kind == "log_sum_exp" and (own or (not row.shifted and a is row.tensor)):
        return row.tensor.ended("log_softmax")
    raise ValueError("subtracts a value of each sample, and is no part of a softmax")


def _divide(node: Node) -> Any:
    a, b = node.value(0), node.value(1)
    if isinstance(b, RowWise):
        return _softmax_of_parts(a, b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.dtype.kind in "iubO" and b.dtype.kind in "iubO":
            # ONNX rounds towards zero, NumPy down; sizes are not negative.
            if any((v <= 0) is True for v in (*b.ravel().tolist(),) if isinstance(v, int)):
                raise ValueError("divides by 0 or a negative integer")
            return folded(np.floor_divide, a, b)
        return folded(np.divide, a, b)
    if isinstance(a, Tensor) and isinstance(b, np.ndarray):
        with np.errstate(all="ignore"):
            inverse = np.asarray(1 / b.astype(np.float64))
        return affine(a.open(), inverse, np.zeros(()))
    if not isinstance(b, Tensor):
        raise ValueError("is not given steps of the network and constants")
    if isinstance(a, np.ndarray):
        return _combined(a, _reciprocal(b.open()), "multiply")
    return _of_two(a, b, "divide")


def _softmax_of_parts(a: Any, row: RowWise) -> Any:
    """Return exp(x) / sum(exp(x)), shifted or not."""
    if row.kind == "sum_exp" and row.shifted:
        if isinstance(a, RowWise) and a.kind == "exp" and a.tensor is row.tensor:
            return row.tensor.ended("softmax")
    elif row.kind == "sum_exp" and isinstance(a, Tensor) and a is row.tensor:
        exponential = a.value.function
        assert isinstance(exponential, functions.Apply)  # of other values no sum is taken
        argument = Value(a.value.form, exponential.argument)
        return replace(a, value=argument).ended("softmax")
    raise ValueError("divides by a value of each sample, and is no part of a softmax")


def _reciprocal(x: Tensor) -> Tensor:
    return x.applied(Value.reciprocal)


def _power(node: Node) -> Any:
    x, exponent = node.value(0), node.constant(1, "the exponent")
    if isinstance(x, np.ndarray):
        return folded(np.power, x.astype(np.float64), exponent)
    if exponent.size != 1:
        raise ValueError(f"has {exponent.size} exponents")
    power = float(exponent.reshape(()))
    return node.tensor().applied(lambda value: value.power(power))


def _clip(node: Node) -> Any:
    if node.opset < 11:
        bounds: list[Any] = [np.asarray(node.attribute("min", -np.inf))]
        bounds.append(np.asarray(node.attribute("max", np.inf)))
    else:
        bounds = [node.optional(1, "min"), node.optional(2, "max")]
    low, high = bounds
    value = node.value(0)
    if isinstance(value, np.ndarray):
        result = value if low is None else folded(np.maximum, value, low)
        return result if high is None else folded(np.minimum, result, high)
    return _clipped(node.tensor(), low, high)


def _clipped(x: Tensor, low: Array | None, high: Array | None) -> Tensor:
    bounds = [
        otherwise if bound is None else x.broadcast(bound)
        for bound, otherwise in ((low, -np.inf), (high, np.inf))
    ]
    return x.applied(lambda value: value.clipped(*bounds))


def _minimum(node: Node) -> Any:
    """min(a, b, ...): constants only bound from above."""
    tensors = [v for v in node.inputs if isinstance(v, Tensor)]
    if len(tensors) > 1:
        raise ValueError(
            "takes the minimum of two results of different layers, which no layer of laminet does"
        )
    if not tensors:
        return reduce(lambda a, b: folded(np.minimum, a, b), node.inputs)
    result = tensors[0].open()
    for value in node.inputs:
        if isinstance(value, np.ndarray):
            result = _clipped(result, None, value)
    return result


def _comparison(less: bool, numpy: Callable[..., Any]) -> Operator:
    """Return the operator a > b or a < b; at equality all that follows is continuous."""

    def operator(node: Node) -> Any:
        a, b = node.value(0), node.value(1)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return folded(numpy, a, b)
        turned = isinstance(a, np.ndarray)
        x, bound = node.tensor(1 if turned else 0), node.constant(0 if turned else 1, "the bound")
        value = x.broadcast(bound)
        if not isinstance(value, float):
            raise ValueError("compares each feature with a bound of its own")
        return Greater(x, value, swapped=less != turned)

    return operator


def _not(node: Node) -> Any:
    value = node.value(0)
    if isinstance(value, Greater):
        return replace(value, swapped=not value.swapped)
    return folded(np.logical_not, node.constant(0, "its input"))


def _where(node: Node) -> Any:
    condition, a, b = node.value(0), node.value(1), node.value(2)
    if isinstance(condition, np.ndarray):
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return folded(np.where, condition, a, b)
        if condition.size == 1 and condition.ndim < 2:
            return _alone(a if condition.all() else b, b if condition.all() else a)
    if not isinstance(condition, Greater):
        raise ValueError("does not choose by a comparison of a step of the network with a number")
    if condition.swapped:
        a, b = b, a
    parts: list[Function] = []
    for value in (a, b):
        if isinstance(value, np.ndarray) and isinstance(condition.tensor.broadcast(value), float):
            parts.append(functions.Poly((float(value.flat[0]),)))
            continue
        if not isinstance(value, Tensor):
            raise ValueError("chooses between something else than functions of one layer")
        # Only to check that both are of one layer, in one order.
        _of_two(condition.tensor, value, None)
        parts.append(value.open().value.function)
    x = condition.tensor
    found = functions.where_greater(x.value.function, condition.bound, parts[0], parts[1])
    texts = " or ".join(functions.text(f) for f in parts)
    what = f"the choice of {texts} by > {condition.bound:g}"
    return x.applied(lambda value: value.with_function(found, what))


def _alone(chosen: Any, other: Any) -> Any:
    """Return what a constant condition chooses, if the other one does not widen it."""
    if isinstance(chosen, Tensor) and isinstance(other, np.ndarray):
        chosen.broadcast(other)
        return chosen
    if isinstance(chosen, Tensor) and isinstance(other, Tensor) and chosen.axes == other.axes:
        return chosen
    raise ValueError("chooses between values of different shapes")


def _unary(name: str, numpy: Callable[[Array], Any] | None) -> Operator:
    def operator(node: Node) -> Any:
        value = node.value(0)
        if isinstance(value, np.ndarray) and numpy is not None:
            return folded(numpy, value)
        if isinstance(value, RowWise):
            kind = {("exp", "shifted"): "exp", ("log", "sum_exp"): "log_sum_exp"}
            if (name, value.kind) not in kind:
                raise ValueError("is applied to a step of a softmax")
            return replace(value, kind=kind[name, value.kind])
        if isinstance(value, Tensor) and name == "log" and value.head == "softmax":
            return value.ended("log_softmax")
        return node.tensor().applied(lambda v: v.activated(name))

    return operator


def _nary(name: str) -> Operator:
    def operator(node: Node) -> Any:
        if not node.inputs:
            raise ValueError("has no inputs")
        return reduce(lambda a, b: _combined(a, b, name), node.inputs)

    return operator


def _constants_only(numpy: Callable[[Array], Any]) -> Operator:
    return lambda node: folded(numpy, node.constant(0, "its input"))


def _inverse(node: Node) -> Any:
    value = node.value(0)
    if isinstance(value, np.ndarray):
        return folded(np.reciprocal, value.astype(np.float64))
    return _reciprocal(node.tensor())


def _each_sample(operator: Operator) -> Operator:
    """Return an operator that takes constants of the batch's shape, which are `Repeated`, too."""

    def repeating(node: Node) -> Any:
        given = node.inputs
        if not any(isinstance(value, Repeated) for value in given):
            return operator(node)
        node.inputs = [v.array if isinstance(v, Repeated) else v for v in given]
        result = operator(node)
        if not isinstance(result, np.ndarray):
            return result
        dims: list[Any] = list(result.shape)
        for value in given:
            own = value.dims if isinstance(value, Repeated) else ()
            for axis, d in enumerate(own, start=len(dims) - len(own)):
                dims[axis] = d if isinstance(d, Rows) else dims[axis]
        return repeated(result, dims)

    return repeating


_NAMED: dict[str, Operator] = {
    "Add": _nary("add"),
    "Sum": _nary("add"),
    "Mul": _nary("multiply"),
    "Max": _nary("maximum"),
    "Min": _minimum,
    "Sub": _subtract,
    "Div": _divide,
    "Neg": lambda node: _negative(node.value(0)),
    "Pow": _power,
    "Clip": _clip,
    "Reciprocal": _inverse,
    "Exp": _unary("exp", np.exp),
    "Log": _unary("log", np.log),
    "Abs": _unary("abs", np.abs),
    "Greater": _comparison(False, np.greater),
    "GreaterOrEqual": _comparison(False, np.greater_equal),
    "Less": _comparison(True, np.less),
    "LessOrEqual": _comparison(True, np.less_equal),
    "Not": _not,
    "Where": _where,
    "Erf": _unary("erf", None),
    "Sqrt": _constants_only(np.sqrt),
    "Floor": _constants_only(np.floor),
    "Ceil": _constants_only(np.ceil),
}
OPERATORS: dict[tuple[str, str], Operator] = {
    ("", name): _each_sample(operator) for name, operator in _NAMED.items()
}
