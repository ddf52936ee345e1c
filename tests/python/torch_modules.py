"""What the tests of from_torch share: modules whose forward is given, and how they are compared."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from frameworks import assert_agrees
from torch import nn

import laminet as ln


def mlp(*sizes, activation=nn.Tanh, end=False):
    layers = []
    for i, (n, m) in enumerate(pairwise(sizes)):
        layers += (
            [nn.Linear(n, m), activation()] if end or i < len(sizes) - 2 else [nn.Linear(n, m)]
        )
    return nn.Sequential(*layers)


class Module(nn.Module):
    """Some parts, and a forward that is given."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def check(module, *widths, output=None, dtype=torch.float64, **options):
    """Import a module in this dtype, and compare; several widths are several inputs."""
    module = module.to(dtype)
    net = ln.from_torch(module, output=output, **options)
    xs = [torch.randn(30, n, dtype=dtype) * 3 for n in widths]
    with torch.no_grad():
        given = module(*xs)
    path = output if isinstance(output, tuple) else () if output is None else (output,)
    for key in path:
        attribute = isinstance(key, str) and not isinstance(given, dict)
        given = getattr(given, key) if attribute else given[key]
    while not isinstance(given, torch.Tensor):
        given = vars(given) if dataclasses.is_dataclass(given) else given
        given = next(iter(given.values() if isinstance(given, dict) else given))
    x = np.concatenate([x.numpy() for x in xs], axis=1)
    assert net.in_features == sum(widths)
    assert_agrees(net, x, given.numpy().reshape(30, -1), folded=dtype == torch.float64)
    return net


def lin(n=4, m=3):
    return nn.Linear(n, m)


class QNetwork(nn.Module):
    """A critic: a state and an action, joined first."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(23, 8), nn.Linear(8, 1)

    def forward(self, x, a):
        x = torch.cat([x, a], 1)
        return self.fc2(F.relu(self.fc1(x)))


class NormalisedInputs(nn.Module):
    """Each input with a normaliser of its own, in another order."""

    def __init__(self):
        super().__init__()
        self.register_buffer("obs_mean", torch.randn(5))
        self.register_buffer("act_scale", torch.rand(3) + 0.5)
        self.net = mlp(8, 16, 2)

    def forward(self, obs, act):
        return self.net(torch.cat([act * self.act_scale, obs - self.obs_mean], dim=-1))
