"""What the tests of modules that are no chain share: parts of them, and how trees are compared."""

from __future__ import annotations

import numpy as np
import torch
from layer_trees import assert_computes
from torch import nn
from torch_modules import lin

import laminet as ln


def check(module, layers=None, widths=(4,), **options):
    """Compare a module of float64 with its tree: several results side by side, flattened."""
    module = module.double().eval()
    tree = ln.from_torch(module, **options)
    xs = [torch.randn(9, n, dtype=torch.float64) * 2 for n in widths]
    with torch.no_grad():
        given = module(*xs)
    given = list(given.values()) if isinstance(given, dict) else given
    results = given if isinstance(given, (list, tuple)) else [given]
    expected = np.concatenate([r.reshape(9, -1).numpy() for r in results], axis=1)
    assert_computes(tree, np.concatenate([x.numpy() for x in xs], axis=1), expected, layers)
    return tree


def parts():
    torch.manual_seed(1)
    bn = nn.BatchNorm1d(4)
    bn.running_mean = torch.randn(4)
    bn.running_var = torch.rand(4) + 0.5
    return {
        "a": lin(4, 3),
        "b": lin(3, 3),
        "s": lin(4, 4),
        "t": lin(4, 4),
        "w": lin(7, 2),
        "norm4": nn.LayerNorm(4),
        "bn": bn,
        "scale": nn.Parameter(torch.randn(3)),
    }
