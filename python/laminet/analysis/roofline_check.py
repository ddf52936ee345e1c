"""Speeds that the machine's figures rule out: they show the figures to be wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from laminet.core.wording import us

if TYPE_CHECKING:
    from laminet.analysis.machine_figures import Machine
    from laminet.analysis.roofline_data import RooflineData, RooflineRow

__all__ = ["beaten", "contradictions", "notes"]

# Repetitions on a quiet machine differ by a few hundredths.
_MARGIN = 1.05
# How much of the weights a cache serves that they nearly fit is the model's guess: 2.1 MB a core of
# an L2 of 2 MiB reached 1.04 of the roof beside other programs. A level reads some 2 times as fast
# as the next.
_MARGIN_OF_MEMORY = 1.5


def beaten(roofline: RooflineData) -> list[str]:
    """Return the `contradictions` of a roofline."""
    return contradictions(roofline.rows, roofline.machine, roofline.peak_gflops)


def notes(roofline: RooflineData) -> list[str]:
    """Return what to know of the machine's figures, and where they do not explain the speed."""
    found = roofline.machine.notes()
    if faster := beaten(roofline):
        cause = (
            "There they were disturbed."
            if roofline.machine.disturbed
            else "Either the model is wrong there, or the machine is another than it was: "
            "ln.machine(refresh=True) measures them again."
        )
        found.append(f"Faster than these figures allow: {'; '.join(faster)}. {cause}")
    return found


def contradictions(rows: Iterable[RooflineRow], machine: Machine, peak_gflops: float) -> list[str]:
    """Return in words where a network is faster than the machine's figures allow.

    Parameters
    ----------
    rows : iterable of RooflineRow
        What was measured, and the roofs made of the figures.
    machine : Machine
        The figures.
    peak_gflops : float
        Of them, the peak of the threads in the type of the network.

    Returns
    -------
    list of str
        Empty where the figures may be right.
    """
    found = []
    for row in rows:
        least = _least_us(row, machine)
        if row.measured_us * _MARGIN < least:
            found.append(
                f"batch {row.batch} takes {us(row.measured_us)}, and {us(least)} for a network "
                "with nothing in it"
            )
        # Of a single sample zeros are left out, and the weights behind them.
        most = min(_MARGIN * peak_gflops, _MARGIN_OF_MEMORY * row.attainable_gflops)
        if row.batch > 1 and row.measured_gflops > most:
            found.append(f"batch {row.batch} reaches {100 * row.share:.0f} % of the roof")
    return found


def _least_us(row: RooflineRow, machine: Machine) -> float:
    """Return what no call takes less than: its layers, and all threads meeting once.

    Where threads share layers the model has them meet after each, but later meetings of a call
    cost less than the first. What fewer threads take to meet was not measured.
    """
    least = machine.call_us + (len(row.layers) - 1) * machine.layer_us
    return least + (machine.handoff_us if row.threads >= max(2, machine.cores) else 0.0)
