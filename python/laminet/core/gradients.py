"""The gradients of a loss with respect to a network's parameters and input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from laminet.core.floating_point import silent
from laminet.core.public_module import named_in
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
        dW_1 .. dW_L of the dense layers, each of the shape of the layer's weight, (out_features,
        in_features); of layers within layers each before those that follow it.
    biases : list of ndarray or None
        db_1 .. db_L, each of shape (out_features,); None where the layer has no bias.
    input : ndarray
        Of the shape of ``x``.
    norms : list of tuple of ndarray or None
        (dweight, dbias) of each `LayerNorm` and `RMSNorm`, of shape (features,), in that order;
        None for what it has not.
    activations : list of tuple of ndarray or None
        (dalpha, dbeta) of each activation with parameters by unit, of a dense layer or by itself,
        of shape (units,), in that order; None for what is no array. A parameter that is one number
        for all units is a constant.
    layers : tuple of str
        Where the dense layers stand: "layers[0]", "layers[2].branches[1][0]".
    norm_layers : tuple of str
        Where the norms stand.
    activation_layers : tuple of str
        Where those activations stand: "layers[0].activation", "layers[3]".

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> net = ln.MLP.init([3, 4, 2], seed=0)
    >>> g = net.gradients(np.ones((8, 3)), np.ones((8, 2)))
    >>> [w.shape for w in g.weights], [b.shape for b in g.biases], g.input.shape
    ([(4, 3), (2, 4)], [(4,), (2,)], (8, 3))
    """

    weights: list[NDArray[Any]]
    biases: list[NDArray[Any] | None]
    input: NDArray[Any]
    norms: list[tuple[NDArray[Any] | None, NDArray[Any] | None]] = field(default_factory=list)
    layers: tuple[str, ...] = ()
    norm_layers: tuple[str, ...] = ()
    activations: list[tuple[NDArray[Any] | None, NDArray[Any] | None]] = field(default_factory=list)
    activation_layers: tuple[str, ...] = ()

    def tables(self) -> list[TableData]:
        """Return a table of shapes and norms, and one of parameters by unit where there are any."""
        rows = [("layer", "weight", "bias", "norm of dW", "norm of db")]
        chain = all(place == f"layers[{i}]" for i, place in enumerate(self.layers))
        names = map(str, range(1, len(self.weights) + 1)) if chain else self.layers
        pairs = [*zip(self.weights, self.biases, strict=True), *self.norms]
        for name, (weight, bias) in zip([*names, *self.norm_layers], pairs, strict=True):
            rows.append(_row(name, weight, bias))
        rows.append(("input", str(self.input.shape), "", _norm(self.input), ""))
        tables = [TableData(rows, text_columns=3)]
        if self.activations:
            units = [("activation", "alpha", "beta", "norm of dalpha", "norm of dbeta")]
            for name, (alpha, beta) in zip(self.activation_layers, self.activations, strict=True):
                units.append(_row(name, alpha, beta))
            tables.append(TableData(units, text_columns=3))
        return tables


def _row(name: str, *pair: NDArray[Any] | None) -> tuple[str, str, str, str, str]:
    """Return shapes, then norms, of two arrays."""
    (a, b), (c, d) = (("-", "-") if x is None else (str(x.shape), _norm(x)) for x in pair)
    return name, a, c, b, d


def assembled(
    found: tuple[Any, ...],
    layers: tuple[str, ...],
    norm_layers: tuple[str, ...],
    activation_layers: tuple[str, ...],
) -> Gradients:
    """Return what the core found, as `Gradients`."""
    result = object.__new__(Gradients)
    # The __init__ of a frozen dataclass takes 0.5 us longer, of 4 that a small network needs.
    weights, biases, inputs, norms, activations = found
    result.__dict__.update(
        weights=weights,
        biases=biases,
        input=inputs,
        norms=norms,
        layers=layers,
        norm_layers=norm_layers,
        activations=activations,
        activation_layers=activation_layers,
    )
    return result


def given_arrays(out: object) -> tuple[Any, ...]:
    """Return the arrays of ``out=`` as the core takes them; refuse what is none."""
    if not isinstance(out, Gradients):
        raise TypeError(
            f"out must be Gradients, as net.gradients returns them, got {type(out).__name__}"
        )
    return (
        _as_tuple(out.weights, "out.weights"),
        _as_tuple(out.biases, "out.biases"),
        out.input,
        _as_pairs(out.norms, "out.norms"),
        _as_pairs(out.activations, "out.activations"),
    )


def _as_pairs(value: object, name: str) -> tuple[tuple[Any, ...], ...]:
    return tuple(_as_tuple(pair, f"{name}[{i}]") for i, pair in enumerate(_as_tuple(value, name)))


def _as_tuple(value: object, name: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list or a tuple, got {type(value).__name__}")
    return tuple(value)


@silent
def _norm(array: NDArray[Any]) -> str:
    # Frobenius, in float64: the sum of squares of large float32 arrays loses digits otherwise.
    flat = array.astype("float64").ravel()
    return f"{(flat @ flat) ** 0.5:.4g}"
