"""Networks come back from PyTorch: of every kind of layer, and as wide as they were."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from compare import assert_close
from layer_kinds import EXAMPLES, FEATURES, KINDS
from layer_trees import assert_computes
from torch import nn
from torch.nn import functional
from tree_bounds import value_bound
from trees import Draw, kinds_of

import laminet as ln

COUNT = 120
GROUPS = 8
HEADS = (None, None, "softmax", "log_softmax")


def back(net: ln.MLP) -> ln.MLP:
    return ln.from_torch(ln.to_torch(net))


def draw(index: int) -> tuple[ln.MLP, np.random.Generator]:
    rng = np.random.default_rng([2026, index])
    dtype = np.dtype(("float32", "float64")[index % 2])
    return Draw(rng, dtype).network(HEADS[rng.integers(4)]), rng


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_networks(group: int) -> None:
    """Within the bounds of both.

    What is folded on the way is rounded once more, which no product's bound exceeds: four times
    the bounds are enough for all that lies between two products.
    """
    rejecting = 0
    for index in range(group, COUNT, GROUPS):
        net, rng = draw(index)
        again = back(net)
        assert (again.in_features, again.dtype, again.head) == (
            net.in_features,
            net.dtype,
            net.head,
        ), f"network {index}"
        x = rng.standard_normal((7, net.in_features)).astype(net.dtype)
        expected = net(x)
        bound = 4 * (value_bound(net, x) + value_bound(again, x))
        assert_close(again(x), expected, bound)
        rejecting += bool((np.abs(expected) > bound).any()) or not expected.any()
    assert rejecting >= COUNT // GROUPS - 1  # carried through many norms a bound may say nothing


def test_the_drawing_covers_what_it_should() -> None:
    found = set()
    for index in range(COUNT):
        net, _ = draw(index)
        found |= {(str(net.dtype), kind) for kind in (*kinds_of(net), net.head)}
    dtypes = ("float32", "float64")
    assert found == {(dtype, kind) for dtype in dtypes for kind in (*KINDS, *HEADS)}


# --- Width and dtype, where no tensor has them ----------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_each_kind_alone(name: str, dtype: str) -> None:
    net = ln.MLP([EXAMPLES[name]], in_features=FEATURES, dtype=dtype)
    again = back(net)
    assert (again.in_features, again.dtype) == (FEATURES, net.dtype)
    x = np.array([[0.25, -0.75, 1.25, -2.0], [1.75, 0.375, -0.3125, 0.875]], dtype)
    assert_close(again(x), net(x), 4 * (value_bound(net, x) + value_bound(again, x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layers",
    [
        [ln.Select(slice(2, 5))],
        [ln.Select([1, 0]), ln.Dense(np.ones((3, 2), "f4"), None, "tanh")],
        [ln.Dropout(0.5)],
        [ln.Activation("sin")],
        [ln.Parallel([[], [ln.Select([3])]])],
        [ln.Residual([ln.Activation("tanh")])],
    ],
    ids=lambda layers: type(layers[0]).__name__,
)
def test_modules_know_their_width(layers: Any, dtype: str) -> None:
    net = ln.MLP(layers, in_features=9, dtype=dtype)
    module = ln.to_torch(net)
    assert module.in_features == 9
    for one in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        again = ln.from_torch(one)
        assert (again.in_features, again.dtype, again.out_features) == (
            9,
            net.dtype,
            net.out_features,
        )
    assert set(module.state_dict()) == {name for name, _ in module.named_parameters()}
    # What a module becomes it is; said otherwise it is that.
    assert ln.from_torch(copy.deepcopy(module).double()).dtype == np.float64
    assert ln.from_torch(module, dtype="float64").dtype == np.float64
    x = torch.ones(2, 9, dtype=next(module.buffers(), torch.ones(1)).dtype)
    assert module(x.to(getattr(torch, dtype))).shape == (2, net.out_features)


def test_a_width_that_is_said_goes_before() -> None:
    module = ln.to_torch(ln.MLP([ln.Select(slice(0, 2))], in_features=9))
    assert ln.from_torch(module, in_features=5).in_features == 5


def test_parts_of_modules_know_no_width() -> None:
    """A part of it is a module of PyTorch's own, of which nothing is said."""
    net = ln.MLP([ln.Select(slice(0, 2)), ln.Dense(np.ones((3, 2)))], in_features=9)
    rest = ln.to_torch(net)[1:]
    assert not hasattr(rest, "in_features")
    assert ln.from_torch(rest).in_features == 2


# --- Functions of what is a function itself -------------------------------------------------------

X = np.array([[0.25, -0.75, 1.25, -2.0, 0.5], [1.75, 0.375, -0.3125, 0.875, -1.5]])


class Of(nn.Module):
    """A dense layer, and what a function makes of its outputs."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5, dtype=torch.float64)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(5) + 0.25)
            self.first.bias.copy_(torch.arange(5) / 8)
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(self.first(x))


def swish(z: Any) -> Any:
    return z * torch.sigmoid(z)


def rms(z: Any) -> Any:
    return z / torch.sqrt((z * z).mean(-1, keepdim=True) + 1e-3)


def soft_sign(z: Any) -> Any:
    return z / (1 + z.abs())


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "softsign of softsign": (
        lambda z: functional.softsign(functional.softsign(z)),
        "5>5 softsign, softsign",
    ),
    "softsign of softsign of columns": (
        lambda z: functional.softsign(functional.softsign(z[:, 1:4])),
        "5>3 softsign, softsign",
    ),
    "softsign three times": (
        lambda z: soft_sign(soft_sign(soft_sign(z))),
        "5>5 softsign, softsign, softsign",
    ),
    "swish of a clip": (lambda z: swish(z.clamp(-0.5, 0.75)), "5>5, low*high, silu"),
    "swish of relu6": (lambda z: swish(functional.relu6(z)), "5>5 relu6, silu"),
    "swish of a scaled tanh": (lambda z: swish(2 * torch.tanh(z)), ""),
    "swish of swish": (lambda z: swish(swish(z)), "5>5 silu, silu"),
    "the gate first": (
        lambda z: torch.sigmoid(torch.tanh(z)) * torch.tanh(z),
        "5>5 tanh, silu",
    ),
    "rms norm of columns": (lambda z: rms(z[:, 1:4]), "5>3, rms"),
    "rms norm of columns in disorder": (lambda z: rms(z[:, [3, 0, 3]]), ""),
    "a module's rms norm": (lambda z: nn.RMSNorm(3, 1e-3)(z[:, 2:5]), ""),
    "tanh added to itself": (lambda z: z + torch.tanh(z), "5>5, x + (tanh)"),
    "function of a function added": (lambda z: z + torch.relu(torch.sigmoid(z)), ""),
    "tanhshrink": (functional.tanhshrink, ""),
    "two functions": (lambda z: torch.tanh(z) + torch.sigmoid(z), "5>5, sum(tanh | sigmoid)"),
    "columns twice": (lambda z: torch.tanh(z[:, 1:3]) + z[:, 1:3], ""),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_functions(name: str) -> None:
    function, layers = FUNCTIONS[name]
    module = Of(function).eval()
    net = ln.from_torch(module)
    with torch.no_grad():
        expected = module(torch.from_numpy(X)).numpy()
    assert_computes(net, X, expected, layers or None)


@pytest.mark.parametrize(
    "function",
    [lambda z: z + torch.erf(z), lambda z: torch.exp(z) + torch.tanh(z)],
    ids=["erf", "exp"],
)
def test_sums_of_what_is_no_activation(function: Any) -> None:
    with pytest.raises(ValueError, match="is no part of an activation"):
        ln.from_torch(Of(function).eval())
