"""Safetensors files: what `save` writes, `load` reads back, bit for bit."""

from __future__ import annotations

import json
import os
import stat
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.testing import assert_array_equal

import laminet as ln
from laminet.core.activation import ACTIVATIONS
from laminet.files import atomic


def two_layers(dtype: str = "float32") -> ln.MLP:
    generator = np.random.default_rng(5)
    return ln.MLP(
        [
            ln.Dense(
                generator.standard_normal((3, 2)).astype(dtype),
                generator.standard_normal(3).astype(dtype),
                ln.Activation("leaky_relu", alpha=0.2),
            ),
            ln.Dense(generator.standard_normal((2, 3)).astype(dtype)),
        ]
    )


def assert_same(first: ln.MLP, second: ln.MLP) -> None:
    assert first.sizes == second.sizes
    assert first.dtype == second.dtype
    for a, b in zip(first.layers, second.layers, strict=True):
        assert a.activation == b.activation
        assert a.weight.tobytes() == b.weight.tobytes()
        assert (a.bias is None) == (b.bias is None)
        if a.bias is not None and b.bias is not None:
            assert a.bias.tobytes() == b.bias.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_round_trip(tmp_path: Path, dtype: str, name: str) -> None:
    parameters = {key: 0.3 + i for i, key in enumerate(ln.Activation(name).parameters)}
    activation = ln.Activation(name, **parameters)
    net = ln.MLP.init([5, 4, 3], activation, bias=False, dtype=dtype, seed=1)
    net = ln.MLP([*net.layers, ln.Dense(np.ones((1, 3), dtype), np.ones(1, dtype), activation)])
    net.save(tmp_path / "net.safetensors")
    assert_same(net, ln.load(tmp_path / "net.safetensors"))
    assert_same(net, ln.load(str(tmp_path / "net.safetensors")))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_bit_is_kept(tmp_path: Path, dtype: Any) -> None:
    info = np.finfo(dtype)
    values = [-0.0, info.smallest_subnormal, info.max, -info.tiny, np.inf, -np.inf, np.nan, 0.1]
    net = ln.MLP([ln.Dense(np.array([values], dtype), np.array([-0.0], dtype))])
    net.save(tmp_path / "net")
    assert_same(net, ln.load(tmp_path / "net"))


def test_a_network_of_strided_arrays_is_written_as_its_values(tmp_path: Path) -> None:
    weight = np.arange(12.0).reshape(3, 4).T[::-1]
    ln.MLP([ln.Dense(weight)]).save(tmp_path / "net")
    assert_array_equal(ln.load(tmp_path / "net").layers[0].weight, weight)


def test_names_of_tensors_and_metadata(tmp_path: Path) -> None:
    net = two_layers()
    net.save(tmp_path / "net")
    tensors = safetensors.numpy.load_file(tmp_path / "net")
    assert sorted(tensors) == ["0.bias", "0.weight", "1.weight"]
    assert_array_equal(tensors["0.weight"], net.layers[0].weight)
    data = (tmp_path / "net").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert json.loads(header["__metadata__"]["laminet"]) == {
        "format": 1,
        "layers": [{"activation": "leaky_relu", "alpha": 0.2}, {"activation": "identity"}],
    }


def test_eleven_layers_keep_their_order(tmp_path: Path) -> None:
    net = ln.MLP.init([2] * 12, seed=0)
    net.save(tmp_path / "net")
    assert_same(net, ln.load(tmp_path / "net"))


def test_files_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    two_layers().save(tmp_path / "a")
    two_layers().save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_is_replaced_and_a_link_followed(tmp_path: Path) -> None:
    (tmp_path / "net").write_text("old")
    (tmp_path / "link").symlink_to("net")
    two_layers().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_same(two_layers(), ln.load(tmp_path / "net"))
    assert sorted(os.listdir(tmp_path)) == ["link", "net"]


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    two_layers().save(tmp_path / "net")
    (tmp_path / "other").write_text("")
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("net", "other")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    (tmp_path / "net").write_text("old")

    def fail(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(atomic.os, "replace", fail)
    with pytest.raises(type(failure)):
        two_layers().save(tmp_path / "net")
    assert os.listdir(tmp_path) == ["net"]
    assert (tmp_path / "net").read_text() == "old"


def test_where_no_file_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no/net'"):
        two_layers().save(tmp_path / "no" / "net")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        two_layers().save(tmp_path)
    assert os.listdir(tmp_path) == []


def test_more_layers_than_can_be_read_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laminet.files.safetensors_files.header.MAX_HEADER", 200)
    with pytest.raises(ValueError, match="2 layers are too many for one file"):
        two_layers().save(tmp_path / "net")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    two_layers().save(tmp_path / "net")
    os.chmod(tmp_path / "net", mode)
    (tmp_path / "link").symlink_to("net")
    for name in ("net", "link"):
        two_layers().save(tmp_path / name)
        assert stat.S_IMODE(os.stat(tmp_path / "net").st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_stays_theirs(tmp_path: Path) -> None:
    two_layers().save(tmp_path / "net")
    os.chown(tmp_path / "net", 12345, 23456)
    two_layers().save(tmp_path / "net")
    status = os.stat(tmp_path / "net")
    assert (status.st_uid, status.st_gid) == (12345, 23456)


def test_a_private_file_is_never_readable_for_others(tmp_path: Path) -> None:
    target = tmp_path / "net"
    target.touch()
    os.chmod(target, 0o600)
    with atomic.replacing(target) as temporary:
        assert stat.S_IMODE(os.stat(temporary).st_mode) == 0o600


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to pipe").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    for name in ("pipe", "to pipe"):
        with pytest.raises(OSError, match=f"{name}: not a regular file"):
            two_layers().save(tmp_path / name)
    with pytest.raises(OSError, match=r"symbolic links.*loop'"):
        two_layers().save(tmp_path / "loop")
    assert sorted(os.listdir(tmp_path)) == before
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert (tmp_path / "loop").is_symlink()


def test_a_link_to_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("net")
    two_layers().save(tmp_path / "link")
    assert_same(two_layers(), ln.load(tmp_path / "net"))


@pytest.mark.parametrize("path", [b"net", 7, True, None, 1.5])
def test_paths_are_str_or_path_like(path: Any) -> None:
    name = type(path).__name__
    with pytest.raises(TypeError, match=f"path must be a str or path-like, got {name}"):
        ln.load(path)
    with pytest.raises(TypeError, match=f"path must be a str or path-like, got {name}"):
        two_layers().save(path)


def test_an_empty_path() -> None:
    with pytest.raises(FileNotFoundError):
        two_layers().save("")
    with pytest.raises(FileNotFoundError):
        ln.load("")
