"""`score`: a network over a table that may be larger than memory, into another one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from laminet.core.conversion.counts import as_count
from laminet.core.errors import FormatError
from laminet.core.mlp import MLP
from laminet.core.public_module import named_in
from laminet.core.report import Report
from laminet.core.table_data import TableData
from laminet.files.arrow_files import is_stream
from laminet.files.atomic import text_path
from laminet.files.columns import Request
from laminet.files.samples import SampleError
from laminet.scoring.answers import METHODS, answer_of, usual_method
from laminet.scoring.engine import run
from laminet.scoring.formats import format_of, format_of_source, is_folder_target, needs_pyarrow
from laminet.scoring.job import Job, require_place

__all__ = ["Scored", "score"]


#: What may become of missing values.
_MISSING = ("refuse", "nan")


@named_in("laminet")
@dataclass(frozen=True, repr=False)
class Scored(Report):
    """What `score` has done.

    Attributes
    ----------
    source, target : str
    rows : int
    files : int
        How many the source was.
    columns : tuple of str
        The names of the results' columns; those that were kept come before them.
    method : str
        The method of the network whose results they are.
    seconds : float
    """

    source: str
    target: str
    rows: int
    files: int
    columns: tuple[str, ...]
    method: str
    seconds: float

    def tables(self) -> list[TableData]:
        """Return the table that shows this."""
        shown = ", ".join(self.columns[:4]) + (", ..." if len(self.columns) > 4 else "")
        cells = [
            ("rows", "files", "columns", "method", "seconds"),
            (f"{self.rows:,}", f"{self.files:,}", shown, self.method, f"{self.seconds:.3g}"),
        ]
        return [TableData(cells, 0, f"{self.source} -> {self.target}")]


def score(
    net: MLP,
    source: str | os.PathLike[str] | Any,
    target: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    method: str | None = None,
    missing: str = "refuse",
    batch_rows: int | None = None,
) -> Scored:
    r"""Run a network over a table that may be larger than memory; write what it says of each row.

    Rows are read ahead and results written behind while the network computes. The target is
    complete when this returns; if anything goes wrong, or the process is killed, it is as before.

    Parameters
    ----------
    net : MLP
    source : str, path-like or table of Arrow
        A file (.parquet, .arrow, .feather, .csv, .npy) or a folder of such, which are read in the
        order of their paths. Folders within named "year=2024" give a column ``year`` to files of
        Parquet and Arrow. Or what gives batches of Arrow: a data set of pyarrow (of files anywhere,
        filtered or not), a table, a RecordBatchReader and whatever else is a stream of Arrow, which
        is then called "source".
    target : str or path-like
        A file of any of these formats; or a folder, which must not be there or be empty: it gets a
        file for each one of the source, of the same name. A name is that of a folder if it ends in
        "/", or in no format where the source is a folder.
    columns : sequence of str, optional
        The features, in the network's order. If nothing is said, those of ``net.feature_names``
        (``color=red`` is 1 where the column ``color`` holds "red"), or else all columns but those
        of `keep`. One column of Arrow lists of ``net.in_features`` numbers each will do.
    keep : sequence of str
        Columns that are passed on, before the results.
    method : {"forward", "predict_proba", "predict"}, optional
        The method of `net` whose results are written, each column named by what it stands for:
        quantities (or ``y0``, ``y1``), ``probability_yes``, ``label``. If nothing is said,
        ``predict_proba`` where ``net.outputs`` are `Classes` or `Labels`, else ``forward``.
    missing : {"refuse", "nan"}, default "refuse"
        What becomes of a missing value: an error that names its place, or NaN. (In .csv an empty
        cell, "NA" and the like; NaN itself is a number.)
    batch_rows : int, optional
        Rows that are read at once, of which a few batches are in memory; 65,536 if nothing is
        said, or less where rows are wide. Results do not depend on it.

    Returns
    -------
    Scored
        ``rows``, ``files``, ``columns``, ``seconds``.

    Raises
    ------
    FormatError
        If the source does not give what the network takes: a column is missing, one holds text, a
        value is missing, a file is damaged or ends early. It names the file and the row.
    ValueError
        If arguments do not go together, or the network has no answer of that kind.
    TypeError
        If an argument is of a wrong type.
    OSError
        If a file cannot be read or written, as on a full disk.
    KeyboardInterrupt
        After Ctrl-C; its text says how many rows had been computed.

    Examples
    --------
    >>> import laminet as ln, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "x.csv").write_text("id,a,b\nfirst,1,2\nsecond,3,4\n")
    >>> layer = ln.Dense([[1.0, 1.0]])
    >>> net = ln.MLP([layer], outputs=ln.Quantities(["sum"]), feature_names=["a", "b"])
    >>> ln.score(net, folder / "x.csv", folder / "y.csv", keep=["id"]).rows
    2
    >>> print((folder / "y.csv").read_text().strip())
    id,sum
    first,3
    second,7
    """
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an ln.MLP, got {type(net).__name__}")
    begun = time.perf_counter()
    stream = None if isinstance(source, (str, os.PathLike)) or not is_stream(source) else source
    where = "source" if stream is not None else _path(source, "source"), _path(target, "target")
    request = Request(
        net, _names(columns, "columns"), _names(keep, "keep") or None, gaps=missing == "nan"
    )
    chosen = usual_method(net) if method is None else method
    for name, value, known in (("missing", missing, _MISSING), ("method", chosen, METHODS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    rows = None if batch_rows is None else as_count(batch_rows, "batch_rows")
    try:
        path = "" if stream is not None else where[0]
        require_place(path, where[1], {}, ("source", "target"))
        formats = _formats(*where, is_stream=stream is not None)
        for path, format_ in zip(where, formats, strict=True):
            needs_pyarrow(path, format_)
        if keep and "npy" in formats:
            raise SampleError("keep is for tables whose columns have names, which .npy has not")
        request.check(lists=formats[0] in ("parquet", "arrow"))
        answer = answer_of(net, chosen, "net", formats[1])
    except SampleError as error:
        raise ValueError(str(error)) from None
    job = Job(
        answer,
        request,
        where[0],
        formats[0],
        where[1],
        formats[1],
        into_folder=stream is None and is_folder_target(*where),
        stream=stream,
        heading=True,
        batch_rows=rows,
    )
    try:
        done = run(job)
    except SampleError as error:
        raise FormatError(str(error)) from None
    seconds = time.perf_counter() - begun
    return Scored(*where, done.rows, done.files, tuple(answer.names), chosen, seconds)


def _path(value: Any, name: str) -> str:
    try:
        return text_path(value)
    except TypeError:
        kinds = "str, path-like or table of Arrow" if name == "source" else "str or path-like"
        raise TypeError(f"{name} must be a {kinds}, got {type(value).__name__}") from None


def _names(value: Sequence[str] | None, name: str) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{name} must be a sequence of str, got {value!r}"[:200])
    return list(value)


def _formats(source: str, target: str, *, is_stream: bool) -> tuple[str, str]:
    found = "arrow" if is_stream else format_of_source(source)
    wanted = format_of(target)
    if wanted is None and not is_stream and is_folder_target(source, target):
        wanted = found
    for name, path, format_ in (("source", source, found), ("target", target, wanted)):
        if format_ is None:
            raise SampleError(
                f"{name} {path or repr('')}: the name must end in .parquet, .arrow, .csv or .npy"
            )
    assert found is not None
    assert wanted is not None
    return found, wanted
