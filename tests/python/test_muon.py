"""Training by Muon: its steps are those of the reference, whatever the network and however.

That the reference's are PyTorch's, `test_losses_torch.py` says; there PyTorch's iterations are let
have float64, for its own are in bfloat16.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_trainer import blocks, by_the_reference, chain, dense, largest_change, normal, trained
from variants import FUSED_ISAS, instruction_set

import laminet as ln
from laminet import reference
from laminet.optim.muon import NEWTON_SCHULZ

Muon = ln.optim.Muon
SQUARED = ln.losses.SquaredError()


def parallel():
    return ln.MLP(
        [
            ln.Parallel([[dense(5, 6, "tanh", seed=1)], [dense(5, 6, "tanh", seed=2)], []]),
            ln.Residual(
                [dense(16, 16, "gelu", seed=3), ln.LayerNorm(np.ones(16), np.full(16, 0.1))]
            ),
            ln.Parallel([[dense(3, 16, seed=4)], [dense(3, 16, seed=5)]], join="sum"),
        ]
    )


def large():
    """More than 32,768 weights: rows of a batch, not slices, have gradients."""
    return ln.MLP([dense(1200, 6, "tanh"), dense(30, 1200, "gelu"), dense(2, 30)])


def compare(net, optimizer, batch=12, steps=8):
    """Make steps, and have them of the reference, in parts of the largest element of each array.

    An iteration makes a relative error of a small singular value 3.4445 times as large, five of
    them 485 times, and the errors of steps add up; sums average theirs. Measured at most 2 %.
    """
    X, y = normal((steps * batch, net.in_features), 1), normal((steps * batch, net.out_features), 2)
    bound = steps * NEWTON_SCHULZ[0] ** 5 * np.finfo(net.dtype).eps
    trainer = trained(net, SQUARED, optimizer, X, y, batch, steps)
    expected, state = by_the_reference(net, SQUARED, optimizer, X, y, batch, steps)
    if optimizer.average is not None:
        arrays = dict(zip(reference.parameters(net), state.optimizer.average, strict=True))
        expected = reference.with_parameters(expected, arrays)
    assert largest_change(trainer.network, expected) < bound
    assert largest_change(net, expected) > steps * 1e-3
    return trainer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(5, 9), (9, 5), (7, 7), (1, 30), (30, 1), (1, 1), (70, 33), (33, 130), (2, 300)]
)
def test_one_matrix(shape, dtype):
    compare(ln.MLP([dense(*shape)], dtype=dtype), Muon(0.02))


@pytest.mark.parametrize(
    "optimizer",
    [
        Muon(0.02, adamw_learning_rate=0.005),
        Muon(0.02, momentum=0.8, nesterov=False, steps=3, scale="match_rms_adamw"),
        Muon(0.02, momentum=0.0, steps=1),
        Muon(0.02, clip_norm=0.05),
        Muon(0.02, average=0.9, clip_norm=1.0),
        Muon(0.02, decay_biases=True, weight_decay=0.5, adamw_betas=(0.8, 0.9), adamw_eps=1e-3),
        Muon(0.02, schedule="cosine", learning_rate_factors={"layers[1]": 0.0}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("make", [chain, blocks, parallel])
def test_networks(make, optimizer):
    compare(make(), optimizer)


@pytest.mark.parametrize("batch", [1, 7, 700])
@pytest.mark.parametrize("make", [parallel, large])
def test_batches(make, batch):
    compare(make(), Muon(0.02, clip_norm=0.2, average=0.8), batch, 3)


def test_factors_of_layers_that_share_a_panel():
    factors = {"layers[0].branches[0]": 0.5, "layers[0].branches[1]": 0.0}
    net = parallel()
    trainer = compare(net, Muon(0.02, average=0.5, learning_rate_factors=factors))
    before, after = reference.parameters(net), reference.parameters(trainer.network)
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {f"layers[0].branches[1][0].{kind}" for kind in ("weight", "bias")}


def test_more_phases_than_a_job_has():
    compare(chain(), Muon(0.02, steps=14), steps=3)
    diverging = ln.Trainer(chain(), SQUARED, Muon(0.02, steps=14))
    with pytest.raises(ln.TrainingError, match="loss"):
        diverging.step(np.full((8, 5), 1e300), np.full((8, 3), 1e300))
    assert diverging.network == chain()


def test_matrices_that_take_turns_in_memory():
    """Each of them asks for more than half of what weights have together."""
    compare(ln.MLP([dense(700, 2), dense(700, 700), dense(700, 700)]), Muon(0.02, steps=1), 3, 2)


def test_layers_that_stay_as_they_are():
    factors = {f"layers[{i}]": 0.0 for i in range(3)}
    net = ln.MLP([*chain().layers, ln.RMSNorm(np.ones(3))])
    trainer = compare(net, Muon(learning_rate_factors=factors, adamw_learning_rate=0.02))
    assert trainer.network.layers[:3] == net.layers[:3]


def test_a_network_without_matrices():
    compare(ln.MLP([ln.LayerNorm(np.ones(6), np.zeros(6))]), Muon(adamw_learning_rate=0.02))


def test_a_gradient_of_zero_decays_alone():
    net = ln.MLP([dense(4, 3, bias=False)])
    trainer = ln.Trainer(net, SQUARED, Muon(0.02, weight_decay=0.5))
    for _ in range(3):
        assert trainer.step(np.zeros((8, 3)), np.zeros((8, 4))) == 0
    expected = net.layers[0].weight * (1 - 0.02 * 0.5) ** 3
    np.testing.assert_allclose(trainer.network.layers[0].weight, expected, rtol=1e-15)


@pytest.mark.parametrize("size", [1e-18, 1e-9, 1e30])
def test_the_size_of_gradients_does_not_matter_above_eps(size):
    """Squares of float32 would vanish, or overflow."""
    net = ln.MLP([ln.Dense(np.zeros((4, 6)))], dtype="float32")
    X, y = normal((8, 6), 1) * size, normal((8, 4), 2)
    trainer = ln.Trainer(net, ln.losses.SquaredError(), Muon(1.0))
    trainer.step(X, y)
    step = reference.training_step(net, X, y, SQUARED, Muon(1.0))
    bound = NEWTON_SCHULZ[0] ** 5 * np.finfo("f4").eps
    assert largest_change(trainer.network, step.network) < bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_that_is_resumed_has_the_same_bits(dtype):
    net = parallel().astype(dtype)
    X, y = normal((300, 6), 1), normal((300, 3), 2)
    optimizer = Muon(0.02, clip_norm=0.5, average=0.9, schedule="cosine")
    whole = ln.Trainer(net, SQUARED, optimizer, seed=3, total_steps=40)
    first = ln.Trainer(net, SQUARED, optimizer, seed=3, total_steps=40)
    for trainer in (whole, whole, first):
        trainer.epoch(X, y, 32)
    again = ln.Trainer.restore(first.state())
    again.epoch(X, y, 32)
    assert again.network == whole.network != first.network
    first_moments = {k: v for k, v in whole.state().items() if k.startswith("first/")}
    assert all(np.any(moment) for moment in first_moments.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[6, 40, 70, 3], [6, 300, 200, 3]])
def test_bits_do_not_depend_on_threads_layout_or_instruction_set(sizes, dtype):
    X, y = normal((600, 6), 1).astype(dtype), normal((600, 3), 2)
    found = []
    for isa in FUSED_ISAS:
        for threads, samples in ((1, X), (2, np.asfortranarray(X)), (3, X[::-1][::-1])):
            with instruction_set(isa), ln.num_threads(threads):
                net = ln.MLP.init(sizes, "tanh", seed=0, dtype=dtype)
                trainer = ln.Trainer(net, SQUARED, Muon(0.02, clip_norm=0.5), seed=1)
                losses = [trainer.epoch(samples, y, 250) for _ in range(2)]
                found.append((losses, trainer.network))
    assert all(one == found[0] for one in found)


def test_muon_learns():
    """Half of AdamW's loss after as many steps, each at the rate that is usual."""
    net = ln.MLP.init([2, 64, 64, 2], "tanh", seed=0)
    X = normal((1024, 2), 0)
    y = (np.sin(3 * X[:, 0]) * X[:, 1] > 0).astype(int)
    losses = {}
    for optimizer in (Muon(0.02, weight_decay=0.0), ln.optim.AdamW(1e-3)):
        trainer = ln.Trainer(net, optimizer=optimizer, seed=0)
        losses[optimizer.name] = [trainer.epoch(X, y, 64) for _ in range(15)][-1]
    assert losses["muon"] < losses["adamw"] / 2
