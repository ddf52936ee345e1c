"""The formats of tables: which a name means, what reads it and what writes it."""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from laminet.files.arrow_files import open_arrow, open_parquet
from laminet.files.arrow_types import require_pyarrow
from laminet.files.arrow_writers import ArrowWriter, ParquetWriter
from laminet.files.csv_files import open_csv
from laminet.files.folders import Part, constants_of, parts_of
from laminet.files.npy_files import NpyWriter, open_npy, read_header
from laminet.files.result_files import CsvWriter
from laminet.files.samples import SampleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laminet.files.columns import Request
    from laminet.files.samples import Samples

    Writer = NpyWriter | CsvWriter | ParquetWriter

__all__ = [
    "FORMATS",
    "format_of",
    "format_of_source",
    "is_folder_target",
    "is_regular",
    "needs_pyarrow",
    "open_samples",
    "parts_with_constants",
    "require_rows",
    "writer_of",
]

FORMATS = ("csv", "npy", "parquet", "arrow")
#: What a name may end in, and what it means.
_SUFFIXES = {**{f".{name}": name for name in FORMATS}, ".feather": "arrow", ".ipc": "arrow"}


def format_of(path: str) -> str | None:
    """Return the format that a name ends in; None if it ends in none."""
    return _SUFFIXES.get(Path(path).suffix.lower())


def format_of_source(path: str) -> str | None:
    """Return the format of a file or of the files in a folder; None if the name ends in none."""
    return _format_of_folder(path) if os.path.isdir(path) else format_of(path)


def is_folder_target(source: str, target: str) -> bool:
    """Whether a target is a folder that gets a file for each one of the source.

    It is if its name ends in "/", or in no format where either of the two is a folder.
    """
    if target == "-" or target.endswith(os.sep):
        return target != "-"
    is_folder = os.path.isdir(source) or os.path.isdir(target)
    return is_folder and format_of(target) is None


def _format_of_folder(folder: str) -> str:
    """Return the format of all files in a folder."""
    formats: dict[str, str] = {}
    for part in parts_of(folder):
        found = format_of(part.path)
        if found is None:
            raise SampleError(
                f"{folder}: {part.name!r} ends in no format: .parquet, .arrow, .csv or .npy; "
                "names that begin with a dot or an underscore are passed over"
            )
        formats.setdefault(found, part.name)
    if len(formats) > 1:
        first, second = list(formats.values())[:2]
        raise SampleError(f"{folder}: {first!r} and {second!r} are of different formats")
    return next(iter(formats))


def needs_pyarrow(name: str, format_: str) -> None:
    """Refuse a file that pyarrow reads and writes, where there is none."""
    if format_ in ("parquet", "arrow"):
        require_pyarrow(name, format_)


def is_regular(path: str) -> bool:
    """Whether it is a file, whose bytes are there when they are asked for, as of no pipe."""
    try:
        return path != "-" and stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def parts_with_constants(path: str, format_: str) -> list[tuple[Part, Mapping[str, Any]]]:
    """Return the files of a source, a file or a folder, with the columns that paths give."""
    if path == "-" or not os.path.isdir(path):
        return [(Part(path, os.path.basename(path)), {})]
    parts = parts_of(path)
    if format_ in ("parquet", "arrow"):
        return list(zip(parts, constants_of(parts), strict=True))
    return [(part, {}) for part in parts]


def open_samples(
    format_: str,
    path: str,
    request: Request,
    rows: int,
    separator: str = ",",
    constants: Mapping[str, Any] | None = None,
) -> AbstractContextManager[Samples]:
    """Open a file of samples in blocks of so many rows."""
    if format_ == "npy":
        return open_npy(path, request, rows)
    if format_ == "csv":
        return open_csv(path, request, rows, separator)
    opened = open_parquet if format_ == "parquet" else open_arrow
    return opened(path, request, rows, constants)


def writer_of(
    format_: str,
    file: IO[bytes],
    names: list[str],
    *,
    heading: bool,
    separator: str = ",",
    in_order: bool = False,
) -> Writer:
    """Return what writes rows.

    Parameters
    ----------
    format_ : str
    file : file object
    names : list of str
        Of the columns.
    heading : bool
        Whether .csv begins with them.
    separator : str
        Of .csv.
    in_order : bool
        Whether bytes once written cannot be written again.
    """
    if format_ == "npy":
        return NpyWriter(file, in_order=in_order)
    if format_ == "parquet":
        return ParquetWriter(file, names)
    if format_ == "arrow":
        return ArrowWriter(file, names)
    return CsvWriter(file, names if heading else None, separator)


def require_rows(format_: str, path: str, rows: int) -> None:
    """Raise a RuntimeError unless a file that is written says that it has so many rows."""
    if format_ == "parquet":
        import pyarrow.parquet as pq

        found = pq.read_metadata(path).num_rows
    elif format_ == "npy":
        with open(path, "rb") as file:
            shape, _, _ = read_header(file, path)
        found = shape[0]
    else:
        return  # such a file does not count its rows
    if found != rows:
        raise RuntimeError(f"{path}: {rows} rows were written, and {found} are there")
