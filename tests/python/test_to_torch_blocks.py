"""to_torch of networks of layers of every kind: modules that compute, learn and travel the same."""

from __future__ import annotations

import copy
import doctest
import io
import pickle

import numpy as np
import pytest
import torch
from bounds import unit_roundoff
from compare import assert_close
from layer_kinds import EXAMPLES, FEATURES, KINDS
from torch import nn
from tree_bounds import gradient_bounds, value_bound, vjp_bound
from trees import Draw, every_function, kinds_of
from variants import DTYPES, normal, same_bits

import laminet as ln
from laminet import reference
from laminet.core.layers.norms import Norm
from laminet.core.layers.tree import walk
from laminet.interop.pytorch import writer

HEADS = (None, None, "softmax", "log_softmax")


def draw(index: int) -> tuple[ln.MLP, np.random.Generator]:
    rng = np.random.default_rng([2033, index])
    return Draw(rng, DTYPES[index // 8 % 2]).network(HEADS[rng.integers(4)]), rng


def run(module, x) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(np.ascontiguousarray(x))).numpy()


def dense(n, m, activation="identity", dtype="float32"):
    return ln.Dense(normal((m, n), dtype), normal(m, dtype, 2), activation)


@pytest.mark.parametrize("group", range(8))
def test_random_networks(group):
    """Values and all gradients within the derived bounds, with room for a few more ULP."""
    rejecting = 0
    for index in range(group, 160, 8):
        net, rng = draw(index)
        module = ln.to_torch(net)
        x = rng.standard_normal((7, net.in_features)).astype(net.dtype)
        v = rng.standard_normal((7, net.out_features)).astype(net.dtype)
        t = torch.from_numpy(x).requires_grad_()
        y = module(t)
        exact, bound = reference.forward(net, x), 4 * value_bound(net, x)
        assert_close(y.detach().numpy(), exact, bound)
        rejecting += bool((np.abs(exact) > bound).any()) or not exact.any()

        y.backward(torch.from_numpy(v))
        found, bounds = reference.gradients(net, x, v), gradient_bounds(net, x, v)
        grad = np.zeros_like(x) if t.grad is None else t.grad.numpy()
        assert_close(grad, found["input"], 4 * vjp_bound(net, x, v))
        for layers, modules in (
            (ln.Dense, nn.Linear),
            (Norm, (nn.LayerNorm, nn.RMSNorm)),
        ):
            own = [(place, leaf) for place, leaf in walk(net.layers) if isinstance(leaf, layers)]
            others = [part for part in module.modules() if isinstance(part, modules)]
            for (place, leaf), part in zip(own, others, strict=True):
                for i, name in enumerate(("weight", "bias")):
                    kept = getattr(leaf, name, None)
                    parameter = getattr(part, name, None)
                    assert (kept is None) == (parameter is None)
                    if kept is not None:
                        assert same_bits(parameter.detach().numpy(), np.array(kept))
                        exact, bound = found[f"{place}.{name}"], bounds[id(leaf)][i]
                        got = np.zeros_like(kept) if parameter.grad is None else parameter.grad
                        assert_close(np.asarray(got), exact, 4 * bound)
    assert rejecting >= 19  # of 20: carried through many norms a bound may say nothing


def test_the_drawing_covers_what_it_should():
    found = set()
    for index in range(160):
        net, _ = draw(index)
        found |= {(net.dtype, kind) for kind in (*kinds_of(net), net.head)}
    assert len(found) == 2 * (9 + 3)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("index", range(30))
def test_modules_travel(index):
    """By pickle, copy and state dict; as traced, as scripted; the same bits everywhere."""
    net, rng = draw(index)
    module = ln.to_torch(net)
    x = torch.from_numpy(rng.standard_normal((5, net.in_features)).astype(net.dtype))
    expected = module(x).detach().numpy()
    stored = io.BytesIO()
    torch.save(module, stored)
    stored.seek(0)
    empty = ln.to_torch(net)
    for tensor in (*empty.parameters(), *empty.buffers()):
        if tensor.is_floating_point():
            tensor.data.fill_(0.5)
    empty.load_state_dict(module.state_dict())
    others = [
        torch.load(stored, weights_only=False),
        pickle.loads(pickle.dumps(module)),
        copy.deepcopy(module),
        empty,
        torch.jit.trace(module, x),
        torch.jit.script(module),
        torch.fx.symbolic_trace(module),
    ]
    if index < 6:
        others.append(torch.export.export(module, (x,)).module())
    for other in others:
        assert same_bits(other(x).detach().numpy(), expected)
    names = set(module.state_dict())
    assert names >= {name for name, _ in module.named_parameters()}
    assert {t.dtype for t in module.state_dict().values()} <= {x.dtype}


ROW = np.arange(1.0, 5.0, dtype=np.float32)
RELU = ln.Activation("relu")
# What a layer of four features is: the modules, without those that hold others.
MODULES = {
    "dense": (ln.Dense(np.eye(4), None, "tanh"), ["Linear", "Tanh"]),
    "identity": (ln.Activation("identity"), []),
    "slopes": (ln.Activation("leaky_relu", alpha=ROW), ["PReLU"]),
    "slope": (ln.Activation("leaky_relu", alpha=0.3), ["LeakyReLU"]),
    "elu": (ln.Activation("elu", alpha=ROW), ["ELU"]),
    "hard sigmoid": (ln.Activation("hard_sigmoid"), ["Hardsigmoid"]),
    "another": (ln.Activation("hard_sigmoid", alpha=0.2), ["HardSigmoid"]),
    "folded": (
        ln.Dense(
            np.arange(16.0).reshape(4, 4) / 16, ROW, ln.Activation("hard_sigmoid", alpha=ROW / 8)
        ),
        ["Linear", "Hardtanh"],
    ),
    "sin": (ln.Activation("sin"), ["Sin"]),
    "gated": (ln.Activation("gated", alpha=2.0, beta=ROW), ["Gated"]),
    "rescale": (ln.Rescale(2.0, ROW, low=0.5), ["Rescale"]),
    "norm": (ln.LayerNorm(ROW, ROW), ["LayerNorm"]),
    "norm with a bias alone": (ln.LayerNorm(None, ROW, 0.1), ["LayerNorm"]),
    "plain norm": (ln.LayerNorm(), ["LayerNorm"]),
    "rms": (ln.RMSNorm(ROW), ["RMSNorm"]),
    "plain rms": (ln.RMSNorm(eps=0.5), ["RMSNorm"]),
    "slice": (ln.Select(slice(0, 4, 3)), ["Select"]),
    "one column": (ln.Select([-1]), ["Select"]),
    "columns": (ln.Select([3, 0, 0]), ["Select"]),
    "twice": (ln.Select([1, 1]), ["Select"]),
    "backwards": (ln.Select(slice(None, None, -1)), ["Select"]),
    "dropout": (ln.Dropout(0.25), ["Dropout"]),
    "residual": (ln.Residual([RELU]), ["ReLU"]),
    "concat": (ln.Parallel([[], [RELU], [ln.Activation("sin")]]), ["ReLU", "Sin"]),
    "sum": (ln.Parallel([[], [RELU], []], "sum"), ["ReLU"]),
    "mean": (ln.Parallel([[], [RELU], []], "mean"), ["ReLU"]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_subclass_is_written_as_its_kind(name):
    derived = type(f"My{name}", (KINDS[name],), {})
    mine = derived(**EXAMPLES[name]._arguments())
    x = np.linspace(-2, 2, 3 * FEATURES).reshape(3, FEATURES)
    modules = []
    for layer in (mine, EXAMPLES[name]):
        net = ln.MLP([ln.Parallel([[layer]])], in_features=FEATURES, dtype="float64")
        modules.append(ln.to_torch(net))
    assert repr(modules[0]) == repr(modules[1])
    assert np.array_equal(*(run(module, x) for module in modules))


def test_every_kind_is_among_them():
    assert {type(layer) for layer, _ in MODULES.values()} == set(KINDS.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, dtype):
    layer, expected = MODULES[name]
    net = ln.MLP([layer], in_features=4, dtype=dtype)
    module = ln.to_torch(net)
    kinds = [type(part).__name__ for part in module.modules() if not list(part.children())]
    assert [kind for kind in kinds if kind != "Sequential"] == expected
    x = 2 * normal((6, 4), dtype)
    exact, bound = reference.forward(net, x), 64 * unit_roundoff(np.dtype(dtype))
    assert_close(run(module, x), exact, bound * (1 + np.abs(exact)))
    assert all(p.requires_grad for p in module.parameters())
    assert repr(module)
    assert all(part.num_parameters == 4 for part in module if isinstance(part, nn.PReLU))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", every_function(5), ids=str)
def test_functions_and_their_slopes(activation, dtype):
    x = 3 * normal((40, 5), dtype)
    x[:6] = np.array([[0.0], [-0.0], [1e-3], [-30.0], [40.0], [3.0]], dtype)
    net = ln.MLP([activation], in_features=5, dtype=dtype)
    module = ln.to_torch(net)
    t = torch.from_numpy(x).requires_grad_()
    y = module(t)
    # Eight operations of at most 4 ULP, of numbers no larger than these; derivatives twice that.
    most = 1 + np.abs(x.astype(float))
    for value in activation.parameters.values():
        most = most * (1 + np.abs(value))
    u = unit_roundoff(np.dtype(dtype))
    assert_close(y.detach().numpy(), reference.forward(net, x), 64 * u * most)
    y.sum().backward()
    slopes = reference.activation_derivative(activation, x)
    # Of Hardsigmoid PyTorch has the slope in float32 alone.
    rounded = unit_roundoff(np.float32) if activation == ln.Activation("hard_sigmoid") else 0.0
    assert_close(t.grad.numpy(), slopes, 128 * u * most + rounded)


def test_samples_of_any_number_of_axes():
    layers = [
        ln.Rescale(ROW, high=3.0),
        ln.Residual([ln.LayerNorm(ROW), dense(4, 4, "sin")]),
        ln.Parallel([[ln.Select([2, 0, 1])], [ln.RMSNorm()]]),
        ln.Activation("gated", alpha=np.arange(7.0)),
    ]
    net = ln.MLP(layers, head="softmax")
    module = ln.to_torch(net)
    x = normal((2, 3, 4), "f4")
    y = run(module, x)
    assert y.shape == (2, 3, 7)
    for i in range(2):
        np.testing.assert_allclose(y[i], net(x[i]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(run(module, x[0, 0]), net(x[0, 0]), rtol=1e-4, atol=1e-6)
    assert run(module, x[0, :0]).shape == (0, 7)


def test_what_is_not_finite():
    row = np.float32([1.0, 2.0, -1.0])
    x = np.float32([[np.nan, np.inf, -np.inf], [-np.inf, np.nan, 1.0]])
    bounds = [(-1.0, None), (None, row), (-np.abs(row), 1.0), (-np.inf, np.inf), (np.inf, None)]
    for low, high in bounds:
        net = ln.MLP([ln.Rescale(2.0, row, low, high)])
        np.testing.assert_array_equal(run(ln.to_torch(net), x), net(x))


def test_it_learns():
    """What is learnt in laminet and what PReLU and gated learn; a rescaling stays what it is."""
    layers = [
        ln.Rescale(ROW, 0.5, -2.0, 2.0),
        ln.Residual([ln.LayerNorm(ROW, ROW), dense(4, 4), ln.Dropout(0.5), dense(4, 4)]),
        ln.Activation("leaky_relu", alpha=ROW / 8),
        ln.Activation("gated", alpha=ROW, beta=0.5),
        ln.RMSNorm(ROW),
        dense(4, 2, ln.Activation("elu", alpha=[0.5, 2.0])),
    ]
    net = ln.MLP(layers)
    module = ln.to_torch(net)
    before = copy.deepcopy(module.state_dict())
    x, target = torch.from_numpy(normal((64, 4), "f4")), torch.ones(64, 2)
    loss = nn.functional.mse_loss(module(x), target)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    loss.backward()
    optimizer.step()
    assert nn.functional.mse_loss(module(x), target) < loss
    changed = {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}
    learnt = {name for name, _ in module.named_parameters()}
    assert changed == learnt
    assert set(before) - learnt == {"0.scale", "0.shift", "0.low", "0.high"}
    assert len(learnt) == 2 + 4 + 1 + 1 + 1 + 2 + 1
    assert same_bits(net(x.numpy()), ln.MLP(layers)(x.numpy()))  # the network keeps its own

    # A dropout is one only while it learns.
    assert not any(part.training for part in module.modules())
    assert torch.equal(module(x), module(x))
    module.train()
    assert not torch.equal(module(x), module(x))


def test_equal_layers_have_parameters_of_their_own():
    layer = dense(3, 3)
    module = ln.to_torch(ln.MLP([ln.Parallel([[layer], [layer]], "sum")]))
    with torch.no_grad():
        module[0].branches[0][0].weight.zero_()
    assert module[0].branches[1][0].weight.abs().sum() > 0


def test_names_in_the_state_dict():
    layers = [
        ln.Parallel([[], [ln.Select([2, 0]), dense(2, 3)]], "concat"),
        ln.Residual([ln.LayerNorm(np.ones(6, "f4")), dense(6, 6, "relu"), dense(6, 6)]),
    ]
    module = ln.to_torch(ln.MLP(layers, in_features=3, head="softmax"))
    assert sorted(module.state_dict()) == [
        "0.branches.1.1.bias",
        "0.branches.1.1.weight",
        "1.layers.0.weight",
        "1.layers.1.bias",
        "1.layers.1.weight",
        "1.layers.3.bias",
        "1.layers.3.weight",
    ]


@pytest.mark.parametrize("weight", [None, ROW])
def test_where_pytorch_has_no_rms_norm(weight, monkeypatch):
    """Before 2.4."""
    net = ln.MLP([ln.RMSNorm(weight, 0.25)], in_features=4)
    x = normal((6, 4), "f4")
    monkeypatch.delattr(nn, "RMSNorm")
    module = ln.to_torch(net)
    assert type(module[0]).__module__ == "laminet.interop.pytorch.layers"
    exact = reference.forward(net, x)
    assert_close(run(module, x), exact, 4 * value_bound(net, x))
    assert len(list(module.parameters())) == (weight is not None)
    assert same_bits(run(torch.fx.symbolic_trace(module), x), run(module, x))


def test_random_numbers_of_the_program_are_left_alone():
    net, _ = draw(0)
    before = torch.get_rng_state()
    ln.to_torch(net)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_kind_that_is_not_known(monkeypatch):
    monkeypatch.delitem(writer._KINDS, ln.Dropout)
    with pytest.raises(ValueError, match="to_torch does not know the layer Dropout"):
        ln.to_torch(ln.MLP([dense(3, 2), ln.Dropout(0.5)]))


def test_the_example():
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    for example in finder.find(ln.to_torch, "to_torch", globs={}):
        runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0
