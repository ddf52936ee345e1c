"""from_torch leaves a module as it was, whatever its forward changes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch_modules import Module

import laminet as ln


class Remembers(nn.Module):
    """Keeps what it saw, and changes a buffer and a weight in each call."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.seen, self.log, self.last = [], {}, None

    def forward(self, x):
        self.calls += 1
        self.a.bias.data.clamp_(min=0)
        self.last = self.a(x)
        self.seen.append(x)
        self.log[len(self.seen)] = x.shape
        self.extra = x
        return self.last


def test_the_module_is_left_alone():
    module = Remembers()
    with torch.no_grad():
        module.a.bias[0] = -1.0
    before = {k: v.clone() for k, v in module.state_dict().items()}
    attributes = copy.copy(vars(module))
    random = torch.random.get_rng_state()
    net = ln.from_torch(module)
    assert net.layers[0].bias[0] == 0
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert vars(module) == attributes
    assert (module.seen, module.log, module.last) == ([], {}, None)
    assert torch.equal(random, torch.random.get_rng_state())
    assert module.training
    assert module.a.training
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not module._forward_hooks
    assert not module.a._forward_pre_hooks
    assert torch.is_grad_enabled()


def test_a_refused_module_is_left_alone():
    module = Module(lambda m, x: torch.tan(m.a(x)) + torch.randn(3), a=nn.Linear(4, 3))
    random = torch.random.get_rng_state()
    validates = torch.distributions.Distribution._validate_args  # PyTorch's compiler switches it
    with pytest.raises(ValueError, match="tan"):
        ln.from_torch(module)
    assert not module._forward_hooks
    assert not module.a._forward_pre_hooks
    assert torch.equal(random, torch.random.get_rng_state())
    assert module(torch.zeros(2, 4)).requires_grad
    assert torch.distributions.Distribution._validate_args is validates
