"""The arithmetic and the memory traffic of a network: exact counts, from the shapes alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet.analysis.arguments import require_network
from laminet.core.conversion.counts import as_batch
from laminet.core.layers.chain import dense_chain
from laminet.core.report import Report, TableData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laminet.core.layers.dense import Dense
    from laminet.core.mlp import MLP

__all__ = ["OPERATIONS", "Cost", "LayerCost", "cost"]

#: What can be counted.
OPERATIONS = ("forward", "vjp", "jacobian", "gradients")

# The counts may be of any size, but Python refuses to write thousands of digits.
_LARGEST_BATCH = 2**127


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
        Two for each multiplication and addition of a matrix product; forward ``2 batch out in``.
    bias_flops : int
        Forward ``batch out``, or 0 without a bias.
    activation_flops : int
        Forward ``batch out``, or 0 for identity. One operation an element is a convention: relu
        takes one instruction, gelu some twenty.
    input_bytes, weight_bytes, bias_bytes, output_bytes : int
        The sizes of the arrays, each counted once for each product that reads or writes it: the
        activations (and gradients) read, the weights and the bias read, and what is written.
    blas_level : int
        2 where all products have a vector in them (gemv, ger), 3 where two matrices are
        multiplied (gemm).
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
    blas_level: int

    @property
    def flops(self) -> int:
        """All floating-point operations of the layer."""
        return self.matmul_flops + self.bias_flops + self.activation_flops

    @property
    def bytes_read(self) -> int:
        """All bytes the layer reads: input, weights and bias."""
        return self.input_bytes + self.weight_bytes + self.bias_bytes

    @property
    def bytes_written(self) -> int:
        """All bytes the layer writes: its output."""
        return self.output_bytes

    @property
    def bytes(self) -> int:
        """All bytes the layer reads and writes."""
        return self.bytes_read + self.bytes_written

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: FLOPs for each byte."""
        return self.flops / self.bytes


@dataclass(frozen=True, repr=False)
class Cost(Report):
    """What a network costs for one batch; it prints as tables.

    Attributes
    ----------
    layers : tuple of LayerCost
        The layers, first to last.
    batch : int
        Samples in the batch.
    head_flops : int
        ``batch out`` for a softmax or log-softmax after the last layer, by the same convention as
        activations, or 0. It works in cache on what the last layer wrote: no bytes are counted.
    operation : str
        ``"forward"``, ``"vjp"``, ``"jacobian"`` or ``"gradients"``.
    mode : str or None
        Of a Jacobian: ``"reverse"`` or ``"forward"``, whichever takes fewer operations.
    """

    layers: tuple[LayerCost, ...]
    batch: int
    head_flops: int = 0
    operation: str = "forward"
    mode: str | None = None

    @property
    def flops(self) -> int:
        """All floating-point operations."""
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

    @property
    def blas_level(self) -> int:
        """3 if any layer multiplies two matrices, else 2."""
        return max(layer.blas_level for layer in self.layers)

    def tables(self) -> list[TableData]:
        """Return the tables that show this result."""
        flops: list[tuple[str, ...]] = [
            ("layer", "shape", "activation", "matmul", "bias", "activation", "FLOPs")
        ]
        traffic: list[tuple[str, ...]] = [
            ("layer", "BLAS level", "bytes read", "written", "bytes", "FLOPs/byte")
        ]
        for layer in self.layers:
            index = str(layer.index)
            shape = f"{layer.in_features} -> {layer.out_features}"
            counts = (layer.matmul_flops, layer.bias_flops, layer.activation_flops, layer.flops)
            flops.append((index, shape, layer.activation, *map(_count, counts)))
            moved = (layer.bytes_read, layer.bytes_written, layer.bytes)
            level = str(layer.blas_level)
            traffic.append((index, level, *map(_count, moved), f"{layer.intensity:.2f}"))
        if self.head_flops:
            flops.append(("head", "", "", "", "", "", _count(self.head_flops)))
        sums = [
            sum(getattr(layer, name) for layer in self.layers)
            for name in ("matmul_flops", "bias_flops", "activation_flops")
        ]
        flops.append(("all", f"batch {self.batch}", "", *map(_count, (*sums, self.flops))))
        moved_in_all = [
            sum(getattr(layer, name) for layer in self.layers)
            for name in ("bytes_read", "bytes_written", "bytes")
        ]
        level, intensity = str(self.blas_level), f"{self.intensity:.2f}"
        traffic.append(("all", level, *map(_count, moved_in_all), intensity))
        name = f"{self.operation} ({self.mode} mode)" if self.mode else self.operation
        samples = "1 sample" if self.batch == 1 else f"{self.batch} samples"
        title = f"{name}, {samples}: {self.flops:,} FLOPs, {self.flops_per_sample:,} a sample"
        return [TableData(flops, 3, title), TableData(traffic, 2)]


def cost(net: MLP, batch: int = 1, operation: str = "forward") -> Cost:
    """Count the operations and the bytes of a forward pass or a derivative.

    Parameters
    ----------
    net : MLP
        The network.
    batch : int
        Samples in the batch, 1 or more.
    operation : {"forward", "vjp", "jacobian", "gradients"}
        What is computed: the outputs, ``net.vjp``, ``net.value_and_jacobian`` or
        ``net.gradients``. The derivatives' counts include the forward pass that they need.

    Returns
    -------
    Cost
        The counts of each layer and their sums, as Python integers: they cannot overflow.

    Raises
    ------
    TypeError
        If `net` is not an MLP, or `batch` not an integer.
    ValueError
        If `batch` is less than 1 or more than 2**127, or `operation` is none of these.

    Notes
    -----
    A layer of ``n`` outputs and ``m`` inputs does, for a batch of ``B``,

    - forward ``2 B n m + B n + B n`` operations for product, bias and activation, and moves ``B m +
      n m + n`` numbers in and ``B n`` out;
    - for ``vjp`` one product more, ``G W`` (``2 B n m``), where ``G`` (B, n) is the gradient times
      the slope of the activation (``2 B n``: the slope, the product), and reads weights,
      gradient and slopes, to write ``B m`` numbers;
    - for ``gradients`` one more besides, ``G^T A`` (``2 B n m``), and the sum of ``G`` (``B n``),
      and writes the gradients, ``n m + n`` numbers: in all three times the forward products;
    - for ``jacobian`` in reverse mode ``2 B n_L n m`` for the product of the ``n_L`` rows a sample
      that come from the output with ``W``, ``B n_L n`` for their product with the slopes, ``B n``
      for these; in forward mode the same with ``n_0`` for ``n_L``, from the input up. The first
      product of the chain is a scaled copy of the weights (``B n m``). The mode is the one whose
      products take fewer operations; reverse where they are equal.

    The engine itself leaves out the last layer's forward product in ``vjp`` and ``gradients`` where
    nothing depends on it (an identity, no head); it is counted here.

    An activation that is the identity has no slopes. A head (softmax) adds 4 operations an output
    for ``vjp`` and ``gradients``, and 4 for each entry of the Jacobian.

    At ``B = 1`` a forward pass is some 2 FLOPs for each weight, so 0.5 a byte in float32, and
    memory sets the speed; with ``B`` the weights are used ``B`` times for each time they are read
    (Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009, doi
    10.1145/1498765.1498785).
    """
    require_network(net)
    batch = as_batch(batch, _LARGEST_BATCH)
    if operation not in OPERATIONS:
        expected = ", ".join(map(repr, OPERATIONS))
        raise ValueError(f"operation is {operation!r}, expected one of {expected}")
    chain = dense_chain(net, "ln.cost")
    mode = _jacobian_mode(net.sizes) if operation == "jacobian" else None
    layers = tuple(_layer_cost(net, chain, i, batch, operation, mode) for i in range(len(chain)))
    head = 0
    if net.head:
        per_output = {"forward": 0, "vjp": 4, "gradients": 4, "jacobian": 4 * net.in_features}
        head = batch * net.out_features * (1 + per_output[operation])
    return Cost(layers, batch, head, operation, mode)


def _jacobian_mode(sizes: tuple[int, ...]) -> str:
    products = [n * m for m, n in itertools.pairwise(sizes)]
    reverse = sizes[-1] * sum(products[:-1])
    forward = sizes[0] * sum(products[1:])
    return "reverse" if reverse <= forward else "forward"


def _layer_cost(
    net: MLP, chain: Sequence[Dense], index: int, batch: int, operation: str, mode: str | None
) -> LayerCost:
    layer = chain[index]
    n_in, n_out = layer.in_features, layer.out_features
    product = 2 * batch * n_out * n_in
    has_bias = int(layer.bias is not None)
    curved = int(layer.activation.name != "identity")
    # Of the forward pass; bytes in numbers, until the end.
    matmul, bias, activation = product, has_bias * batch * n_out, curved * batch * n_out
    reads, weights, biases, writes = batch * n_in, n_out * n_in, has_bias * n_out, batch * n_out
    level = 2 if batch == 1 else 3

    if operation in ("vjp", "gradients"):
        matmul += product
        activation += curved * 2 * batch * n_out
        reads += (1 + curved) * batch * n_out  # gradient and slopes
        weights += n_out * n_in
        writes += batch * n_in
    if operation == "gradients":
        matmul += product
        bias += has_bias * batch * n_out
        reads += batch * (n_out + n_in)  # gradient and activations
        writes += n_out * n_in + has_bias * n_out
    if operation == "jacobian":
        first = index == (len(chain) - 1 if mode == "reverse" else 0)
        rows = net.out_features if mode == "reverse" else net.in_features
        activation += curved * batch * n_out  # the slopes
        reads += curved * batch * n_out
        weights += n_out * n_in
        if first:
            activation += curved * batch * n_out * n_in
            writes += batch * n_out * n_in
        else:
            matmul += rows * product
            activation += curved * batch * rows * n_out
            reads += batch * rows * (n_out if mode == "reverse" else n_in)
            writes += batch * rows * (n_in if mode == "reverse" else n_out)
            level = 2 if batch * rows == 1 else 3

    item = net.dtype.itemsize
    return LayerCost(
        index=index + 1,
        in_features=n_in,
        out_features=n_out,
        batch=batch,
        activation=layer.activation.name,
        matmul_flops=matmul,
        bias_flops=bias,
        activation_flops=activation,
        input_bytes=reads * item,
        weight_bytes=weights * item,
        bias_bytes=biases * item,
        output_bytes=writes * item,
        blas_level=level,
    )


def _count(number: int) -> str:
    return f"{number:,}"
