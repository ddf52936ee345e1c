"""Plain sentences that follow from a roofline's figures: what bounds it, what to choose."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from laminet.core.wording import figure, times, us

if TYPE_CHECKING:
    from laminet.analysis.roofline_data import LayerRow, RooflineData, RooflineRow

__all__ = ["advice"]

# A step of latency that few would mind, and what a batch has to give in return to be named.
_LITTLE_LATENCY = 1.5
_WORTH_NAMING = 1.3
# A part of the time that is worth a sentence.
_NOTABLE = 0.25


def advice(roofline: RooflineData) -> list[str]:
    """Return the sentences; each is true of the figures it was made from, none is general.

    Parameters
    ----------
    roofline : RooflineData
        The figures.

    Returns
    -------
    list of str
        What bounds the smallest and the largest batch, what batch to choose, what the
        machine has left, how far to trust the model.
    """
    rows = roofline.rows
    sentences = [_bound(roofline, rows[0])]
    if len(rows) > 1:
        if rows[-1].bound != rows[0].bound or rows[-1].level != rows[0].level:
            sentences.append(_bound(roofline, rows[-1]))
        sentences += _choice(roofline)
    sentences += _activations(rows[-1])
    sentences += _narrow(roofline, rows[-1])
    sentences += _settings(roofline)
    sentences.append(_trust(rows))
    return sentences


def _bound(roofline: RooflineData, row: RooflineRow) -> str:
    """Say what most of the time of a batch goes to."""
    start = f"At batch {row.batch}"
    if row.bound == "overhead":
        machine = roofline.machine
        return (
            f"{start} the call is the cost: about {us(row.overhead_us)} of the "
            f"{us(row.measured_us)} would pass for a network of the same layers with nothing in "
            f"them ({us(machine.call_us)} a call from Python). More samples a call are nearly free."
        )
    layer = max(row.layers, key=lambda r: r.measured_us)
    most = f"layer {layer.index} ({layer.shape}) takes {_part(layer, row)} of the time"
    if row.bound == "memory" and any(one.kind != "dense" for one in roofline.cost.layers):
        return (
            f"{start} the network is bound by memory, by what its layers and the weights move "
            f"between {row.level} and the cores; {most}."
        )
    if row.bound == "memory":
        return (
            f"{start} the network is bound by reading its weights from {row.level}: each serves "
            f"for {2 * row.batch:,} operations only; {most}."
        )
    return (
        f"{start} the network is bound by arithmetic: it reaches {figure(row.measured_gflops)} of "
        f"the {figure(row.attainable_gflops)} GFLOP/s that {_threads(roofline.threads)} of this "
        f"machine could give ({100 * row.share:.0f} %); {most}."
    )


def _choice(roofline: RooflineData) -> list[str]:
    """Say which batch gives much for little latency, and which gives the most."""
    rows = roofline.rows
    first = rows[0]
    sentences = []
    near = [r for r in rows[1:] if r.measured_us <= _LITTLE_LATENCY * first.measured_us]
    named = None
    if near:
        best = max(near, key=lambda r: r.samples_per_second)
        if best.samples_per_second >= _WORTH_NAMING * first.samples_per_second:
            named = best
            sentences.append(_compared(best, first))
    batch = roofline.best_batch()
    top = next(r for r in rows if r.batch == batch)
    if top is first:
        sentences.append(
            f"Larger batches than {first.batch} bring no more throughput "
            f"({figure(first.samples_per_second)} samples a second)."
        )
    elif top is not named:
        sentences.append(
            f"{_compared(top, first)} That is the highest throughput: "
            f"{figure(top.samples_per_second)} samples a second; beyond it only latency grows."
            if top is not rows[-1]
            else f"{_compared(top, first)} That is the highest throughput measured: "
            f"{figure(top.samples_per_second)} samples a second."
        )
    return sentences


def _compared(row: RooflineRow, first: RooflineRow) -> str:
    throughput = row.samples_per_second / first.samples_per_second
    latency = row.measured_us / first.measured_us
    return (
        f"Batch {row.batch} is {times(throughput)} the throughput of batch {first.batch} at "
        f"{times(latency)} the latency ({us(row.measured_us)} instead of {us(first.measured_us)})."
    )


def _activations(row: RooflineRow) -> list[str]:
    """Say how much the activation functions take, where that is much."""
    spent = sum(layer.activation_us for layer in row.layers)
    if row.bound == "overhead" or spent < _NOTABLE * row.predicted_us:
        return []
    slowest = max(row.layers, key=lambda r: r.activation_us)
    return [
        f"At batch {row.batch} some {100 * spent / row.predicted_us:.0f} % of the time goes to "
        f"activation functions ({slowest.activation} above all), which the roofline counts as one "
        "operation an element: relu would cost next to nothing."
    ]


def _narrow(roofline: RooflineData, row: RooflineRow) -> list[str]:
    """Name layers that cannot fill the machine's vectors, where they take notable time."""
    slow = [
        layer
        for layer in row.layers
        if layer.lanes_used < 0.7 and layer.measured_us > 0.1 * row.measured_us
    ]
    if not slow or row.bound == "overhead":
        return []
    layer = max(slow, key=lambda r: r.measured_us)
    return [
        f"Layer {layer.index} ({layer.shape}) fills {100 * layer.lanes_used:.0f} % of the "
        f"{roofline.machine.isa} vectors that its outputs take, and so little of the peak."
    ]


def _settings(roofline: RooflineData) -> list[str]:
    """Say what else could be chosen."""
    sentences = []
    if roofline.dtype == "float64":
        peaks = roofline.machine.peak_gflops
        ratio = peaks["float32"].all_threads / peaks["float64"].all_threads
        sentences.append(
            f"In float32 this machine computes {times(ratio)} as fast, and reads half the bytes: "
            'net.astype("float32"), if its precision is enough.'
        )
    alone = [r.batch for r in roofline.rows if r.threads == 1]
    if roofline.threads > 1 and alone:
        which = "At batch" if len(alone) == 1 else "Up to batch"
        sentences.append(
            f"{which} {alone[-1]} one thread does the work: a second one would cost more than "
            "it saves."
        )
    if roofline.threads < roofline.machine.cores:
        sentences.append(
            f"This was with {roofline.threads} of {roofline.machine.cores} threads; "
            "ln.set_num_threads changes that."
        )
    widest = roofline.machine.isas[-1]
    if roofline.machine.isa != widest:
        sentences.append(f"This CPU also has {widest}, which was not used (LAMINET_ISA).")
    return sentences


def _trust(rows: tuple[RooflineRow, ...]) -> str:
    """Say how well the model explains what was measured."""
    errors = [abs(row.predicted_us / row.measured_us - 1) for row in rows]
    text = (
        f"The model, which knows only the machine's figures, is off by "
        f"{100 * statistics.median(errors):.0f} % in the median over these batches"
    )
    worst = max(range(len(rows)), key=lambda i: errors[i])
    if errors[worst] > 0.4:
        row = rows[worst]
        text += (
            f", by {100 * errors[worst]:.0f} % at batch {row.batch} ({us(row.predicted_us)} "
            f"predicted): either other programs were at work, or there is more to gain"
        )
    return text + "."


def _part(layer: LayerRow, row: RooflineRow) -> str:
    whole = sum(r.measured_us for r in row.layers)
    return f"{100 * layer.measured_us / whole:.0f} %"


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"
