"""Results to .csv files, and the labels and names that every kind of file has."""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.outputs import Classes, Labels, Quantities
from laminet.files.samples import SampleError

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["CsvWriter", "label_type", "names_of_outputs"]


def names_of_outputs(net: MLP, method: str, width: int | None) -> list[str]:
    """Return the names of the columns of a result.

    Parameters
    ----------
    net : MLP
    method : {"forward", "predict_proba", "predict"}
        Whose result is written.
    width : int or None
        So many columns; None for one that is no axis of the result.
    """
    outputs = net.outputs
    if method == "forward" or isinstance(outputs, Quantities):
        names = outputs.names if isinstance(outputs, Quantities) else None
        return list(names or (f"y{i}" for i in range(width or 1)))
    if width is None:
        return ["label"]
    labels: Any = outputs.labels if isinstance(outputs, (Classes, Labels)) else range(width)
    prefix = "probability" if method == "predict_proba" else "label"
    return [f"{prefix}_{label}" for label in labels]


def label_type(net: MLP) -> np.dtype[Any] | None:
    """Return the one type that all labels have; None of labels of several kinds."""
    outputs = net.outputs
    if not isinstance(outputs, Classes):
        return np.dtype(np.int64)
    if outputs.labels.dtype.kind != "O":
        return outputs.labels.dtype
    labels = outputs.labels.tolist()
    if len(set(map(type, labels))) > 1:
        return None
    array = np.array(labels)
    return None if array.dtype.kind not in "biufU" or array.tolist() != labels else array.dtype


class CsvWriter:
    """Rows to a .csv file, with as many digits as it takes to read the same numbers back."""

    def __init__(self, file: IO[bytes], heading: list[str] | None, separator: str) -> None:
        """Begin a file, with a line of names if there are some."""
        self._file, self._separator = file, separator
        self._texts: dict[Any, str] = {}  # of labels: there are few of them, and many rows
        if heading is not None:
            self._write([[self._quoted(name)] for name in heading])

    def append(self, block: NDArray[Any], kept: list[Any]) -> None:
        """Write a block of rows, one on each line."""
        columns = [[self._quoted(text) for text in _texts(values)] for values in kept]
        if block.ndim == 1:
            self._write([*columns, [self._label(label) for label in block]])
            return
        # Significant digits that tell any two numbers of p bits apart: ceil(1 + p log10 2).
        bits = np.finfo(block.dtype).nmant + 1 if block.dtype.kind == "f" else 0
        form = f"%.{math.ceil(1 + bits * math.log10(2))}g" if bits else "%d"
        if columns:
            self._write(columns + [[form % v for v in column] for column in block.T.tolist()])
        else:
            np.savetxt(self._file, block, fmt=form, delimiter=self._separator)

    def finish(self, *, one_sample: bool) -> None:
        """Do nothing: a .csv file has rows, of one sample also."""

    def abandon(self) -> None:
        """Do nothing."""

    def _label(self, label: Any) -> str:
        key = type(label), label  # True is equal to 1
        if key not in self._texts:
            self._texts[key] = self._quoted(str(label))
        return self._texts[key]

    def _write(self, columns: list[list[str]]) -> None:
        lines = map(self._separator.join, zip(*columns, strict=True))
        self._file.write("".join(f"{line}\n" for line in lines).encode())

    def _quoted(self, text: str | None) -> str:
        """Return a cell: in quotes where it would otherwise be several, or none (RFC 4180)."""
        if text is None:
            return ""
        if not text or text != text.strip() or any(c in text for c in f'{self._separator}"\r\n'):
            return '"' + text.replace('"', '""') + '"'
        return text


def _texts(values: Any) -> list[str | None]:
    """Return the text of each value of a column that is passed on."""
    if isinstance(values, list):
        return values
    import pyarrow as pa

    try:
        texts: list[str | None] = values.cast(pa.string()).to_pylist()
    except (pa.ArrowException, ValueError):
        raise SampleError(
            f"a column of {values.type} has no text for .csv, which cannot keep it"
        ) from None
    return texts
