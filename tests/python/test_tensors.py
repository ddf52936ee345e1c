"""Tensors and small floats of other libraries: widened exactly, or refused with what to write."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from variants import random_net, same_bits

import laminet as ln
from laminet.core.conversion import as_real_array, real_array

REAL = [
    name
    for name in dir(ml_dtypes)
    if name.startswith(("bfloat", "float4_", "float6_", "float8_", "int", "uint"))
    and isinstance(getattr(ml_dtypes, name), type)
]


def all_values(name: str) -> np.ndarray:
    """Every value of a type: of its bits, which are the last ones of a byte or two."""
    dtype = np.dtype(getattr(ml_dtypes, name))
    if "int" in name:
        info = ml_dtypes.iinfo(dtype)
        return np.arange(info.min, info.max + 1).astype(dtype)
    bits = ml_dtypes.finfo(dtype).bits
    return np.arange(2**bits, dtype=np.uint16 if bits > 8 else np.uint8).view(dtype)


def test_the_list_is_not_empty():
    assert {"bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"} <= set(REAL)


@pytest.mark.parametrize("name", REAL)
def test_every_value_widens_exactly(name, dtype):
    values = all_values(name)
    exact = np.array([float(value) for value in values])
    assert np.array_equal(real_array(values, "x"), exact, equal_nan=True)
    assert real_array(values, "x").dtype == np.float32
    assert np.array_equal(as_real_array(values, np.dtype(dtype), "x"), exact, equal_nan=True)


@pytest.mark.parametrize("name", REAL)
def test_small_types_go_in_everywhere(name, dtype):
    net = random_net([4, 6, 3], "tanh", dtype=dtype)
    small = np.array([[1, 0, 1, 0], [0, 0, 1, 1]]).astype(getattr(ml_dtypes, name))
    wide = small.astype(np.float32).astype(dtype)
    assert same_bits(net(small), net(wide))
    assert same_bits(net(small[:, ::-1]), net(wide[:, ::-1]))
    assert same_bits(net(small[0]), net(wide[0]))
    assert same_bits(net.jacobian(small), net.jacobian(wide))
    assert same_bits(net.vjp(small, small[:, :3]), net.vjp(wide, wide[:, :3]))
    assert same_bits(net.jvp(small, small), net.jvp(wide, wide))
    ours, theirs = net.gradients(small, small[:, 1:]), net.gradients(wide, wide[:, 1:])
    assert same_bits(ours.weights[0], theirs.weights[0])
    assert same_bits(ln.reference.forward(net, small), ln.reference.forward(net, wide))


@pytest.mark.parametrize("name", [*REAL, "float16"])
def test_weights_of_small_types_make_a_float32_layer(name):
    small = np.array([[1, 0], [0, 1], [1, 1]]).astype(getattr(ml_dtypes, name, name))
    wide = small.astype(np.float32)
    layer = ln.Dense(small, small[:, 0])
    assert layer.dtype == np.float32
    assert layer == ln.Dense(wide, wide[:, 0])
    assert ln.Dense(small, np.zeros(3)).dtype == np.float64
    assert ln.Dense(small, np.zeros(3, np.float32)).dtype == np.float32
    assert same_bits(ln.linear(small, small[:2], small[1]), ln.linear(wide, wide[:2], wide[1]))
    assert ln.linear(small, small[:2]).dtype == np.float32


@pytest.mark.parametrize("name", [n for n in ("complex32", "bcomplex32") if hasattr(ml_dtypes, n)])
def test_complex_ones_are_refused(name):
    with pytest.raises(TypeError, match=f"^x must hold real numbers, got dtype {name}; take its"):
        real_array(np.zeros(3, getattr(ml_dtypes, name)), "x")


# --- PyTorch -------------------------------------------------------------------------------------

TORCH = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


@pytest.mark.parametrize("name", [*TORCH, "int64", "uint8", "bool"])
def test_tensors_of_real_numbers(name, dtype):
    net = random_net([4, 3], dtype=dtype)
    tensor = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 1]]).to(getattr(torch, name))
    assert same_bits(net(tensor), net([[1, 0, 1, 0], [0, 0, 1, 1]]))
    assert same_bits(net(tensor.t().contiguous().t()), net(tensor))


def test_a_tensor_that_is_a_view_of_negated_memory():
    x = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    assert x.is_neg()
    assert real_array(x, "x").tolist() == [-2, 4]


def test_a_small_tensor_as_weights():
    weight = torch.tensor([[0.5, 1.0]], dtype=torch.bfloat16)
    assert ln.Dense(weight).weight.tolist() == [[0.5, 1.0]]
    assert ln.Dense(weight).dtype == np.float32


REFUSED = {
    "requires grad": (torch.ones(4, requires_grad=True), r"requires grad.*x\.detach\(\)"),
    "a parameter": (torch.nn.Linear(4, 1).weight, r"requires grad.*x\.detach\(\)"),
    "sparse": (torch.eye(4).to_sparse(), r"sparse.*x\.to_dense\(\)"),
    "on no device": (torch.ones(4, device="meta"), "on the device meta: it holds no numbers"),
    "complex": (torch.ones(4, dtype=torch.complex64), r"real numbers.*x\.real or x\.abs\(\)"),
    "nested": (
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        r"nested.*x\.to_padded_tensor\(0\.0\)",
    ),
    "small, in a list": ([torch.ones(4).bfloat16()] * 2, r"hold Tensor; .*torch\.stack\(x\)"),
}


@pytest.mark.parametrize(("x", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_tensors_that_are_refused(x, message):
    net = random_net([4, 3])
    with pytest.raises(TypeError, match=f"^x .*{message}"):
        net(x)
    name = "weight must hold" if "real numbers" in message else "weight is"
    with pytest.raises(TypeError, match=f"^{name}"):
        ln.Dense(x)


@pytest.mark.parametrize("kind", ["requires grad", "sparse"])
def test_the_tensor_of_a_list_is_named(kind):
    with pytest.raises(TypeError, match=rf"^x\[1\] is .*{kind.split()[-1]}"):
        random_net([4, 3])([torch.ones(4), REFUSED[kind][0]])


def test_a_tensor_elsewhere_is_told_the_call(monkeypatch):
    """Without an accelerator at hand: a tensor that says it is on one."""

    class Elsewhere(torch.Tensor):
        @property
        def device(self):
            return torch.device("cuda:1")

    x = torch.ones(4).as_subclass(Elsewhere)
    with pytest.raises(TypeError, match=r"^x is a tensor on the device cuda:1: give x\.cpu\(\)$"):
        random_net([4, 3])(x)


def test_modules_are_made_whatever_errstate_says():
    tiny = ln.Activation("hard_sigmoid", alpha=1e-300, beta=0.5)
    net = ln.MLP([ln.Dense(np.full((2, 3), 1e-300), [1e-300, 0.0], tiny)])
    with np.errstate(all="raise"):
        module = ln.to_torch(net)
    assert not module[0].weight.any()
