"""Samples from .parquet files and results to them; pyarrow reads and writes them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.files.atomic import errors_about
from laminet.files.samples import (
    TEMPORARY,
    Block,
    MissingValueError,
    SampleError,
    Samples,
    in_type,
    source_name,
    source_of,
)

if TYPE_CHECKING:
    from laminet.files.columns import Chosen, Request

__all__ = [
    "ParquetWriter",
    "is_number",
    "is_text",
    "open_parquet",
    "read_parquet",
    "require_pyarrow",
    "texts_of",
    "value_type",
]

# Of a row group that is written: large enough to be read fast, small enough to wait in memory.
_GROUP_BYTES = 16 * 2**20
_GROUP_ROWS = 2**20


def require_pyarrow(name: str) -> None:
    """Refuse a .parquet file where there is no pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401 - to see whether it is there
    except ImportError as error:
        raise SampleError(
            f"{name}: reading and writing .parquet takes: pip install 'laminet[arrow]'"
        ) from error


@contextmanager
def open_parquet(path: str, request: Request, rows: int) -> Iterator[Samples]:
    """Open a .parquet file; rows are read as they are asked for, of the columns that are."""
    import pyarrow.parquet as pq

    name = source_name(path)
    with source_of(path) as source, _seekable(source) as file:
        with _in_our_words(name, "not a .parquet file, or a damaged one"):
            # Buffered ahead, which is the default, all of the file is in memory at the first row.
            parquet = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
            schema = parquet.schema_arrow
        names = schema.names
        chosen = request.with_heading(name, names)
        for index in chosen.features:
            kind = value_type(schema.field(index).type)
            if index in chosen.categories:
                if not (is_text(kind) or is_number(kind)):
                    raise SampleError(f"{name}: column {names[index]!r} holds {kind}, not text")
            elif not is_number(kind):
                raise SampleError(f"{name}: column {names[index]!r} holds {kind}, not numbers")
        wanted = [*chosen.features, *chosen.kept]
        for index in wanted:
            if names.count(names[index]) > 1:
                raise SampleError(f"{name}: two columns are named {names[index]!r}")
        kept_names = [names[index] for index in chosen.kept]
        blocks = _blocks(parquet, name, request, names, chosen, rows)
        yield Samples(blocks, parquet.metadata.num_rows, kept_names=kept_names)


def read_parquet(path: str) -> tuple[list[str], list[Any]]:
    """Return the names of all columns and their values, as Arrow arrays without dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = source_name(path)
    with (
        source_of(path) as source,
        _seekable(source) as file,
        _in_our_words(name, "not a .parquet file, or a damaged one"),
    ):
        table = pq.ParquetFile(file, page_checksum_verification=True).read()
    arrays = []
    for column in table.itercolumns():
        values = pa.concat_arrays(column.chunks) if column.num_chunks else column.combine_chunks()
        is_dictionary = pa.types.is_dictionary(values.type)
        arrays.append(values.dictionary_decode() if is_dictionary else values)
    return table.column_names, arrays


@contextmanager
def _in_our_words(name: str, problem: str) -> Iterator[None]:
    """Let errors name the file, and those of pyarrow be this problem of it."""
    import pyarrow as pa

    try:
        with errors_about(name):
            yield
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise SampleError(f"{name}: {problem}") from None
    except (pa.ArrowException, ValueError):
        raise SampleError(f"{name}: {problem}") from None


@contextmanager
def _seekable(source: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give the file itself, or a copy of what comes by a pipe: the format is read from its end."""
    if source.seekable():
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        with errors_about(TEMPORARY):
            shutil.copyfileobj(source, copy, 2**20)
        copy.seek(0)
        yield copy


def value_type(kind: Any) -> Any:
    """Return the type of a column's values: of a dictionary those that it is of."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: Any) -> bool:
    """Whether values of an Arrow type are text."""
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def is_number(kind: Any) -> bool:
    """Whether values of an Arrow type are numbers, or truth values, which count as such."""
    import pyarrow as pa

    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def _blocks(
    parquet: Any,
    name: str,
    request: Request,
    names: list[str],
    chosen: Chosen,
    rows: int,
) -> Iterator[Block]:
    import pyarrow as pa

    dtype = request.net.dtype
    features = [names[index] for index in chosen.features]
    kept_names = [names[index] for index in chosen.kept]
    wanted = list(dict.fromkeys([*features, *kept_names]))
    begin = 0
    batches = parquet.iter_batches(batch_size=rows, columns=wanted)
    while True:
        with _in_our_words(name, f"damaged: rows from {begin + 1} on cannot be read"):
            batch = next(batches, None)
        if batch is None and begin:
            break
        if batch is None:
            batch = pa.RecordBatch.from_pylist([], parquet.schema_arrow)
        x = np.zeros((batch.num_rows, len(features)), dtype)
        for index in chosen.numbers:
            feature = features[index]
            column = batch.column(feature)
            if column.null_count and not request.gaps:
                row = begin + column.is_null().index(pa.scalar(True)).as_py() + 1
                place = f"{name}: row {row}, column {feature!r}"
                raise MissingValueError(f"{place}: the value is missing")
            x[:, index] = _numbers(column, dtype, name, feature, begin)
        for position in chosen.categories:
            for row, text in enumerate(texts_of(batch.column(names[position]))):
                if request.gaps and not text:
                    x[row, chosen.features_of(position)] = np.nan
                    continue
                try:
                    x[row, chosen.feature_of(position, text)] = 1
                except ValueError as error:
                    place = f"row {begin + row + 1}, column {names[position]!r}"
                    kind = SampleError if text else MissingValueError
                    raise kind(f"{name}: {place}: {error}") from None

        def where(row: int, begin: int = begin) -> str:
            return f"row {begin + row + 1}"

        begin += batch.num_rows
        yield Block(x, begin, where, [batch.column(kept) for kept in kept_names])
        if batch.num_rows == 0:
            break


def texts_of(column: Any) -> list[str | None]:
    """Return the values of an Arrow column as text, without blanks around it."""
    import pyarrow as pa

    texts = column.cast(pa.string()).to_pylist()
    return [None if text is None else text.strip() for text in texts]


def _numbers(
    column: Any, dtype: np.dtype[Any], name: str, feature: str, begin: int
) -> NDArray[Any]:
    """Return a column in the network's type, NaN where it has no value."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if column.null_count:  # of truth values there would be objects
        column = column.cast(pa.float64(), safe=False)
    values = column.to_numpy(zero_copy_only=False)

    def cell(row: int, _: int) -> str:
        return f"{name}: row {begin + row + 1}, column {feature!r}"

    return in_type(values[:, np.newaxis], dtype, cell)[:, 0]


class ParquetWriter:
    """Rows to a .parquet file, in row groups."""

    def __init__(self, file: IO[bytes], names: list[str]) -> None:
        """Begin a file whose columns have these names."""
        self._file, self._names = file, names
        self._writer: Any = None
        self._waiting: list[Any] = []

    def append(self, block: NDArray[Any], kept: list[Any]) -> None:
        """Write a block of rows, which may have none."""
        import pyarrow as pa

        arrays = [pa.array(v, pa.string()) if isinstance(v, list) else v for v in kept]
        for column in np.atleast_2d(block.T):
            values = np.ascontiguousarray(column)
            if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
                values = values.astype(np.float32 if values.itemsize < 4 else np.float64)
            arrays.append(pa.array(values))
        self._waiting.append(pa.table(arrays, names=self._names))
        size = sum(table.nbytes for table in self._waiting)
        if size >= _GROUP_BYTES or sum(map(len, self._waiting)) >= _GROUP_ROWS:
            self._write()

    def finish(self, *, one_sample: bool) -> None:
        """Write what waits, and the end; a table has rows, of one sample also."""
        if self._waiting:
            self._write()
        self._writer.close()

    def abandon(self) -> None:
        """Leave the file as it is; of its own accord pyarrow would write its end."""
        if self._writer is not None:
            self._writer.is_open = False

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, write_page_checksum=True)
        self._writer.write_table(table)
