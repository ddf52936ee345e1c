"""Trajectories of `ln.Trainer` beside PyTorch's: the same start, the same batches, float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import laminet as ln
from laminet import reference
from laminet.optim import FirstOrder

STEPS, BATCH = 100, 16

# Roundings of 1e-16, which a hundred steps pass on. Adam divides gradients by their own size, so
# that a rounding of the gradient, some 1e-15 of its sum's terms, is one of the step: more where the
# sum cancels. Measured at most 7e-14.
BOUND = 1e-10


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two teams of threads that wait for work take each other's cores: PyTorch's stays away."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chain(sizes: tuple[int, ...], activation: str) -> ln.MLP:
    return ln.MLP.init(sizes, activation, dtype="float64", seed=1)


def module_of(net: ln.MLP, activation: type[nn.Module]) -> nn.Sequential:
    """Return the same network, written for PyTorch by hand."""
    parts: list[nn.Module] = []
    for layer in net.layers:
        assert isinstance(layer, ln.Dense)
        linear = nn.Linear(layer.in_features, layer.out_features, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(layer.weight))
            linear.bias.copy_(torch.tensor(layer.bias))
        parts += [linear, activation()]
    return nn.Sequential(*parts[:-1])


def theirs(module: nn.Module, optimizer: FirstOrder) -> list[torch.optim.Optimizer]:
    """Return PyTorch's optimisers of the same settings, whose decay leaves biases alone."""
    weights = [p for p in module.parameters() if p.ndim == 2]
    biases = [p for p in module.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": optimizer.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    if isinstance(optimizer, ln.optim.SGD):
        return [
            torch.optim.SGD(
                groups,
                lr=optimizer.learning_rate,
                momentum=optimizer.momentum,
                nesterov=optimizer.nesterov,
                dampening=optimizer.dampening,
            )
        ]
    if isinstance(optimizer, ln.optim.Muon):
        muon = torch.optim.Muon(
            weights,
            lr=optimizer.learning_rate,
            weight_decay=optimizer.weight_decay,
            momentum=optimizer.momentum,
            nesterov=optimizer.nesterov,
            ns_steps=optimizer.steps,
            adjust_lr_fn=optimizer.scale,
        )
        rate, betas = optimizer.adamw_learning_rate, optimizer.adamw_betas
        return [muon, torch.optim.AdamW(biases, lr=rate, betas=betas, weight_decay=0.0)]
    kind = torch.optim.AdamW if isinstance(optimizer, ln.optim.AdamW) else torch.optim.Adam
    assert isinstance(optimizer, (ln.optim.Adam, ln.optim.AdamW))
    return [kind(groups, lr=optimizer.learning_rate, betas=optimizer.betas, eps=optimizer.eps)]


TASKS = {
    "tanh, squared error": ((17, 64, 64, 6), "tanh", nn.Tanh, "squared_error"),
    "gelu, cross entropy": ((9, 40, 30, 5), "gelu", nn.GELU, "cross_entropy"),
    "relu, cross entropy": ((64, 64, 32, 10), "relu", nn.ReLU, "cross_entropy"),
}
OPTIMIZERS = [
    ln.optim.SGD(0.05),
    ln.optim.SGD(0.02, momentum=0.9),
    ln.optim.SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    ln.optim.SGD(0.02, momentum=0.8, dampening=0.3),
    ln.optim.Adam(0.003),
    ln.optim.Adam(0.003, weight_decay=0.1, betas=(0.8, 0.95)),
    ln.optim.AdamW(0.003),
    ln.optim.AdamW(0.003, weight_decay=0.3, clip_norm=0.5, schedule="cosine"),
    ln.optim.Muon(0.02, adamw_learning_rate=0.003),
    ln.optim.Muon(0.003, momentum=0.8, nesterov=False, steps=3, scale="match_rms_adamw"),
    ln.optim.Muon(0.02, weight_decay=0.3, clip_norm=0.5, schedule="cosine"),
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_hundred_steps(task: str, optimizer: FirstOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's Newton-Schulz iterations are in bfloat16: here they are let have float64."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    sizes, name, activation, loss = TASKS[task]
    net = chain(sizes, name)
    random = np.random.default_rng(0)
    X = random.standard_normal((STEPS * BATCH, sizes[0]))
    labels = random.integers(0, sizes[-1], len(X))
    y = labels if loss == "cross_entropy" else random.standard_normal((len(X), sizes[-1]))
    trainer = ln.Trainer(net, loss, optimizer, total_steps=STEPS)
    module = module_of(net, activation)
    methods = theirs(module, optimizer)
    schedules = []
    if optimizer.schedule is not None:
        schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, STEPS) for one in methods]
    measure = functional.cross_entropy if loss == "cross_entropy" else functional.mse_loss
    for first in range(0, len(X), BATCH):
        rows = slice(first, first + BATCH)
        module.zero_grad()
        value = measure(module(torch.tensor(X[rows])), torch.tensor(y[rows]))
        value.backward()
        if optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), optimizer.clip_norm)
        for one in (*methods, *schedules):
            one.step()
        assert trainer.step(X[rows], y[rows]) == pytest.approx(value.item(), rel=BOUND)
    found = list(reference.parameters(trainer.network).values())
    start = list(reference.parameters(net).values())
    for ours, other, before in zip(found, module.parameters(), start, strict=True):
        expected = other.detach().numpy()
        largest = np.abs(expected).max()
        assert np.abs(ours - expected).max() < BOUND * largest
        assert np.abs(before - expected).max() > 1e-3 * largest
