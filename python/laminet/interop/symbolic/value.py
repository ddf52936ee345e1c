"""What stands for a tensor's features while a model is read.

As long as a model applies numbers and functions of one number, the form stays what it is and the
function grows: ``x * sigmoid(x)`` is a function of the ``x`` that both share. Which activation it
is, is asked where something else comes after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.interop.symbolic import functions, statistics
from laminet.interop.symbolic.exact import batch_norm
from laminet.interop.symbolic.forms import Averaged, Form
from laminet.interop.symbolic.functions import Function
from laminet.interop.symbolic.gates import gated
from laminet.interop.symbolic.joining import joined, summed
from laminet.interop.symbolic.reading import BranchError, Reading
from laminet.interop.symbolic.resolving import resolved

__all__ = ["Value"]

Array = NDArray[Any]

_VARIABLE = functions.variable()
# Real models nest 3, in gelu; the limit keeps the recursion over a hostile one shallow.
_DEEPEST = 16
_SELU = (1.6732632423543772, 1.0507009873554805)


@dataclass(frozen=True, eq=False)
class Value:
    """The same function of each feature of a form.

    Attributes
    ----------
    form : Form
    function : Function
    head : {None, "softmax", "log_softmax"}
        What has been applied, after which nothing may be computed.
    """

    form: Form
    function: Function = _VARIABLE
    head: str | None = None

    @classmethod
    def input(
        cls, width: int | None = None, *, reading: Reading | None = None, name: Any = None
    ) -> Value:
        """Return an input of a model; `width` is its number of features, where it is known."""
        return cls(Form.input(width, reading=reading, name=name))

    @property
    def width(self) -> int | None:
        """The number of features, None as long as it is not known."""
        return self.form.width

    @property
    def is_plain(self) -> bool:
        """Whether nothing has been applied to the features."""
        return self.function == _VARIABLE

    @property
    def is_input(self) -> bool:
        """Whether the features are those of an input, some of them perhaps."""
        return self.form.step is self.form.source and self.form.bare and self.is_plain

    def open(self) -> Value:
        """Return the value if more may be computed of it; refuse it otherwise."""
        if self.head is not None:
            raise ValueError(f"comes after a {self.head}, which can only be the last step")
        return self

    def resolved(self) -> Form:
        """Return the features as a form.

        Raises
        ------
        ValueError
            If the function is none of the activations.
        """
        return resolved(self.form, self.function)

    def same_as(self, other: Value) -> bool:
        """Whether both are one function of one form."""
        return self.form is other.form and (self.function, self.head) == (
            other.function,
            other.head,
        )

    # --- Functions of each feature --------------------------------------------------------------

    def with_function(self, function: Function | None, what: str) -> Value:
        """Return the value with another function; refuse None, where there is no form for it."""
        self.open()
        if function is None:
            raise ValueError(
                f"{what} of {functions.text(self.function)} is no part of an activation"
            )
        if functions.depth(function) > _DEEPEST:
            raise ValueError(f"is the last of more than {_DEEPEST} functions of one layer")
        return Value(self.form, function)

    def activated(self, activation: Activation | str) -> Value:
        """Return an activation, or one of the functions that activations are made of."""
        if (self.head, activation) == ("log_softmax", "exp"):
            return replace(self, head="softmax")
        applied = functions.apply(activation, self.open().function)
        return self.with_function(applied, str(activation))

    def scaled(self, scale: Array | float, shift: Array | float) -> Value:
        """Return ``scale * x + shift``: numbers, or vectors with one number for each feature."""
        self.open()
        if np.ndim(scale) == 0 and np.ndim(shift) == 0:
            return self.with_function(
                functions.scaled(self.function, float(scale), float(shift)), "a scale"
            )
        return Value(self.resolved().scaled(scale, shift))

    def reciprocal(self) -> Value:
        """Return ``1 / x``."""
        return self.with_function(functions.reciprocal(self.open().function), "the reciprocal")

    def power(self, exponent: float) -> Value:
        """Return ``x ** exponent``: 1, 2, 3, -1, and of a mean of each sample 1/2 and -1/2."""
        if abs(exponent) == 0.5 and isinstance(self.open().form.step, Averaged):
            root = self.activated("sqrt")
            return root if exponent > 0 else root.reciprocal()
        found = functions.power(self.open().function, exponent)
        return self.with_function(found, f"power {exponent:g}")

    def clipped(self, low: Array | float, high: Array | float) -> Value:
        """Return ``min(max(x, low), high)``, both numbers or one number for each feature."""
        if np.ndim(low) == 0 and np.ndim(high) == 0:
            found = functions.clip(self.open().function, float(low), float(high))
            return self.with_function(found, f"the clip to {low:g} .. {high:g}")
        return Value(self.open().resolved().clipped(low, high))

    # --- Activations that are others of another unit ---------------------------------------------

    def leaky(self, slope: float) -> Value:
        """Return ``leaky_relu`` with that slope."""
        return self.activated(Activation("leaky_relu", alpha=slope))

    def prelu(self, slopes: Array) -> Value:
        """Return ``leaky_relu`` with a slope for each feature, in their order."""
        different = np.unique(slopes)
        if len(different) == 1:
            return self.leaky(float(different[0]))
        form = self.open().resolved()
        if slopes.shape != (form.width or slopes.size,):
            raise ValueError(f"has {slopes.size} slopes for {form.width} features")
        return Value(form.layer(Activation("leaky_relu", alpha=slopes)))

    def celu(self, alpha: float) -> Value:
        """Return ``alpha elu(x / alpha)``."""
        _require_positive(alpha, "an alpha")
        return self.scaled(1 / alpha, 0.0).activated(Activation("elu")).scaled(alpha, 0.0)

    def elu(self, alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Value:
        """Return ``scale (u if u > 0 else alpha (exp(input_scale u) - 1))``."""
        if input_scale == 1 and np.allclose((alpha, scale), _SELU, rtol=1e-12, atol=0):
            return self.activated(Activation("selu"))
        # scale / input_scale elu(input_scale u) of alpha input_scale
        _require_positive(input_scale, "an input scale")
        inner = self if input_scale == 1 else self.scaled(input_scale, 0.0)
        result = inner.activated(Activation("elu", alpha=alpha * input_scale))
        return result if scale == input_scale else result.scaled(scale / input_scale, 0.0)

    def softplus(self, beta: float, threshold: float = 20) -> Value:
        """Return ``log(1 + exp(beta x)) / beta``, above the threshold x, which is as exact."""
        if threshold < 20:
            raise ValueError(f"is linear above a threshold of {threshold:g}, less than 20")
        if beta == 0:
            raise ValueError("has a beta of 0, which it divides by")
        return self.scaled(beta, 0.0).activated(Activation("softplus")).scaled(1 / beta, 0.0)

    def log_sigmoid(self) -> Value:
        """Return ``log(sigmoid(x))``."""
        return self.activated(Activation("sigmoid")).activated("log")

    def cosine(self) -> Value:
        """Return ``cos(x)``, which is ``sin(x + pi / 2)``."""
        return self.scaled(1.0, math.pi / 2).activated(Activation("sin"))

    def swish(self, alpha: float) -> Value:
        """Return ``x sigmoid(alpha x)``."""
        gate = self.scaled(alpha, 0.0).activated(Activation("sigmoid"))
        return self.combined(gate, "multiply")

    # --- Matrices and normalisations -------------------------------------------------------------

    def linear(self, weight: Array, bias: Array | None = None, *, merged: bool = False) -> Value:
        """Return ``x W^T + b``; `merged` into a matrix before it, or as a layer of its own."""
        return Value(self.open().resolved().linear(weight, bias, merged=merged))

    def batch_norm(
        self, mean: Any, variance: Any, eps: float, weight: Any = None, bias: Any = None
    ) -> Value:
        """Return ``(x - mean) / sqrt(variance + eps) * weight + bias``, of fixed statistics."""
        return self.scaled(*batch_norm(mean, variance, eps, weight, bias))

    def normalised(
        self, kind: str, eps: float, weight: Array | None = None, bias: Array | None = None
    ) -> Value:
        """Return a layer or RMS normalisation over all features of each sample."""
        return Value(statistics.normalised(self.open().resolved(), kind, eps, weight, bias))

    def averaged(self) -> Value:
        """Return the mean of each sample over its features: one feature."""
        return Value(statistics.averaged(self.open().form, self.function))

    def variance(self, correction: float = 0) -> Value:
        """Return the variance of each sample's features."""
        return Value(*statistics.variance(self.open().form, self.function, correction))

    def ended(self, head: str) -> Value:
        """Return the softmax or log-softmax over the features."""
        if self.head == "log_softmax":  # its exponentials have the sum 1
            return replace(self, head=head)
        return replace(self.open(), head=head)

    # --- Several values --------------------------------------------------------------------------

    def combined(self, other: Value, operation: str) -> Value:
        """Return the sum, product, quotient, maximum or minimum of two values.

        Raises
        ------
        BranchError
            If they are no functions of the same features, nor a normalisation in its parts, nor a
            gate by numbers for each feature, nor a sum.
        """
        mine, its = _of_a_layer(self.open(), other.open())
        if mine.form is its.form:
            function = _OF_FUNCTIONS[operation](mine.function, its.function)
            if function is None and operation == "add" and (parts := _activations(mine, its)):
                return Value(summed(parts))
            text = functions.text(its.function)
            return mine.with_function(function, f"the {operation} with {text}")
        pairs = (mine.form, mine.function), (its.form, its.function)
        found = statistics.combined(*pairs, operation)
        if found is None and operation == "multiply":
            found = gated(*pairs)
        if found is not None:
            return Value(found)
        if operation == "add":
            return Value(summed([mine.resolved(), its.resolved()]))
        raise BranchError(_WORDS[operation])

    def selected(self, order: Array) -> Value:
        """Return some of the features, by their indices, in any order and as often as wanted."""
        return replace(self.open(), form=self.form.selected(order))

    @classmethod
    def joined(cls, values: Sequence[Value]) -> Value:
        """Return the features of several values, one after the other."""
        return cls(joined([value.open().resolved() for value in values]))


def _require_positive(number: float, what: str) -> None:
    """Refuse what would change the side of 0 on which the input is."""
    if not number > 0:
        raise ValueError(f"has {what} of {number:g}; laminet's elu takes one above 0")


def _activations(*values: Value) -> list[Form]:
    """Return values as forms; none where one is no activation, or no width is known."""
    try:
        forms = [value.resolved() for value in values]
    except ValueError:
        return []
    return [] if any(form.width is None for form in forms) else forms


def _of_a_layer(a: Value, b: Value) -> tuple[Value, Value]:
    """Return two functions of one form, of which one is a function of the other, as such of that.

    ``silu(u)`` is ``u sigmoid(u)`` also where u is an activation itself: that is a layer, and what
    is made of it begins anew. Multiplied out nobody would find it again.
    """
    for inner, other in ((a, b), (b, a)):
        u = inner.function
        u = u.function if isinstance(u, functions.Scaled) else u
        if a.form is not b.form or isinstance(u, functions.Poly) or a.function == b.function:
            continue
        if isinstance(other.function, functions.Poly) or not functions.contains(other.function, u):
            continue
        try:
            form = resolved(a.form, u)
        except ValueError:  # part of an activation
            continue
        return (
            Value(form, functions.in_terms_of(a.function, u)),
            Value(form, functions.in_terms_of(b.function, u)),
        )
    return a, b


def _minimum(f: Function, g: Function) -> Function | None:
    negative = functions.maximum(*(functions.scaled(h, -1, 0) for h in (f, g)))
    return negative and functions.scaled(negative, -1, 0)


_WORDS = {
    "multiply": "multiplies two different results, as a gate does",
    "divide": "divides one result by another",
    "maximum": "takes the maximum of two different results",
    "minimum": "takes the minimum of two different results",
}
_OF_FUNCTIONS = {
    "add": functions.add,
    "multiply": functions.multiply,
    "divide": lambda f, g: functions.multiply(f, functions.reciprocal(g)),
    "maximum": functions.maximum,
    "minimum": _minimum,
}
