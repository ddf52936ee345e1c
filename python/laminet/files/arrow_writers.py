"""Results to .parquet and .arrow files; pyarrow writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from laminet.files.arrow_types import is_number, is_text, value_type
from laminet.files.samples import SampleError

__all__ = ["ArrowWriter", "ParquetWriter"]

# Of a row group or a record batch: large enough to be read fast, small enough to wait in memory.
_GROUP_BYTES = 16 * 2**20
_GROUP_ROWS = 2**20


def _size(table: Any) -> int:
    import pyarrow as pa

    try:
        return int(table.nbytes)
    except pa.ArrowTypeError:  # of views, in some releases
        return int(table.get_total_buffer_size())


def _is_plain(kind: Any) -> bool:
    return is_number(value_type(kind)) or is_text(value_type(kind))


class ParquetWriter:
    """Rows to a .parquet file, in row groups."""

    def __init__(self, file: IO[bytes], names: list[str]) -> None:
        """Begin a file whose columns have these names."""
        self._file, self._names = file, names
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._bytes = self._rows = 0

    def append(self, block: NDArray[Any], kept: list[Any]) -> None:
        """Write a block of rows, which may have none."""
        import pyarrow as pa

        arrays = [pa.array(v, pa.string()) if isinstance(v, list) else v for v in kept]
        arrays = [self._kept(array) for array in arrays]
        for column in np.atleast_2d(block.T):
            values = np.ascontiguousarray(column)
            if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
                values = values.astype(np.float32 if values.itemsize < 4 else np.float64)
            arrays.append(pa.array(values))
        table = pa.table(arrays, names=self._names)
        if self._writer is None:
            with self._refusing_types(table.schema):
                self._writer = self._open(table.schema, self._names[: len(kept)])
            self._schema = table.schema
        elif table.schema != self._schema:
            table = self._as_before(table)
        self._waiting.append(table)
        self._bytes += _size(table)
        self._rows += len(table)
        if self._bytes >= _GROUP_BYTES or self._rows >= _GROUP_ROWS:
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

    def _kept(self, array: Any) -> Any:
        return array

    def _open(self, schema: Any, kept: list[str]) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Floating-point numbers hardly ever come twice: looking for those that do takes three times
        # as long as to write them.
        twice = [name for name in kept if not pa.types.is_floating(schema.field(name).type)]
        return pq.ParquetWriter(self._file, schema, write_page_checksum=True, use_dictionary=twice)

    def _as_before(self, table: Any) -> Any:
        """Return a table whose columns have the types of those that are written already."""
        import pyarrow as pa

        try:
            return table.cast(self._schema)
        except (pa.ArrowException, ValueError):
            for now, before in zip(table.schema, self._schema, strict=True):
                if now.type != before.type:
                    raise SampleError(
                        f"column {now.name!r} holds {now.type}, and {before.type} in the files "
                        "before: they are not one table"
                    ) from None
            raise

    def _write(self) -> None:
        import pyarrow as pa

        table = pa.concat_tables(self._waiting)
        self._waiting, self._bytes, self._rows = [], 0, 0
        with self._refusing_types(table.schema):
            self._put(table)

    @contextmanager
    def _refusing_types(self, schema: Any) -> Iterator[None]:
        """Let errors of pyarrow be of the columns whose types the format does not have."""
        import pyarrow as pa

        try:
            yield
        except pa.ArrowNotImplementedError:
            kinds = [f"{f.name!r} ({f.type})" for f in schema if not _is_plain(f.type)]
            raise SampleError(
                f"the format has no columns of such a type: {', '.join(kinds)[:200]}"
            ) from None

    def _put(self, table: Any) -> None:
        self._writer.write_table(table)


class ArrowWriter(ParquetWriter):
    """Rows to a file of Arrow, in record batches."""

    def abandon(self) -> None:
        """Leave the file as it is."""

    def _kept(self, array: Any) -> Any:
        import pyarrow as pa

        # A file has one dictionary for a column, and batches that are read may have several.
        return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array

    def _open(self, schema: Any, kept: list[str]) -> Any:
        import pyarrow as pa

        return pa.ipc.new_file(self._file, schema)

    def _put(self, table: Any) -> None:
        self._writer.write_table(table.combine_chunks())
