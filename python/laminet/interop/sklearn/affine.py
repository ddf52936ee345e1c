"""Affine maps, the exact algebra of transformers: ``x -> A x + c``, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Affine", "beside", "diagonal", "full", "selection"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Affine:
    """``A x + c``, where A is a matrix, or takes one input for each output and a factor.

    Attributes
    ----------
    inputs : int
        The number of inputs.
    shift : ndarray of shape (outputs,), or None
        c; None for zeros.
    matrix : ndarray of shape (outputs, inputs), or None
    columns : ndarray of int of shape (outputs,), or None
        Without a matrix: the input of each output; None for all of them in order.
    factors : ndarray of shape (outputs,), or None
        Without a matrix: what they are multiplied by; None for ones.
    """

    inputs: int
    shift: Array | None = None
    matrix: Array | None = None
    columns: Array | None = None
    factors: Array | None = None

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        if self.matrix is not None:
            return len(self.matrix)
        return self.inputs if self.columns is None else len(self.columns)

    def before(self, weight: Array, bias: Array) -> tuple[Array, Array]:
        """Return weight and bias of ``W (A x + c) + b``.

        What is multiplied by one and added to zero keeps its bits and its dtype.
        """
        if weight.shape[1] != self.outputs:
            raise ValueError(
                f"gives {self.outputs} features, and the next step takes {weight.shape[1]}"
            )
        with np.errstate(all="ignore"):  # a model may hold infinities; they show in its answers
            if self.shift is not None:
                bias = _wide(bias) + _wide(weight) @ self.shift
            if self.matrix is not None:
                return _wide(weight) @ self.matrix, bias
            if self.factors is not None:
                weight = _wide(weight) * self.factors
        if self.columns is None:
            return weight, bias
        if len(np.unique(self.columns)) < len(self.columns):
            weight = _wide(weight)  # columns that are taken twice are summed
        spread = np.zeros((self.inputs, len(weight)), weight.dtype)
        np.add.at(spread, self.columns, weight.T)
        return spread.T, bias

    def of_columns(self, columns: Array, inputs: int) -> Affine:
        """Return the map of these columns of more inputs."""
        if len(columns) != self.inputs:
            raise ValueError(f"takes {self.inputs} features, and gets {len(columns)} columns")
        if self.matrix is not None:
            matrix = np.zeros((len(self.matrix), inputs))
            np.add.at(matrix.T, columns, self.matrix.T)
            return Affine(inputs, self.shift, matrix)
        own = columns if self.columns is None else columns[self.columns]
        return Affine(inputs, self.shift, None, own, self.factors)

    def scaled(self, factor: float) -> Affine:
        """Return ``factor * (A x + c)``."""
        shift = None if self.shift is None else factor * self.shift
        if self.matrix is not None:
            return Affine(self.inputs, shift, factor * self.matrix)
        factors = np.full(self.outputs, factor) * (1.0 if self.factors is None else self.factors)
        return Affine(self.inputs, shift, None, self.columns, factors)

    def after(self, first: Affine) -> Affine:
        """Return ``A (first(x)) + c``."""
        shift = np.zeros(self.outputs) if self.shift is None else self.shift
        matrix, shift = first.before(self.as_matrix(), shift)
        return full(matrix, shift)

    def as_matrix(self) -> Array:
        """Return A in full."""
        if self.matrix is not None:
            return self.matrix
        matrix = np.zeros((self.outputs, self.inputs))
        columns = np.arange(self.inputs) if self.columns is None else self.columns
        matrix[np.arange(self.outputs), columns] = 1.0 if self.factors is None else self.factors
        return matrix


def diagonal(factors: Any, shift: Any) -> Affine:
    """Return ``factors * x + shift``; ones and zeros change nothing."""
    factors, shift = _wide(factors), _wide(shift)
    return Affine(
        len(factors),
        shift if shift.any() else None,
        factors=None if (factors == 1).all() else factors,
    )


def full(matrix: Any, shift: Any) -> Affine:
    """Return ``matrix x + shift``."""
    matrix, shift = _wide(matrix), _wide(shift)
    return Affine(matrix.shape[1], shift if shift.any() else None, matrix)


def selection(columns: Any, inputs: int) -> Affine:
    """Return ``x[columns]``."""
    return Affine(inputs, columns=np.asarray(columns, np.intp))


def beside(maps: Sequence[Affine], inputs: int) -> Affine:
    """Return the outputs of several maps of the same inputs, one after the other."""
    shifts = [np.zeros(m.outputs) if m.shift is None else m.shift for m in maps]
    shift = np.concatenate(shifts) if any(m.shift is not None for m in maps) else None
    if any(m.matrix is not None for m in maps):
        return Affine(inputs, shift, np.concatenate([m.as_matrix() for m in maps]))
    every = np.arange(inputs)
    columns = np.concatenate([every if m.columns is None else m.columns for m in maps])
    factors = None
    if any(m.factors is not None for m in maps):
        factors = np.concatenate(
            [np.ones(m.outputs) if m.factors is None else m.factors for m in maps]
        )
    return Affine(inputs, shift, None, columns, factors)


def _wide(array: Any) -> Array:
    return np.asarray(array, np.float64)
