"""Safetensors files from elsewhere: state dicts whose names and shapes tell the order."""

from __future__ import annotations

import re
import struct
from itertools import pairwise

import numpy as np
import pytest
import safetensors.numpy
from variants import normal, same_bits

import laminet as ln

SIZES = (5, 8, 6, 3)


def arrays(sizes=SIZES, dtype="float32"):
    """Weights and biases of layers, each with numbers of its own."""
    return [
        (normal((n_out, n_in), dtype, seed=n_in), normal(n_out, dtype, seed=n_out))
        for n_in, n_out in pairwise(sizes)
    ]


def state_dict(prefixes, sizes=SIZES, dtype="float32"):
    tensors = {}
    for prefix, (weight, bias) in zip(prefixes, arrays(sizes, dtype), strict=True):
        tensors[f"{prefix}weight"], tensors[f"{prefix}bias"] = weight, bias
    return tensors


def write(path, tensors):
    backwards = dict(reversed(tensors.items()))
    safetensors.numpy.save_file(backwards, path / "elsewhere.safetensors")
    return path / "elsewhere.safetensors"


FUNCTIONS = ["tanh", ln.Activation("leaky_relu", alpha=0.2), "identity"]


@pytest.mark.parametrize(
    "prefixes",
    [
        ("0.", "2.", "10."),
        ("net.0.", "net.2.", "net.4."),
        ("fc1.", "fc2.", "fc3."),
        ("blocks.0.1.", "blocks.1.0.", "blocks.1.1."),
        ("fc1.", "fc2.", "out."),
        ("entry.", "middle.", "exit."),
        ("z.", "m.", "a."),
        ("model.module.layer9.", "model.module.layer10.", "model.module.layer11."),
    ],
    ids=str,
)
def test_order(tmp_path, prefixes):
    net = ln.load(write(tmp_path, state_dict(prefixes)), activations=FUNCTIONS, head="softmax")
    expected = [ln.Dense(w, b, f) for (w, b), f in zip(arrays(), FUNCTIONS, strict=True)]
    assert net == ln.MLP(expected, head="softmax")


def test_numbers_tell_the_order_where_shapes_do_not(tmp_path):
    square = (4, 4, 4, 4)
    tensors = state_dict(("1.", "2.", "10."), square)
    net = ln.load(write(tmp_path, tensors), ["relu"] * 3)
    assert net == ln.MLP([ln.Dense(w, b, "relu") for w, b in arrays(square)])


def test_one_layer_and_no_bias(tmp_path):
    ((weight, bias),) = arrays((5, 3))
    path = write(tmp_path, {"weight": weight, "bias": bias})
    assert ln.load(path, ["tanh"]) == ln.MLP([ln.Dense(weight, bias, "tanh")])
    path = write(tmp_path, {"a.weight": weight})
    assert ln.load(path, ["tanh"]) == ln.MLP([ln.Dense(weight, None, "tanh")])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_types(tmp_path, dtype):
    tensors = state_dict(("0.", "2.", "4."), dtype=dtype)
    net = ln.load(write(tmp_path, tensors), FUNCTIONS)
    assert net.dtype == ("float64" if dtype == "float64" else "float32")
    assert same_bits(np.array(net.layers[0].weight), tensors["0.weight"].astype(net.dtype))


def test_bfloat16(tmp_path):
    """The upper half of a float32; written by hand, since NumPy has no such type."""
    weight = normal((3, 5), "float32")
    upper = (weight.view(np.uint32) >> 16).astype("<u2")
    header = b'{"0.weight": {"dtype": "BF16", "shape": [3, 5], "data_offsets": [0, 30]}}'
    path = tmp_path / "net"
    path.write_bytes(struct.pack("<Q", len(header)) + header + upper.tobytes())
    net = ln.load(path, ["identity"])
    expected = (weight.view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert same_bits(np.array(net.layers[0].weight), expected)


def squares(*prefixes):
    return {f"{prefix}.weight": normal((4, 4), "float32") for prefix in prefixes}


def tall(**shapes):
    return {f"{prefix}.weight": normal(shape, "float32") for prefix, shape in shapes.items()}


REFUSED = {
    "squares": (squares("encoder", "decoder"), "the order of the layers is not certain: "),
    "two towers": (squares("actor.0", "actor.2", "critic.0"), "the order of the layers is not"),
    "towers of other shapes": (
        state_dict(("actor.0.", "actor.2.", "critic.0."), (5, 8, 6, 3))
        | tall(**{"critic.2": (9, 9)}),
        'part="actor"',
    ),
    "against the numbers": (
        tall(fc1=(3, 4), fc2=(4, 5)),
        "do not chain in the order of the numbers",
    ),
    "nothing to chain": (tall(a=(3, 4), b=(5, 6)), "the layers do not chain"),
    "the same numbers": (squares("fc1", "fc01"), "have the same numbers"),
    "batch norm": (
        squares("0") | {"1.running_mean": np.zeros(4, "float32")},
        "tensor '1.running_mean' is neither a weight nor a bias",
    ),
    "norm": (squares("0") | {"1.weight": np.ones(4, "float32")}, "'1.weight' has shape (4,), not"),
    "a lone bias": (squares("0") | {"1.bias": np.ones(4, "float32")}, "'1.bias' has no weight"),
    "another bias": (squares("0") | {"0.bias": np.ones(3, "float32")}, "'0.bias' has shape (3,)"),
    "convolution": ({"0.weight": np.ones((2, 2, 2, 2), "float32")}, "has 4 axes"),
    "integers": ({"0.weight": np.ones((2, 2), "int64")}, "dtype is 'I64'"),
    "nothing": ({}, "there is no weight"),
    "empty": ({"0.weight": np.ones((0, 2), "float32")}, "shape (0, 2), not (outputs, inputs)"),
    "a number too long": (squares("1" * 50), "is too long"),
    "a name too long": (squares("0") | {"a" * 999: np.ones(4, "float32")}, "aaa..."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    tensors, message = REFUSED[name]
    path = write(tmp_path, tensors)
    with pytest.raises(ln.FormatError) as caught:
        ln.load(path, activations=["identity"] * len(tensors))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < len(str(path)) + 300


def test_too_many_orders_are_not_tried(tmp_path):
    """40 squares under 40 names have 40! orders; a search of all would never end."""
    path = write(tmp_path, squares(*(chr(97 + i // 26) + chr(97 + i % 26) for i in range(40))))
    with pytest.raises(ln.FormatError, match="not certain"):
        ln.load(path, ["relu"] * 40)
    # Stars that never chain to the end: every order of 12 arms is a dead end.
    arms = {f"{chr(97 + i)}x.weight": np.ones((2, 2), "float32") for i in range(20)}
    dead = {"end.weight": np.ones((5, 7), "float32")}
    with pytest.raises(ln.FormatError, match="too many orders"):
        ln.load(write(tmp_path, arms | dead), ["relu"] * 21)


def test_arguments(tmp_path):
    path = write(tmp_path, state_dict(("0.", "2.", "4.")))
    with pytest.raises(ln.FormatError, match=re.escape("load(path, activations=[...])")):
        ln.load(path)
    with pytest.raises(ValueError, match="activations names 2 functions, one for each layer, and"):
        ln.load(path, ["relu", "relu"])
    with pytest.raises(ValueError, match="unknown activation 'rely'"):
        ln.load(path, ["rely"] * 3)
    with pytest.raises(TypeError, match="one for each layer, not one for all"):
        ln.load(path, "relu")
    with pytest.raises(ValueError, match="unknown head 'max'"):
        ln.load(path, ["relu"] * 3, head="max")
    with pytest.raises(ValueError, match="head is given without activations"):
        ln.load(path, head="softmax")
    own = tmp_path / "own"
    ln.MLP.init([3, 2], seed=0).save(own)
    with pytest.raises(ValueError, match="which laminet saved with its own"):
        ln.load(own, ["relu"])


def test_mutations_give_a_format_error_or_a_network(tmp_path):
    tensors = state_dict(("net.0.", "net.2.", "out."))
    tensors["net.0.weight"] = tensors["net.0.weight"].astype("float16")
    good = safetensors.numpy.save(tensors)
    rng = np.random.default_rng(0)
    path = tmp_path / "net"
    accepted = 0
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            place, kind = int(rng.integers(min(len(data), 700))), rng.integers(3)
            if kind == 0:
                data[place] = int(rng.integers(256))
            elif kind == 1:
                data[place] ^= 1 << int(rng.integers(8))
            else:
                begin = int(rng.integers(len(data)))
                data[place:place] = data[begin : begin + int(rng.integers(1, 30))]
        path.write_bytes(data)
        # Not pytest.raises (PT017): most files are refused, some are good, and which is random.
        try:
            ln.load(path, FUNCTIONS)
            accepted += 1
        except ln.FormatError as error:
            assert len(str(error)) < len(str(path)) + 500  # noqa: PT017
        except ValueError as error:  # one layer less is a mistake in the argument
            assert "activations names 3" in str(error)  # noqa: PT017
    assert accepted > 100


def test_a_number_that_is_missing_may_part_two_networks(tmp_path):
    """l1, l2 and l4, l5 of a twin critic: sizes that fit do not make them one."""
    sizes = {"l1": (8, 5), "l2": (5, 8), "l4": (8, 5), "l5": (5, 8)}
    path = tmp_path / "elsewhere.safetensors"
    write(tmp_path, {f"{name}.weight": np.ones(shape, "float32") for name, shape in sizes.items()})
    functions = ["relu", "identity"] * 2
    with pytest.raises(ln.FormatError, match="a number is missing among l1, l2, l4, l5"):
        ln.load(path, functions)
    assert ln.load(path, functions, part=["l1", "l2", "l4", "l5"]).sizes == (5, 8, 5, 8, 5)
    even = {
        f"fc{2 * i}.weight": np.ones(shape, "float32") for i, shape in enumerate(sizes.values())
    }
    write(tmp_path, even)
    assert ln.load(path, functions).sizes == (5, 8, 5, 8, 5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"part": []}, ValueError, "part is an empty list"),
        ({"part": 3}, TypeError, "part must be a name"),
        ({"part": [3]}, TypeError, "part must be a name"),
        ({"activations": 5}, TypeError, "activations must be a sequence of names, got int"),
    ],
)
def test_arguments_of_other_types(tmp_path, arguments, error, message):
    path = tmp_path / "elsewhere.safetensors"
    write(tmp_path, {"0.weight": np.ones((2, 3), "float32")})
    with pytest.raises(error, match=message):
        ln.load(path, **{"activations": ["relu"], **arguments})
