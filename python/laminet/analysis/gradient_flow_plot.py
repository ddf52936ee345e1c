"""The picture of `gradient_flow`: singular values by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laminet.show.matplotlib_extra import save_figure, target_axes

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laminet.analysis.jacobian_spectrum import JacobianSpectrum

__all__ = ["draw"]

_LAYERS, _PRODUCTS = "#9aa5b1", "#1f5fa8"


def draw(
    layers: Sequence[JacobianSpectrum],
    products: Sequence[JacobianSpectrum],
    samples: int,
    target: str | os.PathLike[str] | Axes | None,
) -> Figure:
    """Draw both spectra over the layers, on a logarithmic axis; see `GradientFlow.plot`."""
    depth = len(layers)
    axes, path = target_axes(target, max(7.0, 4.5 + 0.6 * depth), 4.0)
    _draw_spectra(axes, layers, _LAYERS, "each layer's Jacobian")
    _draw_spectra(axes, products, _PRODUCTS, "from the output down to it")
    axes.axhline(1.0, color="black", linewidth=0.6, zorder=0)
    axes.set_yscale("log")
    axes.set_xticks(range(1, depth + 1), [spectrum.name.removeprefix("J") for spectrum in layers])
    axes.set_xlabel("layer (input on the left)")
    over = "" if samples == 1 else f", mean of {samples} samples"
    axes.set_ylabel(f"singular values{over}")
    axes.set_title(
        "Singular values of Jacobians by layer, dots: the largest", loc="left", fontsize=10
    )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    figure = axes.figure.figure  # the root, where the axes are in a subfigure
    if path is not None:
        save_figure(figure, path)
    return figure


def _draw_spectra(axes: Axes, spectra: Sequence[JacobianSpectrum], color: str, label: str) -> None:
    places = np.arange(1, len(spectra) + 1)
    for place, spectrum in zip(places, spectra, strict=True):
        # A logarithm has no place for what is zero but for rounding.
        values = spectrum.singular_values[spectrum.singular_values > spectrum.floor]
        axes.plot(np.full(len(values), place), values, "_", color=color, alpha=0.5, markersize=12)
    axes.plot(places, [s.norm for s in spectra], "-o", color=color, markersize=4, label=label)
