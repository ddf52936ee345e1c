"""Files of samples as a program would read them: the command line is one of their users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import laminet as ln
from laminet.files.columns import Request
from laminet.files.csv_files import open_csv
from laminet.files.npy_files import open_npy
from laminet.files.samples import SampleError

NET = ln.MLP.init([2, 3, 1], seed=0, feature_names=["a", "b"])


def test_rows_come_in_blocks_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,b,a\nu,1,2\nv,3,4\nw,5,6\n")
    with open_csv(str(path), Request(NET, keep=["id"]), rows=2) as samples:
        blocks = list(samples.blocks)
    assert samples.kept_names == ["id"]
    assert [block.kept for block in blocks] == [[["u", "v"]], [["w"]]]
    assert np.concatenate([block.x for block in blocks]).tolist() == [[2, 1], [4, 3], [6, 5]]
    assert blocks[0].where(1) == "line 3"


@pytest.mark.parametrize(
    ("options", "columns", "keep"),
    [((), "columns", "keep"), ((("--columns", "--keep"),), "--columns", "--keep")],
)
def test_messages_name_arguments_as_the_caller_does(
    tmp_path: Path, options: tuple[tuple[str, str], ...], columns: str, keep: str
) -> None:
    with pytest.raises(SampleError, match=f"^{columns} names 1 column, the network takes 2"):
        Request(NET, ["a"], None, *options).check()
    with pytest.raises(SampleError, match=f"^{keep} names 'x' twice"):
        Request(NET, None, ["x", "x"], *options).check()
    with pytest.raises(SampleError, match=f"^{columns} names 'b' as column 1 of the network"):
        Request(NET, ["b", "a"], None, *options).check()
    path = tmp_path / "x.csv"
    path.write_text("a,c,d\n1,2,3\n")
    for asked, message in (
        (Request(NET, ["a", "e"], None, *options), f"'e', and {columns} names it"),
        (Request(NET, None, ["e"], *options), f"'e', and {keep} names it"),
        (Request(NET, None, None, *options), f"{columns} says which columns are the features"),
    ):
        with pytest.raises(SampleError, match=message), open_csv(str(path), asked, rows=2) as found:
            list(found.blocks)


def test_a_file_that_is_no_array_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"no array")
    with pytest.raises(SampleError, match=r"x\.npy: not an array"):
        open_npy(str(path), Request(NET), rows=2).__enter__()
