"""The figures of a roofline, by batch and by layer: what its tables, pictures and advice show."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from laminet.analysis.cost import Cost
from laminet.analysis.machine_figures import Machine
from laminet.core.public_module import named_in
from laminet.core.wording import figure

__all__ = ["LayerRow", "RooflineData", "RooflineRow"]


@named_in("laminet.analysis.roofline")
@dataclass(frozen=True)
class LayerRow:
    """One layer of a network at one batch size.

    Attributes
    ----------
    index : int
        Number of the layer, counted from 1.
    shape : str
        ``"in -> out activation"``; of a layer that is not dense what it is, as in the repr of the
        network.
    intensity : float
        FLOPs for each byte.
    level : str
        The memory level whose roof applies: where its weights live, or input or output where these
        take longer.
    bound : str
        ``"memory"`` or ``"compute"``.
    attainable_gflops : float
        The roof, 10^9 FLOPs a second.
    predicted_us, measured_us : float
        Microseconds by the model, and measured: the layer as a network of its own, in turn with
        the others, less the time of a call.
    measured_gflops : float
        10^9 FLOPs a second.
    activation_us : float
        The part of the predicted time that is the activation function's.
    lanes_used : float
        The part of the vectors over the outputs that holds outputs; of its slowest product.
    activation : str
        The function that takes most of `activation_us`; may be empty.
    """

    index: int
    shape: str
    intensity: float
    level: str
    bound: str
    attainable_gflops: float
    measured_gflops: float
    predicted_us: float
    measured_us: float
    activation_us: float
    lanes_used: float
    activation: str = ""

    @property
    def share(self) -> float:
        """Measured speed as a share of the roof; 0 where there is no arithmetic."""
        return self.measured_gflops / self.attainable_gflops if self.attainable_gflops else 0.0

    @property
    def bound_by(self) -> str:
        """The bound by name: ``"arithmetic"``, ``"the call"`` or the memory level."""
        return _bound_by(self)


@named_in("laminet.analysis.roofline")
@dataclass(frozen=True)
class RooflineRow:
    """A network at one batch size.

    Attributes
    ----------
    batch : int
        Samples in the batch.
    intensity : float
        FLOPs for each byte.
    level : str
        The memory level that the weights come from.
    bound : str
        What most of the predicted time goes to: ``"memory"``, ``"compute"`` or ``"overhead"`` (of
        the call).
    attainable_gflops : float
        The roof, 10^9 FLOPs a second: the least time of each layer, by compute or by memory.
    measured_gflops : float
        10^9 FLOPs a second.
    predicted_us, measured_us : float
        Microseconds of a call, by the model and measured.
    overhead_us : float
        The part of the predicted time that is the call's: Python, layers, handing out work.
    threads : int
        Threads that the batch is worth.
    layers : tuple of LayerRow
        The layers.
    """

    batch: int
    intensity: float
    level: str
    bound: str
    attainable_gflops: float
    measured_gflops: float
    predicted_us: float
    measured_us: float
    overhead_us: float
    threads: int
    layers: tuple[LayerRow, ...]

    @property
    def share(self) -> float:
        """Measured speed as a share of the roof; 0 where there is no arithmetic."""
        return self.measured_gflops / self.attainable_gflops if self.attainable_gflops else 0.0

    @property
    def bound_by(self) -> str:
        """The bound by name: ``"arithmetic"``, ``"the call"`` or the memory level."""
        return _bound_by(self)

    @property
    def predicted_gflops(self) -> float:
        """10^9 FLOPs a second by the model."""
        return self.measured_gflops * self.measured_us / self.predicted_us

    @property
    def samples_per_second(self) -> float:
        """Throughput."""
        return self.batch / self.measured_us * 1e6


@dataclass(frozen=True, repr=False)
class RooflineData:
    """What a `Roofline` holds, whose attributes these are; it knows none of its views."""

    network: str
    sizes: tuple[int, ...]
    dtype: str
    precision: str
    threads: int
    backend: str
    cost: Cost
    machine: Machine
    rows: tuple[RooflineRow, ...]
    measured: str = ""

    @property
    def peak_gflops(self) -> float:
        """The peak of products in the network's precision."""
        kind = "bfloat16" if self.precision == "bfloat16" else self.dtype
        return self.machine.peak(kind, self.threads)

    def best_batch(self, latency_us: float | None = None) -> int:
        """Return the batch size of the highest throughput, of those that were measured.

        Parameters
        ----------
        latency_us : float, optional
            Only batches that take no more microseconds than this; by default all.

        Returns
        -------
        int
            The smallest batch whose throughput is within 2 % of the highest.

        Raises
        ------
        ValueError
            If no batch is fast enough, or `latency_us` is not positive.
        TypeError
            If `latency_us` is not a number.
        """
        if latency_us is not None:
            if isinstance(latency_us, bool) or not isinstance(latency_us, Real):
                raise TypeError(f"latency_us must be a number, got {type(latency_us).__name__}")
            if not latency_us > 0:
                raise ValueError(f"latency_us is {latency_us}, expected a positive number")
        rows = [r for r in self.rows if latency_us is None or r.measured_us <= latency_us]
        if not rows:
            least = min(self.rows, key=lambda r: r.measured_us)
            raise ValueError(
                f"latency_us is {latency_us}, but the fastest batch, {least.batch}, takes "
                f"{figure(least.measured_us)} us"
            )
        best = max(r.samples_per_second for r in rows)
        return min(r.batch for r in rows if r.samples_per_second >= 0.98 * best)


def _bound_by(row: RooflineRow | LayerRow) -> str:
    return {"compute": "arithmetic", "memory": row.level, "overhead": "the call"}[row.bound]
