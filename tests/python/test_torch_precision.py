"""from_torch of modules that round to float32 within float64, and of those of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch_modules import Module, check, lin

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


ROUNDED = {
    "a result": lambda m, x: m.b(m.a(x).float().double()),
    "the input": lambda m, x: m.a(x.float().double()),
    "by a sum with float64": lambda m, x: m.a(x.float() + m.a.weight[0]),
    "by joining both": lambda m, x: torch.cat([m.a(x), m.a(x).float()], 1),
}


def module_of(forward):
    return Module(forward, a=lin(4, 3), b=lin(3, 3)).double().eval()


def assert_close(net, module):
    """Within roundings of float32, of sums of four products that may cancel."""
    x = torch.randn(30, 4, dtype=torch.float64)
    given = module(x).detach().double().numpy()
    np.testing.assert_allclose(net(x.numpy()), given, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ROUNDED)
def test_float32_within_float64_is_refused(name):
    """Rounded numbers are other numbers: 6e-8 off, and float64 promises 1e-16."""
    module = module_of(ROUNDED[name])
    with pytest.raises(ValueError, match="rounded to float32, and laminet computes in float64"):
        ln.from_torch(module)
    assert_close(ln.from_torch(module, dtype="float32"), module)  # where it is no worse


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.a(x).float(),
        lambda m, x: torch.tanh(m.a(x).float())[:, :2] * 2,
    ],
    ids=["the output", "and what follows"],
)
def test_float32_at_the_end_of_float64(forward):
    """Those who asked for float32 have no more digits than it has."""
    module = module_of(forward)
    net = ln.from_torch(module)
    assert net.dtype == np.float64
    assert_close(net, module)


def test_conversions_that_round_nothing():
    check(module_of(lambda m, x: m.b(m.a(x.double()).to(x.dtype)).type_as(x)), 4)


def test_modules_of_both():
    """What is made in float32 is as exact as its weights; laminet computes all in float64."""
    module = Module(lambda m, x: m.b(m.a(x.float()).double()), a=lin(4, 3), b=lin(3, 3).double())
    net = ln.from_torch(module.eval())
    assert net.dtype == np.float64
    assert_close(net, module)


def test_float32_modules_may_be_wider_in_between():
    module = nn.Sequential(
        lin(4, 3), Module(lambda m, x: torch.tanh(x.double()).float()), lin(3, 2)
    )
    net = ln.from_torch(module.eval())
    assert net.dtype == np.float32
    x = torch.randn(30, 4)
    np.testing.assert_allclose(net(x.numpy()), module(x).detach().numpy(), rtol=1e-5, atol=1e-6)
