"""from_torch of TorchScript, of exported programs and traced graphs, and of wrapped modules."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from frameworks import assert_agrees
from torch import nn
from torch_modules import Module

import laminet as ln


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Policy(nn.Module):
    """A normaliser, layers and activations of several kinds, and a flag of training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.randn(5))
        self.register_buffer("var", torch.rand(5) + 0.5)
        self.layers = nn.ModuleList([nn.Linear(5, 8), nn.Linear(8, 8)])
        self.norm = nn.BatchNorm1d(8)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Dropout(0.3), nn.Linear(8, 8))
        self.end = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 2:
            raise ValueError("shape")
        x = ((x - self.mean) / torch.sqrt(self.var + 1e-8)).clamp(-5.0, 5.0)
        for layer in self.layers:
            x = F.elu(layer(x))
        x = self.norm(x).view(x.size(0), -1)
        x = F.gelu(self.body(x)) if not self.training else F.relu(self.body(x))
        return torch.tanh(self.end(F.softplus(x)))[:, :2] * 2.0


class TwoResults(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor):
        return self.a(x), self.b(x).squeeze(-1)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(7, 3)

    def forward(self, obs, act):
        return self.a(torch.cat([act, obs], 1))


def scripted(module, x):
    return torch.jit.script(module)


def traced(module, x):
    return torch.jit.trace(module, x)


def saved(module, x):
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module), file)
    file.seek(0)
    return torch.jit.load(file)


def frozen(module, x):
    return torch.jit.freeze(torch.jit.script(module))


def optimised(module, x):
    return torch.jit.optimize_for_inference(torch.jit.script(module))


def exported(module, x):
    return torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def exported_for_one_batch(module, x):
    return torch.export.export(module, (x,))


def exported_for_one_sample(module, x):
    return torch.export.export(module, (x[:1],))


def exported_and_saved(module, x):
    file = io.BytesIO()
    torch.export.save(exported(module, x), file)
    file.seek(0)
    return torch.export.load(file)


def decomposed(module, x):
    return exported(module, x).run_decompositions()


def its_module(module, x):
    return exported(module, x).module()


def made_for_training(module, x):
    return torch.export.export(module, (x,), strict=True)


FORMS = [
    scripted,
    traced,
    saved,
    frozen,
    optimised,
    exported,
    exported_for_one_batch,
    exported_for_one_sample,
    exported_and_saved,
    decomposed,
    its_module,
    made_for_training,
]


def form_of(make, module, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, of TorchScript and of its pytrees
        return make(module, x)


def answer(module, x):
    with torch.no_grad():
        return module(x).numpy()


@pytest.mark.parametrize("make", FORMS, ids=lambda f: f.__name__)
def test_programs(make):
    module = Policy().double().eval()
    x = torch.randn(30, 5, dtype=torch.float64) * 4
    net = ln.from_torch(form_of(make, module, x[:4]))
    assert net.dtype == np.float64
    assert_agrees(net, x.numpy(), answer(module, x), folded=True)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.GELU(),
        nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(2.0, 40.0),
        nn.Softsign(), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(-0.4, 1.3), nn.PReLU(),
        nn.RReLU(), nn.LogSigmoid(), nn.Softmax(-1), nn.LogSoftmax(1), nn.Threshold(0.3, 0.3),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("make", [scripted, traced, exported, decomposed], ids=lambda f: f.__name__)
def test_activations_of_programs(make, activation):
    module = nn.Sequential(nn.Linear(5, 8), activation).double().eval()
    x = torch.randn(30, 5, dtype=torch.float64) * 4
    net = ln.from_torch(form_of(make, module, x[:4]))
    assert_agrees(net, x.numpy(), answer(module, x), folded=True)


@pytest.mark.parametrize("make", [traced, scripted, exported], ids=lambda f: f.__name__)
def test_weights_of_programs_keep_their_bits(make):
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3, bias=False)).eval()
    assert ln.from_torch(form_of(make, module, torch.zeros(2, 5))) == ln.from_torch(module)


def test_a_graph_module():
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    assert ln.from_torch(torch.fx.symbolic_trace(module)) == ln.from_torch(module)


@pytest.mark.parametrize("make", [scripted, traced, exported], ids=lambda f: f.__name__)
def test_programs_of_several_results(make):
    module = TwoResults().double().eval()
    program = form_of(make, module, torch.zeros(2, 4, dtype=torch.float64))
    x = torch.randn(30, 4, dtype=torch.float64)
    both = ln.from_torch(program)
    assert both.outputs == ln.Quantities()
    expected = np.concatenate([answer(module.a, x), answer(module.b, x)], axis=1)
    assert_agrees(both, x.numpy(), expected, folded=True)
    net = ln.from_torch(program, output=1)
    assert_agrees(net, x.numpy(), answer(module.b, x), folded=True)


def test_programs_of_several_inputs():
    module = TwoInputs().double()
    x, a = torch.randn(30, 4, dtype=torch.float64), torch.randn(30, 3, dtype=torch.float64)
    with torch.no_grad():
        expected = module(x, a).numpy()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(module, (x,), {"act": a}, dynamic_shapes=(batch, batch))
    net = ln.from_torch(program)
    assert net.inputs == (("obs", 4), ("act", 3))
    both = np.concatenate([x, a], axis=1)
    assert_agrees(net, both, expected, folded=True)
    scripted_ = form_of(lambda m, _: torch.jit.script(m), module, None)
    net = ln.from_torch(scripted_, in_features={"obs": 4, "act": 3})
    assert_agrees(net, both, expected, folded=True)


def test_a_part_that_is_a_script():
    module = nn.Sequential(form_of(scripted, nn.Sequential(nn.Linear(5, 8), nn.Tanh()), None))
    module.append(nn.Linear(8, 2))
    module.double()
    x = torch.randn(30, 5, dtype=torch.float64)
    assert_agrees(ln.from_torch(module), x.numpy(), answer(module, x), folded=True)


class Refused(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.LayerNorm(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        if self.kind == "gate":
            return h * self.b(x)
        if self.kind == "norm":
            return self.norm(h.reshape(-1, 2, 2)).flatten(1)
        if self.kind == "tan":
            return torch.tan(h)
        if self.kind == "data":
            if bool(h.sum() > 0):
                return h
            return -h
        return F.dropout(h, 0.5, training=True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("gate", "mul: multiplies two different results"),
        ("norm", "layer_norm: normalises a part of the features of each sample by themselves"),
        ("tan", "tan: is no step of a network that laminet knows"),
        ("data", "decides by values of the input"),
        ("noise", "draws random numbers"),
    ],
)
def test_refused_scripts(kind, message):
    with pytest.raises(ValueError, match=message):
        ln.from_torch(form_of(scripted, Refused(kind).eval(), None))


def test_a_script_in_training_mode():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=re.escape("each batch's own statistics: call eval()")):
        ln.from_torch(form_of(scripted, module, None))


def test_a_script_is_left_alone():
    module = form_of(scripted, nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), None)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match="eval"):
        ln.from_torch(module)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert module.training


def test_an_exported_sequence():
    """Of a fixed number of steps the layer is one for each; of any number it is none."""
    module = nn.Linear(4, 3)
    program = torch.export.export(
        module, (torch.zeros(2, 3, 4),), dynamic_shapes=({1: torch.export.Dim("t")},)
    )
    with pytest.raises(ValueError, match="the first dimension as the only dynamic one"):
        ln.from_torch(program)
    net = ln.from_torch(torch.export.export(module, (torch.zeros(2, 3, 4),)))
    assert (net.in_features, net.out_features) == (12, 9)
    x = torch.randn(2, 3, 4)
    expected = answer(module, x).reshape(2, 9)
    np.testing.assert_allclose(net(x.numpy().reshape(2, 12)), expected, rtol=1e-5, atol=1e-6)


# --- Wrapped modules ------------------------------------------------------------------------------


def test_compiled_modules():
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    net = ln.from_torch(module)
    compiled = torch.compile(module, backend=never)
    assert ln.from_torch(compiled) == net

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = compiled

        def forward(self, x):
            return self.net(x)

    outer = Outer()
    assert ln.from_torch(outer) == net
    assert outer.net is compiled
    module.compile(backend=never)
    assert ln.from_torch(Outer()) == net
    assert ln.from_torch(nn.Sequential(module, nn.Identity())) == net


def test_compiled_functions():
    function = torch.compile(lambda x: torch.tanh(x) * 2, backend=never)
    module = Module(lambda m, x: function(m.a(x)), a=nn.Linear(4, 3))
    plain = Module(lambda m, x: torch.tanh(m.a(x)) * 2, a=module.a)
    assert ln.from_torch(module) == ln.from_torch(plain)


def never(graph, inputs):
    raise AssertionError("from_torch compiles nothing")


def test_distributed_modules():
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    net = ln.from_torch(module)
    assert ln.from_torch(nn.DataParallel(module)) == net
    average = torch.optim.swa_utils.AveragedModel(module)
    assert ln.from_torch(average) == net


@pytest.mark.parametrize("kind", ["spectral_norm", "orthogonal"])
def test_an_exported_program_keeps_its_computed_weights(kind):
    """Its modules are left in training mode, which changes nothing of its graph."""
    layer = getattr(nn.utils.parametrizations, kind)(nn.Linear(5, 8))
    module = nn.Sequential(layer, nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(2, 5)
    net = ln.from_torch(torch.export.export(module, (x,)))
    with torch.no_grad():
        np.testing.assert_allclose(net(x.numpy()), module(x).numpy(), rtol=1e-5, atol=1e-6)
