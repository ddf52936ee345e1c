"""The cells of bench/peers.py, networks and batches, and what is made of a cell's times."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

from blocks import BLOCKS
from runtimes import NUMPY_OTHER, OTHER, AnyNetwork, Network
from workers import Timing

NETWORKS: tuple[AnyNetwork, ...] = (
    Network((17, 64, 64, 6), "tanh", (1, 8, 32, 64, 128, 512, 1024, 4096, 8192, 65536)),
    Network((784, 256, 128, 10), "relu", (1, 8, 32, 64, 128, 512, 1024, 4096, 8192)),
    Network((784, 512, 256, 128, 10), "relu", (1, 8, 32, 64, 128, 512, 1024, 4096)),
    Network((32, 64, 64, 64, 64, 16), "relu", (1, 8, 32, 64, 128, 512, 1024, 4096, 8192, 262144)),
    Network((479, 1024, 1024, 512, 256, 1), "relu", (1, 8, 32, 64, 128, 512, 1024, 2048)),
    Network((1024, 4096, 4096, 1024), "gelu", (1, 8, 32, 64, 128, 512)),
    *BLOCKS,
)


def judge(
    net: AnyNetwork, batch: int, timings: dict[str, Timing], narrow: str | None = None
) -> dict[str, Any]:
    """Return the cell of a report: all times, and laminet's beside the best peer's.

    `narrow` is the laminet that runs in another precision, which is then the one that counts.
    """
    fold_numpy(timings)
    cell: dict[str, Any] = {
        "network": net.name,
        "activation": net.activation,
        "batch": batch,
        "flops": batch * net.flops_per_sample,
        "us": {name: asdict(timing) for name, timing in timings.items()},
    }
    if "laminet" not in timings:
        return cell
    ours = timings["laminet"].median_us
    if OTHER in timings:
        cell["other_ratio"] = timings[OTHER].median_us / ours
    peers = {n: t.median_us for n, t in timings.items() if n not in ("laminet", OTHER, narrow)}
    if narrow:
        cell["narrow_ratio"] = ours / timings[narrow].median_us
        ours = timings[narrow].median_us
    if peers:
        cell["best_peer"] = min(peers, key=lambda n: peers[n])
        cell["ratio"] = peers[cell["best_peer"]] / ours
    return cell


def heading(names: list[str]) -> str:
    """Return what stands above `line`."""
    title = "microseconds a call (median)"
    return f"{title:36}" + "".join(f"{n:>{_width(n)}}" for n in names) + "   ratio"


def _width(name: str) -> int:
    return max(16, len(name) + 2)


def line(cell: dict[str, Any], names: list[str]) -> str:
    """One row of the table."""
    us = cell["us"]
    text = f"{cell['network']:28}{cell['batch']:>7} "
    text += "".join(f"{us[n]['median_us']:>{_width(n)}.2f}" for n in names)
    if "ratio" in cell:
        text += f"{cell['ratio']:>8.2f}"
    if "laminet" in us:
        text += f"{cell['flops'] / us['laminet']['median_us'] / 1e3:>8.0f} GFLOP/s"
    if "narrow_ratio" in cell:
        text += f"   float32/this {cell['narrow_ratio']:.3f}"
    for name, error in cell.get("errors", {}).items():
        text += f"   {name} {error:.1e} off"
    if "other_ratio" in cell:
        text += f"   other/this {cell['other_ratio']:.3f}"
    return text


def fold_numpy(timings: dict[str, Timing]) -> None:
    """Of the two ways to store NumPy's weights, the better one counts, for each figure."""
    if other := timings.pop(NUMPY_OTHER, None):
        one = timings["NumPy"]
        timings["NumPy"] = Timing(
            min(one.median_us, other.median_us),
            min(one.min_us, other.min_us),
            one.samples + other.samples,
        )


def conclude(report: dict[str, Any]) -> None:
    """Print the means over all cells, and keep that of the best peers."""
    for key, title in (("ratio", "best peer / laminet"), ("other_ratio", f"{OTHER} / laminet")):
        ratios = [cell[key] for cell in report["cells"] if key in cell]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            print(
                f"\n{title}: geometric mean {mean:.3f}, "
                f"least {min(ratios):.3f}, over {len(ratios)} cells"
            )
            report["geometric_mean" if key == "ratio" else "other_geometric_mean"] = mean
