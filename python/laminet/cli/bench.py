"""``laminet bench [FILE]``: one sample at a time against batches; or whether speed is usual."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.analysis import cost
from laminet.analysis.roofline_measuring import call_seconds
from laminet.cli.common import add_batches, print_sentences, require_memory
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.cli.usual_speed import print_usual_speed
from laminet.core import runtime
from laminet.core.wording import figure
from laminet.show.text import text_table

if TYPE_CHECKING:
    from laminet.cli.common import Commands
    from laminet.core.mlp import MLP

__all__ = ["add_parser"]

_SECONDS = 0.2
# Samples of the loop: enough for its own cost to vanish, few enough to stay in cache.
_LOOP = 64


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "bench",
        help="time a network: samples one by one against batches",
        description="Time a network on random samples, one by one (matrix times vector, BLAS "
        "level 2) and in batches (matrix times matrix, level 3). Without FILE: whether laminet is "
        "as fast as this machine allows, on three networks, which takes some ten seconds.",
    )
    add_network_arguments(parser, optional=True)
    add_batches(parser, (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024))
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.file is None:
        print_usual_speed()
        return
    net = network_of(arguments)
    require_memory(net, arguments.batches)
    info = runtime.build_info()
    threads = info["threads"]
    sizes = "-".join(map(str, net.sizes))
    print(
        f"{sizes} in {net.precision} on {info['cpu']}: {info['isa']}, back end {info['backend']}, "
        f"{'1 thread' if threads == 1 else f'{threads} threads'}"
    )
    print()
    print(text_table(_rows(net, arguments.batches), text_columns=1))
    print()
    print_sentences(
        "One by one, each weight is read for one multiplication and addition; in a batch of B it "
        "serves for B. Medians of the time that Python sees; random samples, the same ones each "
        "time."
    )


def _rows(net: MLP, batches: list[int]) -> list[tuple[str, ...]]:
    """Measure; return the table's rows."""
    heading = ("batch", "BLAS level", "us a call", "us a sample", "samples/s", "GFLOP/s", "faster")
    samples = _samples(net, min(_LOOP, max(batches)))

    def one_by_one() -> None:
        for sample in samples:
            net(sample)

    single = call_seconds(one_by_one, _SECONDS) / len(samples)
    rows = [heading, _row(net, "one by one", cost(net).blas_level, single, 1, single)]
    for batch in batches:
        call = call_seconds(functools.partial(net, _samples(net, batch)), _SECONDS)
        rows.append(_row(net, f"{batch}", cost(net, batch).blas_level, call, batch, single))
    return rows


def _row(
    net: MLP, name: str, level: int, call: float, batch: int, single: float
) -> tuple[str, ...]:
    sample = call / batch
    return (
        name,
        str(level),
        figure(call * 1e6),
        figure(sample * 1e6),
        figure(1 / sample),
        figure(cost(net).flops / sample / 1e9),
        f"{single / sample:.1f} x",
    )


def _samples(net: MLP, batch: int) -> NDArray[Any]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((batch, net.in_features)).astype(net.dtype)
