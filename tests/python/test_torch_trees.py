"""Real modules and tricky ones: read as what PyTorch computes in float64, or refused in words."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from layer_trees import assert_computes
from torch import nn
from torch.func import functional_call, vmap
from torch_modules import Module, lin, mlp
from tree_bounds import value_bound

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def array(*shape):
    return nn.Parameter(torch.randn(*shape))


def results_of(module, x):
    with torch.no_grad():
        given = module(x)
    given = given if isinstance(given, (tuple, list)) else [given]
    return np.concatenate([g.reshape(len(x), -1).double().numpy() for g in given], axis=1)


def check(module, layers, width=4, **options):
    """In float64 against PyTorch; in float32 within the derived bound of the reference."""
    module = module.double().eval()
    net = ln.from_torch(module, **options)
    x = torch.randn(9, width, dtype=torch.float64) * 2
    for samples in (x, x[:1]):
        assert_computes(net, samples.numpy(), results_of(module, samples), layers)
    narrow = ln.from_torch(module, dtype="float32", **options)
    x32 = x.numpy().astype(np.float32)
    error = np.abs(narrow(x32) - ln.reference.forward(narrow, x32))
    assert (error <= value_bound(narrow, x32)).all()
    # The same layers with weights that were rounded: no other function.
    assert np.abs(narrow(x32) - net(x.numpy())).max() < 0.01 * max(1, np.abs(net(x.numpy())).max())
    return net


def normaliser(m, x):
    return torch.clamp((x - m.mean) / torch.sqrt(m.var + 1e-8), -5, 5)


def squashed(m, x):
    return torch.tanh(m.a(x)) * m.scale + m.shift


def actor(m, x):
    h = F.relu(m.a(x))
    return m.b(h), -5 + 0.5 * (2 + 5) * (torch.tanh(m.c(h)) + 1)


def siren(m, x):
    return m.c(torch.sin(30 * m.b(torch.sin(30 * m.a(x)))))


def fourier(m, x):
    waves = [f(2.0**k * x) for k in range(2) for f in (torch.sin, torch.cos)]
    return m.d(torch.cat([x, *waves], -1))


def cosmopower(m, x):
    h = m.a(x)
    return m.b((m.beta + torch.sigmoid(m.alpha * h) * (1 - m.beta)) * h)


def cosmopower_of_numbers(m, x):
    h = m.a(x)
    return m.b((0.3 + torch.sigmoid(1.5 * h) * 0.7) * h)


def tabular_resnet(m, x):
    x = m.a(x)
    for norm, up, down in ((m.norm1, m.up1, m.down1), (m.norm2, m.up2, m.down2)):
        x = x + down(F.relu(up(norm(x))))
    return m.head(F.relu(m.last(x)))


def running(width):
    norm = nn.BatchNorm1d(width)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def stacked_state(m, x):
    first = m.members[0]
    names = [name for name, _ in first.named_parameters()]
    state = {n: torch.stack([dict(k.named_parameters())[n] for k in m.members]) for n in names}
    one = vmap(lambda p, x: functional_call(first, p, (x,)), in_dims=(0, None))
    return one(state, x).transpose(0, 1)


def by_einsum(m, x):
    h = torch.tanh(torch.einsum("bi,mih->bmh", x, m.w) + m.bias)
    return torch.einsum("bmh,mho->bmo", h, m.v)


def tabm(m, x):
    """Members share their matrices, and have scales of their own around them."""
    return m.b(F.relu(m.a(x[:, None, :] * m.r) * m.s)).mean(1)


def added_in_place(m, x):
    h = m.square(x)
    h += m.other(F.relu(h))
    return h


def changed_before_use(m, x):
    h = m.square(x)
    F.relu_(h)
    return m.other(h) + h


def by_deviation(m, x):
    h = m.square(x)
    return (h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True)


def gated_branches(m, x):
    u, v = F.gelu(m.double_(x)).chunk(2, -1)
    return torch.cat([u, m.other(m.norm(v))], -1)


def unet(m, x):
    h = F.relu(m.a6(x))
    return m.c12(torch.cat([F.relu(m.up(F.relu(m.down(h)))), h], 1))


SQUARE = {"square": lambda: lin(4, 4), "other": lambda: lin(4, 4)}
READ = {
    "observation normaliser": (
        lambda m, x: m.a(normaliser(m, x)), "scale*shift*low*high, 4>3",
        {"a": lambda: lin(4, 3), "mean": lambda: torch.randn(4), "var": lambda: torch.rand(4)},
    ),
    "action range": (
        squashed, "4>3 tanh, scale*shift",
        {"a": lambda: lin(4, 3), "scale": lambda: torch.rand(3), "shift": lambda: torch.rand(3)},
    ),
    "actor of SAC": (
        actor, "4>4 relu, concat(4>2 | 4>2 tanh, scale*shift)",
        {"a": lambda: lin(4, 4), "b": lambda: lin(4, 2), "c": lambda: lin(4, 2)},
    ),
    "SIREN": (
        siren, "4>5 sin, 5>5 sin, 5>1",
        {"a": lambda: lin(4, 5), "b": lambda: lin(5, 5), "c": lambda: lin(5, 1)},
    ),
    "Fourier features": (fourier, None, {"d": lambda: lin(20, 2)}),
    "slopes by unit": (
        lambda m, x: m.b(m.slopes(m.a(x))), "4>4 leaky_relu, 4>2",
        {"a": lambda: lin(4, 4), "b": lambda: lin(4, 2), "slopes": lambda: slopes(4)},
    ),
    "CosmoPower": (
        cosmopower, "4>4 gated, 4>2",
        {"a": lambda: lin(4, 4), "b": lambda: lin(4, 2), "alpha": lambda: array(4),
         "beta": lambda: array(4)},
    ),
    "CosmoPower of numbers": (
        cosmopower_of_numbers, "4>4 gated, 4>2", {"a": lambda: lin(4, 4), "b": lambda: lin(4, 2)},
    ),
    "tabular ResNet": (
        tabular_resnet,
        "4>8, x + (8>16 relu, 16>8), x + (8>16 relu, 16>8), scale*shift, relu, 8>1",
        {"a": lambda: lin(4, 8), "norm1": lambda: running(8), "up1": lambda: lin(8, 16),
         "down1": lambda: lin(16, 8), "norm2": lambda: running(8), "up2": lambda: lin(8, 16),
         "down2": lambda: lin(16, 8), "last": lambda: running(8), "head": lambda: lin(8, 1)},
    ),
    "stacked state": (
        stacked_state, f"concat({' | '.join(['4>5 tanh, 5>2'] * 3)})",
        {"members": lambda: nn.ModuleList(mlp(4, 5, 2) for _ in range(3))},
    ),
    "einsum": (
        by_einsum, f"concat({' | '.join(['4>5 tanh, 5>2'] * 3)})",
        {"w": lambda: array(3, 4, 5), "v": lambda: array(3, 5, 2), "bias": lambda: array(3, 5)},
    ),
    "TabM": (
        tabm, f"mean({' | '.join(['4>5 relu, 5>2'] * 3)})",
        {"a": lambda: lin(4, 5), "b": lambda: lin(5, 2), "r": lambda: array(3, 4),
         "s": lambda: array(3, 5)},
    ),
    "shared module": (
        lambda m, x: m.square(torch.tanh(m.square(x))) + x, "x + (4>4 tanh, 4>4)", SQUARE,
    ),
    "added in place": (added_in_place, "4>4, x + (relu, 4>4)", SQUARE),
    "changed before it is used": (changed_before_use, "4>4 relu, x + (4>4)", SQUARE),
    "deviation": (by_deviation, "4>4, norm", SQUARE),
    "one feature added to all": (
        lambda m, x: m.square(x) + m.one(x), "sum(4>4 | 4>4)",
        {"one": lambda: lin(4, 1), **SQUARE},
    ),
    "columns twice": (lambda m, x: m.square(x)[:, [-1, 0, 0, -2]], "4>4", SQUARE),
    "layer scale": (
        lambda m, x: x + m.g * m.square(x), "x + (4>4)", {"g": lambda: array(4), **SQUARE},
    ),
    "halves": (
        gated_branches, "concat(4>4 gelu | 4>4 gelu, norm, 4>4)",
        {"double_": lambda: lin(4, 8), "norm": lambda: nn.LayerNorm(4), **SQUARE},
    ),
    "U-Net": (
        unet, "4>6 relu, concat(6>3 relu, 3>6 relu | x), 12>4",
        {"a6": lambda: lin(4, 6), "down": lambda: lin(6, 3), "up": lambda: lin(3, 6),
         "c12": lambda: lin(12, 4)},
    ),
    "norm of a part": (
        lambda m, x: torch.cat([F.layer_norm(m.square(x)[:, :2], (2,), eps=0.1), x], 1),
        "concat(4>2, norm | x)", SQUARE,
    ),
    "parts of a sample": (
        lambda m, x: m.other(m.double_(x).view(-1, 2, 4)), "concat(4>4, 4>4 | 4>4, 4>4)",
        {"double_": lambda: lin(4, 8), **SQUARE},
    ),
}  # fmt: skip


def slopes(count):
    module = nn.PReLU(count)
    nn.init.normal_(module.weight)
    return module


@pytest.mark.parametrize("name", READ)
def test_read(name):
    forward, layers, parts = READ[name]
    check(Module(forward, **{k: make() for k, make in parts.items()}), layers, in_features=4)


def test_a_stack_of_results_has_its_samples_first():
    module = Module(lambda m, x: torch.stack([m.p(x), m.q(x)]), p=mlp(4, 5, 2), q=mlp(4, 5, 2))
    module = module.double().eval()
    net = ln.from_torch(module)
    x = torch.randn(9, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = module(x).numpy()
    assert expected.shape == (2, 9, 2)
    assert_computes(net, x.numpy(), np.moveaxis(expected, 0, 1).reshape(9, 4))


def test_widths_are_found_where_one_feature_runs_too():
    """By broadcasting: einsum takes a length of 1 for any."""
    module = Module(by_einsum, w=array(3, 4, 5), v=array(3, 5, 2), bias=array(3, 5)).double()
    assert ln.from_torch(module).in_features == 4
    assert (
        ln.from_torch(nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))).in_features == 1
    )
    assert ln.from_torch(Module(lambda m, x: m.a(x) + 1, a=lin(1, 3))).in_features == 1


def test_what_leads_to_a_product_stays_as_it_was():
    """A scale of a result that others need too is folded into the layer after it, and no other."""
    module = Module(lambda m, x: (h := m.a(x)) + m.b(m.norm(h)), a=lin(4, 3), b=lin(3, 3),
                    norm=running(3))  # fmt: skip
    net = check(module, "4>3, x + (3>3)")
    weight = module.a.weight.detach().numpy()
    assert net.layers[0].weight.tobytes() == weight.tobytes()


def spelled(inside, of_variance, of_mean):
    def forward(m, x):
        h, g = m.square(x), m.other(x)
        mean, variance = (
            {"h": h, "g": g, "batch": h.T}[of_mean].mean(-1, keepdim=True),
            {"h": h, "g": g}[of_variance].var(-1, keepdim=True, unbiased=False),
        )
        return (h - mean) / ((variance + 0.1).sqrt() if inside else variance.sqrt() + 0.1)

    return forward


WHICH = {
    "outside": (False, "h", "h"),
    "variance of another": (True, "g", "h"),
    "mean of another": (True, "h", "g"),
    "mean of the batch": (True, "h", "batch"),
}
REFUSED = {
    **{f"norm, {k}": (spelled(*v), "div: divides one result|mean: is not taken") for k, v in
       WHICH.items()},
    "length": (lambda m, x: (h := m.square(x)) / h.pow(2).sum(-1, True).sqrt(), "sum: is given 1"),
    "rms of what is not centred": (
        lambda m, x: (h := m.square(x)) / (h.var(-1, keepdim=True) + 0.1).sqrt(), "div: divides",
    ),
    "norm of the whole tensor": (
        lambda m, x: (h := m.square(x)) / (h.var() + 1).sqrt(), "var: is not taken over all",
    ),
    "batch mean": (lambda m, x: (h := m.square(x)) - h.mean(0), "(statistics of a batch: call"),
    "mean of the wrong axis": (
        lambda m, x: torch.stack([m.square(x), x]).mean(1), "(statistics of a batch: call eval()",
    ),
    "first sample": (lambda m, x: m.square(x) + m.other(x[:1]), "a tensor of shape (1, 4) for 3"),
    "other samples": (lambda m, x: m.square(x) + x.flip(0), "add: mixes the features of different"),
    "rolled": (lambda m, x: x + torch.roll(m.square(x), 1, 0), "add: mixes the features of"),
    "one above another": (lambda m, x: torch.cat([m.square(x), x], 0), "a tensor of shape (6, 4)"),
    "one feature times all": (lambda m, x: m.square(x) * m.other(x)[:, :1], "mul: multiplies two"),
    "GLU": (lambda m, x: F.glu(m.square(x)), "glu: is no step of a network"),
    "highway": (
        lambda m, x: (t := torch.sigmoid(m.square(x))) * m.other(x) + (1 - t) * x,
        "mul: multiplies two different results, as a gate does, which no layer of laminet does",
    ),
    "through a view": (lambda m, x: doubled_view(m.square(x)) + x, "in place through another view"),
    "softmax within": (lambda m, x: x + m.square(x).softmax(-1), "add: comes after a softmax"),
    "bounds that cross": (lambda m, x: m.square(x).clamp(1, 0), "clamp: the clip to 1 .. 0"),
    "groups": (
        lambda m, x: F.group_norm(m.square(x), 2), "group_norm: is no step of a network",
    ),
}  # fmt: skip


def doubled_view(h):
    h[:, :2].mul_(2.0)
    return h


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    forward, message = REFUSED[name]
    pattern = "|".join(map(re.escape, message.split("|")))
    with pytest.raises(ValueError, match=pattern):
        ln.from_torch(Module(forward, **{k: v() for k, v in SQUARE.items()}).eval(), in_features=4)


@pytest.mark.parametrize(
    "norm", [nn.Dropout(0.5), nn.BatchNorm1d(4)], ids=["dropout", "batch norm"]
)
def test_branches_in_training_mode(norm):
    module = Module(lambda m, x: x + m.norm(m.a(x)), a=lin(4, 4), norm=norm)
    with pytest.raises(ValueError, match=r"norm \(.*call eval\(\) on the module first"):
        ln.from_torch(module)
    check(module, "x + (4>4)")
