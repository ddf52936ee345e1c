"""Dropout while a network is trained: what is dropped, and that nothing else knows of it."""

from __future__ import annotations

import io

import numpy as np
import pytest

import laminet as ln

WORD = 2**64 - 1
# 2^64 over the golden ratio: the step of SplitMix64.
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


class Stream:
    """The core's random numbers (cpp/laminet/training/random.h) in Python's integers."""

    def __init__(self, key):
        self.start = mix((key + GOLDEN) & WORD)

    def stream(self, number):
        return Stream(self.start ^ mix((number + GOLDEN) & WORD))

    def __getitem__(self, i):
        return mix((self.start + (i + 1) * GOLDEN) & WORD)


def mask(seed, step, number, rate, rows, columns):
    """Factors of the elements of a batch: 0 or 1 / (1 - rate)."""
    stream = Stream(seed).stream(2**63).stream(step).stream(number)
    numbers = -(-columns // 2)
    draws = np.array(
        [
            [(stream[i * numbers + j // 2] >> 32 * (j % 2)) % 2**32 for j in range(columns)]
            for i in range(rows)
        ]
    )
    return np.where(draws < round(rate * 2**32), 0, 1 / (1 - rate))


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def network(sizes, rates, dtype="float64", activation="tanh"):
    """A chain with a dropout before each dense layer, and one behind the last."""
    layers = []
    for i, rate in enumerate(rates):
        layers.append(ln.Dropout(rate))
        if i + 1 < len(sizes):
            last = i + 2 == len(sizes)
            weight = normal((sizes[i + 1], sizes[i]), i) / np.sqrt(sizes[i])
            function = "identity" if last else activation
            layers.append(ln.Dense(weight, normal(sizes[i + 1], 9 + i), function))
    return ln.MLP(layers, in_features=sizes[0], dtype=dtype)


class Reference:
    """Plain SGD on squared error of such a network, in float64."""

    def __init__(self, net, rate, seed):
        self.layers = list(net.layers)
        self.arrays = {
            i: [layer.weight.astype(float), layer.bias.astype(float)]
            for i, layer in enumerate(self.layers)
            if isinstance(layer, ln.Dense)
        }
        self.rate, self.seed, self.steps = rate, seed, 0

    def step(self, x, y):
        saved, value, number = [], x, 0
        for i, layer in enumerate(self.layers):
            if isinstance(layer, ln.Dropout):
                factors = np.ones_like(value)
                if layer.rate > 0:
                    factors = mask(self.seed, self.steps, number, layer.rate, *value.shape)
                    number += 1
                saved.append(factors)
                value = value * factors
            else:
                weight, bias = self.arrays[i]
                out = value @ weight.T + bias
                function = str(layer.activation)
                out = np.tanh(out) if "tanh" in function else out
                saved.append((value, 1 - out**2 if "tanh" in function else np.ones_like(out)))
                value = out
        loss = ((value - y) ** 2).mean()
        g = 2 * (value - y) / value.size
        for i in reversed(range(len(self.layers))):
            if isinstance(self.layers[i], ln.Dropout):
                g = g * saved[i]
                continue
            given, slope = saved[i]
            g = g * slope
            weight, bias = self.arrays[i]
            before = g @ weight
            self.arrays[i] = [weight - self.rate * (g.T @ given), bias - self.rate * g.sum(axis=0)]
            g = before
        self.steps += 1
        return loss


# Slices of a batch, and rows shared with gradients of their own phase: more than 32,768 weights.
SIZES = {"slices": (5, 9, 7, 3), "rows": (5, 200, 190, 3)}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("rates", [(0.0, 0.5, 0.0), (0.2, 0.25, 0.5, 0.1)], ids=["one", "all"])
def test_trajectories_are_those_of_the_masks(sizes, rates):
    net = network(sizes, rates)
    X, y = normal((70, 5), 1), normal((70, 3), 2)
    trainer = ln.Trainer(net, "squared_error", ln.optim.SGD(0.05), seed=12)
    reference = Reference(net, 0.05, 12)
    for step in range(20):
        rows = slice(0, 70 - step)
        expected = reference.step(X[rows], y[rows])
        assert trainer.step(X[rows], y[rows]) == pytest.approx(expected, rel=1e-11)
    for i, (weight, bias) in reference.arrays.items():
        found = trainer.network.layers[i]
        # 20 steps of sums of some 200 products, each rounded to 1.1e-16 of numbers near 1.
        np.testing.assert_allclose(found.weight, weight, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.bias, bias, rtol=0, atol=1e-12)


def test_an_epoch_is_its_steps():
    """The masks go by the number of the step and the place in the batch, whatever the job."""
    net = network((5, 9, 3), (0.1, 0.5, 0.0))
    X, y = normal((90, 5), 1), normal((90, 3), 2)
    whole = ln.Trainer(net, "squared_error", "adam", seed=3)
    steps = ln.Trainer(net, "squared_error", "adam", seed=3)
    for _ in range(2):
        whole.epoch(X, y, 20, shuffle=False)
        for first in range(0, 90, 20):
            steps.step(X[first : first + 20], y[first : first + 20])
    assert whole.network == steps.network


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_bits_depend_on_the_seed_alone(sizes):
    net = network(sizes, (0.1, 0.5, 0.3), "float32")
    X, y = normal((900, 5), 1), normal((900, 3), 2)
    found = []
    for threads, seed in ((1, 4), (2, 4), (3, 4), (1, 5)):
        with ln.num_threads(threads):
            trainer = ln.Trainer(net, "squared_error", "adam", seed=seed)
            losses = [trainer.epoch(X, y, 400, shuffle=False) for _ in range(2)]
            found.append((losses, trainer.network))
    assert found[0] == found[1] == found[2] != found[3]


def test_a_run_that_is_resumed_drops_the_same():
    net = network((5, 9, 3), (0.1, 0.5, 0.0), "float32")
    X, y = normal((90, 5), 1), normal((90, 3), 2)
    whole = ln.Trainer(net, "squared_error", "adam", seed=3)
    for _ in range(3):
        whole.epoch(X, y, 20)
    first = ln.Trainer(net, "squared_error", "adam", seed=3)
    first.epoch(X, y, 20)
    file = io.BytesIO()
    np.savez(file, **first.state())
    file.seek(0)
    again = ln.Trainer.restore(np.load(file))
    for _ in range(2):
        again.epoch(X, y, 20)
    assert again.network == whole.network


def test_steps_alone_drop():
    net = network((5, 9, 3), (0.3, 0.5, 0.0))
    plain = ln.MLP([layer for layer in net.layers if isinstance(layer, ln.Dense)], dtype=net.dtype)
    X, y = normal((40, 5), 1), normal((40, 3), 2)
    trainer = ln.Trainer(net, "squared_error", "adam", seed=3)
    assert trainer.loss(X, y) == ln.Trainer(plain, "squared_error").loss(X, y)
    assert trainer.step(X, y) != trainer.loss(X, y)
    made = trainer.network
    assert [type(a) for a in made.layers] == [type(a) for a in net.layers]
    assert trainer.loss(X, y) == pytest.approx(((made(X) - y) ** 2).mean(), rel=1e-12)
    fit = ln.fit(net, X, y, loss="squared_error", epochs=2, validation=(X, y), seed=0)
    best = fit.history.validation_loss[fit.best_epoch - 1]
    assert best == pytest.approx(((fit.network(X) - y) ** 2).mean(), rel=1e-12)


def test_a_rate_of_zero_is_nothing():
    X, y = normal((40, 5), 1), normal((40, 3), 2)
    net = network((5, 9, 3), (0.0,) * 3)
    plain = net._like([layer for layer in net.layers if isinstance(layer, ln.Dense)])
    found = []
    for start in (net, plain):
        trainer = ln.Trainer(start, "squared_error", "adam", seed=3)
        found.append([trainer.step(X, y) for _ in range(3)])
    assert found[0] == found[1]


def test_shares_are_those_of_the_rate():
    """Of 40,000 numbers that are dropped with the probability 0.3: within 5 standard deviations.

    The gradient of sum_i w_i d_i x_i / rows to each w_i is the mean of what its mask lets through.
    """
    net = ln.MLP([ln.Dropout(0.3), ln.Dense(np.zeros((1, 40)), [0.0], "identity")])
    trainer = ln.Trainer(net.astype("float64"), "squared_error", ln.optim.SGD(0.5), seed=1)
    trainer.step(np.ones((1000, 40)), np.ones(1000))
    kept = trainer.network.layers[1].weight[0] * 0.7  # w = 0 - 0.5 * mean(2 * (0 - 1) * d)
    deviation = np.sqrt(0.3 * 0.7 / 1000)
    assert np.abs(kept - 0.7).max() < 5 * deviation
    assert abs(kept.mean() - 0.7) < 5 * deviation / np.sqrt(40)
    assert 0.5 < kept.std() / deviation < 1.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_within_other_layers(dtype):
    """In branches and residuals, with norms and a head; it learns what there is to be learnt."""

    def dense(out, into, seed):
        return ln.Dense(normal((out, into), seed) / np.sqrt(into), np.zeros(out), "relu")

    net = ln.MLP(
        [
            dense(12, 4, 0),
            ln.Residual(
                [ln.LayerNorm(np.ones(12), np.zeros(12)), ln.Dropout(0.2), dense(12, 12, 1)]
            ),
            ln.Parallel([[ln.Dropout(0.4), dense(5, 12, 2)], [dense(6, 12, 3), ln.Dropout(0.1)]]),
            ln.Dense(normal((2, 11), 4) / 4, [0.0, 0.0], "identity"),
        ],
        head="softmax",
        dtype=dtype,
    )
    X = normal((600, 4), 5)
    y = (X[:, 0] > X[:, 1]).astype(int)
    fits = [ln.fit(net, X, y, optimizer=ln.optim.Adam(0.01), epochs=20, seed=s) for s in (0, 0, 1)]
    assert fits[0].network == fits[1].network != fits[2].network
    assert (fits[0].network.predict(X) == y).mean() > 0.95


def test_full_batch_solvers_refuse_it():
    net = network((5, 9, 3), (0.0, 0.5, 0.0))
    X, y = normal((40, 5), 1), normal((40, 3), 2)
    for method in (ln.optim.LBFGS(), ln.optim.LevenbergMarquardt()):
        with pytest.raises(ValueError, match=r"is for a loss that stays the same.*Dropout"):
            ln.fit(net, X, y, loss="squared_error", optimizer=method)
    ln.fit(network((5, 9, 3), (0.0,) * 3), X, y, loss="squared_error", optimizer="lbfgs", epochs=1)
