"""``laminet demo``: a network trained on real data, checked, counted and timed. Works offline."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.columns import Columns
from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from laminet import reference
from laminet.analysis import cost, error_bound, summary
from laminet.cli.common import new_console
from laminet.core import runtime
from laminet.core.mlp import MLP
from laminet.core.wording import figure, us
from laminet.data import digits_network, digits_test_set, digits_training_set
from laminet.data.digits import EPOCHS, train_digits
from laminet.show.text import text_table

if TYPE_CHECKING:
    from laminet.cli.common import Commands
    from laminet.core.name_types import BackendName

__all__ = ["add_parser"]

_SHADES = " .:-=+*#%@"
# Epochs that a log has lines of.
_TOLD = (1, 2, 3, 5, 10, 20, 40, EPOCHS)
_ROUNDS = 7
_SECONDS_PER_ROUND = 0.02


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "demo",
        help="train a network on real data, check it and time it",
        description="Train a network on 1,347 handwritten digits and read 450 others with it: "
        "accuracy, shapes, FLOPs, the difference from a float64 reference, and timings. "
        "Works offline.",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    console = new_console()
    x, digits = digits_test_set()

    _print_machine(console)
    net = _train(console, x, digits)
    sizes = "-".join(map(str, net.sizes))
    console.print(f"\nIt is a {sizes} network in {net.dtype}:\n")
    console.print(summary(net), soft_wrap=True)

    predicted = net.predict(x)
    probabilities = net.predict_proba(x)
    mistakes = np.flatnonzero(predicted != digits)
    correct = len(digits) - len(mistakes)
    console.print(
        f"\n{correct} of {len(digits)} digits it has never seen are right: "
        f"{100 * correct / len(digits):.1f} %. One of them, and one of its mistakes:\n"
    )
    shown = [0, *mistakes[:1]]
    pictures = [_picture(x[i], int(digits[i]), probabilities[i]) for i in shown]
    console.print(Columns(pictures, padding=(0, 4)))

    difference = np.abs(net(x) - reference.forward(net, x))
    bound = error_bound(net, x)
    worst = float((difference / bound).max())
    console.print(
        f"\nFrom the float64 reference the outputs differ by {difference.max():.1e} at most; "
        f"rounding could explain {bound.max():.1e} (none uses more than {100 * worst:.1g} % of "
        "its derived bound).\n"
    )
    _print_timings(console, net, x)


def _print_machine(console: Console) -> None:
    info = runtime.build_info()
    blas = info["blas"]
    name = f"{blas['name']} {blas['version']} ({blas['core']})" if blas else "none"
    if not blas and info.get("blas_error"):
        name += f": {info['blas_error']}"
    console.print(f"laminet {info['version']} on {info['cpu']}", style="bold")
    console.print(
        f"instruction set {info['isa']}; threads {runtime.get_num_threads()}; "
        f"back end {runtime.get_backend()}"
    )
    console.print(f"BLAS {name}")


def _train(console: Console, x: NDArray[np.uint8], digits: NDArray[np.uint8]) -> MLP:
    """Train before the user's eyes, and show how many of the digits held out are right."""
    images, labels = digits_training_set()
    console.print(
        f"\nA network learns to read from {len(labels):,} handwritten digits, each also moved by a "
        f"pixel to the four sides; {len(digits)} others are held out:\n"
    )
    begin = time.perf_counter()
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
    )
    # In a log the bar is left out, and some epochs have a line.
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=EPOCHS)

        def tell(epoch: int, loss: float, net: MLP) -> None:
            right = f"{100 * (net.predict(x) == digits).mean():.1f} % of those held out are right"
            if console.is_terminal:
                bar.update(task, completed=epoch, description=right)
            elif epoch in _TOLD:
                console.print(f"epoch {epoch:>2}  loss {loss:.4f}  {right}")

        net = train_digits(images, labels, tell)
    seconds = time.perf_counter() - begin
    same = "to the bit" if net == digits_network() else "but for rounding"
    console.print(
        f"\nThat took {seconds:.2g} s. It is the network that comes with laminet, {same}."
    )
    return net


def _picture(pixels: NDArray[np.uint8], digit: int, probabilities: NDArray[Any]) -> Padding:
    """Draw the image in characters, and beside it the probability of each digit as a bar."""
    steps = pixels.reshape(8, 8).astype(int) * (len(_SHADES) - 1) // 16
    rows = ["".join(2 * _SHADES[step] for step in row) for row in steps]
    rows = [" " * 16, *rows, " " * 16]
    read = int(probabilities.argmax())
    lines = []
    for candidate, (row, p) in enumerate(zip(rows, probabilities, strict=True)):
        line = Text(f"{row}  ")
        bar = "#" * round(8 * float(p))
        style = "" if candidate != read else "green" if read == digit else "red"
        line.append(f"{candidate} {bar:<8}{100 * float(p):6.1f} %", style=style)
        lines.append(line)
    verdict = Text(f"a {digit}, read as {read}", style="bold")
    return Padding(Group(verdict, *lines), 0)


def _print_timings(console: Console, net: MLP, x: NDArray[Any]) -> None:
    """Time one sample at a time against one batch, for two networks and the back ends there are."""
    threads = runtime.get_num_threads()
    heading = ["", "back end", "single", "GFLOP/s", "batch", "GFLOP/s", "faster"]
    rows = [[*heading, "on all"] if threads > 1 else heading]
    large = MLP.init([784, 512, 256, 10], seed=0)
    generator = np.random.default_rng(0)
    batches = [
        (net, x.astype(net.dtype)),
        (large, generator.random((len(x), 784), dtype=np.float32)),
    ]
    backends: list[BackendName] = ["tiled", "blas"] if runtime.build_info()["blas"] else ["tiled"]
    for network, batch in batches:
        sizes = "-".join(map(str, network.sizes))
        for name in backends:
            with runtime.backend(name):
                single, whole, on_all = _times(network, batch, threads)
            flops = cost(network).flops
            row = [
                sizes if name == backends[0] else "",
                name,
                us(single * 1e6),
                figure(flops / single / 1e9),
                us(whole * 1e6),
                figure(flops / whole / 1e9),
                f"{single / whole:.1f} x",
            ]
            rows.append([*row, us(on_all * 1e6)] if threads > 1 else row)
    last = f"; last, the batch on all {threads} threads" if threads > 1 else ""
    console.print(
        f"Time for a sample on one thread, one by one against one batch of {len(x)}{last}:\n"
    )
    console.print(text_table(rows, text_columns=2), soft_wrap=True)
    console.print(
        "\nOne sample is a matrix times a vector (BLAS level 2, gemv): each weight is read for "
        "one multiplication and addition, so calls and memory set the time. A batch is a matrix "
        f"times a matrix (level 3, gemm): each weight is used {len(x)} times once it is in cache. "
        f"Medians of {_ROUNDS} rounds; the weights of the second network are random."
    )


def _times(net: MLP, batch: NDArray[Any], threads: int) -> tuple[float, float, float]:
    """Return the seconds for each sample: a call for each row, one call, and that on all threads.

    The first two are on one thread: a call for one row would use no more, and the comparison is
    to show what a batch gains, not what threads do.
    """
    rows = list(batch)

    def one_at_a_time() -> None:
        for row in rows:
            net(row)

    def one_batch() -> None:
        net(batch)

    with runtime.num_threads(1):
        single, whole = _seconds(one_at_a_time), _seconds(one_batch)
    on_all = _seconds(one_batch) if threads > 1 else whole
    return single / len(rows), whole / len(rows), on_all / len(rows)


def _seconds(function: Callable[[], None]) -> float:
    """Return the median of some rounds; a round repeats the call until the clock can tell."""

    def repeated(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            function()
        return (time.perf_counter() - begin) / count

    function()  # memory is taken and threads start at the first call
    count = max(1, round(_SECONDS_PER_ROUND / max(repeated(1), 1e-9)))
    return median(repeated(count) for _ in range(_ROUNDS))
