"""The arithmetic and the memory traffic of a network: exact counts, from the shapes alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from laminet.analysis.arguments import require_network
from laminet.core.conversion.counts import as_batch
from laminet.core.report import Report, TableData
from laminet.core.rows import are_a_chain, names_of
from laminet.core.steps import program_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laminet.core.mlp import MLP
    from laminet.core.steps import Step, Work

__all__ = ["OPERATIONS", "Cost", "LayerCost", "cost"]

#: What can be counted.
OPERATIONS = ("forward", "vjp", "jacobian", "gradients")

# The counts may be of any size, but Python refuses to write thousands of digits.
_LARGEST_BATCH = 2**127

_BFLOAT16 = 2  # bytes


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one batch of ``batch`` samples, or a step of several.

    Attributes
    ----------
    index : int
        Number of the row, counted from 1: of a chain of dense layers as in ``W_1``.
    in_features, out_features, batch : int
        The shape of the product: (batch, in) times (in, out); of another layer its widths.
    activation : str
        Name of the activation; empty where the kind of layer has none.
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
        multiplied (gemm), 1 where nothing is.
    other_flops : int
        All else: what norms and `Rescale` do, and sums.
    kind : str
        ``"dense"``, ``"activation"``, ``"rescale"``, ``"layer norm"``, ``"rms norm"``,
        ``"select"``, ``"sum"`` or ``"mean"`` (of branches, or of a residual block), or ``"copy"``
        (where a branch only passes on what comes in).
    place : str
        Where it stands: ``"3"`` is the third layer of the network, ``"3.2"`` the second layer
        within that residual block, ``"3.2.1"`` the first layer of the second of its branches,
        ``"3.*.1"`` the first layers of all of them. ``"1, 2"`` has an `Activation` of its own.
    copies : int
        So many equal layers, of as many branches, run as one.
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
    other_flops: int = 0
    kind: str = "dense"
    place: str = ""
    copies: int = 1

    @property
    def flops(self) -> int:
        """All floating-point operations of the layer."""
        return self.matmul_flops + self.bias_flops + self.activation_flops + self.other_flops

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
        The layers, first to last; where others than dense layers are among them, the steps that the
        network runs, in order.
    batch : int
        Samples in the batch.
    head_flops : int
        ``batch out`` for a softmax or log-softmax after the last layer, by the same convention as
        activations, or 0. It works in cache on what the last layer wrote: no bytes are counted.
    operation : str
        ``"forward"``, ``"vjp"``, ``"jacobian"`` or ``"gradients"``.
    mode : str or None
        Of a Jacobian: ``"reverse"`` or ``"forward"``, whichever takes fewer operations.
    in_features, out_features : int
        Of the network.
    """

    layers: tuple[LayerCost, ...]
    batch: int
    head_flops: int = 0
    operation: str = "forward"
    mode: str | None = None
    in_features: int = 0
    out_features: int = 0

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
        """3 if any layer multiplies two matrices, else 2; 1 if none multiplies any."""
        return max(layer.blas_level for layer in self.layers)

    def tables(self) -> list[TableData]:
        """Return the tables that show this result."""
        chain = are_a_chain(self.layers)
        kinds = [] if chain else ["kind"]
        others = [] if chain else ["other"]
        counted = ["matmul_flops", "bias_flops", "activation_flops"]
        counted += [] if chain else ["other_flops"]
        heading = ("layer", *kinds, "shape", "activation", "matmul", "bias", "activation")
        flops: list[tuple[str, ...]] = [(*heading, *others, "FLOPs")]
        traffic: list[tuple[str, ...]] = [
            ("layer", *kinds, "BLAS level", "bytes read", "written", "bytes", "FLOPs/byte")
        ]
        for layer in self.layers:
            names = names_of(layer, chain=chain)
            shape = f"{layer.in_features} -> {layer.out_features}"
            counts = [getattr(layer, one) for one in (*counted, "flops")]
            flops.append((*names, shape, layer.activation, *map(_count, counts)))
            moved = (layer.bytes_read, layer.bytes_written, layer.bytes)
            level = str(layer.blas_level)
            traffic.append((*names, level, *map(_count, moved), f"{layer.intensity:.2f}"))
        empty = [""] * len(kinds)
        if self.head_flops:
            rest = [""] * (2 + len(counted))
            flops.append(("head", *empty, *rest, _count(self.head_flops)))
        sums = [sum(getattr(layer, one) for layer in self.layers) for one in counted]
        batch = f"batch {self.batch}"
        flops.append(("all", *empty, batch, "", *map(_count, (*sums, self.flops))))
        moved_in_all = [
            sum(getattr(layer, name) for layer in self.layers)
            for name in ("bytes_read", "bytes_written", "bytes")
        ]
        level, intensity = str(self.blas_level), f"{self.intensity:.2f}"
        traffic.append(("all", *empty, level, *map(_count, moved_in_all), intensity))
        name = f"{self.operation} ({self.mode} mode)" if self.mode else self.operation
        samples = "1 sample" if self.batch == 1 else f"{self.batch} samples"
        title = f"{name}, {samples}: {self.flops:,} FLOPs, {self.flops_per_sample:,} a sample"
        return [
            TableData(flops, 3 + len(kinds), title),
            TableData(traffic, 2 + len(kinds)),
        ]


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

    Other layers are counted by their formulas likewise; of a sample of ``n`` features

    - `LayerNorm` does ``5 n + 4`` operations forward and ``7 n + 2`` for each row of a derivative,
      `RMSNorm` ``3 n + 3`` and ``5 n + 1``, and a weight and a bias ``n`` each;
    - `Rescale` ``2 n``, with bounds ``4 n`` and ``n`` more for the slopes, and ``n`` a row;
    - a sum of ``k`` branches ``(k - 1) n``, and ``n`` for a mean; what is added to its input in a
      `Residual` ``n``, which is no pass of its own where a product ends the block;
    - where several layers read the same numbers, the way back adds up their gradients, ``n`` each;
    - `Select` moves what it takes, or nothing where columns lie side by side: then the next layer
      reads them where they are; `Dropout` is nothing, and a branch of no layers is a copy.

    Of a network of `precision` "bfloat16_weights" or "bfloat16" products by ``W`` read 2 bytes a
    weight, those by its transpose, on the way back, 4. The copy of its inputs that each layer of a
    "bfloat16" network rounds stays in the cache, and is not counted.

    At ``B = 1`` a forward pass is some 2 FLOPs for each weight, so 0.5 a byte in float32, and
    memory sets the speed; with ``B`` the weights are used ``B`` times for each time they are read
    (Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009, doi
    10.1145/1498765.1498785).

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP.init([784, 256, 10], seed=0)
    >>> one, many = ln.cost(net), ln.cost(net, batch=64)
    >>> one.layers[0].matmul_flops, one.blas_level, many.blas_level
    (401408, 2, 3)
    >>> many.flops == 64 * one.flops
    True
    """
    require_network(net)
    batch = as_batch(batch, _LARGEST_BATCH)
    if operation not in OPERATIONS:
        expected = ", ".join(map(repr, OPERATIONS))
        raise ValueError(f"operation is {operation!r}, expected one of {expected}")
    program = program_of(net)
    mode = program.mode if operation == "jacobian" else None
    passes = _Passes(operation, mode, net.out_features if mode == "reverse" else net.in_features)
    item = net.dtype.itemsize
    sizes = item, item if net.precision == net.dtype.name else _BFLOAT16
    layers: list[LayerCost] = []
    head = 0
    for i, step in enumerate(program.steps):
        first = operation == "jacobian" and i == program.first
        if step.kind == "softmax":
            # By each entry of a Jacobian, whatever the mode.
            by_entry = replace(passes, rows=net.in_features)
            head = batch * sum(n * work.functions for work, n in by_entry.of(step, first=False))
        else:
            works = passes.of(step, first=first)
            layers.append(_layer_cost(step, len(layers) + 1, works, batch, sizes))
    ends = net.in_features, net.out_features
    return Cost(tuple(layers), batch, head, operation, mode, *ends)


@dataclass(frozen=True)
class _Passes:
    """What an operation takes of each step: how often, for each sample."""

    operation: str
    mode: str | None
    rows: int

    def of(self, step: Step, *, first: bool) -> list[tuple[Work, int]]:
        works = [(step.works["forward"], 1)]
        if self.operation == "forward":
            return works
        works.append((step.works["record"], 1))
        if self.operation == "jacobian":
            way = "pull_back" if self.mode == "reverse" else "push_forward"
            works.append((step.works["first_factor"], 1) if first else (step.works[way], self.rows))
            return works
        works.append((step.works["pull_back"], 1))
        if self.operation == "gradients":
            works.append((step.works["gradients"], 1))
        return works


def _layer_cost(
    step: Step, index: int, works: Sequence[tuple[Work, int]], batch: int, sizes: tuple[int, int]
) -> LayerCost:
    """Count what a step does; `sizes` are the bytes of a number, and of one of W's panels."""
    item, weight = sizes

    def each(name: str) -> int:
        return batch * sum(int(getattr(work, name)) * times for work, times in works)

    def once(name: str) -> int:
        return item * sum(int(getattr(work, name)) for work, _ in works)

    # Of products by W, not by W^T: a weight is the two operations that it is for.
    by_panels = [step.works["forward"], step.works["push_forward"]]
    packed = sum(work.products // 2 for work, _ in works if any(work is one for one in by_panels))
    products = [times for work, times in works if work.products]
    level = 0 if not products else batch * max(products)
    # Of one product for all copies, as they read the same input, each has its part.
    sharing = step.copies // step.groups
    return LayerCost(
        index=index,
        in_features=step.in_features,
        out_features=step.out_features // sharing if step.kind == "dense" else step.out_features,
        batch=batch,
        activation="" if step.activation is None else step.activation.name,
        matmul_flops=each("products"),
        bias_flops=each("biases"),
        activation_flops=each("functions"),
        input_bytes=item * each("read"),
        weight_bytes=once("weights_read") - (item - weight) * packed,
        bias_bytes=once("biases_read"),
        output_bytes=item * each("written") + once("gradients_written"),
        blas_level=1 if level == 0 else 2 if level == 1 else 3,
        other_flops=each("others"),
        kind=step.kind,
        place=step.place,
        copies=step.copies,
    )


def _count(number: int) -> str:
    return f"{number:,}"
