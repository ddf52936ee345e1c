"""Networks whose weights are numbers of bfloat16."""

from __future__ import annotations

import copy
import json
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from bfloat16_model import rounded
from safetensors import deserialize
from trees import Draw
from variants import ISAS, instruction_set, same_bits

import laminet as ln

NARROW = "bfloat16_weights"


def by_hand(net: ln.MLP) -> ln.MLP:
    """The network of float32 whose dense layers have the rounded weights."""

    def leaf(layer: Any) -> Any:
        return layer._again(weight=rounded(layer.weight)) if isinstance(layer, ln.Dense) else layer

    return net._like([layer._mapped(leaf) for layer in net.layers])


@pytest.mark.parametrize("backend", ["tiled", "blas"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("sizes", "activation"),
    [
        ([17, 64, 64, 6], "tanh"),
        ([784, 256, 128, 10], "relu"),
        ([1, 1], "relu"),
        ([70, 200], "silu"),
    ],
)
def test_gives_the_bits_of_rounded_weights(
    sizes: list[int], activation: str, isa: str, backend: str
) -> None:
    net = ln.MLP.init(sizes, activation, seed=3)
    with instruction_set(isa):
        narrow, wide = net.with_precision(NARROW), by_hand(net)
    rng = np.random.default_rng(0)
    with ln.backend(backend):
        for batch in (1, 2, 7, 8, 33, 130):
            x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
            x[:, ::3] = 0  # those that a single row leaves out
            assert same_bits(narrow(x), wide(x))
        v = rng.standard_normal((3, sizes[-1])).astype(np.float32)
        assert same_bits(narrow.jacobian(x[:3]), wide.jacobian(x[:3]))
        assert same_bits(narrow.vjp(x[:3], v), wide.vjp(x[:3], v))
        assert same_bits(narrow.jvp(x[:3], x[3:6]), wide.jvp(x[:3], x[3:6]))
        got, expected = narrow.gradients(x[:3], v), wide.gradients(x[:3], v)
        for one, other in zip(got.weights, expected.weights, strict=True):
            assert same_bits(one, other)


@pytest.mark.parametrize("inputs", [1, 3])
def test_jacobians_from_the_input_up_give_the_same_bits(inputs: int) -> None:
    """With fewer inputs than outputs the first factor is made of the panels."""
    net = ln.MLP.init([inputs, 150, 90, 70], "tanh", seed=0)
    narrow = net.with_precision(NARROW)
    x = np.random.default_rng(1).standard_normal((5, inputs)).astype(np.float32)
    assert ln.cost(net, 1, "jacobian").mode == "forward"
    assert same_bits(narrow.jacobian(x), by_hand(net).jacobian(x))


@pytest.mark.parametrize("seed", range(12))
def test_of_random_trees_of_layers(seed: int) -> None:
    net = Draw(np.random.default_rng(seed), np.float32).network()
    narrow = net.with_precision(NARROW)
    x = np.random.default_rng(seed).standard_normal((9, net.in_features)).astype(np.float32)
    assert same_bits(narrow(x), by_hand(net)(x))
    assert same_bits(narrow.jacobian(x), by_hand(net).jacobian(x))


def test_layers_show_the_rounded_weights_and_nothing_else_is_rounded() -> None:
    net = ln.MLP([ln.Dense(np.float32([[1.001, 257.0]]), np.float32([1.001])), ln.LayerNorm()])
    narrow = net.with_precision(NARROW)
    # 257 = 2^8 + 1 lies in the middle of 256 and 258, of which 256 is even.
    np.testing.assert_array_equal(narrow.layers[0].weight, np.float32([[1.0, 256.0]]))
    np.testing.assert_array_equal(narrow.layers[0].bias, np.float32([1.001]))
    assert narrow.dtype == np.float32
    assert narrow.precision == NARROW
    assert net.precision == "float32"
    assert "bfloat16 weights" in repr(narrow)
    assert net.astype("float64").precision == "float64"


def test_rounds_to_nearest_and_ties_to_even() -> None:
    """What a float can end in behind the last place that is kept, and the ends of the range."""
    upper = np.array([0x3F80, 0x3F81, 0x0000, 0x0001, 0x8080, 0x7F7E, 0x00FF], np.uint32)
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    bits = ((upper[:, None] << 16) + lower).ravel()
    # Infinities and a NaN of which the upper half alone would be an infinity.
    bits = np.append(bits, np.array([0x7F800000, 0xFF800000, 0x7F800001], np.uint32))
    weight = bits.view(np.float32)[None, :]
    got = ln.MLP([ln.Dense(weight)]).with_precision(NARROW).layers[0].weight
    assert np.isnan(got[0, -1])
    assert same_bits(got[:, :-1].copy(), rounded(weight[:, :-1]))


def test_a_weight_that_would_become_infinite_is_refused() -> None:
    net = ln.MLP([ln.Dense(np.float32([[3.4e38]]))])
    message = r"^layers\[0\]: a weight of 3\.4e\+38 is beyond the range of bfloat16"
    with pytest.raises(ValueError, match=message):
        net.with_precision(NARROW)
    inside = ln.Residual([ln.Dense(np.eye(1, dtype=np.float32)), *net.layers])
    with pytest.raises(ValueError, match=r"^layers\[1\]\.layers\[1\]: a weight of 3\.4e\+38 is"):
        ln.MLP([ln.Dense(np.float32([[np.inf]])), inside]).with_precision("bfloat16")
    largest = np.float32((2 - 2.0**-7) * 2.0**127)
    assert ln.MLP([ln.Dense([[largest]])], dtype="float32").with_precision(NARROW)([1.0]) == largest


@pytest.mark.parametrize(
    ("precision", "error", "message"),
    [
        ("bf16", ValueError, "unknown precision 'bf16', did you mean 'bfloat16'"),
        ("float64", ValueError, "is of networks of float64"),
        (16, TypeError, "precision must be a str, got int"),
        (["bfloat16"], TypeError, "precision must be a str, got list"),
    ],
)
def test_refuses_what_is_no_precision(precision: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ln.MLP.init([2, 1], seed=0).with_precision(precision)
    with pytest.raises(error, match=message):
        ln.MLP(ln.MLP.init([2, 1], seed=0).layers, precision=precision)


def test_none_is_no_precision_to_change_to() -> None:
    """Only of a new network it is that of its dtype."""
    net = ln.MLP.init([2, 1], seed=0).with_precision(NARROW)
    with pytest.raises(TypeError, match="precision must be a str, got NoneType"):
        net.with_precision(None)  # type: ignore[arg-type]
    assert ln.MLP(net.layers, precision=None).precision == "float32"


def test_of_float64_there_is_one_precision() -> None:
    net = ln.MLP.init([2, 1], seed=0, dtype="float64")
    assert net.with_precision("float64") is net
    for name in ("float32", NARROW, "bfloat16"):
        with pytest.raises(ValueError, match=r"net.astype\('float32'\) makes one"):
            net.with_precision(name)


def test_comes_back_as_it_was(tmp_path: Any) -> None:
    path = tmp_path / "net.safetensors"
    classes = ln.Classes(["no", "yes"])
    net = ln.MLP.init([5, 9, 1], seed=0, outputs=classes).with_precision(NARROW)
    assert net.with_precision(NARROW) is net
    assert net != net.with_precision("float32")
    assert hash(net) != hash(net.with_precision("float32"))
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert again == net
        assert hash(again) == hash(net)
        assert again.precision == NARROW
    net.save(path)
    assert ln.load(path) == net
    assert ln.load(path).precision == NARROW
    assert net.with_outputs(None).precision == NARROW
    assert net.astype("float64").astype("float32").precision == "float32"


def test_files_hold_weights_in_half_of_the_bytes(tmp_path: Any) -> None:
    path = tmp_path / "net.safetensors"
    net = ln.MLP.init([4, 8, 3], seed=0).with_precision(NARROW)
    net.save(path)
    found = dict(deserialize(path.read_bytes()))
    weight, bias = found["layers.0.weight"], found["layers.0.bias"]
    assert (weight["dtype"], bias["dtype"]) == ("BF16", "F32")
    bits = np.frombuffer(weight["data"], "<u2").astype(np.uint32) << 16
    assert same_bits(bits.view(np.float32).reshape(8, 4), np.array(net.layers[0].weight))
    # 8 4 + 3 8 weights of 2 bytes, 8 + 3 biases of 4.
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    assert path.stat().st_size == 8 + length + 2 * 56 + 4 * 11


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"bfloat16_weights', b'"bfloat17_weights', "'bfloat17_weights' is no precision of"),
        (b'"BF16"', b'"F16" ', "is F16; the network is BF16"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Any, old: bytes, new: bytes, message: str) -> None:
    path = tmp_path / "net.safetensors"
    ln.MLP.init([4, 8, 3], seed=0).with_precision(NARROW).save(path)
    text = path.read_bytes()
    # In the metadata quotes are escaped.
    for a, b in ((old, new), (old.replace(b'"', b'\\"'), new.replace(b'"', b'\\"'))):
        text = text.replace(a, b)
    path.write_bytes(text)
    with pytest.raises(ln.FormatError, match=message):
        ln.load(path)


def test_counts_half_of_the_bytes_of_weights_on_the_way_forward() -> None:
    net = ln.MLP([*ln.MLP.init([10, 20], seed=0).layers, ln.LayerNorm(np.ones(20, np.float32))])
    narrow = net.with_precision(NARROW)
    assert [one.weight_bytes for one in ln.cost(net).layers] == [800, 80]
    assert [one.weight_bytes for one in ln.cost(narrow).layers] == [400, 80]
    # The way back reads W^T of float32 besides.
    assert ln.cost(narrow, 1, "vjp").layers[0].weight_bytes == 400 + 800
    assert ln.cost(net, 1, "vjp").layers[0].weight_bytes == 1600
    packed = next(m for m in narrow.prepare().summary().memory if m.kind == "packed")
    assert packed.now < next(m for m in net.prepare().summary().memory if m.kind == "packed").now


@pytest.mark.parametrize("precision", [NARROW, "bfloat16"])
def test_is_trained_in_float32(precision: Any) -> None:
    net = ln.MLP.init([4, 8, 3], seed=0).with_precision(precision)
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    trainer = ln.Trainer(net, "squared_error", optimizer=ln.optim.SGD(0.01), seed=0)
    trainer.epoch(x, x[:, :3], batch_size=8)
    assert trainer.network.precision == "float32"
    plain = ln.Trainer(
        net.with_precision("float32"), "squared_error", optimizer=ln.optim.SGD(0.01), seed=0
    )
    plain.epoch(x, x[:, :3], batch_size=8)
    assert trainer.network == plain.network


def test_a_trainer_that_began_with_it_is_resumed_to_the_same_bits() -> None:
    net = ln.MLP.init([4, 8, 3], seed=0).with_precision(NARROW)
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    trainer = ln.Trainer(net, "squared_error", optimizer=ln.optim.AdamW(0.01), seed=0)
    trainer.epoch(x, x[:, :3], batch_size=8)
    again = ln.Trainer.restore(trainer.state())
    for one in (trainer, again):
        one.epoch(x, x[:, :3], batch_size=8)
    assert again.network == trainer.network


def test_numbers_in_files_lie_at_multiples_of_their_size(tmp_path: Any) -> None:
    path = tmp_path / "net.safetensors"
    ln.MLP.init([3, 1, 1], seed=0).with_precision(NARROW).save(path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    assert length % 8 == 0
    for entry in header.values():
        assert entry["data_offsets"][0] % {"BF16": 2, "F32": 4}[entry["dtype"]] == 0
