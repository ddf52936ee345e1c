"""Normalisations as modules of PyTorch spell them out, as layers of laminet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn
from torch_modules import Module, lin
from torch_trees import check, parts


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def by_pow(x, eps=1e-3):
    d = x - x.mean(-1, keepdim=True)
    return d / torch.sqrt(d.pow(2).mean(-1, keepdim=True) + eps)


def by_product(x, eps=1e-3):
    d = x - x.mean(-1, keepdim=True)
    return d * torch.rsqrt((d * d).mean(-1, keepdim=True) + eps)


def by_var(x, eps=1e-3):
    var = x.var(-1, keepdim=True, unbiased=False)
    return (x - x.mean(dim=-1, keepdim=True)) / (var + eps).sqrt()


def by_unbiased(x, eps=1e-3):
    return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + eps) ** 0.5


def by_var_mean(x, eps=1e-3):
    var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return (x - mean) * (var + eps) ** -0.5


def rms_by_pow(x, eps=1e-3):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def rms_by_sqrt(x, eps=1e-3):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


SPELLED = {
    **dict.fromkeys((by_pow, by_product, by_var, by_unbiased, by_var_mean), "norm"),
    **dict.fromkeys((rms_by_pow, rms_by_sqrt), "rms"),
}


@pytest.mark.parametrize("norm", SPELLED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("place", ["input", "layer", "activation", "residual"])
def test_spelled_out(norm, place):
    def forward(m, x):
        if place == "residual":
            return x + m.s(m.weight * norm(x) + m.bias)
        h = {"input": lambda: x, "layer": lambda: m.s(x), "activation": lambda: m.s(x).relu()}
        return norm(h[place]()) * m.weight

    weights = {n: nn.Parameter(torch.randn(4)) for n in ("weight", "bias")}
    kind = SPELLED[norm]
    layers = {
        "input": kind,
        "layer": f"4>4, {kind}",
        "activation": f"4>4 relu, {kind}",
        # A shift after an RMS normalisation is folded into the layer.
        "residual": f"x + ({kind}, 4>4)",
    }
    check(Module(forward, s=lin(4, 4), **weights), layers[place])


def test_spelled_out_has_the_numbers():
    weight = nn.Parameter(torch.randn(4))
    tree = check(Module(lambda m, x: by_pow(x) * m.weight, weight=weight), "norm", in_features=4)
    (norm,) = tree.layers
    assert norm.eps == 1e-3
    assert norm.weight.tobytes() == weight.detach().numpy().tobytes()
    tree = check(Module(lambda m, x: by_unbiased(x), a=lin()), "norm", in_features=4)
    (norm,) = tree.layers
    np.testing.assert_allclose(norm.eps, 1e-3 * 3 / 4, rtol=1e-15)
    np.testing.assert_allclose(norm.weight, np.sqrt(3 / 4), rtol=1e-15)


OPERATORS = {
    "var": (lambda m, x: by_var(m.s(x)), "4>4, norm"),
    "var, unbiased": (lambda m, x: by_unbiased(m.s(x)), "4>4, norm"),
    "var, kept by place": (
        lambda m, x: (x - x.mean(-1, True)) / (x.var(-1, False, True) + 0.1).sqrt(),
        "norm",
    ),
    "rms": (lambda m, x: F.rms_norm(m.a(x), (3,), m.scale), "4>3, rms"),
    "rms of an eps": (lambda m, x: F.rms_norm(m.a(x), (3,), eps=0.1), "4>3, rms"),
    "norm": (lambda m, x: m.norm4(m.s(x)), "4>4, norm"),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_that_are_whole_in_inference_mode(name):
    """Elsewhere PyTorch takes these to pieces before they are seen."""
    forward, layers = OPERATORS[name]

    def inferring(m, x):
        with torch.inference_mode():
            return forward(m, x)

    check(Module(inferring, **parts()), layers, in_features=4)
