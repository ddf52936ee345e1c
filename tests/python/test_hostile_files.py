"""Broken and hostile safetensors files: a `FormatError` that says what is wrong, or a network."""

from __future__ import annotations

import itertools
import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import laminet as ln
from laminet.files.safetensors_files import header as safetensors_header


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    weight = np.linspace(-1, 1, 6, dtype=np.float32)
    first = ln.Dense(weight.reshape(3, 2), weight[:3], ln.Activation("leaky_relu", alpha=0.2))
    ln.MLP([first, ln.Dense(weight.reshape(2, 3))]).save(tmp_path / "good")
    return (tmp_path / "good").read_bytes()


def refused(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(ln.FormatError) as caught:
        ln.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert isinstance(caught.value, ValueError)
    assert len(text) < len(str(path)) + 300
    return text


Change = Callable[[dict[str, Any]], None]


def at(*keys: str, to: Any) -> Change:
    """A change of one entry of the header."""

    def change(header: dict[str, Any]) -> None:
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = to

    return change


def described(**changes: Any) -> Change:
    """A change of the description in the metadata."""
    row = {"activation": "identity"}
    return at(
        "__metadata__",
        "laminet",
        to=json.dumps({"format": 1, "layers": [row, row], **changes}),
    )


def first_layer(**row: Any) -> Change:
    return described(layers=[row, {"activation": "identity"}])


def described_as(text: Any) -> Change:
    return at("__metadata__", "laminet", to=text)


def without(*keys: str) -> Change:
    def change(header: dict[str, Any]) -> None:
        for key in keys[:-1]:
            header = header[key]
        del header[keys[-1]]

    return change


def renamed(old: str, new: str) -> Change:
    def change(header: dict[str, Any]) -> None:
        header[new] = header.pop(old)

    return change


def deep_list(depth: int) -> list[Any]:
    result: list[Any] = []
    for _ in range(depth):
        result = [result]
    return result


# 0.weight (24 bytes), 0.bias (12) and 1.weight (24).
SIZE = 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("__metadata__"), "not a file that laminet saved"),
        (at("__metadata__", to=[]), "not a file that laminet saved"),
        (at("__metadata__", to={"format": "pt"}), "not a file that laminet saved"),
        (described_as(1), "must be a text"),
        (described_as("{"), "metadata 'laminet': not JSON"),
        (described_as("[]"), "has no format number"),
        (described_as('{"format": 1, "format": 1, "layers": []}'), "'format' appears twice"),
        (described_as("[" * 100_000), "nested too deeply"),
        (described(format="1"), "has no format number"),
        (described(format=True), "has no format number"),
        (described(format=-1), "has no format number"),
        (described(format=0), "not of the form that format 0 has"),
        (described(format=6), "format 6 is of a later laminet; this one reads up to 5"),
        (described(format=2, tail=1), "not of the form that format 2 has"),
        (described(head="softmax"), "not of the form that format 1 has"),
        (described(format=2, head="sigmoid"), "unknown head 'sigmoid'"),
        (described(format=2, head=None), "unknown head None"),
        (described(format=2, head=["softmax"]), "unknown head ['softmax']"),
        (described(format=10**18), "is of a later laminet"),
        (described(format=10**4000), "has no format number"),
        (described(extra=1), "not of the form"),
        (described(layers=[]), "layers must be a list of one or more"),
        (described(layers={}), "layers must be a list of one or more"),
        (described(layers=[{"activation": "relu"}] * 3), "'2.weight' is missing"),
        (described(layers=[{"activation": "relu"}]), "'1.weight' belongs to none of the 1 layers"),
        (described(layers=["relu", "relu"]), "layer 0: names no activation"),
        (first_layer(activation=["relu"]), "layer 0: names no activation"),
        (first_layer(activation="swoosh"), "layer 0: unknown activation 'swoosh'"),
        (first_layer(activation="x" * 10_000), "layer 0: unknown activation 'xxx"),
        (first_layer(activation="elu"), "'elu' has the parameters ['alpha'], not []"),
        (first_layer(activation="relu", alpha=1.0), "'relu' has the parameters [], not ['alpha']"),
        (first_layer(activation="elu", alpha=1.0, beta=1.0), "['alpha'], not ['alpha', 'beta']"),
        (first_layer(activation="elu", foo=1.0), "'elu' has the parameters ['alpha'], not ['foo']"),
        (first_layer(activation="elu", self=1.0), "not ['self']"),
        (first_layer(activation="elu", **{"x" * 10_000: 1.0}), "not ['xxx"),
        (first_layer(activation="elu", name="relu"), "'name' is 'relu', not a number"),
        (first_layer(activation="elu", alpha="1"), "'alpha' is '1', not a number"),
        (first_layer(activation="elu", alpha=[1.0] * 3), "'alpha' is [1.0, 1.0, 1.0], not a num"),
        (first_layer(activation="elu", alpha=True), "'alpha' is True, not a number"),
        (first_layer(activation="elu", alpha=None), "'alpha' is None, not a number"),
        (first_layer(activation="elu", alpha=float("nan")), "NaN is not a JSON number"),
        (first_layer(activation="elu", alpha=float("inf")), "Infinity is not a JSON number"),
        (first_layer(activation="elu", alpha=10**400), "not a finite number"),
        (
            described_as('{"format": 1, "layers": [{"activation": "elu", "alpha": 1e999}]}'),
            "'alpha' is inf, not a finite number",
        ),
        (without("0.weight"), "the first tensor begins at byte 36 of the data, not 0"),
        (renamed("0.weight", "weight"), "'0.weight' is missing; the metadata names 2 layers"),
        (renamed("0.bias", "2.bias"), "'2.bias' belongs to none of the 2 layers"),
        (renamed("0.bias", "\x1b[31m"), r"tensor '\x1b[31m' belongs to none"),
        (renamed("0.bias", "b" * 10_000), "tensor 'bbb"),
        (at("0.bias", to=7), "tensor '0.bias': must have dtype, shape and data_offsets"),
        (at("0.bias", "more", to=7), "and nothing else"),
        (without("0.bias", "dtype"), "must have dtype, shape and data_offsets"),
        (at("0.bias", "dtype", to="F8_E4M3"), "dtype is 'F8_E4M3'; a network is F32, F64, F16"),
        (at("0.bias", "dtype", to="I64"), "dtype is 'I64'"),
        (at("0.bias", "dtype", to=["F32"]), "dtype is ['F32']"),
        (at("0.bias", "dtype", to="F64"), "takes 24 bytes, and data_offsets [24, 36] hold 12"),
        (at("0.bias", "shape", to=3), "is not a list of sizes"),
        (at("0.bias", "shape", to=[-3]), "is not a list of sizes"),
        (at("0.bias", "shape", to=[3.0]), "is not a list of sizes"),
        (at("0.bias", "shape", to=[True]), "is not a list of sizes"),
        (at("0.bias", "shape", to=[1] * 9), "has 9 axes"),
        (at("0.bias", "shape", to=[3, 1]), "[3, 1] does not fit the 3 outputs of '0.weight'"),
        (at("0.bias", "shape", to=[2]), "takes 8 bytes, and data_offsets [24, 36] hold 12"),
        (at("0.bias", "shape", to=[2**62, 2**62]), "takes 8507059173023461586"),
        (at("0.bias", "shape", to=[10**4000, 10**4000]), "is not a list of sizes"),
        (at("0.bias", "shape", to=[2**63]), "is not a list of sizes"),
        (at("0.bias", "data_offsets", to=[0, 10**4000]), "is not a pair of positions"),
        (at("0.bias", "shape", to=deep_list(900)), "is not a list of sizes"),
        (at("0.bias", "shape", to=[2**40]), "takes 4398046511104 bytes"),
        (at("0.weight", "shape", to=[6]), "'0.weight': shape [6] is not (outputs, inputs)"),
        (at("0.weight", "shape", to=[2, 3]), "[3] does not fit the 2 outputs of '0.weight'"),
        (at("1.weight", "shape", to=[3, 2]), "takes 2 inputs, and layer 0 has 3 outputs"),
        (at("0.bias", "data_offsets", to=[24]), "is not a pair of positions"),
        (at("0.bias", "data_offsets", to="ab"), "is not a pair of positions"),
        (at("0.bias", "data_offsets", to=[-12, 0]), "is not a pair of positions"),
        (at("0.bias", "data_offsets", to=[24.0, 36.0]), "is not a pair of positions"),
        (at("0.bias", "data_offsets", to=[36, 24]), "leave the 60 bytes of data"),
        (at("0.bias", "data_offsets", to=[2**62, 2**62 + 12]), "leave the 60 bytes of data"),
        (at("0.bias", "data_offsets", to=[52, 64]), "leave the 60 bytes of data"),
        (at("0.bias", "data_offsets", to=[20, 32]), "overlap at byte 20 of the data"),
        (at("0.bias", "data_offsets", to=[0, 12]), "overlap at byte 0 of the data"),
    ],
)
def test_a_wrong_header(tmp_path: Path, good: bytes, change: Change, message: str) -> None:
    header, data = split(good)
    # The order in the file, whatever the library chose: 0.weight, 0.bias, 1.weight.
    layout = {"0.weight": (0, 24), "0.bias": (24, 36), "1.weight": (36, 60)}
    for name, offsets in layout.items():
        header[name]["data_offsets"] = list(offsets)
    (tmp_path / "reordered").write_bytes(join(header, data))
    ln.load(tmp_path / "reordered")  # sound so far

    if message.startswith("the first tensor"):
        without("0.bias")(header)
    change(header)
    assert message in refused(tmp_path, join(header, data))


def test_an_empty_tensor_is_no_layer(tmp_path: Path) -> None:
    metadata = {"laminet": '{"format": 1, "layers": [{"activation": "relu"}]}'}
    tensors = {"0.weight": np.empty((0, 3), np.float32)}
    text = refused(tmp_path, safetensors.numpy.save(tensors, metadata))
    assert "shape [0, 3] is not (outputs, inputs)" in text


def test_mixed_types(tmp_path: Path) -> None:
    metadata = {"laminet": '{"format": 1, "layers": [{"activation": "relu"}]}'}
    tensors = {"0.weight": np.ones((2, 3), np.float32), "0.bias": np.ones(2)}
    text = refused(tmp_path, safetensors.numpy.save(tensors, metadata))
    assert "tensor '0.bias': is F64, and '0.weight' F32" in text


def test_a_file_of_torch(tmp_path: Path) -> None:
    tensors = {"0.weight": np.ones((2, 3), np.float32), "2.weight": np.ones((1, 2), np.float32)}
    text = refused(tmp_path, safetensors.numpy.save(tensors))
    assert "not a file that laminet saved" in text


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "header: not JSON"),
        (b"{", "header: not JSON"),
        (b"[]", "header: must be a JSON object"),
        (b"null", "header: must be a JSON object"),
        (b'{"a": \xff}', "header: not JSON"),
        (b'{"a": 1, "b": 2, "a": 1}', "header: the key 'a' appears twice"),
        (b'{"a": {"x": 1, "x": 1}}', "header: the key 'x' appears twice"),
        (b"[" * 100_000, "header: JSON nested too deeply"),
        (b'{"a":' * 100_000, "header: JSON nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "header: not JSON"),
        (b'{"a": NaN}', "header: NaN is not a JSON number"),
        (b"{}", "the tensors end at byte 0 of the data, and the file has 60"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, good: bytes, header: bytes, message: str) -> None:
    assert message in refused(tmp_path, join(header, split(good)[1]))


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**40, 10**6])
def test_a_header_longer_than_the_file(tmp_path: Path, good: bytes, length: int) -> None:
    text = refused(tmp_path, struct.pack("<Q", length) + good[8:])
    assert f"say that the header has {length} bytes, and {len(good) - 8} follow" in text


def test_a_header_longer_than_any_network_needs(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2**24 + 1))
        file.truncate(2**25)  # a sparse file
    with pytest.raises(ln.FormatError, match="the header has 16777217 bytes; at most 16777216"):
        ln.load(path)


def test_what_a_header_claims_is_not_allocated(tmp_path: Path, good: bytes) -> None:
    header, data = split(good)
    header["0.weight"]["shape"] = [2**30, 2**30]
    header["0.weight"]["data_offsets"] = [0, 2**62]
    refused(tmp_path, join(header, data))  # imports are done, and caches filled
    tracemalloc.start()
    try:
        refused(tmp_path, join(header, data))
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_every_truncation(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(ln.FormatError):
            ln.load(path)


def test_bytes_after_the_end(tmp_path: Path, good: bytes) -> None:
    text = refused(tmp_path, good + b"\0")
    assert "the tensors end at byte 60 of the data, and the file has 61" in text


def test_not_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ln.load(tmp_path / "missing")
    with pytest.raises(ln.FormatError, match="a directory, not a file"):
        ln.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ln.FormatError, match="not a regular file"):
        ln.load(tmp_path / "pipe")
    assert "the file has 0 bytes" in refused(tmp_path, b"")
    assert "the file has 7 bytes" in refused(tmp_path, b"1234567")


def test_mutations_give_a_format_error_or_a_network(tmp_path: Path, good: bytes) -> None:
    generator = np.random.default_rng(2024)
    path = tmp_path / "mutated"
    outcomes = {"refused": 0, "read": 0}
    header_length = len(good) - SIZE
    # One round changes one byte of the header to each of some telling ones; the other, three bytes
    # anywhere by a bit.
    telling = itertools.product(range(0, header_length, 3), b'\x00\xff"9-{,')
    changes: list[list[tuple[int, int]]] = [[(place, value)] for place, value in telling]
    for _ in range(600):
        places = generator.integers(len(good), size=3)
        bits = generator.integers(8, size=3)
        changes.append(
            [(int(p), good[p] ^ (1 << int(b))) for p, b in zip(places, bits, strict=True)]
        )
    for change in changes:
        data = bytearray(good)
        for place, value in change:
            data[place] = value
        path.write_bytes(data)
        try:
            net = ln.load(path)
        except ln.FormatError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            with np.errstate(all="ignore"):
                assert net(np.zeros(2, net.dtype)).shape == (2,)
    assert outcomes["refused"] > 1000
    assert outcomes["read"] > 10


def test_quoting_never_raises() -> None:
    quoted = safetensors_header.quoted
    assert quoted([10**5000]) == "<list>"  # more digits than Python writes
    assert quoted(deep_list(100_000)) == "<list>"
    assert quoted("\n" * 100) == ("'" + "\\n" * 100)[:57] + "..."


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x" * (i + 1) for i in range(101)], "too many orders"),
        (["a." * 40 + "b"], "has more than 32 levels"),
        ([f"{i}" for i in range(20_001)], "holds 20001 tensors; up to 20000"),
    ],
)
def test_names_without_end(tmp_path: Path, names: list[str], message: str) -> None:
    tensors = {f"{name}.weight": np.ones((2, 2), np.float32) for name in names}
    safetensors.numpy.save_file(tensors, tmp_path / "a")
    with pytest.raises(ln.FormatError, match=message):
        ln.load(tmp_path / "a", ["relu"])


def test_more_batch_normalisations_than_a_network_has(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {"0.weight": np.ones((2, 2), np.float32)}
    for i in range(1, 302):
        for name in ("weight", "running_mean", "running_var"):
            tensors[f"{i}.{name}"] = np.ones(2, np.float32)
    safetensors.numpy.save_file(tensors, tmp_path / "a")
    with pytest.raises(ln.FormatError, match="301 batch normalisations, more than 300"):
        ln.load(tmp_path / "a", ["relu"])
