"""What files of Arrow and Parquet have in common: types, texts, errors, and that pyarrow is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from laminet.files.atomic import errors_about
from laminet.files.samples import TEMPORARY, SampleError

__all__ = [
    "in_our_words",
    "is_number",
    "is_text",
    "require_pyarrow",
    "seekable",
    "texts_of",
    "value_type",
    "without_views",
]


def require_pyarrow(name: str, format_: str = "parquet") -> None:
    """Refuse a .parquet or .arrow file where there is no pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401 - to see whether it is there
    except ImportError as error:
        raise SampleError(
            f"{name}: reading and writing .{format_} takes: pip install 'laminet[arrow]'"
        ) from error


@contextmanager
def in_our_words(name: str, problem: str) -> Iterator[None]:
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
def seekable(source: IO[bytes], path: str) -> Iterator[Any]:
    """Give the file, or a copy of what comes by a pipe: the formats are read from their end.

    Parameters
    ----------
    source : file object
        The file, which is open: what is wrong with it has come up by now.
    path : str
        Its path, or "-".
    """
    if source.seekable():
        if path == "-":
            yield source
            return
        import pyarrow as pa

        # Of pyarrow, whose threads would have to wait for Python's lock at each read.
        with pa.OSFile(path) as file:
            yield file
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

    names = ("is_string", "is_large_string", "is_string_view")  # the last is younger than others
    return any(getattr(pa.types, name)(kind) for name in names if hasattr(pa.types, name))


def is_number(kind: Any) -> bool:
    """Whether values of an Arrow type are numbers, or truth values, which count as such."""
    import pyarrow as pa

    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def without_views(column: Any) -> Any:
    """Return a column with texts of the older kind in its dictionary, if it has one of views.

    Arrow has neither casts of such a dictionary nor a way to write it to Parquet.
    """
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type) or "view" not in str(column.type.value_type):
        return column
    texts = column.dictionary.cast(pa.string() if is_text(column.type.value_type) else pa.binary())
    return pa.DictionaryArray.from_arrays(column.indices, texts)


def texts_of(column: Any) -> list[str | None]:
    """Return the values of an Arrow column as text, without blanks around it."""
    import pyarrow as pa

    texts = column.cast(pa.string()).to_pylist()
    return [None if text is None else text.strip() for text in texts]
