"""What from_torch refuses, and in which words; weights that are computed."""

from __future__ import annotations

import re
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch_modules import Module, check, lin, mlp

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def parts():
    return {"a": lin(4, 3), "b": lin(3, 3), "square": lin(4, 4), "norm": nn.LayerNorm(3)}


def second_view(m, x):
    h = m.a(x)
    F.relu(h.view(-1, 3), inplace=True)
    return h


def filled(m, x):
    out = torch.zeros(len(x), 3, dtype=x.dtype)
    out[:, 0] = m.a(x)[:, 0]
    return out


def read_outside(m, x):
    return m.a(x) + torch.from_numpy(m.a(x).numpy()).mean()


def overwritten(m, x):
    h = m.a(x)
    h[:, 0] = 0
    return h


def caught(m, x):
    try:
        return m.a(x) if x.sum() > 0 else -m.a(x)
    except BaseException:
        return m.a(x)


FORWARDS = {
    "norm of the batch": (
        lambda m, x: F.layer_norm(m.a(x).t(), (len(x),)).t(),
        "layer_norm: is given a tensor of shape (3, 3) for 3 samples|mixes the features",
    ),
    "gate": (lambda m, x: m.a(x) * torch.sigmoid(m.a(x)), "mul: multiplies two different results"),
    "halves": (
        lambda m, x: (h := m.square(x))[:, :2] * torch.sigmoid(h[:, 2:]),
        "mul: multiplies two different results, as a gate does",
    ),
    "joined with numbers": (
        lambda m, x: torch.cat([m.a(x), torch.ones(len(x), 1)], 1),
        "cat: joins results with a constant",
    ),
    "tan": (lambda m, x: torch.tan(m.a(x)), "tan: is no step of a network"),
    "argmax": (lambda m, x: m.a(x).argmax(-1), "argmax: is no step of a network"),
    "unknown": (lambda m, x: m.a(x).cumsum(-1), "cumsum: is no step of a network that lamine"),
    "norm of each sample": (lambda m, x: F.normalize(m.a(x)), "from_torch(module.part)"),
    "after a softmax": (lambda m, x: m.b(m.a(x).softmax(-1)), "b (Linear): comes after a softmax"),
    "softmax of the batch": (lambda m, x: m.a(x).softmax(0), "goes over dimension 0"),
    "softmax of halves": (
        lambda m, x: m.square(x).view(-1, 2, 2).softmax(-1).flatten(1),
        "softmax: goes over dimension -1, not over the features",
    ),
    "another log-softmax": (
        lambda m, x: m.a(x) - (2 * m.a(x)).logsumexp(-1, keepdim=True),
        "sub: takes what is no number where a number is meant",
    ),
    "log of a softmax": (lambda m, x: m.a(x).softmax(-1).log(), "log: comes after a softmax"),
    "sum of the batch": (lambda m, x: m.a(x).sum(0), "sum: is not taken over all features"),
    "mean of the batch": (lambda m, x: m.a(x) - m.a(x).mean(0), "mean: is not taken over all feat"),
    "samples mixed": (lambda m, x: m.a(x.flip(0)), "a (Linear): mixes the features of different"),
    "flat batch": (lambda m, x: m.a(x).flatten(), "the output: is given a tensor of shape (9,)"),
    "product of two": (lambda m, x: m.a(x) @ m.a(x).t(), "mm: multiplies two results that both"),
    "many matrices": (
        lambda m, x: torch.bmm(x.unsqueeze(1), torch.arange(24.0).view(3, 4, 2)).squeeze(1)
        if len(x) == 3
        else None,
        "bmm: multiplies each sample with another matrix",
    ),
    "batch size": (lambda m, x: m.a(x) / x.shape[0], "depend on how many samples it is given"),
    "data": (lambda m, x: m.a(x) if x.sum() > 0 else -m.a(x), "decides by values of the input"),
    "data, caught": (caught, "decides by values of the input"),
    "item": (lambda m, x: m.a(x) * x.max().item(), "decides by values of the input"),
    "NumPy": (read_outside, "hands results over to Python or NumPy (numpy)"),
    "NumPy of the input": (lambda m, x: m.a(x) * np.asarray(x).max(), "over to Python or NumPy"),
    "lists": (lambda m, x: m.a(x) if x.tolist()[0] else x, "Python or NumPy (tolist)"),
    "float": (lambda m, x: m.a(x) * float(x[0, 0]), "decides by values of the input"),
    "noise": (lambda m, x: m.a(x) + torch.randn(3), "randn: draws random numbers (noise"),
    "noise like": (lambda m, x: (h := m.a(x)) + torch.randn_like(h), "randn_like: draws random"),
    "dropout always": (lambda m, x: F.dropout(m.a(x)), "call eval() on the module first"),
    "half": (lambda m, x: m.a(x).half().to(x.dtype), "rounds to float16 in between"),
    "autocast": (
        lambda m, x: autocast(m, x),
        "rounds to bfloat16 in between",
    ),
    "integers": (lambda m, x: m.a(x).int().to(x.dtype), "rounds to int32"),
    "round": (lambda m, x: m.a(x).round(), "round: is no step of a network"),
    "through a second view": (second_view, "changed in place through another view"),
    "filled": (filled, "writes results into a tensor that the module made"),
    "overwritten": (overwritten, "a result is changed in place|fill: is no step"),
    "rounded quotient": (
        lambda m, x: torch.div(m.a(x), 2.0, rounding_mode="floor"),
        "div: rounds the quotient (floor)",
    ),
    "numbers of the samples": (
        lambda m, x: m.a(x) + torch.arange(len(x))[:, None],
        "add: takes a tensor of shape (3, 1), not one number for each feature",
    ),
    "choice between layers": (
        lambda m, x: torch.where((h := m.a(x)) > 0, h, m.b(h)),
        "where: selects between results of different layers",
    ),
    "NumPy's noise": (lambda m, x: m.a(x) + np.random.rand(), "two answers to the same samples"),  # noqa: NPY002
    "a shape of its own": (
        lambda m, x: m.a(x).pow(torch.ones(1, 1, 1)),
        "a step gives another shape than laminet knows",
    ),
    "jump": (lambda m, x: F.threshold(m.a(x), 0.1, 0.0), "threshold: jumps to 0 at the threshold"),
    "mask": (lambda m, x: m.a(x) * (m.a(x) > 0), "mul: takes what is no number"),
    "each bounded apart": (
        lambda m, x: m.a(x).clamp(torch.tensor([0.0, 2.0, 1.0]), torch.tensor([1.0, 1.0, 2.0])),
        "clips to bounds of which the upper is below the lower",
    ),
    "power": (lambda m, x: m.a(x) ** 0.5, "pow"),
    "attention": (
        lambda m, x: F.scaled_dot_product_attention(h := m.a(x), h, h),
        "multiplies two results that both depend on the input",
    ),
    "a dict is wanted": (lambda m, x: m.a(x["obs"]), "cannot be run on a tensor (batch, features)"),
    "weights of the input": (
        lambda m, x: F.linear(torch.ones(1, 4), m.a(x).t() @ x),
        "mm: multiplies two results that both depend on the input",
    ),
}  # fmt: skip


def autocast(m, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.a(x).float()


@pytest.mark.parametrize("name", FORWARDS)
def test_refused(name):
    forward, message = FORWARDS[name]
    pattern = "|".join(map(re.escape, message.split("|")))
    with pytest.raises(ValueError, match=pattern) as info:
        ln.from_torch(Module(forward, **parts()).eval())
    assert not re.search(r"Proxy|aten|Traceback|0x|\bNoneType\b", str(info.value))


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(1, 3), nn.Bilinear(3, 3, 3),
        nn.Conv1d(1, 1, 1), nn.MultiheadAttention(3, 1), nn.Embedding(3, 3), nn.Hardshrink(),
        nn.GLU(), nn.InstanceNorm1d(3, affine=True),
        torch.ao.quantization.FakeQuantize(), nn.BatchNorm2d(3), nn.Dropout1d(0.2),
    ],
    ids=lambda m: type(m).__name__,
)  # fmt: skip
def test_refused_modules_are_named(layer):
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), layer)
    with pytest.raises(ValueError, match=rf"2 \({type(layer).__name__}\)"):
        ln.from_torch(module)


def test_no_running_statistics():
    norm = nn.BatchNorm1d(3, track_running_stats=False).eval()
    with pytest.raises(ValueError, match=r"norm \(BatchNorm1d\): keeps no running statistics"):
        ln.from_torch(Module(lambda m, x: m.norm(m.a(x)), a=lin(4, 3), norm=norm))


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_are_named_in_full():
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    quantised = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    with pytest.raises(ValueError, match=r"0 \(torch\.ao\.nn\.quantized\.dynamic.*Linear\)"):
        ln.from_torch(quantised)


# --- The mode that a module is in ----------------------------------------------------------------


class Flagged(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.drop, self.norm = lin(4, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.drop(self.a(x)))


def test_training_mode_is_refused_where_it_matters():
    module = Flagged()
    with pytest.raises(ValueError, match=r"drop \(Dropout\).*in training mode.*call eval\(\)"):
        ln.from_torch(module)
    module.drop.p = 0.0
    with pytest.raises(ValueError, match=r"norm \(BatchNorm1d\): .*own statistics: call eval\(\)"):
        ln.from_torch(module)
    check(module.eval(), 4)
    flag = Module(lambda m, x: m.a(x) * (2 if m.training else 3), a=lin(4, 3))
    check(flag, 4)
    check(flag.eval(), 4)


# --- Weights that are computed -------------------------------------------------------------------


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)


class Noisy(nn.Module):
    def forward(self, w):
        return w + torch.randn_like(w) if self.training else w


def old_weight_norm(layer):
    return nn.utils.weight_norm(layer)


def old_spectral_norm(layer):
    return nn.utils.spectral_norm(layer)


def pruned(layer):
    prune.l1_unstructured(layer, "weight", amount=0.4)
    prune.random_unstructured(layer, "bias", amount=1)
    return layer


COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own": lambda layer: parametrize.register_parametrization(layer, "weight", Symmetric()),
    "old weight_norm": old_weight_norm,
    "old spectral_norm": old_spectral_norm,
    "pruned": pruned,
}


@pytest.mark.parametrize("own_forward", [False, True])
@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_computed_weights(name, own_forward):
    layer = COMPUTED[name](nn.Linear(4, 4))
    module = nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 2)).double()
    if own_forward:
        module = Module(lambda m, x: m.net(x), net=module)
    module.eval()
    with torch.no_grad():  # what is computed from is changed: the weight itself is old
        for parameter in layer.parameters():
            parameter.mul_(1.5)
    old = dict(vars(layer))
    ln.from_torch(module)
    assert list(vars(layer)) == list(old)
    assert all(vars(layer)[name] is value for name, value in old.items())
    check(module, 4)


@pytest.mark.parametrize("name", ["spectral_norm", "old spectral_norm"])
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
def test_weights_that_change_in_training(name):
    with pytest.raises(ValueError, match=r"in training mode: call eval\(\)"):
        ln.from_torch(nn.Sequential(COMPUTED[name](nn.Linear(4, 4))))


def test_weight_norm_in_training_is_what_it_is_in_eval():
    module = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)))
    assert ln.from_torch(module) == ln.from_torch(module.eval())
    noisy = nn.Linear(4, 4)
    parametrize.register_parametrization(noisy, "weight", Noisy())
    with pytest.raises(ValueError, match="randn_like: draws random numbers"):
        ln.from_torch(nn.Sequential(noisy))


# --- Nothing that changes a result goes unseen ---------------------------------------------------


def doubled(module, x, y=None):
    return (x[0] if isinstance(x, tuple) else x) * 2


def test_hooks_are_refused():
    for register in ("register_forward_hook", "register_forward_pre_hook"):
        module = nn.Sequential(nn.Linear(4, 4))
        getattr(module[0], register)(doubled)
        with pytest.raises(ValueError, match=r"0 \(Linear\) has forward hooks.*remove them"):
            ln.from_torch(module)
    handle = nn.modules.module.register_module_forward_hook(lambda m, x, y: y * 2)
    try:
        with pytest.raises(ValueError, match="a forward hook is registered for all modules"):
            ln.from_torch(nn.Linear(4, 4))
    finally:
        handle.remove()


class Called(nn.Linear):
    def __call__(self, x):
        return super().__call__(x) * 2


def test_another_forward_of_one_layer():
    layer = nn.Linear(4, 4)
    layer.forward = types.MethodType(lambda self, x: F.linear(x, self.weight) * 2, layer)
    check(nn.Sequential(layer, nn.Tanh()), 4)
    sequence = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    sequence.forward = lambda x: sequence[0](x)
    check(sequence, 4)
    check(nn.Sequential(Called(4, 4), nn.Tanh()), 4)


class Weight(torch.Tensor):
    """As quantised and distributed tensors are: what it holds is not what it computes."""


def test_other_kinds_of_tensors_are_refused():
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.randn(4, 4).as_subclass(Weight))
    with pytest.raises(ValueError, match=r"0 \(Linear\): weight is a Weight, whose values"):
        ln.from_torch(nn.Sequential(layer))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("own_forward", [False, True])
def test_half_precision(dtype, own_forward):
    module = mlp(4, 8, 3).to(dtype)
    whole = Module(lambda m, x: m.net(x.to(m.net[0].weight.dtype)), net=module)
    net = ln.from_torch(whole if own_forward else module)
    assert net.dtype == np.float32
    assert net == ln.from_torch(module.float())


def test_rows_of_another_number_are_no_features():
    """A column of seven numbers makes seven rows of the only one that it can be multiplied with."""
    module = Module(lambda m, x: m.a(x) * m.column, a=nn.Linear(5, 3))
    module.register_buffer("column", torch.ones(7, 1))
    with pytest.raises(ValueError, match=r"its answer has shape \(7, 3\)"):
        ln.from_torch(module)


def test_a_scripted_container_has_no_forward():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, of script
        scripted = torch.jit.script(nn.ModuleDict({"a": nn.Linear(5, 3)}))
    with pytest.raises(ValueError, match="the module has no forward"):
        ln.from_torch(scripted)


@pytest.mark.parametrize("thing", ["net.pt", Path("net.pt"), {"0.weight": torch.ones(2, 3)}])
def test_what_ln_load_reads(thing):
    with pytest.raises(TypeError, match=r"ln\.load"):
        ln.from_torch(thing)
