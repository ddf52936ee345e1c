"""from_torch of modules of several results and inputs, and which is taken."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch_modules import Module, NormalisedInputs, QNetwork, check, lin, mlp

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


Pair = collections.namedtuple("Pair", "mean value")
Single = collections.namedtuple("Single", "mean")


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class Optional(Module):
    def forward(self, x=None, *rest):
        return rest or self.a(x)


class Any(Module):
    def forward(self, *inputs, **options):
        return self.a(torch.cat(inputs, -1))


@pytest.mark.parametrize("kind", [Optional, Any])
def test_inputs_that_need_not_be_given(kind):
    check(kind(None, a=lin(4, 3)), 4)


# --- Results --------------------------------------------------------------------------------------

RESULTS = {
    "1-tuple": (lambda m, x: (m.a(x),), None),
    "list of one": (lambda m, x: [m.a(x)], None),
    "dict of one": (lambda m, x: {"out": m.a(x)}, None),
    "nested": (lambda m, x: ({"out": (m.a(x),)},), None),
    "namedtuple of one": (lambda m, x: Single(m.a(x)), None),
    "with None": (lambda m, x: (m.a(x), None), None),
    "dataclass": (lambda m, x: Answer(m.a(x)), None),
    "by index": (lambda m, x: (m.a(x), m.b(x)), 1),
    "by negative index": (lambda m, x: (m.a(x), m.b(x)), -1),
    "by key": (lambda m, x: {"mean": m.a(x), "value": m.b(x).sin()}, "mean"),
    "by field": (lambda m, x: Pair(m.a(x), m.b(x)), "value"),
    "by attribute": (lambda m, x: Answer(m.a(x), x), "logits"),
    "by path": (lambda m, x: {"pi": (m.b(x), m.a(x)), "v": x}, ("pi", 1)),
    "of a distribution": (lambda m, x: torch.distributions.Normal(m.a(x), m.a(x).exp()), "mean"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results(name):
    forward, output = RESULTS[name]
    check(Module(forward, a=lin(4, 3), b=lin(4, 2)), 4, output=output)


@pytest.mark.parametrize(
    ("forward", "output", "message"),
    [
        (
            lambda m, x: (m.a(x), m.b(x).tan()),
            None,
            r"^result 1: .*tan: is no step.*: output=0 reads one without it$",
        ),
        (
            lambda m, x: {"v": m.b.weight.sum().expand(len(x)), "w": (m.a(x),)},
            None,
            r"^result 'v': the output does not depend.*: output=\('w', 0\) reads one without it$",
        ),
        (
            lambda m, x: {"v": (m.a(x).softmax(-1), x)},
            None,
            r"softmax over one of them.*: output=\('v', 0\) reads one of them$",
        ),
        (lambda m, x: (m.a(x), x), 2, r"no result output=2: it returns 2 results \(0, 1\)"),
        (lambda m, x: (m.a(x), x), "mean", "no result output='mean'"),
        (lambda m, x: m.a(x), 0, "no result output=0: it returns one tensor"),
        (lambda m, x: None, None, "returns no result"),
        (lambda m, x: torch.distributions.Normal(m.a(x), 1.0), None, "a Normal.*output='mean'$"),
        (lambda m, x: m.a.weight, None, "output does not depend on the input"),
    ],
)
def test_results_that_must_be_named(forward, output, message):
    with pytest.raises(ValueError, match=message):
        ln.from_torch(Module(forward, a=lin(4, 3), b=lin(4, 2)), output=output)


# --- Inputs ---------------------------------------------------------------------------------------


def test_several_inputs_are_said():
    known = ln.from_torch(NormalisedInputs())
    assert known.inputs == (("obs", 5), ("act", 3))
    said = ln.from_torch(QNetwork(), in_features={"a": 6, "x": 17})
    assert said.inputs == (("x", 17), ("a", 6))
    unknown = ln.from_torch(QNetwork())
    assert (unknown.inputs, unknown.in_features) == (None, 23)


class Swapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(8, 4, 2)

    def forward(self, x, a):
        return self.net(torch.cat([a, x], 1))


def test_several_inputs_whose_widths_matter():
    with pytest.raises(ValueError, match=r"x, a may have several widths.*in_features=\(..., ...\)"):
        ln.from_torch(Swapped())
    check(Swapped(), 3, 5, in_features=(3, 5))


def test_a_width_that_no_weight_says():
    module = Module(lambda m, x: m.a(x[:, -3:]), a=lin(3, 2))
    assert ln.from_torch(module).in_features == 3
    check(module, 7, in_features=7)
    check(Module(lambda m, x: m.a(x[:, 2:5]), a=lin(3, 2)), 5)


@pytest.mark.parametrize(
    ("in_features", "message"),
    [
        (5, r"cannot be run on samples of shape \(batch, 5\)"),
        ((4, 4), "gives 2 widths; the module takes 1 inputs"),
        ({"y": 4}, "in_features names 'y'; the module's inputs are 'x'"),
        (0, "must be positive integers, got 0"),
        ("4", "must be positive integers, got '4'"),
    ],
)
def test_wrong_widths(in_features, message):
    with pytest.raises(ValueError, match=message):
        ln.from_torch(Module(lambda m, x: m.a(x), a=lin()), in_features=in_features)


def test_buffers_of_another_type():
    """A normaliser made of NumPy's numbers, before layers of float32."""
    module = Module(
        lambda m, x: m.a(((x - m.mean) / 2).float()), a=lin(4, 3), mean=torch.randn(4).double()
    )
    net = ln.from_torch(module)
    assert net.dtype == np.float64
    x = torch.randn(9, 4)
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(net(x.numpy()), expected, rtol=1e-5, atol=1e-5)


def test_outputs_are_said():
    module = Module(lambda m, x: m.a(x), a=lin(4, 3))
    for part in (module, module.a):
        net = ln.from_torch(part, outputs=ln.Classes(["a", "b", "c"]))
        assert net.outputs == ln.Classes(["a", "b", "c"])
    with pytest.raises(ValueError, match="2"):
        ln.from_torch(module, outputs=ln.Labels(["a", "b"]))
