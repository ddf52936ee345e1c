"""The gradients of a loss with respect to a network's parameters and input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laminet.core.floating_point import silent
from laminet.core.naming import named_in
from laminet.core.report import Report, TableData

if TYPE_CHECKING:
    from numpy.typing import NDArray


@named_in("laminet")
@dataclass(frozen=True, eq=False, repr=False)
class Gradients(Report):
    """What `MLP.gradients` returns.

    Attributes
    ----------
    weights : list of ndarray
        dW_1 .. dW_L, each of the shape of the layer's weight, (out_features, in_features).
    biases : list of ndarray or None
        db_1 .. db_L, each of shape (out_features,); None where the layer has no bias.
    input : ndarray
        Of the shape of ``x``.
    """

    weights: list[NDArray[Any]]
    biases: list[NDArray[Any] | None]
    input: NDArray[Any]

    def tables(self) -> list[TableData]:
        """Return a table of shapes and norms."""
        rows = [("layer", "weight", "bias", "norm of dW", "norm of db")]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            shape, norm = ("-", "-") if bias is None else (str(bias.shape), f"{_norm(bias):.4g}")
            rows.append((str(i), str(weight.shape), shape, f"{_norm(weight):.4g}", norm))
        rows.append(("input", str(self.input.shape), "", f"{_norm(self.input):.4g}", ""))
        return [TableData(rows, text_columns=3)]


@silent
def _norm(array: NDArray[Any]) -> float:
    # Frobenius, in float64: the sum of squares of large float32 arrays loses digits otherwise.
    flat = array.astype("float64").ravel()
    return float((flat @ flat) ** 0.5)
