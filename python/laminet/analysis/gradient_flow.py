"""How gradients grow or vanish on their way through a network: the singular values of Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.analysis.arguments import require_network
from laminet.analysis.jacobian_spectrum import EPS, HEADING, JacobianSpectrum
from laminet.core.floating_point import silent
from laminet.core.layers.dropout import Dropout
from laminet.core.mlp import MLP
from laminet.core.report import Report, TableData
from laminet.reference.heads import head_jacobian

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["GradientFlow", "JacobianSpectrum", "gradient_flow"]

# Jacobians of so many samples at once that this many numbers suffice for the largest layer.
_CHUNK = 4_000_000


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow(Report):
    """What `gradient_flow` returns; it prints as two tables.

    Attributes
    ----------
    layers : tuple of JacobianSpectrum
        Of each layer's ``J_l``, first to last: of a dense one ``D_l W_l``. `Dropout`, which is
        nothing here, is left out.
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
            TableData([HEADING, *(s.cells() for s in self.layers)], 2, f"Layers{over}"),
            TableData(
                [HEADING, *(s.cells() for s in self.products)],
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

        return draw(self.layers, self.products, self.samples, target)


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
        threshold = values[:, :1] * max(m, n) * EPS
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
    ``J_l`` takes a change of the inputs of layer ``l`` to one of its outputs, and its transpose a
    gradient the other way; of a dense layer it is ``D_l W_l``, of a `Residual` ``I + J``, of a
    `Parallel` those of its branches, stacked or added. Its singular values are the factors by which
    it stretches; their products over the layers are what makes gradients vanish or explode [1]_.

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
    outputs = np.atleast_2d(traced[-1])
    if len(outputs) == 0:
        raise ValueError("x has no samples")
    # Each layer as a network, where it does something, and what it takes.
    factors = [
        (i, MLP([layer], in_features=takes, dtype="float64"), np.atleast_2d(inputs))
        for i, (layer, takes, inputs) in enumerate(
            zip(wide.layers, wide.sizes, traced, strict=False), 1
        )
        if not isinstance(layer, Dropout)
    ]
    if not factors:
        raise ValueError("the network has no layer but Dropout, whose gradients never change")
    layers = [_Mean(f"J{i}") for i, *_ in factors]
    last = factors[-1][0]
    names = [f"J{last}...J{i}" if i < last else f"J{last}" for i, *_ in factors]
    if net.head is not None:
        names = [f"{net.head} {name}" for name in names]
    products = [_Mean(name) for name in names]
    largest = max(single.out_features * single.in_features for _, single, _ in factors)
    largest = max(largest, net.out_features * max(net.sizes))
    step = max(1, _CHUNK // largest)
    for first in range(0, len(outputs), step):
        rows = slice(first, first + step)
        jacobians = [single.jacobian(inputs[rows]) for _, single, inputs in factors]
        if not all(np.isfinite(jacobian).all() for jacobian in jacobians):
            raise ValueError("a Jacobian is not finite at x, and has no singular values")
        product: Any = None if net.head is None else head_jacobian(net.head, outputs[rows])
        for i in range(len(factors) - 1, -1, -1):
            layers[i].add(jacobians[i])
            product = jacobians[i] if product is None else product @ jacobians[i]
            products[i].add(product)
    count = len(outputs)
    return GradientFlow(
        tuple(mean.spectrum(count) for mean in layers),
        tuple(mean.spectrum(count) for mean in products),
        count,
    )
