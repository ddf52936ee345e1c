"""What a precision costs, and what it gains, on a user's own data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.analysis.arguments import require_network
from laminet.analysis.cost import cost
from laminet.analysis.error_bound import difference_bound
from laminet.core.conversion import as_real_array
from laminet.core.outputs import Quantities
from laminet.core.precision import PRECISIONS
from laminet.core.report import Report, TableData

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.mlp import MLP

    Array = NDArray[Any]

__all__ = ["PrecisionComparison", "PrecisionRow", "compare_precision"]

# Seconds for each precision, by turns of a hundredth of it: on a shared machine both see the same.
_SECONDS = 0.5
_TURNS = 25


@dataclass(frozen=True)
class PrecisionRow:
    """What one precision does.

    Attributes
    ----------
    precision : str
    weight_bytes : int
        Of all weights as products read them.
    bound : float
        The derived bound on how far an output may be from that in float32, for the output and the
        sample where it is largest; infinity where a norm may divide by zero.
    max_difference : float
        The largest difference of an output that was seen.
    scale : float
        The largest output in float32, by its absolute value: what the differences are to be
        compared with.
    changed : float or None
        The share of samples whose label is another one; None where outputs have no labels.
    seconds : float
        Of one call with all samples, the median.
    gain : float
        The time in float32 over this one.
    """

    precision: str
    weight_bytes: int
    bound: float
    max_difference: float
    scale: float
    changed: float | None
    seconds: float
    gain: float


@dataclass(frozen=True, repr=False)
class PrecisionComparison(Report):
    """What `compare_precision` found; it prints as a table.

    Attributes
    ----------
    rows : tuple of PrecisionRow
        The precision of the network first.
    samples : int
    """

    rows: tuple[PrecisionRow, ...]
    samples: int

    def tables(self) -> list[TableData]:
        """Return a table of a line for each precision."""
        lines: list[tuple[str, ...]] = [
            (
                "precision",
                "weights",
                "bound",
                "difference",
                "largest output",
                "labels",
                "us",
                "gain",
            )
        ]
        for row in self.rows:
            lines.append(
                (
                    row.precision,
                    f"{row.weight_bytes:,} B",
                    f"{row.bound:.2g}",
                    f"{row.max_difference:.2g}",
                    f"{row.scale:.3g}",
                    "" if row.changed is None else f"{row.changed:.2%} other",
                    f"{row.seconds * 1e6:.1f}",
                    f"{row.gain:.2f}",
                )
            )
        title = f"{self.samples} samples: what is off, and what is gained"
        return [TableData(lines, title=title, text_columns=1)]


def compare_precision(net: MLP, X: ArrayLike) -> PrecisionComparison:
    """Compare a network in float32 with the same one in each lesser precision, on given samples.

    Parameters
    ----------
    net : MLP
        Of float32.
    X : array_like of shape (in_features,) or (batch, in_features)
        The user's own samples: differences are of these, and times are of calls with all of them.

    Returns
    -------
    PrecisionComparison
        ``.rows``: for each precision the bytes of the weights, the derived bound on the difference
        to float32, the largest difference seen, the share of labels that changed, and the time.

    Raises
    ------
    ValueError
        If the network is not of float32 or in a lesser precision already, `X` has a wrong shape, no
        samples, or leads to outputs that are not finite, or a weight is beyond the range of
        bfloat16.
    TypeError
        If `net` is not an MLP or `X` does not hold real numbers.

    Notes
    -----
    The bound is that of `error_bound`, a chain of the rounding errors of all sums and functions,
    with what the weights themselves are rounded by, through heads too. It is for the worst case,
    in which no error cancels another: some ten times what is seen for one layer, and with each
    further one of some hundred units ten to thirty times more. Times are medians of calls by turns,
    half a second for each precision.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> net = ln.MLP.init([784, 256, 128, 10], seed=0)
    >>> found = ln.compare_precision(net, np.ones((8, 784)))
    >>> bool(found.rows[1].max_difference <= found.rows[1].bound)
    True
    """
    require_network(net)
    if net.dtype != np.float32:
        raise ValueError(
            f"net is of {net.dtype}, and lesser precisions are of float32: net.astype('float32')"
        )
    first = net.precision
    if first != "float32":
        raise ValueError(
            f"net has precision {first!r} already, and its weights are rounded: give the network "
            "that it was made of"
        )
    x = np.atleast_2d(as_real_array(X, net.dtype, "X", net.feature_names))
    if x.ndim != 2 or x.shape[1] != net.in_features:
        raise ValueError(f"X has shape {x.shape}, expected (batch, {net.in_features})")
    if len(x) == 0:
        raise ValueError("X has no samples")
    lesser = [name for name in PRECISIONS if name not in ("float32", "float64")]
    nets: dict[str, MLP] = {name: net.with_precision(name) for name in [first, *lesser]}
    outputs = {name: other(x).astype(np.float64) for name, other in nets.items()}
    for name, y in outputs.items():
        if not np.isfinite(y).all():
            raise ValueError(
                f"in {name} X leads to outputs that are infinite or NaN, of which nothing is "
                "compared"
            )
    seconds = _times(nets, x)
    rows = []
    for name, other in nets.items():
        bound = 0.0 if name == first else float(difference_bound(net, other, x).max())
        rows.append(
            PrecisionRow(
                precision=name,
                weight_bytes=_weight_bytes(other),
                bound=bound,
                max_difference=float(np.abs(outputs[name] - outputs[first]).max()),
                scale=float(np.abs(outputs[first]).max()),
                changed=_changed(net, other, x),
                seconds=seconds[name],
                gain=seconds[first] / seconds[name],
            )
        )
    return PrecisionComparison(tuple(rows), len(x))


def _times(nets: dict[str, MLP], x: Array) -> dict[str, float]:
    """Return the median time of a call with x, all taking turns."""
    clock = time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in nets}
    for net in nets.values():
        net.prepare(len(x))
        net(x)
    for _ in range(_TURNS):
        for name, net in nets.items():
            end = clock() + _SECONDS / _TURNS
            while True:
                begin = clock()
                net(x)
                now = clock()
                taken[name].append(now - begin)
                if now >= end:
                    break
    return {name: float(np.median(times)) for name, times in taken.items()}


def _weight_bytes(net: MLP) -> int:
    return sum(layer.weight_bytes for layer in cost(net).layers)


def _changed(net: MLP, other: MLP, x: Array) -> float | None:
    """Return the share of samples whose label is not the same; None where they have none."""
    if isinstance(net.outputs, Quantities):
        return None
    try:
        differs = np.asarray(net.predict(x) != other.predict(x))
    except ValueError:
        return None  # nothing says what the outputs stand for
    return float(differs.reshape(len(x), -1).any(axis=1).mean())
