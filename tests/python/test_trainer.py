"""`ln.Trainer`: its steps are those of the reference, whatever it trains and however."""

from __future__ import annotations

import copy
import io
import itertools
import pickle

import numpy as np
import pytest

import laminet as ln
from laminet import reference

F8 = np.float64


def normal(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def dense(n, k, activation="identity", bias=True, seed=0):
    random = np.random.default_rng([seed, n, k])
    weight = random.standard_normal((n, k)) / np.sqrt(k)
    return ln.Dense(weight, 0.1 * random.standard_normal(n) if bias else None, activation)


def chain(outputs=3, head=None):
    return ln.MLP([dense(17, 5, "tanh"), dense(9, 17, "gelu"), dense(outputs, 9)], head=head)


def blocks():
    return ln.MLP(
        [
            ln.Rescale(0.5, 0.1),
            dense(8, 5, ln.Activation("leaky_relu", alpha=np.linspace(0.1, 0.4, 8))),
            ln.Residual([ln.LayerNorm(np.ones(8), np.zeros(8)), dense(8, 8, "silu", seed=1)]),
            ln.Parallel([[dense(4, 8, "tanh", seed=2)], [dense(4, 8, "tanh", False, seed=3)]]),
            ln.RMSNorm(np.ones(8)),
            dense(3, 8, seed=4),
        ]
    )


OPTIMIZERS = [
    ln.optim.SGD(0.05),
    ln.optim.SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    ln.optim.SGD(0.02, momentum=0.8, dampening=0.3, decay_biases=True, weight_decay=0.1),
    ln.optim.Adam(0.01, weight_decay=0.1, clip_norm=0.05),
    ln.optim.AdamW(0.01, betas=(0.8, 0.95), average=0.9),
    ln.optim.AdamW(0.01, schedule="cosine", learning_rate_factors={"layers[1]": 0.0}),
    ln.optim.Adam(0.01, schedule=ln.optim.schedules.WarmUp(3), clip_norm=1.0, average=0.5),
]


def targets_of(loss, rows, outputs):
    random = np.random.default_rng(9)
    if loss.name == "cross_entropy":
        return random.integers(0, outputs, rows)
    if loss.name == "binary_cross_entropy":
        return random.integers(0, 2, (rows, outputs)).astype(F8)
    if loss.name == "poisson":
        return random.poisson(2.0, (rows, outputs)).astype(F8)
    return random.standard_normal((rows, loss.num_targets(outputs)))


def largest_change(net, other):
    """The largest difference of a parameter, in parts of the largest of its array."""
    one, two = reference.parameters(net), reference.parameters(other)
    return max(np.abs(one[k] - two[k]).max() / np.abs(two[k]).max() for k in one)


def trained(net, loss, optimizer, X, y, batch, steps, weights=None):
    trainer = ln.Trainer(net, loss, optimizer, total_steps=steps)
    for first in range(0, batch * steps, batch):
        rows = slice(first, first + batch)
        trainer.step(X[rows], y[rows], None if weights is None else weights[rows])
    return trainer


def by_the_reference(net, loss, optimizer, X, y, batch, steps, weights=None):
    state = None
    for first in range(0, batch * steps, batch):
        rows = slice(first, first + batch)
        step = reference.training_step(
            net,
            X[rows],
            y[rows],
            loss,
            optimizer,
            state,
            sample_weight=None if weights is None else weights[rows],
            total_steps=steps,
        )
        net, state = step.network, step.state
    return net, state


# Rounding alone: of a sum of some hundred terms, through 30 steps that pass it on; Adam divides
# gradients by their own size, and where that is near eps a rounding of the gradient is one of the
# step. Measured at most 2e-12.
BOUND = 1e-10


@pytest.mark.parametrize("make", [chain, blocks])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_steps_are_those_of_the_reference(make, optimizer):
    net, loss = make(), ln.losses.SquaredError()
    X, y = normal((30 * 20, 5), 1), normal((30 * 20, 3), 2)
    weights = np.random.default_rng(3).uniform(0.1, 2, len(X))
    trainer = trained(net, loss, optimizer, X, y, 20, 30, weights)
    expected, state = by_the_reference(net, loss, optimizer, X, y, 20, 30, weights)
    if optimizer.average is not None:
        names = reference.parameters(net)
        averages = dict(zip(names, state.optimizer.average, strict=True))
        expected = reference.with_parameters(expected, averages)
    assert largest_change(trainer.network, expected) < BOUND
    assert largest_change(net, expected) > 1e-3


LOSSES = [
    ln.losses.SquaredError(),
    ln.losses.AbsoluteError(),
    ln.losses.Huber(0.5),
    ln.losses.Quantile((0.1, 0.5, 0.9)),
    ln.losses.Poisson(),
    ln.losses.CrossEntropy(),
    ln.losses.CrossEntropy(label_smoothing=0.2),
    ln.losses.BinaryCrossEntropy(),
    ln.losses.BinaryCrossEntropy(label_smoothing=0.1),
]


@pytest.mark.parametrize("batch", [1, 7, 64, 700])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses(loss, batch):
    net = chain()
    X, y = normal((batch * 5, 5), 1), targets_of(loss, batch * 5, 3)
    optimizer = ln.optim.SGD(0.05)
    trainer = trained(net, loss, optimizer, X, y, batch, 5)
    expected, _ = by_the_reference(net, loss, optimizer, X, y, batch, 5)
    assert largest_change(trainer.network, expected) < BOUND
    value = reference.loss(loss, expected(X), y)
    assert trainer.loss(X, y) == pytest.approx(value, rel=1e-10)


def test_class_weights_and_heads():
    net = chain(4, head="softmax").with_outputs(ln.Classes(["a", "b", "c", "d"]))
    X = normal((200, 5), 1)
    index = np.random.default_rng(0).integers(0, 4, 200)
    y = np.array(list("abcd"))[index]
    factors = np.array([0.5, 2.0, 0.0, 1.5])
    optimizer = ln.optim.SGD(0.1)
    trainer = ln.Trainer(net, None, optimizer, class_weight=dict(zip("abcd", factors, strict=True)))
    after = trainer.step(X, y)
    step = reference.training_step(net, X, index, "cross_entropy", optimizer, class_weight=factors)
    assert after == pytest.approx(step.loss, rel=1e-12)
    assert largest_change(trainer.network, step.network) < BOUND
    assert (trainer.network.head, trainer.network.outputs) == (net.head, net.outputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_that_is_resumed_has_the_same_bits(dtype):
    net = ln.MLP.init([5, 32, 3], "tanh", seed=0, dtype=dtype)
    X, y = normal((500, 5), 1), np.random.default_rng(2).integers(0, 3, 500)
    optimizer = ln.optim.AdamW(
        0.01, average=0.9, clip_norm=1.0, schedule=ln.optim.schedules.Plateau(patience=1)
    )
    whole = ln.Trainer(net, optimizer=optimizer, seed=7)
    for _ in range(4):
        whole.epoch(X, y, 32)
    first = ln.Trainer(net, optimizer=optimizer, seed=7)
    first.epoch(X, y, 32)
    first.epoch(X, y, 32)
    file = io.BytesIO()
    np.savez(file, **first.state())
    file.seek(0)
    states = ((pickle.loads(pickle.dumps(first.state())), net), (np.load(file), None))
    copies = [ln.Trainer.restore(*state) for state in states]
    copies += [pickle.loads(pickle.dumps(first)), copy.copy(first), copy.deepcopy(first)]
    for again in copies:
        assert (again.steps, again.epochs) == (first.steps, 2)
        for _ in range(2):
            again.epoch(X, y, 32)
        assert again.network == whole.network
    assert whole.network != first.network


@pytest.mark.parametrize("make", [chain, blocks])
def test_a_state_holds_the_whole_network(make):
    """Layers, constants, outputs and names of features, whatever was trained."""
    net = make().with_outputs(ln.Quantities(["a", "b", "c"]))
    net = ln.MLP([ln.Rescale(2.0, [1.0] * 5), *net.layers], outputs=net.outputs, dtype=net.dtype)
    X = normal((40, net.in_features), 1)
    trainer = ln.Trainer(net, "squared_error", ln.optim.SGD(0.01, momentum=0.5), seed=0)
    trainer.epoch(X, normal((40, 3), 2), 8)
    again = ln.Trainer.restore(trainer.state())
    assert again.network == trainer.network != net


def test_a_class_of_ones_own_is_restored_by_a_network_of_it():
    class Mine(ln.MLP):
        pass

    net = Mine(chain().layers)
    state = ln.Trainer(net, "squared_error").state()
    assert type(ln.Trainer.restore(state, net).network) is Mine
    assert type(ln.Trainer.restore(state).network) is ln.MLP


def test_a_network_that_computes_something_else_is_not_restored():
    """Its parameters have the same shapes: it would go on as another network, silently."""

    class Mine(ln.Dense):
        pass

    before = ln.Rescale(2.0, [1.0] * 6)
    layers = ln.MLP.init([6, 8, 2], "tanh", seed=0).layers
    net = ln.MLP([before, *layers])
    state = ln.Trainer(net, "squared_error").state()
    other = ln.MLP.init([6, 8, 2], "relu", seed=0).layers
    constants = ln.Rescale(2.0, [1.0, 1, 1, 1, 1, 3])
    mine = [Mine(layer.weight + 1, layer.bias, layer.activation) for layer in layers]
    for wrong, message in (
        ([before, *other], "-> 8 relu"),
        ([constants, *layers], "shift has other values"),
        ([before, layers[0], ln.Activation("sin"), layers[1]], "bias, the network has layers"),
    ):
        with pytest.raises(ValueError, match=f"^state (is of another network|has).*{message}"):
            ln.Trainer.restore(state, ln.MLP(wrong))
    with pytest.raises(ValueError, match="is of another network"):
        ln.Trainer.restore(state, ln.MLP([before, *layers], head="softmax"))
    named = ln.MLP([before, *mine], outputs=ln.Quantities(["a", "b"]))
    again = ln.Trainer.restore(state, named).network
    assert type(again.layers[1]) is Mine
    assert again.outputs == named.outputs
    assert np.array_equal(again.layers[1].weight, layers[0].weight)


def test_numbers_of_a_state_that_are_none():
    trainer = ln.Trainer(chain(), "squared_error", seed=0)
    state = trainer.state()
    for name in ("format", "seed", "total_steps", "steps", "epochs"):
        for value in (1.5, None, [1, 2], "1"):
            with pytest.raises(ValueError, match=f"state is damaged: '{name}' is no whole number"):
                ln.Trainer.restore({**state, name: value})
    for name, value in itertools.product(("steps", "epochs"), (-1, 10**30)):
        with pytest.raises(ValueError, match=f"state is damaged: '{name}' is no whole number"):
            ln.Trainer.restore({**state, name: value})
    for value in (None, "x", 0.5, [[1.0]], {}):
        with pytest.raises(ValueError, match="state is damaged: 'losses' is no row of numbers"):
            ln.Trainer.restore({**state, "losses": value})
    with pytest.raises(ValueError, match="has no 'format': it is none that Trainer"):
        ln.Trainer.restore({})


@pytest.mark.parametrize("rows", [40, 300, 1200])
def test_bits_do_not_depend_on_threads(rows):
    net = ln.MLP.init([6, 200, 200, 4], "relu", seed=0)
    X, y = normal((rows, 6), 1), np.random.default_rng(2).integers(0, 4, rows)
    found = []
    for threads in (1, 2, 3):
        with ln.num_threads(threads):
            trainer = ln.Trainer(net, optimizer=ln.optim.Adam(0.01, clip_norm=0.1), seed=1)
            losses = [trainer.epoch(X, y, rows // 2) for _ in range(3)]
            found.append((losses, trainer.network))
    assert found[0] == found[1] == found[2]


def test_samples_may_lie_anywhere(tmp_path):
    net = ln.MLP.init([6, 20, 2], "relu", seed=0)
    X, y = normal((300, 6), 1).astype(np.float32), np.arange(300) % 2
    np.save(tmp_path / "x.npy", X)
    read_only = X.copy()
    read_only.flags.writeable = False
    expected = None
    for samples in (
        X,
        np.asfortranarray(X),
        X[::-1][::-1],
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        read_only,
        X.astype(np.float64),
        X.tolist(),
    ):
        trainer = ln.Trainer(net, seed=3)
        trainer.epoch(samples, y, 50)
        expected = trainer.network if expected is None else expected
        assert trainer.network == expected


def test_the_network_given_never_changes():
    net = chain()
    before = pickle.dumps(net)
    trainer = ln.Trainer(net, "squared_error", "sgd")
    start = trainer.network
    trainer.step(normal((9, 5), 0), normal((9, 3), 1))
    assert pickle.dumps(net) == before
    assert start == net != trainer.network


def test_a_loss_that_is_not_finite_stops():
    net = ln.MLP([ln.Dense([[1e30]])], dtype="float32")
    trainer = ln.Trainer(net, "squared_error", ln.optim.SGD(1.0))
    with pytest.raises(
        ln.TrainingError, match="the loss is infinite in step 1: try a smaller"
    ) as e:
        trainer.step([[1e30]], [0.0])
    assert e.value.network == net
    assert trainer.steps == 0
    again = pickle.loads(pickle.dumps(e.value))
    assert (str(again), again.step) == (str(e.value), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0]], [1.0]), r"X must have shape \(batch, 5\), got shape \(1, 1\)"),
        ((np.zeros((0, 5)), np.zeros((0, 3))), "X has no samples"),
        ((np.ones((2, 5)), np.ones((3, 3))), "y has 3 rows, and X has 2"),
        ((np.ones((2, 5)), np.ones((2, 2))), r"y must have shape \(batch, 3\)"),
        ((np.full((2, 5), np.nan), np.ones((2, 3))), "X must be finite: row 0 holds NaN"),
        ((np.ones((2, 5)), [[1, 1, 1], [1, np.inf, 1]]), "y must be finite: row 1"),
        ((np.ones((2, 5)), np.ones((2, 3)), [1.0]), r"sample_weight must have shape \(2,\)"),
        ((np.ones((2, 5)), np.ones((2, 3)), [1.0, -1.0]), r"sample_weight\[1\] is -1"),
        ((np.ones((2, 5)), np.ones((2, 3)), [0.0, 0.0]), "sample_weight is 0 for all"),
    ],
)
def test_what_a_step_refuses(arguments, message):
    trainer = ln.Trainer(chain(), "squared_error")
    with pytest.raises(ValueError, match=message):
        trainer.step(*arguments)
    assert trainer.steps == 0


def test_text_needs_a_network_with_labels():
    trainer = ln.Trainer(chain(), "cross_entropy")
    with pytest.raises(ValueError, match=r"y holds text.*with_outputs\(ln\.Classes"):
        trainer.step(np.ones((2, 5)), ["yes", "no"])


def test_what_is_too_large_for_the_network():
    trainer = ln.Trainer(ln.MLP.init([5, 1], seed=0), "squared_error")
    with pytest.raises(ValueError, match="row 1 holds a number that is too large for float32"):
        trainer.step(np.ones((2, 5)), [1.0, 1e39])
    with pytest.raises(ValueError, match="row 1 holds an infinity"):
        trainer.step(np.ones((2, 5)), [1.0, np.inf])


def test_what_a_trainer_refuses():
    with pytest.raises(TypeError, match=r"net must be an ln\.MLP"):
        ln.Trainer([dense(1, 1)])
    with pytest.raises(ValueError, match="no parameters that could be trained"):
        ln.Trainer(ln.MLP([ln.Activation("relu")], in_features=2), "squared_error")
    with pytest.raises(ValueError, match="the network ends in softmax"):
        ln.Trainer(chain(head="softmax"), "squared_error")
    with pytest.raises(TypeError, match=r"LBFGS.*ln\.fit takes it"):
        ln.Trainer(chain(), "squared_error", ln.optim.LBFGS())
    with pytest.raises(ValueError, match="needs to know how many steps"):
        ln.Trainer(chain(), "squared_error", ln.optim.SGD(schedule="cosine")).step(
            np.ones((1, 5)), np.ones((1, 3))
        )
    with pytest.raises(ValueError, match="seed must be at least 0"):
        ln.Trainer(chain(), seed=-1)
    state = ln.Trainer(chain(), "squared_error").state()
    with pytest.raises(
        ValueError, match=r"state has parameters layers\[0\]\.weight.*the network has"
    ):
        ln.Trainer.restore(state, blocks())
    with pytest.raises(ValueError, match="the network has shape"):
        ln.Trainer.restore(state, ln.MLP.init([5, 8, 8, 3], seed=0, dtype="float64"))
    with pytest.raises(TypeError, match=r"net must be an ln\.MLP"):
        ln.Trainer.restore(state, "net")
    with pytest.raises(ValueError, match="state has no 'network'"):
        ln.Trainer.restore({k: v for k, v in state.items() if k != "network"})
    with pytest.raises(ValueError, match="state does not hold a network"):
        ln.Trainer.restore({**state, "network": "{}"})
