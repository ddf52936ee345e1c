"""The arithmetic and the memory traffic of a forward pass: exact counts, from the shapes alone."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet.analysis.text_table import text_table

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["Cost", "LayerCost", "cost"]


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one batch of ``batch`` samples.

    Attributes
    ----------
    index : int
        Number of the layer, counted from 1 as in ``W_1``.
    in_features, out_features, batch : int
        The shape of the product: (batch, in) times (in, out).
    activation : str
        Name of the activation.
    matmul_flops : int
        ``2 batch out in``: a multiplication and an addition for each weight and sample.
    bias_flops : int
        ``batch out``, or 0 without a bias.
    activation_flops : int
        ``batch out``, or 0 for identity. One operation an element is a convention: relu takes
        one instruction, gelu some twenty.
    input_bytes, weight_bytes, bias_bytes, output_bytes : int
        The sizes of the arrays, each counted as read or written once.
    """

    index: int
    in_features: int
    out_features: int
    batch: int
    activation: str
    matmul_flops: int
    bias_flops: int
    activation_flops: int
    input_bytes: int
    weight_bytes: int
    bias_bytes: int
    output_bytes: int

    @property
    def flops(self) -> int:
        """All floating-point operations of the layer."""
        return self.matmul_flops + self.bias_flops + self.activation_flops

    @property
    def bytes(self) -> int:
        """All bytes the layer reads and writes, each array once."""
        return self.input_bytes + self.weight_bytes + self.bias_bytes + self.output_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: FLOPs for each byte."""
        return self.flops / self.bytes


@dataclass(frozen=True)
class Cost:
    """What a network costs for one batch; it prints as a table.

    Attributes
    ----------
    layers : tuple of LayerCost
        The layers, first to last.
    batch : int
        Samples in the batch.
    head_flops : int
        ``batch out`` for a softmax or log-softmax after the last layer, by the same convention as
        activations, or 0. It works in cache on what the last layer wrote: no bytes are counted.
    """

    layers: tuple[LayerCost, ...]
    batch: int
    head_flops: int = 0

    @property
    def flops(self) -> int:
        """All floating-point operations of the pass."""
        return sum(layer.flops for layer in self.layers) + self.head_flops

    @property
    def flops_per_sample(self) -> int:
        """Floating-point operations for each sample; the same for every batch size."""
        return self.flops // self.batch

    @property
    def bytes(self) -> int:
        """All bytes of the layers: what one layer writes, the next one reads again."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def intensity(self) -> float:
        """Arithmetic intensity of the whole: FLOPs for each byte."""
        return self.flops / self.bytes

    def __str__(self) -> str:
        rows = [("layer", "shape", "activation", "FLOPs", "bytes", "FLOPs/byte")]
        for layer in self.layers:
            shape = f"{layer.in_features} -> {layer.out_features}"
            rows.append((str(layer.index), shape, layer.activation, *_figures(layer)))
        if self.head_flops:
            rows.append(("head", "", "", f"{self.head_flops:,}", "", ""))
        rows.append(("all", f"batch {self.batch}", "", *_figures(self)))
        return text_table(rows, text_columns=3)


def cost(net: MLP, batch: int = 1) -> Cost:
    """Count the operations and the bytes of a forward pass.

    Parameters
    ----------
    net : MLP
        The network.
    batch : int
        Samples in the batch, 1 or more.

    Returns
    -------
    Cost
        The counts of each layer and their sums, as Python integers: they cannot overflow.

    Raises
    ------
    TypeError
        If `batch` is not an integer.
    ValueError
        If `batch` is less than 1.

    Notes
    -----
    A layer does ``2 B n m + B n + B n`` operations for ``n`` outputs, ``m`` inputs and a batch of
    ``B``, and moves at least ``B m + n m + n + B n`` numbers. At ``B = 1`` that is some 2 FLOPs for
    each weight, so 0.5 a byte in float32, and memory sets the speed; with ``B`` the weights are
    used ``B`` times for each time they are read (Williams, Waterman and Patterson, "Roofline",
    Communications of the ACM 52(4), 2009, doi 10.1145/1498765.1498785).
    """
    batch = operator.index(batch)
    if batch < 1:
        raise ValueError(f"batch is {batch}, expected 1 or more")
    item = net.dtype.itemsize
    layers = []
    for index, layer in enumerate(net.layers, start=1):
        n_in, n_out = layer.in_features, layer.out_features
        has_bias, has_activation = layer.bias is not None, layer.activation.name != "identity"
        layers.append(
            LayerCost(
                index=index,
                in_features=n_in,
                out_features=n_out,
                batch=batch,
                activation=layer.activation.name,
                matmul_flops=2 * batch * n_out * n_in,
                bias_flops=batch * n_out if has_bias else 0,
                activation_flops=batch * n_out if has_activation else 0,
                input_bytes=batch * n_in * item,
                weight_bytes=n_out * n_in * item,
                bias_bytes=n_out * item if has_bias else 0,
                output_bytes=batch * n_out * item,
            )
        )
    return Cost(tuple(layers), batch, batch * net.out_features if net.head else 0)


def _figures(counts: LayerCost | Cost) -> tuple[str, str, str]:
    return f"{counts.flops:,}", f"{counts.bytes:,}", f"{counts.intensity:.2f}"
