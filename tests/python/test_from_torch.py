"""from_torch against PyTorch's own answers, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from frameworks import assert_agrees
from torch import nn
from variants import same_bits

import laminet as ln

DTYPES = [torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def answer(module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def samples(n, dtype=torch.float64, count=40):
    return torch.randn(count, n, dtype=dtype).numpy() * 2


def check(module, n, *, dtype=torch.float64, folded=True):
    """Import the module in this dtype, and compare; without folding, weights must keep all bits."""
    module = module.to(dtype).eval()
    net = ln.from_torch(module)
    assert net.dtype == np.dtype(str(dtype).removeprefix("torch."))
    x = samples(n, dtype)
    assert_agrees(net, x, answer(module, x), folded)
    if not folded:
        linears = [m for m in module.modules() if isinstance(m, nn.Linear)]
        for layer, linear in zip(net.layers, linears, strict=True):
            assert same_bits(np.array(layer.weight), linear.weight.detach().numpy())
            if linear.bias is None:
                assert layer.bias is None
            else:
                assert same_bits(np.array(layer.bias), linear.bias.detach().numpy())
    return net


def batch_norm(n, **options):
    norm = nn.BatchNorm1d(n, **options)
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 3)
        if norm.affine:
            norm.weight.normal_()
            norm.bias.normal_()
    return norm


ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "leaky_relu": nn.LeakyReLU(),
    "leaky_relu(alpha=0.3)": nn.LeakyReLU(0.3),
    "elu": nn.ELU(),
    "elu(alpha=0.7)": nn.ELU(0.7),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "softplus": nn.Softplus(threshold=40),
    "softsign": nn.Softsign(),
    "hard_sigmoid": nn.Hardsigmoid(),
    "hard_swish": nn.Hardswish(),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, dtype):
    function = ACTIVATIONS[name]
    module = nn.Sequential(nn.Linear(5, 8), function, nn.Linear(8, 3, bias=False), function)
    net = check(module, 5, dtype=dtype, folded=False)
    assert [str(layer.activation) for layer in net.layers] == [name, name]


@pytest.mark.parametrize(
    "function",
    [
        nn.CELU(0.7),
        nn.Softplus(beta=2.5, threshold=50),
        nn.Hardtanh(-0.4, 1.3),
        nn.Hardtanh(),
        nn.LogSigmoid(),
        nn.PReLU(),
        nn.PReLU(8, init=0.1),
        nn.RReLU(),
    ],
    ids=str,
)
def test_activations_by_algebra(function):
    check(nn.Sequential(nn.Linear(5, 8), function, nn.Linear(8, 3)), 5)
    check(nn.Sequential(nn.Linear(5, 8), function), 5)


def test_nested_sequences_and_parts_that_do_nothing():
    inner = nn.Sequential(nn.Identity(), nn.Linear(8, 8), nn.Sequential(nn.Tanh(), nn.Dropout(0.3)))
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.AlphaDropout(0.1), inner, nn.Flatten(), nn.Linear(8, 2)
    )
    net = check(module, 12, folded=False)
    assert repr(net).startswith("MLP(12 -> 8 identity -> 8 tanh -> 2 identity, float64")
    images = samples(12).reshape(-1, 3, 4)
    np.testing.assert_allclose(net(images.reshape(-1, 12)), answer(module, images), rtol=1e-12)


def test_batch_norm_at_every_place():
    for norms in ((5, None, None), (None, 8, None), (None, None, 8), (5, 8, 8)):
        first, second, third = (nn.Identity() if n is None else batch_norm(n) for n in norms)
        module = nn.Sequential(
            first, nn.Linear(5, 8, bias=False), second, nn.GELU(), third, nn.Linear(8, 3)
        )
        check(module, 5)
    check(nn.Sequential(nn.Linear(5, 8), batch_norm(8, affine=False, eps=0.1)), 5)
    check(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), batch_norm(8)), 5)


def test_one_module_at_two_places():
    """Where a module comes twice, named_children() shows it once."""
    norm, square = batch_norm(8), nn.Linear(8, 8)
    module = nn.Sequential(nn.Linear(8, 8), norm, nn.Tanh(), square, norm, nn.Tanh(), square)
    assert len(check(module, 8).layers) == 3


@pytest.mark.parametrize("dim", [1, -1])
@pytest.mark.parametrize(("end", "head"), [("Softmax", "softmax"), ("LogSoftmax", "log_softmax")])
def test_heads(end, head, dim):
    module = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), getattr(nn, end)(dim))
    for dtype in DTYPES:
        assert check(module, 5, dtype=dtype, folded=False).head == head


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_over_exactly(dtype):
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
    net = ln.from_torch(module)
    assert net.dtype == np.float32
    assert same_bits(np.array(net.layers[0].weight), module[0].weight.detach().float().numpy())
    wide = module.float()
    x = samples(5, torch.float32)
    assert_agrees(net, x, answer(wide, x))
    if dtype == torch.bfloat16:
        narrow = net.with_precision("bfloat16_weights")
        assert narrow.layers == net.layers
        assert same_bits(narrow(x), net(x))


def test_dtype_of_choice():
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    wide = ln.from_torch(module, dtype="float64")
    assert wide.dtype == np.float64
    assert wide.astype("float32") == ln.from_torch(module)
    assert ln.from_torch(module.double(), dtype="float32") == ln.from_torch(module.float())


def test_the_module_is_left_alone():
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    state = {k: v.clone() for k, v in module.state_dict().items()}
    random = torch.random.get_rng_state()
    net = ln.from_torch(module)
    assert module.training
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())
    before = net(np.ones(5))
    with torch.no_grad():
        module[0].weight.zero_()
    assert same_bits(net(np.ones(5)), before)


# --- A forward of one's own -----------------------------------------------------------------------


class Slice(nn.Module):
    """Runs on any width; on one feature it would be the identity."""

    def forward(self, x):
        return x[:, :2]


class Module(nn.Module):
    """Two layers and a buffer; what forward does with them is given."""

    def __init__(self, forward):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)
        self.block = nn.Sequential(nn.Linear(3, 3), nn.Mish())
        self.norm = batch_norm(8)
        self.register_buffer("mean", torch.randn(6))
        self.deviation = nn.Parameter(torch.rand(6) + 0.5)
        self._forward = forward

    def forward(self, x, scale=2.0, mask=None):
        if mask is not None:
            x = x * mask
        return self._forward(self, x) * (scale / 2)


FORWARDS = {
    "functional": lambda m, x: m.second(F.relu(m.first(x))),
    "methods": lambda m, x: m.second(m.first(x).tanh()).sigmoid(),
    "normalised input": lambda m, x: m.first((x - m.mean) / m.deviation),
    "normalised output": lambda m, x: m.second(m.first(x)) * 3 + torch.tensor([1.0, 2, 3]),
    "silu by hand": lambda m, x: m.second((h := m.first(x)) * torch.sigmoid(h)),
    "quick gelu": lambda m, x: m.second((h := m.first(x)) * torch.sigmoid(1.702 * h)),
    "gelu by hand": lambda m, x: m.second(
        0.5 * (h := m.first(x)) * (1 + torch.erf(h / 2**0.5))
    ),
    "gelu_tanh by hand": lambda m, x: m.second(
        0.5 * (h := m.first(x)) * (1 + torch.tanh((2 / np.pi) ** 0.5 * (h + 0.044715 * h**3)))
    ),
    "mish by hand": lambda m, x: m.second((h := m.first(x)) * torch.tanh(F.softplus(h, 1, 60))),
    "softplus by hand": lambda m, x: m.second(torch.log(1 + torch.exp(m.first(x)))),
    "hard swish by hand": lambda m, x: m.second((h := m.first(x)) * F.relu6(h + 3) / 6),
    "softsign by hand": lambda m, x: m.second((h := m.first(x)) / (1 + torch.abs(h))),
    "sigmoid by hand": lambda m, x: m.second(1 / (1 + torch.exp(-m.first(x)))),
    "leaky by hand": lambda m, x: m.second(torch.clamp(m.first(x), min=0.25)),
    "relu of tanh": lambda m, x: m.second(F.relu(torch.tanh(m.first(x)))),
    "view": lambda m, x: m.first(x.view(x.size(0), -1)),
    "reshape": lambda m, x: m.first(torch.flatten(x, 1).reshape(-1, 6)),
    "block": lambda m, x: m.block(m.second(F.gelu(m.first(x), approximate="tanh"))),
    "weights used as matrices": lambda m, x: x @ m.first.weight.t() + m.first.bias,
    "addmm": lambda m, x: torch.addmm(m.first.bias, x, m.first.weight.t(), beta=0.3, alpha=2),
    "F.linear": lambda m, x: F.linear(x, m.first.weight, m.first.bias),
    "norm": lambda m, x: m.norm(m.first(x)),
    "F.batch_norm": lambda m, x: F.batch_norm(
        m.first(x), m.norm.running_mean, m.norm.running_var, m.norm.weight, m.norm.bias
    ),
    "dropout": lambda m, x: F.dropout(m.first(x), 0.5, training=m.training),
    "1 - x": lambda m, x: m.second(1 - m.first(x)),
    "-x": lambda m, x: -m.second(torch.neg(m.first(x))),
    "tanh first": lambda m, x: m.first(torch.tanh(x.view(-1, 6) / 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards(name):
    check(Module(FORWARDS[name]), 6)


def test_a_head_in_a_forward():
    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x):
            return F.log_softmax(self.layer(x), dim=-1)

    assert check(Policy(), 6).head == "log_softmax"


def test_an_own_layer_is_not_taken_for_its_base():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    check(nn.Sequential(Scaled(5, 3)), 5)


# --- Refused --------------------------------------------------------------------------------------

REFUSED = {
    "Conv1d": (
        nn.Sequential(nn.Linear(2, 2), nn.Conv1d(1, 1, 1)),
        "1 (Conv1d) is no layer",
    ),
    "LayerNorm": (
        nn.Sequential(nn.Linear(2, 2), nn.LayerNorm((1, 2))),
        "1 (LayerNorm): normalises the last axes of shape (1, 2) of 2 features",
    ),
    "Dropout": (
        nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))),
        "0.1 (Dropout): is in training mode",
    ),
    "BatchNorm1d": (
        nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
        "1 (BatchNorm1d): normalises with each batch's own statistics: call eval()",
    ),
    "no running statistics": (
        nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval(),
        "1 (BatchNorm1d): keeps no running statistics",
    ),
    "RReLU": (nn.Sequential(nn.Linear(2, 2), nn.RReLU()), "1 (RReLU): is in training mode"),
    "PReLU": (
        nn.Sequential(nn.Linear(2, 2), slopes := nn.PReLU(3)),
        "1 (PReLU): has 3 slopes for 2 features",
    ),
    "softmax inside": (
        nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)),
        "2 (Linear): comes after a softmax",
    ),
    "softmax of the batch": (
        nn.Sequential(nn.Linear(2, 2), nn.Softmax(0)),
        "1 (Softmax): goes over dimension 0",
    ),
    "softmax of who knows": (nn.Sequential(nn.Linear(2, 2), nn.Softmax()), "dimension None"),
    "softplus": (
        nn.Sequential(nn.Linear(2, 2), nn.Softplus(threshold=5)),
        "1 (Softplus): is linear above a threshold of 5",
    ),
    "softplus by 0": (
        nn.Sequential(nn.Linear(2, 2), nn.Softplus(0.0)),
        "1 (Softplus): has a beta of 0, which it divides by",
    ),
    "celu by 0": (
        nn.Sequential(nn.Linear(2, 2), nn.CELU(0.0)),
        "1 (CELU): has an alpha of 0; laminet's elu takes one above 0",
    ),
    "celu below 0": (
        nn.Sequential(nn.Linear(2, 2), nn.CELU(-0.5)),
        "1 (CELU): has an alpha of -0.5; laminet's elu takes one above 0",
    ),
    "shapes": (
        nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 2)),
        "1 (Linear): a weight of shape (2, 2) does not take 3 features",
    ),
    "a slice alone": (Slice(), "takes: say it with in_features="),
    "no layer": (nn.Sequential(nn.ReLU()), "no layer says how many features"),
    "nothing": (nn.Sequential(), "no layer says how many features"),
    "lazy": (nn.LazyLinear(3), "has no weights yet"),
    "meta": (nn.Linear(2, 2, device="meta"), "has no values yet"),
    "flattened batch": (nn.Sequential(nn.Flatten(0), nn.Linear(2, 2)), "0 (Flatten): flattens"),
}
with torch.no_grad():
    slopes.weight[0] = 0.5


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    module, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.from_torch(module)


def test_hooks_are_refused():
    module = nn.Sequential(nn.Linear(2, 2))
    module[0].register_forward_hook(lambda m, x, y: y * 2)
    with pytest.raises(ValueError, match=r"0 \(Linear\) has forward hooks"):
        ln.from_torch(module)


def test_parametrized_weights_are_read_as_computed():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 3))
    module = nn.Sequential(layer)
    with pytest.raises(ValueError, match=r"is parametrized and in training mode"):
        ln.from_torch(module)
    net = check(module, 5)
    assert np.linalg.norm(net.layers[0].weight, 2) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("thing", [None, torch.zeros(3), {}, nn.Linear])
def test_other_things(thing):
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got"):
        ln.from_torch(thing)


def test_importing_laminet_imports_no_framework(script):
    result = script(
        "import sys, laminet; print({'torch', 'sklearn', 'keras', 'onnx'} & set(sys.modules))"
    )
    assert result.stdout.strip() == "set()", result.stderr
