"""Samples from .parquet and .arrow files, a batch at a time; pyarrow reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from laminet.files.arrow_rows import RowsOf, column_of_lists, require_types
from laminet.files.arrow_types import in_our_words, seekable, without_views
from laminet.files.columns import Chosen
from laminet.files.samples import Block, SampleError, Samples, source_name, source_of

if TYPE_CHECKING:
    from laminet.files.columns import Request

__all__ = ["Batches", "is_stream", "open_arrow", "open_parquet", "open_stream"]

# Bytes that are read at once of each column.
_READ_BYTES = 2**20
# What a file of Arrow begins with, and what the other kind of it, a stream, ends with: without it,
# who knows whether more was to come.
_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True, eq=False)
class Batches:
    """Record batches of one schema, from wherever they come.

    Attributes
    ----------
    schema : pyarrow.Schema
    batches : callable
        Returns an iterator of pyarrow.RecordBatch, from a list of the columns that are read; it may
        give others too.
    total : int or None
        Rows; None where they are not known.
    """

    schema: Any
    batches: Any
    total: int | None


@contextmanager
def open_parquet(
    path: str, request: Request, rows: int, constants: Mapping[str, Any] | None = None
) -> Iterator[Samples]:
    """Open a .parquet file; rows are read as they are asked for, of the columns that are.

    Parameters
    ----------
    path : str
    request : Request
    rows : int
        Of a block.
    constants : mapping of str to pyarrow.Scalar, optional
        Columns that the file does not have, with the value that all rows have.
    """
    import pyarrow.parquet as pq

    name = source_name(path)
    with source_of(path) as source, seekable(source, path) as file:
        with in_our_words(name, "not a .parquet file, or a damaged one"):
            # Buffered ahead, which is the default, all of the file is in memory at the first row,
            # and without a buffer all of a row group.
            parquet = pq.ParquetFile(
                file, pre_buffer=False, buffer_size=_READ_BYTES, page_checksum_verification=True
            )
            found = Batches(
                parquet.schema_arrow,
                lambda columns: parquet.iter_batches(batch_size=rows, columns=columns),
                parquet.metadata.num_rows,
            )
        yield samples_of_batches(found, name, request, rows, constants)


@contextmanager
def open_arrow(
    path: str, request: Request, rows: int, constants: Mapping[str, Any] | None = None
) -> Iterator[Samples]:
    """Open a file or a stream of Arrow, as `open_parquet` does; a batch of it is in memory."""
    import pyarrow as pa

    name = source_name(path)
    with source_of(path) as source, seekable(source, path) as file:
        with in_our_words(name, "not a file of Arrow, or a damaged one"):
            found = _ipc(pa.ipc, file)
        if found is None:
            raise SampleError(f"{name}: a stream of Arrow without its end: it is not all there")
        yield samples_of_batches(found, name, request, rows, constants)


def _ipc(ipc: Any, file: IO[bytes]) -> Batches | None:
    """Return the batches of a file or of a stream; None of a stream that is cut off."""
    is_file = file.read(len(_MAGIC)) == _MAGIC
    file.seek(0)
    if not is_file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_END_OF_STREAM)))
        end = file.read()
        file.seek(0)
        stream = ipc.open_stream(file)
        return Batches(stream.schema, lambda _: stream, None) if end == _END_OF_STREAM else None
    schema = ipc.open_file(file).schema
    file.seek(0)

    def batches(columns: list[str]) -> Iterator[Any]:
        options = ipc.IpcReadOptions(
            included_fields=sorted(schema.get_field_index(column) for column in columns)
        )
        reader = ipc.open_file(file, options=options)
        return (reader.get_batch(i) for i in range(reader.num_record_batches))

    return Batches(schema, batches, None)


def is_stream(source: Any) -> bool:
    """Whether an object gives batches of Arrow: a data set or what has them as a stream."""
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "to_batches")


@contextmanager
def open_stream(source: Any, request: Request, rows: int) -> Iterator[Samples]:
    """Give the samples of a data set of pyarrow, a table, or a stream that can be read once."""
    import pyarrow as pa

    if hasattr(source, "__arrow_c_stream__"):
        # Before pyarrow 15 all of a stream is read at once.
        read = getattr(pa.RecordBatchReader, "from_stream", lambda s: pa.table(s).to_reader())
        reader = read(source)
        found = Batches(reader.schema, lambda columns: reader, None)
    else:
        # The scanner reads ahead on its own: sixteen batches of four files if nothing is said.
        few = {"batch_size": rows, "batch_readahead": 2, "fragment_readahead": 1}
        found = Batches(source.schema, lambda names: source.to_batches(columns=names, **few), None)
    yield samples_of_batches(found, "source", request, rows)


def samples_of_batches(
    found: Batches,
    name: str,
    request: Request,
    rows: int,
    constants: Mapping[str, Any] | None = None,
) -> Samples:
    """Return the samples of batches; a batch with more rows is cut into several."""
    import pyarrow as pa

    schema = found.schema
    added = {key: value for key, value in (constants or {}).items() if key not in schema.names}
    for key, value in added.items():
        schema = schema.append(pa.field(key, value.type))
    names = schema.names
    lists = column_of_lists(names, schema, request)
    if lists is None:
        request.require_width()
        chosen = request.with_heading(name, names)
    else:
        chosen = Chosen([], request.kept_of(name, names))
    require_types(name, schema, chosen, gaps=request.gaps)
    features = [lists] if lists is not None else [names[index] for index in chosen.features]
    kept = [names[index] for index in chosen.kept]
    make = RowsOf(request, names, chosen, lists)
    wanted = list(dict.fromkeys([*features, *kept]))
    read = [column for column in wanted if column not in added]

    def blocks() -> Iterator[Block]:
        begin = 0
        for batch in _in_pieces(found, name, read, rows):
            columns = {column: without_views(batch.column(column)) for column in read}
            for key in wanted:
                if key in added:
                    columns[key] = pa.repeat(added[key], batch.num_rows)
            whole = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))

            def place(row: int, column: str, begin: int = begin) -> str:
                return f"{name}: row {begin + row + 1}, column {column!r}"

            def where(row: int, begin: int = begin) -> str:
                return f"row {begin + row + 1}"

            x = make(whole, place)
            begin += batch.num_rows
            yield Block(x, begin, where, [whole.column(column) for column in kept])

    return Samples(blocks(), found.total, kept_names=kept)


def _in_pieces(found: Batches, name: str, columns: list[str], rows: int) -> Iterator[Any]:
    """Return batches of so many rows or less; one without rows at least."""
    import pyarrow as pa

    begin = 0
    batches = None
    while True:
        with in_our_words(name, f"damaged: rows from {begin + 1} on cannot be read"):
            if batches is None:
                batches = iter(found.batches(columns))
            batch = next(batches, None)
        if batch is None:
            break
        for first in range(0, batch.num_rows, rows):
            yield batch.slice(first, rows)
        begin += batch.num_rows
    if found.total is not None and begin != found.total:
        raise SampleError(f"{name}: damaged: {begin} rows of {found.total} can be read")
    if not begin:
        yield pa.RecordBatch.from_pylist([], found.schema)
