"""Losses, optimisers and schedules of the reference against PyTorch's, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from test_reference_losses import BATCH, LEVELS, LOSSES, OUTPUTS, targets_of
from torch.nn import functional
from variants import same_name

import laminet as ln
from laminet import reference
from laminet.losses import Loss
from laminet.optim import FirstOrder, schedules
from laminet.optim.schedules import Schedule

EPS = float(np.finfo(np.float64).eps)


def by_torch(loss: Loss, o: torch.Tensor, y: torch.Tensor, **options: str) -> torch.Tensor:
    if isinstance(loss, ln.losses.SquaredError):
        return functional.mse_loss(o, y, **options)
    if isinstance(loss, ln.losses.AbsoluteError):
        return functional.l1_loss(o, y, **options)
    if isinstance(loss, ln.losses.Huber):
        return functional.huber_loss(o, y, delta=loss.delta, **options)
    if isinstance(loss, ln.losses.Poisson):
        return functional.poisson_nll_loss(o, y, **options)
    if isinstance(loss, ln.losses.Quantile):  # PyTorch has none: spelled out in its arithmetic
        q = torch.tensor(LEVELS, dtype=o.dtype)
        e = (y[:, :, None] - o.reshape(len(o), -1, len(LEVELS))) * 1.0
        found = torch.maximum(q * e, (q - 1) * e).reshape(o.shape)
        return found if options else found.mean()
    if isinstance(loss, ln.losses.BinaryCrossEntropy):
        smooth = loss.label_smoothing
        y = (1 - smooth) * y + smooth / 2
        return functional.binary_cross_entropy_with_logits(o, y, **options)
    assert isinstance(loss, ln.losses.CrossEntropy)
    return functional.cross_entropy(o, y, label_smoothing=loss.label_smoothing, **options)


def assert_same_loss(
    loss: Loss, o: np.ndarray, y: np.ndarray, expected: torch.Tensor, leaf: torch.Tensor, **weights
) -> None:
    (slopes,) = torch.autograd.grad(expected, leaf)
    # A handful of roundings of terms of the order of 1, and of their sums.
    assert reference.loss(loss, o, y, **weights) == pytest.approx(expected.item(), rel=1e-13)
    found = reference.loss_gradient(loss, o, y, **weights)
    assert_allclose(found, slopes.numpy(), rtol=1e-13, atol=1e-15)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses(loss: Loss, labels: bool) -> None:
    rng = np.random.default_rng(5)
    o, y = 3 * rng.standard_normal((BATCH, OUTPUTS)), targets_of(loss, rng, labels)
    leaf, target = torch.tensor(o, requires_grad=True), torch.tensor(y)
    assert_same_loss(loss, o, y, by_torch(loss, leaf, target), leaf)

    weight = rng.random(BATCH)
    each = by_torch(loss, leaf, target, reduction="none")
    each = each if each.ndim == 1 else each.mean(dim=1)
    w = torch.tensor(weight)
    assert_same_loss(loss, o, y, (w * each).sum() / w.sum(), leaf, sample_weight=weight)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_class_weights(labels: bool, smoothing: float) -> None:
    rng = np.random.default_rng(6)
    loss = ln.losses.CrossEntropy(smoothing)
    o, y = 3 * rng.standard_normal((BATCH, OUTPUTS)), targets_of(loss, rng, labels)
    classes = rng.random(OUTPUTS)
    leaf = torch.tensor(o, requires_grad=True)
    expected = functional.cross_entropy(
        leaf, torch.tensor(y), weight=torch.tensor(classes), label_smoothing=smoothing
    )
    assert_same_loss(loss, o, y, expected, leaf, class_weight=classes)


STEPS = 100
TRAJECTORIES: list[tuple[FirstOrder, str, dict[str, object]]] = [
    (ln.optim.SGD(0.1), "SGD", {"lr": 0.1}),
    (
        ln.optim.SGD(0.05, momentum=0.9, dampening=0.3, weight_decay=0.02, decay_biases=True),
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02},
    ),
    (ln.optim.SGD(0.05, dampening=0.3), "SGD", {"lr": 0.05, "dampening": 0.3}),
    (
        ln.optim.SGD(0.05, momentum=0.9, nesterov=True),
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    (ln.optim.Adam(0.01), "Adam", {"lr": 0.01}),
    (ln.optim.Adam(), "Adam", {}),
    (
        ln.optim.Adam(0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1, decay_biases=True),
        "Adam",
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
    ),
    (ln.optim.AdamW(0.01, decay_biases=True), "AdamW", {"lr": 0.01}),
    (ln.optim.AdamW(0.01, clip_norm=0.05, decay_biases=True), "AdamW", {"lr": 0.01}),
    (
        ln.optim.AdamW(0.02, weight_decay=0.5, schedule="cosine", average=0.9, decay_biases=True),
        "AdamW",
        {"lr": 0.02, "weight_decay": 0.5},
    ),
]


def network() -> tuple[ln.MLP, torch.nn.Sequential]:
    net = ln.MLP.init([4, 9, 3], "tanh", dtype="float64", seed=7)
    module = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Tanh(), torch.nn.Linear(9, 3))
    module.double()
    with torch.no_grad():
        for own, value in zip(module.parameters(), reference.parameters(net).values(), strict=True):
            own.copy_(torch.tensor(value))
    return net, module


def follow(
    ours: FirstOrder, net: ln.MLP, module: torch.nn.Sequential, optimizers: list[object]
) -> None:
    """Train both with the same batches, and compare them after each step."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((64, 4)), rng.integers(0, 3, 64)
    scheduler = None
    if ours.schedule is not None:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[0], STEPS)
    if ours.average is not None:
        average = torch.optim.swa_utils.AveragedModel(
            module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ours.average)
        )
    state = None
    for step in range(STEPS):
        rows = rng.integers(0, 64, 16)
        after = reference.training_step(
            net, x[rows], y[rows], "cross_entropy", ours, state, total_steps=STEPS
        )
        module.zero_grad()
        loss = functional.cross_entropy(module(torch.tensor(x[rows])), torch.tensor(y[rows]))
        loss.backward()
        assert after.loss == pytest.approx(loss.item(), rel=1e-10)
        if ours.clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), ours.clip_norm)
            assert norm > ours.clip_norm  # or this shows nothing
        for optimizer in optimizers:
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
        net, state = after.network, after.state
        assert_allclose_to(reference.parameters(net).values(), module.parameters())
        if ours.average is not None:
            average.update_parameters(module)
            assert_allclose_to(state.optimizer.average, average.module.parameters())
        assert state.step == step + 1


def assert_allclose_to(ours, theirs) -> None:
    for one, other in zip(ours, theirs, strict=True):
        array = other.detach().numpy()
        assert np.linalg.norm(one - array) <= 1e-10 * np.linalg.norm(array)


@pytest.mark.parametrize(
    ("ours", "name", "options"), TRAJECTORIES, ids=[repr(row[0]) for row in TRAJECTORIES]
)
def test_a_hundred_steps(ours: FirstOrder, name: str, options: dict[str, object]) -> None:
    net, module = network()
    follow(ours, net, module, [getattr(torch.optim, name)(module.parameters(), **options)])


def test_decay_leaves_biases_alone_and_layers_have_rates_of_their_own() -> None:
    net, module = network()
    groups = [
        {"params": [module[0].weight], "lr": 0.002},
        {"params": [module[0].bias], "lr": 0.002, "weight_decay": 0.0},
        {"params": [module[2].weight]},
        {"params": [module[2].bias], "weight_decay": 0.0},
    ]
    theirs = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.3)
    ours = ln.optim.AdamW(0.01, weight_decay=0.3, learning_rate_factors=[0.2, 1.0])
    follow(ours, net, module, [theirs])


def test_a_frozen_layer_stays_and_does_not_count_in_the_norm() -> None:
    net, module = network()
    module[0].requires_grad_(False)
    theirs = torch.optim.SGD(module[2].parameters(), lr=0.1)
    ours = ln.optim.SGD(0.1, clip_norm=0.01, learning_rate_factors={"layers[0]": 0})
    follow(ours, net, module, [theirs])


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        (ln.optim.Muon(0.02, adamw_learning_rate=0.003), {}),
        (
            ln.optim.Muon(momentum=0.8, nesterov=False, steps=3, scale="match_rms_adamw"),
            {"momentum": 0.8, "nesterov": False, "ns_steps": 3, "adjust_lr_fn": "match_rms_adamw"},
        ),
    ],
    ids=repr,
)
def test_a_hundred_steps_of_muon(
    ours: ln.optim.Muon, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's Newton-Schulz iterations are in bfloat16: here they are let have float64."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    net, module = network()
    matrices = [module[0].weight, module[2].weight]
    vectors = [module[0].bias, module[2].bias]
    muon = torch.optim.Muon(matrices, lr=ours.learning_rate, **options)
    adamw = torch.optim.AdamW(vectors, lr=ours.adamw_learning_rate, weight_decay=0.0)
    follow(ours, net, module, [muon, adamw])


def rates(optimizer: torch.optim.Optimizer, scheduler: object, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "make", "steps"),
    [
        (
            schedules.Cosine(final=0.1),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.1),
            20,
        ),
        (
            schedules.OneCycle(),
            lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=23),
            23,
        ),
        (
            schedules.OneCycle(pct_start=0.5, div_factor=10, final_div_factor=100),
            lambda o: torch.optim.lr_scheduler.OneCycleLR(
                o, 1.0, total_steps=12, pct_start=0.5, div_factor=10, final_div_factor=100
            ),
            12,
        ),
        (
            schedules.Step(4, gamma=0.3),
            lambda o: torch.optim.lr_scheduler.StepLR(o, 4, gamma=0.3),
            20,
        ),
        (
            schedules.WarmUp(5, schedules.Cosine()),
            lambda o: torch.optim.lr_scheduler.SequentialLR(
                o,
                [
                    torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 6, total_iters=5),
                    torch.optim.lr_scheduler.CosineAnnealingLR(o, 15),
                ],
                milestones=[5],
            ),
            20,
        ),
    ],
    ids=same_name,
)
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # SequentialLR's own
def test_schedules(schedule: Schedule, make, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    expected = rates(optimizer, make(optimizer), steps)
    found = [schedule.factor(step, steps) for step in range(steps)]
    # PyTorch multiplies from step to step: a few roundings each.
    assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert len(set(found)) > 2


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"patience": 2, "threshold": 0.1, "cooldown": 2},
        {"patience": 0, "threshold": 0.05, "threshold_mode": "abs"},
    ],
)
def test_plateau(options: dict[str, object]) -> None:
    rng = np.random.default_rng(9)
    losses = list(1 / np.arange(1, 60) + 0.1 * rng.random(59))
    plateau = schedules.Plateau(gamma=0.5, minimum=0.01, **options)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, min_lr=0.01, **options
    )
    found = []
    for count in range(1, len(losses) + 1):
        scheduler.step(losses[count - 1])
        found.append(plateau.after(losses[:count]))
        assert found[-1] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert len(set(found)) > 3
