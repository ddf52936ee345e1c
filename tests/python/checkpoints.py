"""Modules and files of PyTorch for the tests of checkpoints."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

import laminet as ln


def mlp(*sizes):
    """A Sequential of Linear layers with ReLU between them, and after the last."""
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers)


def named(**modules):
    """The state dict of a module that has these."""
    return nn.ModuleDict(modules).state_dict()


def load(contents, *args, **kwargs):
    torch.save(contents, "file")
    return ln.load("file", *args, **kwargs)


def expected(module, width):
    x = torch.randn(20, width)
    with torch.no_grad():
        return x.numpy(), module(x).numpy()
