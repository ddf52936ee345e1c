"""Modules of PyTorch that are no chain, as trees of layers: against PyTorch's own answers."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from layer_trees import text
from torch import nn
from torch_modules import Module, lin, mlp
from torch_trees import check, parts

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Block(nn.Module):
    """SimBa's: x + f(norm(x))."""

    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x):
        return x + self.down(F.relu(self.up(self.norm(x))))


def test_simba():
    module = nn.Sequential(
        nn.Linear(4, 8), Block(8, 32), Block(8, 32), nn.LayerNorm(8), nn.Linear(8, 3)
    )
    block = "x + (norm, 8>32 relu, 32>8)"
    tree = check(module, f"4>8, {block}, {block}, norm, 8>3")
    # What is there keeps its bits.
    assert tree.layers[0].weight.tobytes() == module[0].weight.detach().numpy().tobytes()
    norm = tree.layers[1].layers[0]
    assert norm.weight.tobytes() == module[1].norm.weight.detach().numpy().tobytes()
    assert norm.bias.tobytes() == module[1].norm.bias.detach().numpy().tobytes()
    assert norm.eps == 1e-5


class NeRF(nn.Module):
    """Eight layers, the input again at the fourth, and two heads; with directions or without."""

    def __init__(self, points=6, width=16, directions=0):
        super().__init__()
        self.points, self.directions = points, directions
        sizes = [points] + [width] * 8
        self.layers = nn.ModuleList(
            nn.Linear(n + (points if i == 5 else 0), width) for i, n in enumerate(sizes[:8])
        )
        self.sigma, self.feature = nn.Linear(width, 1), nn.Linear(width, width)
        self.view = nn.Linear(width + directions, width // 2)
        self.rgb = nn.Linear(width // 2, 3)

    def forward(self, x):
        points, directions = x[:, : self.points], x[:, self.points :]
        h = points
        for i, layer in enumerate(self.layers):
            h = F.relu(layer(h))
            if i == 4:
                h = torch.cat([points, h], -1)
        sigma = self.sigma(h)
        h = self.feature(h)
        if self.directions:
            h = torch.cat([h, directions], -1)
        return {"rgb": torch.sigmoid(self.rgb(F.relu(self.view(h)))), "sigma": sigma}


def test_nerf():
    four = ", ".join(["16>16 relu"] * 4)
    trunk = f"concat(x | 6>16 relu, {four}), 22>16 relu, 16>16 relu, 16>16 relu"
    heads = "concat(16>16, 16>8 relu, 8>3 sigmoid | 16>1)"
    tree = check(NeRF(), f"{trunk}, {heads}", (6,), in_features=6)
    assert tree.outputs == ln.Quantities(["rgb[0]", "rgb[1]", "rgb[2]", "sigma"])


def test_nerf_with_directions_computes_its_trunk_once():
    tree = check(NeRF(directions=3), None, (9,), in_features=9)
    assert text(tree.layers).count("22>16 relu") == 1
    assert text(tree.layers).endswith("[9:25], 16>1)")


class Critic(nn.Module):
    def __init__(self, sizes=(7, 16, 16, 1)):
        super().__init__()
        self.q1, self.q2 = (mlp(*sizes, activation=nn.ReLU) for _ in range(2))

    def forward(self, obs, action):
        x = torch.cat([obs, action], 1)
        return self.q1(x), self.q2(x)


def test_twin_critics():
    branch = "7>16 relu, 16>16 relu, 16>1"
    tree = check(Critic(), f"concat({branch} | {branch})", (5, 2), in_features=(5, 2))
    assert tree.inputs == (("obs", 5), ("action", 2))
    assert tree.outputs == ln.Quantities()


class Dueling(nn.Module):
    def __init__(self, mean_first):
        super().__init__()
        self.mean_first = mean_first
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.value, self.advantage = mlp(8, 6, 1), mlp(8, 6, 5)

    def forward(self, x):
        h = self.trunk(x)
        v, a = self.value(h), self.advantage(h)
        mean = a.mean(dim=1, keepdim=True)
        return v + (a - mean) if self.mean_first else v + a - mean


@pytest.mark.parametrize("mean_first", [True, False])
def test_dueling(mean_first):
    """The value is repeated and the mean taken away within the last layers, exactly."""
    check(Dueling(mean_first), "4>8 relu, sum(8>6 tanh, 6>5 | 8>6 tanh, 6>5)")


@pytest.mark.parametrize("how", ["stack 0", "stack 1", "mean", "loop", "cat"])
def test_ensembles(how):
    members = nn.ModuleList(mlp(4, 8, 3, activation=nn.ReLU) for _ in range(3))

    def forward(m, x):
        results = [member(x) for member in m.members]
        if how == "loop":
            return sum(results) / len(results)
        if how == "cat":
            return torch.cat(results, 1)
        if how == "mean":
            return torch.stack(results).mean(0)
        stacked = torch.stack(results, int(how[-1]))
        return stacked.transpose(0, 1) if how == "stack 0" else stacked

    join = "mean" if how in ("mean", "loop") else "concat"
    check(Module(forward, members=members), f"{join}({' | '.join(['4>8 relu, 8>3'] * 3)})")


def test_ensembles_of_stacked_matrices():
    """As MBPO and REDQ have them: one product of a stack of matrices a layer."""
    parts = {f"w{i}": nn.Parameter(torch.randn(5, *s)) for i, s in enumerate([(4, 8), (8, 3)])}
    parts |= {f"b{i}": nn.Parameter(torch.randn(5, 1, n)) for i, n in enumerate([8, 3])}

    def forward(m, x):
        h = F.silu(torch.baddbmm(m.b0, x.expand(5, *x.shape), m.w0))
        return (h @ m.w1 + m.b1).mean(dim=0)

    check(Module(forward, **parts), f"mean({' | '.join(['4>8 silu, 8>3'] * 5)})")


def test_residuals_of_residuals():
    """A thousand blocks are no deeper than one, and a block may hold others."""
    deep = nn.Sequential(nn.Linear(4, 4), *[Block(4, 4) for _ in range(300)])
    assert text(check(deep).layers).count("x + (") == 300

    def nested(m, x):
        h = m.a(x)
        return h + m.b(F.relu(h) + m.c(F.relu(h)))

    parts = {"a": lin(4, 3), "b": lin(3, 3), "c": lin(3, 3)}
    check(Module(nested, **parts), "4>3, x + (relu, x + (3>3), 3>3)")


FORWARDS = {
    "residual": (lambda m, x: x + m.s(x), "x + (4>4)"),
    "residual of a layer": (lambda m, x: (h := m.a(x)) + m.b(F.relu(h)), "4>3, x + (relu, 3>3)"),
    "two at once": (lambda m, x: x + m.s(x) + m.t(x), "x + (sum(4>4 | 4>4))"),
    "difference": (lambda m, x: x - m.s(x), "x + (4>4)"),
    "sum": (lambda m, x: torch.tanh(m.s(x)) + m.t(x), "sum(4>4 tanh | 4>4)"),
    "scaled": (lambda m, x: 0.3 * (x + m.s(x)), "x + (4>4), scale"),
    "half": (lambda m, x: 0.5 * (x + m.s(x)), "mean(x | 4>4)"),
    "mean of two": (lambda m, x: (m.s(x) + torch.tanh(m.t(x))) / 2, "mean(4>4 | 4>4 tanh)"),
    "dense after a sum": (lambda m, x: m.a(2 * (x + m.s(x))), "x + (4>4), 4>3"),
    "joined": (lambda m, x: torch.cat([x, F.relu(m.a(x))], 1), "concat(x | 4>3 relu)"),
    "joined and split": (
        lambda m, x: m.b(torch.cat([x, F.relu(m.a(x))], 1)[:, 4:]),
        "4>3 relu, 3>3",
    ),
    "DenseNet": (
        lambda m, x: torch.cat([h := torch.cat([x, F.relu(m.a(x))], 1), torch.tanh(m.w(h))], 1),
        "concat(x | 4>3 relu), concat(x | 7>2 tanh)",
    ),
    "joined twice": (
        lambda m, x: torch.cat([torch.cat([x, F.relu(m.a(x))], 1), torch.tanh(m.s(x))], 1),
        "concat(x | 4>3 relu | 4>4 tanh)",
    ),
    "heads": (lambda m, x: (m.a(x), m.s(x)), "4>7"),
    "halves": (lambda m, x: (h := m.s(x))[:, :2] + torch.tanh(h[:, 2:]), None),
    "post-norm": (lambda m, x: m.norm4(x + m.s(x)), "x + (4>4), norm"),
    "no affine": (lambda m, x: F.layer_norm(m.a(x), (3,)), "4>3, norm"),
    "rms": (lambda m, x: F.rms_norm(m.a(x), (3,), eps=1e-3), "4>3, rms"),
    "rms with its own eps": (lambda m, x: F.rms_norm(m.a(x), (3,), m.scale), "4>3, rms"),
    "activation after a norm": (lambda m, x: m.a(F.relu(m.norm4(x))), "norm, relu, 4>3"),
    "batch norm after a sum": (lambda m, x: F.relu(m.bn(x + m.s(x))), None),
    "slopes": (lambda m, x: F.prelu(m.a(x), m.scale), "4>3 leaky_relu"),
    "slopes of some": (lambda m, x: m.b(F.prelu(m.a(x), m.scale)), "4>3 leaky_relu, 3>3"),
    "clip": (lambda m, x: torch.clamp(m.a(x), -0.3, 0.5), "4>3, low*high"),
    "clip below": (lambda m, x: m.b(m.a(x).clamp(min=-0.3)), "4>3, low, 3>3"),
    "clip of the input": (lambda m, x: m.a((2 * x - 1).clamp(-1, 1)), "scale*shift*low*high, 4>3"),
    "clip each": (
        lambda m, x: torch.clamp(m.a(x), -m.scale.abs(), m.scale.abs()),
        "4>3, low*high",
    ),
    "relu6": (lambda m, x: F.relu6(m.a(x)), "4>3 relu6"),
    "relu of the input": (lambda m, x: m.a(F.relu(x)), "relu, 4>3"),
    "softmax after a sum": (lambda m, x: (x + m.s(x)).softmax(-1), "x + (4>4)"),
    "mean of the features": (lambda m, x: m.a(x).mean(-1, keepdim=True), "4>3, 3>1"),
    "centred": (lambda m, x: (h := m.a(x)) - h.mean(-1, keepdim=True), "4>3"),
    "centred input": (lambda m, x: x - x.mean(-1, keepdim=True), "4>4"),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards(name):
    forward, layers = FORWARDS[name]
    check(Module(forward, **parts()), layers, in_features=4)


# --- What has no place ---------------------------------------------------------------------------

REFUSED = {
    "gate": (
        lambda m, x: m.s(x) * torch.sigmoid(m.t(x)),
        "mul: multiplies two different results, as a gate does, which no layer of laminet does",
    ),
    "DeepONet": (
        lambda m, x: (F.relu(m.s(x)) * F.relu(m.t(x))).sum(-1, keepdim=True),
        "mul: multiplies two different results",
    ),
    "minimum": (lambda m, x: torch.minimum(m.s(x), m.t(x)), "minimum: is the minimum of two"),
    "length": (
        lambda m, x: x / (x.square().mean(-1, keepdim=True)).sqrt().exp(),
        "divides one result by",
    ),
    "mean of squares": (
        lambda m, x: m.s(x).square().mean(-1, keepdim=True),
        "the output: is given 1 t^2, which is no activation that laminet has",
    ),
    "variance of all": (
        lambda m, x: x / x.var(unbiased=False).sqrt(),
        "var: is not taken over all features of each sample",
    ),
    "an unknown eps": (
        torch.inference_mode()(lambda m, x: F.rms_norm(m.s(x), (4,))),
        "rms_norm: has no epsilon, and no weight whose type would tell it",
    ),
    "groups": (
        lambda m, x: F.layer_norm(m.s(x).reshape(-1, 2, 2), (2,)).flatten(1),
        "layer_norm: normalises a part of the features of each sample by themselves",
    ),
    "two softmaxes": (
        lambda m, x: (m.a(x).softmax(-1), m.s(x)),
        "has several outputs, and a softmax over one of them",
    ),
    "other widths": (
        lambda m, x: torch.cat([x, x.cumsum(1)], 1),
        "cumsum: is no step of a network",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    forward, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.from_torch(Module(forward, **parts()).eval(), in_features=4)
