"""from_torch of single steps of a forward, each against PyTorch's own answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch_modules import Module, check, lin

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


STEPS = {
    "detach": lambda m, x: m.a(x).detach(),
    "clone": lambda m, x: m.a(x.clone()),
    "contiguous": lambda m, x: m.a(x.contiguous()).contiguous(),
    "cpu": lambda m, x: m.a(x.cpu()).cpu(),
    "to device": lambda m, x: m.a(x.to(m.a.weight.device)),
    "to dtype": lambda m, x: m.a(x.to(m.a.weight.dtype)),
    "type_as": lambda m, x: m.a(x.type_as(m.a.weight)),
    "to another tensor": lambda m, x: m.a(x.to(m.a.weight)),
    "double": lambda m, x: m.a(x).double(),
    "requires_grad_": lambda m, x: m.a(x).requires_grad_(False),
    "cat of one": lambda m, x: m.a(torch.cat([x])),
    "cat of its parts": lambda m, x: m.a(torch.cat([x[:, :2], x[:, 2:]], dim=-1)),
    "parts changed over": lambda m, x: m.a(torch.cat([x[:, 2:], x[:, :2]], dim=-1)),
    "stack of columns": lambda m, x: m.a(torch.stack([x[:, 0], x[:, 3], x[:, 1], x[:, 2]], -1)),
    "hstack": lambda m, x: m.a(torch.hstack([x[:, :2], x[:, 2:]])),
    "two layers joined": lambda m, x: torch.cat([m.a(x), m.b(x)], -1),
    "outputs sliced": lambda m, x: m.a(x)[:, :2],
    "outputs sliced by ellipsis": lambda m, x: m.a(x)[..., 1:],
    "outputs in steps": lambda m, x: m.a(x)[:, ::2],
    "outputs picked": lambda m, x: m.a(x)[:, [2, 0]],
    "index_select": lambda m, x: m.a(x).index_select(1, torch.tensor([2, 1])),
    "gather": lambda m, x: m.a(x).gather(1, torch.zeros(len(x), 1, dtype=torch.long)),
    "narrow": lambda m, x: m.a(x).narrow(1, 1, 2),
    "split": lambda m, x: torch.split(m.a(x), [1, 2], dim=-1)[1],
    "chunk": lambda m, x: m.a(x).chunk(2, dim=1)[0],
    "unbind": lambda m, x: m.a(x).unbind(1)[2],
    "flip": lambda m, x: m.a(x).flip(-1),
    "roll": lambda m, x: m.a(torch.roll(x, 1, -1)),
    "tanh of a slice": lambda m, x: torch.tanh(m.a(x)[:, :2]),
    "scale of a slice": lambda m, x: m.a(x)[:, :2] * torch.tensor([2.0, 3.0], dtype=x.dtype),
    "silu of a slice": lambda m, x: (h := m.a(x)[:, :2]) * torch.sigmoid(h),
    "layer after a slice": lambda m, x: m.a(torch.tanh(m.d(x))[:, 1:5]),
    "input sliced": lambda m, x: m.c(x[:, :3]),
    "input sliced and scaled": lambda m, x: m.a(torch.cat([x[:, :1] / 10, x[:, 1:]], 1)),
    "input split": lambda m, x: m.a(torch.cat([p * 2 for p in torch.split(x, [1, 3], -1)], -1)),
    "column": lambda m, x: m.a(x)[:, 0],
    "squeeze": lambda m, x: m.one(x).squeeze(-1),
    "squeeze all": lambda m, x: m.one(x).squeeze(),
    "flatten": lambda m, x: m.one(x).flatten(),
    "view(-1)": lambda m, x: m.one(x).view(-1),
    "unsqueeze": lambda m, x: m.a(x)[:, 0].unsqueeze(-1),
    "unsqueeze and back": lambda m, x: m.a(x.unsqueeze(1)).squeeze(1),
    "two squeezes": lambda m, x: torch.sigmoid(m.one(x).squeeze(-1)),
    "flatten(1)": lambda m, x: m.a(torch.flatten(x, 1)),
    "view(size)": lambda m, x: m.a(x.view(x.size(0), -1)),
    "view(shape)": lambda m, x: m.a(x.view(-1, 4)).view(*x.shape[:-1], 3),
    "reshape(len)": lambda m, x: m.a(x.reshape(len(x), -1)),
    "image and back": lambda m, x: m.a(x.view(-1, 1, 2, 2).flatten(1)),
    "answer as image": lambda m, x: m.d(x).view(-1, 1, 2, 3),
    "transposed image": lambda m, x: m.a(x.view(-1, 2, 2).transpose(1, 2).reshape(-1, 4)),
    "columns as samples": lambda m, x: (m.a.weight @ x.t()).t() + m.a.bias,
    "F.linear sliced": lambda m, x: F.linear(x, m.d.weight[:3], m.d.bias[:3]),
    "addmm": lambda m, x: torch.addmm(m.a.bias, x, m.a.weight.t()),
    "addmm scaled": lambda m, x: torch.addmm(m.a.bias, x, m.a.weight.t(), beta=0.5, alpha=2),
    "einsum": lambda m, x: torch.einsum("bi,oi->bo", x, m.a.weight) + m.a.bias,
    "einsum of vectors": lambda m, x: torch.einsum("bi,i->b", x, m.a.weight[0]),
    "matmul": lambda m, x: torch.matmul(x, m.a.weight.T),
    "matmul of columns": lambda m, x: (m.a.weight @ x.unsqueeze(-1)).squeeze(-1) + m.a.bias,
    "mv": lambda m, x: x @ m.a.weight[0],
    "bmm": lambda m, x: torch.bmm(x[None], m.a.weight.t()[None])[0],
    "weighted sum": lambda m, x: (m.a(x) * torch.tensor([1.0, 2, 3], dtype=x.dtype)).sum(-1),
    "mean of outputs": lambda m, x: m.a(x).mean(dim=1, keepdim=True),
    "exp of log_softmax": lambda m, x: F.log_softmax(m.a(x), 1).exp(),
    "log_softmax by hand": lambda m, x: (h := m.a(x)) - h.logsumexp(-1, keepdim=True),
    "softmin": lambda m, x: F.softmin(m.a(x), dim=-1),
    "relu_": lambda m, x: m.c(m.a(x).relu_()),
    "F.relu in place": lambda m, x: m.c(F.relu(m.a(x), inplace=True)),
    "+= and *=": lambda m, x: in_place(m, x),
    "in place without a name": lambda m, x: (h := m.a(x), F.relu(h, inplace=True), h)[0] * 2.0,
    "elu_": lambda m, x: F.elu_(m.a(x)),
    "clamp_": lambda m, x: m.a(x.clone().clamp_(-1, 1)),
    "clamp of each": lambda m, x: torch.clamp(m.a(x), m.low, m.low + 1),
    "clamp of each below": lambda m, x: torch.maximum(m.a(x), m.low),
    "clamp of each above": lambda m, x: torch.minimum(m.a(x), m.low),
    "max with zeros": lambda m, x: m.c(torch.max(m.a(x), torch.zeros_like(m.a(x)))),
    "max of two lines": lambda m, x: torch.max(h := m.a(x), 0.2 * h),
    "F.threshold": lambda m, x: m.c(F.threshold(m.a(x), 0.0, 0.0)),
    "where": lambda m, x: torch.where((h := m.a(x)) > 0, h, 0.1 * h),
    "where the other way": lambda m, x: torch.where((h := m.a(x)) < 0, torch.zeros_like(h), h),
    "elu by hand": lambda m, x: torch.where((h := m.a(x)) > 0, h, torch.expm1(h)),
    "softplus by hand": lambda m, x: torch.log1p(torch.exp(m.a(x))),
    "shift and scale": lambda m, x: m.low + 0.5 * (torch.tanh(m.a(x)) + 1.0) * 2.0,
    "squashed to bounds": lambda m, x: torch.tanh(m.a(x)) * m.low.abs() + m.low,
    "addcmul": lambda m, x: torch.addcmul(m.low, torch.tanh(m.a(x)), m.low, value=2),
    "normaliser and clamp": lambda m, x: m.a(
        ((x - m.mean) / torch.sqrt(m.var + 1e-8)).clamp(-2.0, 2.0)
    ),
    "scaled to [-1, 1]": lambda m, x: m.a(2.0 * (x - m.mean) / (m.var - m.mean) - 1.0),
    "ones beside": lambda m, x: m.a(x) * torch.ones(x.shape[0], 1, dtype=x.dtype),
    "enable_grad": lambda m, x: grad_enabled(m, x),
    "nothing random": lambda m, x: F.dropout(m.a(x), 0.5, training=m.training),
}  # fmt: skip


def in_place(m, x):
    h = m.a(x)
    h += m.low
    h *= 2
    h -= 1
    return m.c(h.tanh_())


def grad_enabled(m, x):
    with torch.set_grad_enabled(m.training):
        return m.a(x)


def parts():
    return {
        "a": lin(4, 3),
        "b": lin(4, 2),
        "c": lin(3, 2),
        "d": lin(4, 6),
        "one": lin(4, 1),
        "low": torch.tensor([-0.5, 0.1, 0.3]),
        "mean": torch.randn(4),
        "var": torch.rand(4) + 3.5,
    }


@pytest.mark.parametrize("name", STEPS)
def test_steps(name):
    check(Module(STEPS[name], **parts()).eval(), 3 if name == "input sliced" else 4)


def test_what_overflows_in_the_module_alone():
    """exp(x) of a large x is infinite in float32, where softplus is not."""
    module = Module(lambda m, x: torch.log(1 + torch.exp(m.a(x))), a=lin(4, 3))
    with torch.no_grad():
        module.a.weight.mul_(20)
    net = ln.from_torch(module)
    assert str(net.layers[0].activation) == "softplus"


def test_a_module_of_nan():
    module = Module(lambda m, x: torch.relu(m.a(x)), a=lin(4, 3))
    with torch.no_grad():
        module.a.weight[0, 0] = np.nan
    assert np.isnan(ln.from_torch(module)(np.ones(4))).tolist() == [True, False, False]
