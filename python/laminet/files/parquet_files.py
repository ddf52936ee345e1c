"""A whole table from a .parquet file."""

from __future__ import annotations

from typing import Any

from laminet.files.arrow_types import in_our_words, seekable
from laminet.files.samples import source_name, source_of

__all__ = ["read_parquet"]


def read_parquet(path: str) -> tuple[list[str], list[Any]]:
    """Return the names of all columns and their values, as Arrow arrays without dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = source_name(path)
    with (
        source_of(path) as source,
        seekable(source, path) as file,
        in_our_words(name, "not a .parquet file, or a damaged one"),
    ):
        table = pq.ParquetFile(file, page_checksum_verification=True).read()
    arrays = []
    for column in table.itercolumns():
        values = pa.concat_arrays(column.chunks) if column.num_chunks else column.combine_chunks()
        is_dictionary = pa.types.is_dictionary(values.type)
        arrays.append(values.dictionary_decode() if is_dictionary else values)
    return table.column_names, arrays
