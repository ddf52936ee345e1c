"""Training on many workers: steps, orders and means, with a client that computes at once.

tests/engines has it on the workers of Dask.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import laminet as ln
from laminet.distributed import parts as of_parts
from laminet.distributed.parts import (
    Part,
    Run,
    Share,
    flat,
    gradients,
    joined,
    phases,
    prepared,
    steps_with_rows,
    unflat,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((503, 5)).astype(np.float32)
Y = np.sin(X).sum(axis=1)
NET = ln.MLP(ln.MLP.init([5, 16, 16, 1], "tanh", seed=0).layers, outputs=ln.Quantities(["y"]))


class Client:
    """What `fit` asks of a client of Dask: tasks are computed as they are submitted."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = [f"worker {i}" for i in range(workers)]
        self.sent: list[Callable[..., Any]] = []

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.workers, 1)

    def submit(self, function: Callable[..., Any], *arguments: Any, **where: Any) -> Any:
        self.sent.append(function)
        assert set(where.get("workers", ())) <= set(self.workers)
        return function(*arguments)

    def gather(self, futures: list[Any]) -> list[Any]:
        return futures

    def run(self, function: Callable[..., Any], *arguments: Any, on_error: str) -> None:
        function(*arguments)


@pytest.fixture(autouse=True)
def _without_dask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What it imports of Dask are two errors; and nothing is kept by workers that a test plays."""
    module: Any = types.ModuleType("dask.distributed")
    module.CancelledError = type("CancelledError", (Exception,), {})
    module.KilledWorker = type("KilledWorker", (Exception,), {})
    monkeypatch.setitem(sys.modules, "dask", types.ModuleType("dask"))
    monkeypatch.setitem(sys.modules, "dask.distributed", module)
    yield
    of_parts.forget("a run")


def cut(*bounds: int) -> list[Any]:
    """The samples, cut there."""
    pairs = itertools.pairwise([0, *bounds, len(X)])
    return [(X[begin:end], Y[begin:end]) for begin, end in pairs]


def fit(parts: list[Any], workers: int = 1, net: ln.MLP = NET, **options: Any) -> Any:
    settings = {"batch_size": 64, "epochs": 3, "seed": 1, **options}
    return ln.distributed.fit(Client(workers), net, parts, **settings)


def a_run(parts: int, seed: int = 1, shuffle: bool = True, net: ln.MLP = NET) -> Run:
    return Run("a run", net, ln.losses.SquaredError(), seed, shuffle, parts)


@pytest.mark.parametrize("bounds", [(), (100,), (100, 100, 101, 400), (*range(50, 500, 50),)])
def test_the_same_bits_with_any_number_of_workers(bounds: tuple[int, ...]) -> None:
    alone = fit(cut(*bounds))
    assert alone.history.loss[-1] < alone.history.loss[0]
    for workers in (2, 3, 4, 7, 30):
        found = fit(cut(*bounds), workers)
        assert found.network == alone.network
        assert found.history.loss == alone.history.loss


OPTIMIZERS = [
    ln.optim.SGD(0.05, momentum=0.9),
    ln.optim.AdamW(0.01, clip_norm=0.5),
    ln.optim.AdamW(0.01, schedule=ln.optim.schedules.Cosine()),
    ln.optim.Adam(0.01, average=0.9),
    ln.optim.Muon(0.01),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("sizes", [[5, 16, 1], [5, 300, 300, 1]])
@pytest.mark.parametrize("weighted", [False, True])
def test_with_one_part_the_steps_are_those_of_a_trainer(
    optimizer: Any, sizes: list[int], weighted: bool
) -> None:
    net = ln.MLP.init(sizes, "tanh", seed=0)
    weights = RNG.uniform(0, 2, len(X)) if weighted else None
    part = (X, Y, weights) if weighted else (X, Y)
    options = {"loss": "huber", "optimizer": optimizer}
    found = fit([part], net=net, batch_size=None, epochs=4, **options)
    trainer = ln.Trainer(net, "huber", optimizer, total_steps=4)
    losses = [trainer.step(X, Y, weights) for _ in range(4)]
    assert found.history.loss == tuple(losses)
    assert found.network == trainer.network


def test_schedules_that_follow_losses() -> None:
    schedule = ln.optim.schedules.Plateau(gamma=0.5, patience=0, threshold=0.2)
    optimizer = ln.optim.SGD(0.9, schedule=schedule)
    found = fit([(X, Y)], batch_size=None, epochs=12, optimizer=optimizer)
    trainer = ln.Trainer(NET, "squared_error", optimizer)
    losses = [trainer.epoch(X, Y, None, shuffle=False) for _ in range(12)]
    assert found.history.loss == tuple(losses)
    assert len(set(found.history.learning_rate)) > 1
    assert found.network == trainer.network


def test_the_loss_of_an_epoch_is_that_of_its_rows() -> None:
    """By their weights, whatever step they were in; here nothing is learnt."""
    weights = RNG.uniform(0, 1, len(X)) ** 8
    optimizer = ln.optim.SGD(1e-30)
    part = [(X[:300], Y[:300], weights[:300]), (X[300:], Y[300:], weights[300:])]
    found = fit(part, epochs=2, optimizer=optimizer)
    expected = ln.Trainer(NET, "squared_error").loss(X, Y, weights)
    assert found.history.loss == pytest.approx([expected] * 2, rel=1e-6)


def test_what_a_step_follows_is_the_gradient_of_all_rows() -> None:
    """In float64, so that roundings, of three by level, are far below what a mistake would be."""
    layers = [ln.Dense(RNG.standard_normal((8, 5)), RNG.standard_normal(8), "tanh")]
    alpha = ln.Activation("leaky_relu", alpha=RNG.uniform(0.1, 0.3, 8))
    net = ln.MLP([*layers, ln.LayerNorm(np.ones(8)), alpha, ln.Dense(RNG.standard_normal((1, 8)))])
    weights = RNG.uniform(0, 2, len(X))
    weights[100:120] = 0  # all of a part
    trainer = ln.Trainer(net, "squared_error")
    loss, arrays = trainer._core.value_and_gradients(*trainer._taken(X, Y, weights))
    run, bounds = a_run(6, net=net, shuffle=False), [0, 50, 50, 100, 120, 320, len(X)]
    held = [
        prepared(run, i, (X[begin:end], Y[begin:end], weights[begin:end]))
        for i, (begin, end) in enumerate(itertools.pairwise(bounds))
    ]
    assert [len(part.x) for part in held] == [50, 0, 50, 0, 200, 183]
    now = flat(trainer._core.arrays())
    groups = held[:1], held[1:5], held[5:]
    found = [gradients(run, some, now, Share(1, 0, 1), [0] * len(some)) for some in groups]
    ((total, mean, gradient),) = joined(run, found).values()
    assert total == pytest.approx(weights.sum(), rel=1e-14)
    assert mean == pytest.approx(loss, rel=1e-14)
    scale = np.abs(flat(arrays)).max()
    np.testing.assert_allclose(gradient, flat(arrays), rtol=0, atol=1e-13 * scale)
    assert len(gradient) == net.num_parameters


def test_arrays_in_a_row_and_back() -> None:
    arrays = ([np.arange(6.0).reshape(2, 3)], [None], [(np.ones(2), None)], [(np.zeros(3), None)])
    row = flat(arrays)
    assert row.tolist() == [0, 1, 2, 3, 4, 5, 1, 1, 0, 0, 0]
    again = unflat(row, arrays)
    assert str(again) == str(arrays)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("count", "phase"), [(1, 0), (3, 0), (3, 2), (8, 5), (60, 0), (60, 59)])
def test_each_row_is_in_one_step_of_an_epoch(count: int, phase: int, shuffle: bool) -> None:
    run, part = a_run(4, shuffle=shuffle), Part(3, np.arange(50)[:, None], np.arange(50), None)
    orders = [list(range(50))]
    for epoch in (1, 2):
        shares = [part.rows(Share(epoch, i, count), run, phase)[1] for i in range(count)]
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        orders.append(np.concatenate(shares).tolist())
        assert sorted(orders[-1]) == orders[0]
    assert len({tuple(order) for order in orders}) == (3 if shuffle else 1)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50, 64])
@pytest.mark.parametrize("size", [1, 10, 64, 200])
def test_parts_of_any_length_make_steps_of_the_size_asked_for(length: int, size: int) -> None:
    """Were all shares rounded alike, parts of one row would all be in the last step."""
    lengths = [length] * (500 // length)
    count = -(-sum(lengths) // size)
    rows = np.zeros(count, int)
    for n, phase in zip(lengths, phases(lengths, count), strict=True):
        part = Part(0, np.zeros((n, 1)), np.zeros(n), None)
        run = a_run(1, shuffle=False)
        rows += [len(part.rows(Share(1, i, count), run, phase)[0]) for i in range(count)]
    assert (rows.sum(), rows.max() - rows.min() <= 1) == (sum(lengths), True)
    assert steps_with_rows(lengths, count).tolist() == list(range(count))


def test_steps_that_no_part_gives_a_row_to_are_not_made() -> None:
    """Of parts of other lengths there may be such, and schedules do not count them."""
    random = np.random.default_rng(0)
    skipped = 0
    for _ in range(200):
        lengths = random.integers(0, 6, random.integers(1, 6)).tolist()
        count = max(1, sum(lengths))
        rows = np.zeros(count, int)
        for n, phase in zip(lengths, phases(lengths, count), strict=True):
            rows += np.diff((np.arange(count + 1) * n + phase) // count)
        expected = np.flatnonzero(rows).tolist()
        assert steps_with_rows(lengths, count).tolist() == (expected if any(lengths) else [])
        skipped += count - len(expected)
    assert skipped > 20


@pytest.mark.parametrize("bounds", [(), (3, 5), (100, 250), tuple(range(1, 503))])
@pytest.mark.parametrize("size", [20, 60, None])
def test_schedules_count_steps_of_rows_that_weigh(
    bounds: tuple[int, ...], size: int | None
) -> None:
    """The last rate of an epoch is that of its last step, of as many as such rows make."""
    weights = np.where(np.arange(len(X)) % 3 == 0, 0.5, 0.0)
    weights[:3] = 0  # all of a part
    pairs = itertools.pairwise([0, *bounds, len(X)])
    parts = [(X[begin:end], Y[begin:end], weights[begin:end]) for begin, end in pairs]
    cosine = ln.optim.schedules.Cosine()
    found = fit(parts, batch_size=size, epochs=2, optimizer=ln.optim.SGD(0.01, schedule=cosine))
    count = 1 if size is None else -(-int((weights > 0).sum()) // size)
    total = 2 * count
    expected = [0.01 * cosine.factor(k, total) for k in (count - 1, total - 1)]
    assert found.history.learning_rate == pytest.approx(expected, rel=1e-12)


def test_orders_depend_on_seed_epoch_and_part_alone() -> None:
    def order(seed: int, epoch: int, number: int) -> tuple[int, ...]:
        part = Part(number, np.arange(9)[:, None], np.arange(9), None)
        return tuple(part.rows(Share(epoch, 0, 1), a_run(1, seed))[1].tolist())

    cases = list(itertools.product((0, 2**64 - 1), (1, 2), (0, 1)))
    assert len({order(*case) for case in cases}) == len(cases)
    for case in cases:
        assert order(*case) == tuple(sorted(range(9), key=lambda i, case=case: hashed(i, *case)))


STEP, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def mixed(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def hashed(i: int, *key: int) -> int:
    """SplitMix64 in whole numbers of Python."""
    start = 0
    for number in key:
        start = mixed(start ^ mixed(number + STEP & MASK))
    return mixed(start + (i + 1) * STEP & MASK)


def test_tasks_are_as_many_as_workers() -> None:
    """Beside parameters that are too large to go along with each."""
    for net, more in ((NET, 0), (ln.MLP.init([5, 200, 200, 1], seed=0), 1)):
        client = Client(3)
        ln.distributed.fit(client, net, cut(100, 200, 300, 400), loss="huber", epochs=1, seed=0)
        steps = client.sent[1 + 5 + 3 :]  # after the run, its parts and their rows
        assert len(steps) == 3 + more


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8, 13, 16, 31, 64])
def test_workers_send_few_means(count: int) -> None:
    """One where all have the same power of two of parts, at most two for each level else."""
    run, now = a_run(count), flat(ln.Trainer(NET, "squared_error")._core.arrays())
    held = [Part(i, X[i : i + 1], Y[i : i + 1, None].astype("f4"), None) for i in range(count)]
    for workers in (1, 2, 3, 4, 8, count):
        groups = [[p for p in held if p.number * workers // count == w] for w in range(workers)]
        sent = [gradients(run, group, now, Share(1, 0, 1), [0] * len(group)) for group in groups]
        if count % workers == 0 and (count // workers).bit_count() == 1:
            assert {len(means) for means in sent} == {1}
        assert max(map(len, sent)) <= max(1, 2 * (count - 1).bit_length())
        assert [*joined(run, sent)] == [((count - 1).bit_length(), 0)]


def test_means_of_many_workers_are_joined_by_some() -> None:
    client = Client(20)
    parts = cut(*range(20, 400, 20))
    found = ln.distributed.fit(client, NET, parts, epochs=1, seed=0)
    assert client.sent.count(joined) == 3
    assert found.network == ln.distributed.fit(Client(), NET, parts, epochs=1, seed=0).network


def test_nothing_is_kept_on_workers() -> None:
    fit(cut(100), 2)
    assert of_parts._trainers == {}


def test_a_cluster_that_is_gone_in_the_end() -> None:
    class Gone(Client):
        def run(self, *arguments: Any, **options: Any) -> None:
            raise OSError("the scheduler is gone")

    with pytest.raises(TypeError, match=r"parts\[0\] must be"):
        ln.distributed.fit(Gone(), NET, [3])
    assert ln.distributed.fit(Gone(), NET, cut(), epochs=1).stopped == "epochs"
    for name, _ in list(of_parts._trainers):
        of_parts.forget(name)


def test_callbacks_end_a_run() -> None:
    seen = []

    def call(epoch: ln.training.Epoch) -> None:
        seen.append((epoch.number, epoch.epochs, epoch.loss, epoch.network))
        if epoch.number == 2:
            epoch.stop()

    found = fit(cut(100), callbacks=call, epochs=5)
    assert found.stopped == "callback"
    assert len(found.history) == 2
    assert [row[:3] for row in seen] == [(i + 1, 5, x) for i, x in enumerate(found.history.loss)]
    assert seen[1][3] == found.network
    assert seen[0][3] == fit(cut(100), epochs=1).network
    assert found.best_epoch == 1 + int(np.argmin(found.history.loss))


def test_an_interrupted_run_keeps_its_steps() -> None:
    def call(epoch: ln.training.Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        found = fit(cut(100), callbacks=[call], epochs=5)
    assert found.stopped == "interrupted"
    assert found.network == fit(cut(100), epochs=2).network


def test_an_error_of_a_callback_carries_what_was_made() -> None:
    def call(epoch: ln.training.Epoch) -> None:
        if epoch.number == 3:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as error:
        fit(cut(100), callbacks=[call], epochs=5)
    made = error.value.fit  # type: ignore[attr-defined]  # what fit adds to it
    assert (made.stopped, len(made.history)) == ("error", 3)
    assert made.network == fit(cut(100), epochs=3).network


def test_a_loss_that_is_not_finite() -> None:
    with pytest.raises(ln.TrainingError, match=r"the loss is .* in epoch ") as error:
        fit(cut(100), optimizer=ln.optim.SGD(1e20), epochs=5)
    assert error.value.network.sizes == NET.sizes
    assert len(error.value.history) == error.value.epoch - 1


BAD = [X.copy(), X.copy()]
BAD[0][7, 2] = np.nan


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"parts": []}, ValueError, "parts is empty: there is nothing to learn from"),
        ({"parts": [(X[:0], Y[:0])]}, ValueError, "parts have no rows that weigh"),
        ({"parts": [(X, Y, np.zeros(503))] * 2}, ValueError, "parts have no rows that weigh"),
        ({"parts": 3}, TypeError, "parts must be a sequence of futures, got int"),
        ({"parts": {0: (X, Y)}}, TypeError, "parts must be a sequence of futures, got dict"),
        ({"parts": [(None, Y)]}, TypeError, r"parts\[0\]: X must be an array of real numbers"),
        ({"parts": [(X, Y, -Y)]}, ValueError, r"parts\[0\]: sample_weight must be finite and"),
        ({"callbacks": None}, TypeError, "callbacks must be a callable or a sequence of them"),
        ({"callbacks": [3]}, TypeError, r"callbacks\[0\] must be callable, got int"),
        ({"parts": [(X, Y), X]}, TypeError, r"parts\[1\] must be a tuple .X, y. or .* got ndarray"),
        ({"parts": [(X, Y), (X,)]}, TypeError, r"parts\[1\] must be a tuple"),
        ({"parts": [(X, Y), (X[:, :4], Y)]}, ValueError, r"parts\[1\]: X must have shape"),
        ({"parts": [(X, Y), (X, Y[:9])]}, ValueError, r"parts\[1\]: y has 9 rows, and X has 503"),
        ({"parts": [(BAD[0], Y)]}, ValueError, r"parts\[0\]: X must be finite: row 7 holds NaN"),
        ({"parts": [(X, [*"ab"] * 251 + ["a"])]}, TypeError, r"parts\[0\]: y "),
        ({"client": 3}, TypeError, "client must be a dask.distributed.Client, got int"),
        ({"client": Client(0)}, ValueError, "client has no workers"),
        ({"net": NET.layers}, TypeError, "net must be an ln.MLP, got tuple"),
        ({"net": ln.MLP([ln.Dropout(0.5), *NET.layers])}, ValueError, "net drops features"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"loss": "no"}, ValueError, "no"),
        ({"optimizer": "lbfgs"}, TypeError, "optimizer must be one that makes steps"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"client": Client(2), "net": NET, "parts": cut(100), **options}
    with pytest.raises(error, match=message):
        ln.distributed.fit(**arguments)
    assert of_parts._trainers == {}
