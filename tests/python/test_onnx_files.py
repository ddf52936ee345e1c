"""Where an ONNX model comes from: paths, bytes, and weights in other files."""

from __future__ import annotations

import os
import re

import numpy as np
import onnx
import pytest
from onnx_chains import W
from onnx_graphs import model, node
from variants import same_bits

import laminet as ln


def test_paths_bytes_and_models(tmp_path):
    proto = model([node("MatMul", "x,w", "y")], {"w": W.astype("f4")}, ["batch", 4])
    onnx.save(proto, tmp_path / "net.onnx")
    net = ln.from_onnx(proto)
    for source in (tmp_path / "net.onnx", str(tmp_path / "net.onnx"), proto.SerializeToString()):
        assert ln.from_onnx(source) == net
    with pytest.raises(
        TypeError, match=r"model must be a path, bytes or an onnx.ModelProto, got i"
    ):
        ln.from_onnx(3)
    with pytest.raises(FileNotFoundError):
        ln.from_onnx(tmp_path / "none.onnx")


@pytest.fixture
def external(tmp_path):
    """A model whose weight is in another file of its folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    w = W.astype("f4")
    proto = model([node("MatMul", "x,w", "y")], {"w": w}, ["batch", 4])
    onnx.save(
        proto, folder / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (tmp_path / "outside.bin").write_bytes(w.tobytes())
    return folder


def located(folder, **entries):
    proto = onnx.load(folder / "net.onnx", load_external_data=False)
    tensor = proto.graph.initializer[0]
    known = {e.key: e.value for e in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in known.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    return folder / "net.onnx"


def test_external_data(external, monkeypatch):
    expected = np.ascontiguousarray(W.astype("f4").T)
    assert same_bits(np.array(ln.from_onnx(external / "net.onnx").layers[0].weight), expected)
    monkeypatch.chdir(external)
    assert same_bits(np.array(ln.from_onnx("net.onnx").layers[0].weight), expected)
    assert ln.from_onnx(located(external, length=None)).sizes == (4, 3)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../outside.bin"}, "outside the model's folder"),
        ({"location": "link.bin"}, "outside the model's folder"),
        ({"location": "{absolute}"}, "outside the model's folder"),
        ({"location": ""}, "outside the model's folder"),
        ({"location": "."}, "not a regular file"),
        ({"location": "pipe"}, "not a regular file"),
        ({"location": "none.bin"}, "No such file"),
        ({"location": "a" * 5000}, "File name too long"),
        ({"length": "47"}, "has 47 bytes, and its shape takes 48"),
        ({"length": "-1"}, "is '-1', not a number"),
        ({"offset": "4"}, "ends at byte 52 of 'w.bin', which has 48"),
        ({"offset": "9" * 40}, "not a number"),
        ({"offset": "999999999999999999"}, "ends at byte"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_external_data_that_is_refused(external, entries, message):
    (external / "link.bin").symlink_to(external.parent / "outside.bin")
    os.mkfifo(external / "pipe")
    absolute = str(external / "w.bin")
    path = located(external, **{k: v.format(absolute=absolute) for k, v in entries.items()})
    with pytest.raises(ln.FormatError, match=re.escape(message)):
        ln.from_onnx(path)


def test_external_data_of_a_model_in_no_file(external):
    with pytest.raises(ln.FormatError, match="the model is in none: give its path"):
        ln.from_onnx((external / "net.onnx").read_bytes())
