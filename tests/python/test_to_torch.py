"""to_torch: what comes back of it, and what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from frameworks import assert_agrees
from variants import ACTIVATION_CASES, same_bits

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back(activation, head, dtype):
    net = ln.MLP.init([5, 7, 3], activation, output_activation=activation, dtype=dtype, seed=1)
    net = ln.MLP([*net.layers, ln.Dense(np.eye(3, dtype=dtype))], head=head)
    module = ln.to_torch(net)
    assert all(p.requires_grad for p in module.parameters())
    x = torch.randn(40, 5, dtype=torch.float64).numpy().astype(dtype) * 2
    with torch.no_grad():
        given = module(torch.from_numpy(x)).numpy()
    assert given.dtype == dtype
    if activation.name == "hard_sigmoid" and activation != ln.Activation("hard_sigmoid"):
        np.testing.assert_allclose(net(x), given, atol=1e-5 if dtype == "float32" else 1e-13)
    else:
        assert_agrees(net, x, given)
        if activation.name != "gated":  # which is read as silu where beta is 0
            assert ln.from_torch(module) == net


def test_what_outputs_stand_for_is_not_in_a_module():
    net = ln.MLP.init([5, 3], seed=1, outputs=ln.Classes(["a", "b", "c"]))
    module = ln.to_torch(net)
    assert ln.from_torch(module) == net.with_outputs(None)
    assert ln.from_torch(module, outputs=net.outputs) == net


def test_to_torch_copies():
    net = ln.MLP.init([5, 7, 3], seed=1)
    before = net(np.ones(5))
    module = ln.to_torch(net)
    with torch.no_grad():
        module[0].weight.zero_()
    assert same_bits(net(np.ones(5)), before)
    with pytest.raises(TypeError, match="net must be an MLP, got Sequential"):
        ln.to_torch(module)
