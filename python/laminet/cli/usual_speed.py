"""What ``laminet bench`` says without a file: whether laminet is as fast here as it should be."""

from __future__ import annotations

import statistics

from laminet.analysis.roofline import Roofline, roofline
from laminet.cli.common import CommandError, print_sentences
from laminet.core import runtime
from laminet.core.mlp import MLP
from laminet.core.wording import figure, short_name
from laminet.show.text import text_table

__all__ = ["print_usual_speed"]

# Of the networks of bench/peers.py one that is all calls, one that fits into L2, one beyond it.
_NETWORKS = (
    ((17, 64, 64, 6), "tanh"),
    ((784, 256, 128, 10), "relu"),
    ((479, 1024, 1024, 512, 256, 1), "relu"),
)
_BATCHES = (1, 64, 1024)
# Measured over predicted, the median of the cells: 1.19 on two Zen 3 cores in a run with nothing
# beside it (cells 0.82 to 1.29), 1.88 beside a program that wanted one of them.
_USUAL = 1.5


def print_usual_speed() -> None:
    """Measure some networks, and the machine where its figures are not known; print a verdict."""
    found = []
    for sizes, activation in _NETWORKS:
        net = MLP.init(sizes, activation, seed=0)  # type: ignore[arg-type]  # names in a table
        try:
            found.append(roofline(net, _BATCHES))
        except RuntimeError as error:
            raise CommandError(str(error)) from error
    info = runtime.build_info()
    threads = info["threads"]
    print(
        f"laminet {info['version']} on {info['cpu']}: {info['isa']}, back end {info['backend']}, "
        f"{'1 thread' if threads == 1 else f'{threads} threads'}"
    )
    print()
    print(text_table(_rows(found), text_columns=1))
    print()
    print_sentences(_verdict(found))


def _rows(found: list[Roofline]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("network", "batch", "us a call", "predicted", "over it", "GFLOP/s", "bound by")
    ]
    for of in found:
        for row in of.rows:
            rows.append(
                (
                    f"{short_name(of.sizes)} {of.cost.layers[0].activation}",
                    f"{row.batch:,}",
                    figure(row.measured_us),
                    figure(row.predicted_us),
                    f"{row.measured_us / row.predicted_us:.2f}",
                    figure(row.measured_gflops),
                    row.bound_by,
                )
            )
    return rows


def _verdict(found: list[Roofline]) -> str:
    ratio = statistics.median(row.measured_us / row.predicted_us for of in found for row in of.rows)
    said = (
        f"In the median a call takes {ratio:.2f} times what follows from this machine's own "
        "arithmetic and memory (laminet.analysis.prediction); up to "
        f"{_USUAL} is usual. "
    )
    figures = found[-1].machine
    if figures.disturbed:
        return said + "But other programs were at work while the machine was measured: again later."
    if runtime.build_info()["isa"] == "generic":
        return said + "The instruction set is generic: a CPU with AVX2 is several times as fast."
    if ratio <= _USUAL:
        return said + "That is normal speed."
    return said + (
        "That is slow: another program at work, a clock that is held down, or CPUs that are shared "
        "with others. Try again with nothing else running, and with --refresh of laminet roofline."
    )
