"""How gradients grow or vanish on their way through a network: the singular values of Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.analysis.arguments import require_network
from laminet.core.floating_point import silent
from laminet.reference.heads import head_jacobian
from laminet.show.report import Report, TableData

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.mlp import MLP

    Array = NDArray[np.float64]

__all__ = ["GradientFlow", "JacobianSpectrum", "gradient_flow"]

# Jacobians of so many samples at once that this many numbers suffice for the largest layer.
_CHUNK = 4_000_000

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False, repr=False)
class JacobianSpectrum(Report):
    """The singular values of a Jacobian, averaged over the samples.

    Attributes
    ----------
    name : str
        ``"J3"`` for the third layer, ``"J5...J3"`` for the product from the output down to it.
    shape : tuple of int
        Of the matrix.
    singular_values : ndarray of shape (min(shape),), float64
        Largest first; the mean of each over the samples, as computed: where the matrix has not full
        rank, the last ones are rounding errors, which a table shows as 0.
    rank : float
        The mean number of singular values above ``max(shape) eps`` times the largest, ``eps`` being
        2^-52: what float64 can tell from zero. (As `numpy.linalg.matrix_rank` counts.)
    """

    name: str
    shape: tuple[int, int]
    singular_values: Array
    rank: float

    @property
    def norm(self) -> float:
        """The spectral norm, the largest singular value: how much a gradient grows at most."""
        return float(self.singular_values[0])

    @property
    def floor(self) -> float:
        """``max(shape) eps`` times the norm: what is not above it is zero but for rounding."""
        return max(self.shape) * _EPS * self.norm

    @property
    @silent
    def condition_number(self) -> float:
        """Largest by smallest singular value; infinite where the rank is not full."""
        if self.rank < min(self.shape):
            return float("inf")
        return float(self.singular_values[0] / self.singular_values[-1])

    @silent
    def cells(self) -> tuple[str, ...]:
        """Return a line of a table, with 0 for what is not above `floor`."""
        values = np.where(self.singular_values > self.floor, self.singular_values, 0.0)
        return (
            self.name,
            f"{self.shape[0]} x {self.shape[1]}",
            f"{self.rank:.4g}",
            f"{self.norm:.3g}",
            f"{np.median(values):.3g}",
            f"{values[-1]:.3g}",
            f"{self.condition_number:.3g}",
        )

    def tables(self) -> list[TableData]:
        """Return a table of one line."""
        return [TableData([_HEADING, self.cells()], text_columns=2)]


_HEADING = ("Jacobian", "shape", "rank", "norm", "median", "smallest", "condition")


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow(Report):
    """What `gradient_flow` returns; it prints as two tables.

    Attributes
    ----------
    layers : tuple of JacobianSpectrum
        Of each layer's ``J_l = D_l W_l``, first to last.
    products : tuple of JacobianSpectrum
        Of ``J_L ... J_l`` for each ``l``, from the output down to the input of layer ``l``, with
        the derivative of the head, if any, on the left: what takes the gradient of a loss there.
    samples : int
        How many were averaged.
    """

    layers: tuple[JacobianSpectrum, ...]
    products: tuple[JacobianSpectrum, ...]
    samples: int

    @property
    def network(self) -> JacobianSpectrum:
        """Of the network's Jacobian, ``J_L ... J_1``."""
        return self.products[0]

    def tables(self) -> list[TableData]:
        """Return the tables of the layers and of the products."""
        over = "" if self.samples == 1 else f", mean of {self.samples} samples"
        return [
            TableData([_HEADING, *(s.cells() for s in self.layers)], 2, f"Layers{over}"),
            TableData(
                [_HEADING, *(s.cells() for s in self.products)],
                2,
                f"From the output down to the input of each layer{over}",
            ),
        ]

    def plot(self, target: str | os.PathLike[str] | Axes | None = None) -> Figure:
        """Draw the singular values by depth; needs matplotlib, the extra ``plot``.

        Gradients vanish where the products' singular values fall towards the input, and explode
        where they rise.

        Parameters
        ----------
        target : path or matplotlib Axes, optional
            A file to write (.png, .svg, .pdf), or where to draw.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from laminet.analysis.gradient_flow_plot import draw

        return draw(self, target)


class _Mean:
    """Sums of singular values and ranks over samples."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shape = (0, 0)
        self.values: Any = 0.0
        self.rank = 0.0

    def add(self, jacobians: Array) -> None:
        m, n = jacobians.shape[1:]
        values = np.linalg.svd(jacobians, compute_uv=False)
        threshold = values[:, :1] * max(m, n) * _EPS
        self.shape = (m, n)
        self.values = self.values + values.sum(axis=0)
        self.rank += float(np.sum(values > threshold))

    def spectrum(self, samples: int) -> JacobianSpectrum:
        return JacobianSpectrum(self.name, self.shape, self.values / samples, self.rank / samples)


@silent
def gradient_flow(net: MLP, x: ArrayLike) -> GradientFlow:
    """Measure how gradients change from the output down to each layer.

    Parameters
    ----------
    net : MLP
        The network. Its Jacobians are computed in float64, also of a float32 network.
    x : array_like of shape (in_features,) or (batch, in_features)
        A sample, or samples to average over.

    Returns
    -------
    GradientFlow
        ``.layers``, ``.products`` and ``.network``: shape, rank, norm, singular values and
        condition number of the Jacobians. Printed, it is a table; ``.plot()`` draws it.

    Raises
    ------
    ValueError
        If `x` has a wrong shape or no samples, or a Jacobian is not finite.
    TypeError
        If `net` is not an MLP, or `x` does not hold real numbers.

    Notes
    -----
    ``J_l = D_l W_l`` takes a change of the inputs of layer ``l`` to one of its outputs, and its
    transpose a gradient the other way. Its singular values are the factors by which it stretches;
    their products over the layers are what makes gradients vanish or explode [1]_.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
       neural networks", AISTATS 2010, section 4.2.2.

    Examples
    --------
    >>> import laminet as ln
    >>> flow = ln.gradient_flow(ln.MLP.init([8, 16, 4], "tanh", seed=0), [0.5] * 8)
    >>> flow.network.shape, flow.network.rank
    ((4, 8), 4.0)
    """
    require_network(net)
    wide = net.astype(np.float64)
    traced = wide.trace(x).activations
    inputs, outputs = np.atleast_2d(traced[0]), np.atleast_2d(traced[-1])
    if len(inputs) == 0:
        raise ValueError("x has no samples")
    depth = len(net.layers)
    layers = [_Mean(f"J{i + 1}") for i in range(depth)]
    names = [f"J{depth}...J{i + 1}" if i + 1 < depth else f"J{depth}" for i in range(depth)]
    if net.head is not None:
        names = [f"{net.head} {name}" for name in names]
    products = [_Mean(name) for name in names]
    largest = max(layer.weight.size for layer in net.layers)
    largest = max(largest, net.out_features * max(net.sizes))
    step = max(1, _CHUNK // largest)
    for first in range(0, len(inputs), step):
        rows = slice(first, first + step)
        factors = wide.layer_jacobians(inputs[rows])
        if not all(np.isfinite(factor).all() for factor in factors):
            raise ValueError("a Jacobian is not finite at x, and has no singular values")
        product: Any = None if net.head is None else head_jacobian(net.head, outputs[rows])
        for i in range(depth - 1, -1, -1):
            layers[i].add(factors[i])
            product = factors[i] if product is None else product @ factors[i]
            products[i].add(product)
    count = len(inputs)
    return GradientFlow(
        tuple(mean.spectrum(count) for mean in layers),
        tuple(mean.spectrum(count) for mean in products),
        count,
    )
