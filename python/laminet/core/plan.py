"""Which back end, tiles, blocks and threads a batch runs on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from laminet.core.public_module import named_in
from laminet.core.report import Report, TableData
from laminet.core.rows import are_a_chain, names_of

if TYPE_CHECKING:
    from laminet.core.name_types import InstructionSetName
    from laminet.core.steps import Step

__all__ = ["LayerPlan", "Plan", "plan_of"]


@named_in("laminet.analysis.plan")
@dataclass(frozen=True)
class LayerPlan:
    """How one layer runs, or a step of several.

    Attributes
    ----------
    index : int
        Number of the row, counted from 1.
    in_features, out_features : int
        The sizes of the product; of another layer its widths.
    backend : str
        ``"tiled"`` or ``"blas"``.
    tile : tuple of int, or None
        Rows and columns of the register tile; None on the back end ``"blas"``.
    tail_tile : tuple of int, or None
        That of the last columns, where wider tiles leave some over.
    block_rows, block_columns, block_depth : int
        What a thread works on at a time: so many samples, outputs and inputs at most. The block of
        weights, ``block_columns x block_depth``, stays in L2 while all rows visit it. (A single
        sample with many zeros goes by at most 4 KiB of its inputs.)
    tail_columns, tail_depth : int
        The same of the last columns, for `tail_tile`; 0 where there is none.
    row_parts, column_parts : int
        The parts that threads work on at the same time: of the batch, or of the layer's outputs.
    kind, place : str
        As in `laminet.cost`. What is no dense layer runs row by row: it has no tile, and its block
        is all of its columns.
    copies : int
        So many equal layers, of as many branches, run as one.
    groups : int
        The products that it is, side by side, each of these sizes: as many as copies, or one where
        all of them read the same input, which is so much wider.
    adds : bool
        Whether the product is added to the input of a residual block.
    """

    index: int
    in_features: int
    out_features: int
    backend: Literal["blas", "tiled"]
    tile: tuple[int, int] | None
    tail_tile: tuple[int, int] | None
    block_rows: int
    block_columns: int
    block_depth: int
    tail_columns: int
    tail_depth: int
    row_parts: int
    column_parts: int
    kind: str = "dense"
    place: str = ""
    copies: int = 1
    groups: int = 1
    adds: bool = False

    @property
    def threads(self) -> int:
        """Threads that work on the layer at the same time."""
        return self.row_parts * self.column_parts

    @property
    def split(self) -> str:
        """What the threads share: ``"none"``, ``"rows"``, ``"columns"`` or ``"rows, columns"``."""
        names = [
            name
            for name, parts in (("rows", self.row_parts), ("columns", self.column_parts))
            if parts > 1
        ]
        return ", ".join(names) or "none"


@named_in("laminet.analysis.plan")
@dataclass(frozen=True, repr=False)
class Plan(Report):
    """How a network runs one batch; it prints as a table.

    Attributes
    ----------
    layers : tuple of LayerPlan
        The layers, first to last; where others than dense layers are among them, the steps that
        run, in order, but for the head.
    batch : int
        Samples in the batch.
    backend, isa : str
        The back end, and the instruction set of its kernels or of the activations.
    split : str
        ``"none"``: one thread does all. ``"rows"``: each thread takes blocks of rows through all
        layers. ``"layers"``: all rows go through one layer after the other, and the threads share
        each layer.
    threads : int
        Threads that take part.
    """

    layers: tuple[LayerPlan, ...]
    batch: int
    backend: Literal["blas", "tiled"]
    isa: InstructionSetName
    split: Literal["none", "rows", "layers"]
    threads: int

    def tables(self) -> list[TableData]:
        """Return the table that shows this result."""
        chain = are_a_chain(self.layers)
        kinds = [] if chain else ["kind"]
        rows: list[tuple[str, ...]] = [
            ("layer", *kinds, "shape", "tile", "split", "threads", "rows", "columns", "depth")
        ]
        for layer in self.layers:
            tiles = [f"{m}x{n}" for m, n in filter(None, (layer.tile, layer.tail_tile))]
            columns = [f"{n:,}" for n in (layer.block_columns, layer.tail_columns) if n]
            depths = [f"{n:,}" for n in (layer.block_depth, layer.tail_depth) if n]
            rows.append(
                (
                    *names_of(layer, chain=chain),
                    _shape(layer),
                    " + ".join(dict.fromkeys(tiles))
                    or (layer.backend if layer.kind == "dense" else "-"),
                    layer.split,
                    str(layer.threads),
                    f"{layer.block_rows:,}",
                    " + ".join(columns),
                    " + ".join(dict.fromkeys(depths)) or "-",
                )
            )
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        samples = "1 sample" if self.batch == 1 else f"{self.batch:,} samples"
        how = {"none": "", "rows": " share the rows", "layers": " share each layer"}[self.split]
        if self.threads == 1:
            how = ", layer by layer" if self.split == "layers" else ""
        title = f"{samples}: back end {self.backend}, {self.isa}; {threads}{how}"
        return [TableData(rows, 4 + len(kinds), title)]


def plan_of(described: Mapping[str, Any], steps: Iterable[Step], batch: int) -> Plan:
    """Make a `Plan` of what the core describes."""
    products = iter(described["layers"])
    layers: list[LayerPlan] = []
    for step in steps:
        # Of what is no product: all columns of the rows that a thread works on at a time.
        rows, parts = described["by_row"]
        body, tail, column_parts = (0, 0, step.out_features, 0), (0, 0, 0, 0), 1
        if step.kind == "dense":
            rows, body, tail, parts, column_parts = next(products)
        layers.append(
            LayerPlan(
                len(layers) + 1,
                step.in_features,
                step.out_features,
                described["backend"],
                _tile(*body[:2]),
                _tile(*tail[:2]),
                rows,
                *body[2:],
                *tail[2:],
                parts,
                column_parts,
                kind=step.kind,
                place=step.place,
                copies=step.copies,
                groups=step.groups,
                adds=step.adds,
            )
        )
    names = ("backend", "isa", "split", "threads")
    return Plan(tuple(layers), batch, *(described[name] for name in names))


def _tile(rows: int, columns: int) -> tuple[int, int] | None:
    return (rows, columns) if rows else None


def _shape(layer: LayerPlan) -> str:
    """Return ``"64 -> 6"``; of several products how many, of one that is added to x that too."""
    text = f"{layer.in_features} -> {layer.out_features}"
    if layer.groups == 1:
        return f"x + ({text})" if layer.adds else text
    text = f"{layer.groups} x ({text})"
    return f"x + {text}" if layer.adds else text
