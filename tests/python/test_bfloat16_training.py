"""Training whose products are of bfloat16: the bits of a model, everywhere."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import numpy as np
import pytest
from bfloat16_model import factors, products
from golden_bits import dyadic
from trained_bits import EPOCHS, OPTIMIZERS, blocks, chain, targets
from variants import FUSED_ISAS, ISAS, instruction_set, same_bits

import laminet as ln
from laminet import reference
from laminet.data import digits_test_set, digits_training_set

BOTH: Any = "bfloat16"


def _network(sizes: list[int], seed: int = 0) -> ln.MLP:
    return ln.MLP.init(sizes, "relu", seed=seed, dtype="float32")


def _data(net: ln.MLP, rows: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, net.in_features)).astype(np.float32) * np.float32(scale)
    y = rng.standard_normal((rows, net.out_features)).astype(np.float32) * np.float32(scale)
    return x, y


def _model(net: ln.MLP, x: np.ndarray, y: np.ndarray, batch: int | None = None) -> list[np.ndarray]:
    """Gradients with respect to the weights, of the mean squared error, to the last bit.

    What these rows of a batch have part in.
    """
    weights = [np.asarray(layer.weight) for layer in net.layers]
    read = [x]
    for i, layer in enumerate(net.layers):
        z = products(factors(read[-1]), factors(weights[i])) + np.asarray(layer.bias)
        read.append(np.where(z > 0, z, np.float32(0)) if i + 1 < len(weights) else z)
    one = np.float32(1)
    delta = (one / np.float32(y.shape[1])) * (one / np.float32(batch or len(x)))
    delta = delta * (2 * (read[-1] - y))
    found = []
    for i in reversed(range(len(weights))):
        found.append(products(factors(delta).T, factors(read[i]).T))
        back = products(factors(delta), factors(weights[i]).T)
        delta = back * (read[i] > 0).astype(np.float32)
    return found[::-1]


def _step(net: ln.MLP, x: np.ndarray, y: np.ndarray, precision: Any = BOTH) -> list[np.ndarray]:
    """What a step of plain gradient descent at the rate 1 takes away from each weight."""
    trainer = ln.Trainer(net, "squared_error", ln.optim.SGD(1.0), seed=0, precision=precision)
    return trainer._core.value_and_gradients(x, y, None)[1][0]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        # Of one slice each.
        ([1, 1], 1),
        ([3, 5, 1], 2),
        ([17, 64, 64, 6], 31),
        ([101, 133, 70, 3], 7),
        # Beyond the networks that are sliced.
        ([201, 171, 3], 33),
        ([201, 171, 3], 64),
    ],
    ids=str,
)
def test_gradients_have_the_bits_of_the_model(sizes: list[int], rows: int, isa: str) -> None:
    """And those of float32 are others."""
    with instruction_set(isa):
        net = _network(sizes)
        x, y = _data(net, rows)
        found = _step(net, x, y)
        exact = _step(net, x, y, "float32")
    expected = _model(net, x, y)
    if isa == "generic":  # whose other operations are not fused
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0.02, atol=0.02 * abs(wanted).max())
        return
    for got, wanted in zip(found, expected, strict=True):
        assert same_bits(got, wanted)
    assert not all(same_bits(a, b) for a, b in zip(found, exact, strict=True))


@pytest.mark.parametrize("isa", FUSED_ISAS)
def test_subnormal_factors_and_sums_are_zero_in_gradients(isa: str) -> None:
    with instruction_set(isa):
        net = _network([40, 24, 3])
        x, y = _data(net, 31, 2.0**-60)
        x[:, ::3] *= np.float32(2.0**-66)
        y[:, 1] *= np.float32(2.0**-64)
        found = _step(net, x, y)
    expected = _model(net, x, y)
    for got, wanted in zip(found, expected, strict=True):
        assert same_bits(got, wanted)
    assert all((wanted == 0).any() and (wanted != 0).any() for wanted in expected)


@pytest.mark.parametrize("isa", FUSED_ISAS)
@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        # Passes of 512 rows; the last one has an odd number.
        ([170, 201, 2], [512, 512, 5]),
        # Slices, each by itself.
        ([20, 33, 2], [67, 67, 67, 66]),
    ],
    ids=str,
)
def test_parts_of_a_batch_add_up(sizes: list[int], parts: list[int], isa: str) -> None:
    with instruction_set(isa):
        net = _network(sizes)
        x, y = _data(net, sum(parts))
        found = _step(net, x, y)
    ends = np.cumsum(parts)
    models = [
        _model(net, x[end - rows : end], y[end - rows : end], len(x))
        for rows, end in zip(parts, ends, strict=True)
    ]
    for got, (first, *rest) in zip(found, zip(*models, strict=True), strict=True):
        assert same_bits(got, functools.reduce(np.add, rest, first))


def wide(dtype: str) -> ln.MLP:
    """Of more weights than are trained slice by slice, with odd numbers of all and groups."""
    branches = [[ln.Dense(w, None, "relu")] for w in np.split(_weight(66, 201, dtype), 2)]
    return ln.MLP(
        [
            ln.Dense(_weight(201, 151, dtype), np.zeros(201, dtype), "tanh"),
            ln.Parallel(branches),
            ln.Dense(_weight(9, 66, dtype), np.zeros(9, dtype)),
        ]
    )


def _weight(outputs: int, inputs: int, dtype: str) -> np.ndarray:
    return dyadic((outputs, inputs), outputs, dtype) / 8


def _trained(net: ln.MLP, optimizer: ln.optim.Optimizer, rows: int, batch: int) -> list[np.ndarray]:
    x = _data(net, rows)[0]
    trainer = ln.Trainer(net, "cross_entropy", optimizer, seed=5, precision=BOTH)
    y = targets("cross_entropy", net.out_features, "float32")[:rows]
    losses = [trainer.epoch(x, y, batch) for _ in range(EPOCHS)]
    return [*reference.parameters(trainer.network).values(), np.array(losses)]


@pytest.mark.parametrize("batch", [32, 49])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("made", [chain, blocks, wide])
def test_bits_depend_neither_on_threads_nor_on_the_instruction_set(
    made: Any, name: str, batch: int
) -> None:
    found = []
    for isa in FUSED_ISAS:
        for threads in (1, 2, 3):
            with instruction_set(isa), ln.num_threads(threads):
                found.append(_trained(made("float32"), OPTIMIZERS[name], 150, batch))
    for other in found[1:]:
        assert all(same_bits(a, b) for a, b in zip(found[0], other, strict=True))


def test_goes_on_to_the_same_bits_after_being_saved(tmp_path: Any) -> None:
    net = _network([12, 40, 5])
    x = _data(net, 90)[0]
    y = np.arange(90) % 5
    one = ln.Trainer(net, optimizer=ln.optim.Adam(0.01), seed=3, precision=BOTH)
    one.epoch(x, y, 16)
    np.savez(tmp_path / "state.npz", **one.state())
    with np.load(tmp_path / "state.npz") as state:
        two = ln.Trainer.restore(state)
    three = pickle.loads(pickle.dumps(one))
    assert two.precision == three.precision == one.precision == "bfloat16"
    for trainer in (one, two, three):
        trainer.epoch(x, y, 16)
    assert one.network == two.network == three.network
    assert one.network.precision == "float32"


def test_a_state_without_a_precision_is_of_float32() -> None:
    """As those of versions before there was another."""
    one = ln.Trainer(_network([3, 2]), seed=0)
    state = one.state()
    del state["precision"]
    assert ln.Trainer.restore(state).precision == "float32"


@pytest.mark.parametrize("own", ["bfloat16_weights", "bfloat16"])
def test_what_is_trained_of_a_network_that_rounds_is_float32(own: Any) -> None:
    """So steps that are smaller than the roundings add up, before and after being resumed."""
    net = _network([8, 16, 2]).with_precision(own)
    x, y = _data(net, 40)
    trainer = ln.Trainer(net, "squared_error", ln.optim.SGD(1e-4), seed=0)
    trainer.step(x, y)
    resumed = ln.Trainer.restore(trainer.state())

    def first(of: ln.MLP) -> np.ndarray:
        return np.asarray(of.layers[0].weight)

    for one in (trainer, resumed):
        assert one.network.precision == "float32"
        assert same_bits(first(one.network.with_precision(own)), first(net))
        for _ in range(100):
            one.step(x, y)
    assert not same_bits(first(trainer.network.with_precision(own)), first(net))
    assert trainer.network == resumed.network


def test_loss_is_that_of_the_network_which_is_float32() -> None:
    net = wide("float32")
    x, y = _data(net, 60)
    trainer = ln.Trainer(net, "squared_error", ln.optim.SGD(0.01), seed=0, precision=BOTH)
    before = trainer.loss(x, y)
    first = trainer.step(x, y)
    assert before == ln.Trainer(net, "squared_error", seed=0).loss(x, y)
    assert before != first
    assert first == pytest.approx(before, rel=0.02)
    fit = ln.fit(
        net, x, y, loss="squared_error", epochs=3, validation=(x, y), seed=0, precision=BOTH
    )
    best = fit.history.validation_loss[fit.best_epoch - 1]
    assert best == ln.Trainer(fit.network, "squared_error", seed=0).loss(x, y)


@pytest.mark.parametrize("isa", FUSED_ISAS)
def test_slices_add_up_by_blocks_that_no_machine_has_a_part_in(isa: str) -> None:
    """8 slices of 150 rows, in blocks of 48, of which 256 KiB hold all that becomes of them."""
    with instruction_set(isa):
        net = _network([300, 20, 2])
        x, y = _data(net, 1200)
        found = _step(net, x, y)
    slices = []
    for start in range(0, 1200, 150):
        blocks = [slice(i, min(i + 48, start + 150)) for i in range(start, start + 150, 48)]
        models = [_model(net, x[rows], y[rows], len(x)) for rows in blocks]
        slices.append([functools.reduce(np.add, of) for of in zip(*models, strict=True)])
    for got, of in zip(found, zip(*slices, strict=True), strict=True):
        assert same_bits(got, functools.reduce(np.add, of))


def test_fit_learns_as_well_as_in_float32() -> None:
    """Accuracy on 450 digits held out: within three standard errors of a difference."""
    images, labels = digits_training_set()
    seen, right = digits_test_set()
    found = {}
    for precision in ("float32", BOTH):
        net = ln.MLP.init([64, 64, 10], seed=0, outputs=ln.Classes(range(10)))
        fit = ln.fit(
            net,
            images,
            labels,
            epochs=30,
            optimizer=ln.optim.AdamW(0.003),
            seed=0,
            precision=precision,
        )
        assert fit.network.precision == "float32"
        found[precision] = float(np.mean(fit.network.predict(seen) == right)), fit.network
    error = 3 * np.sqrt(2 * 0.03 * 0.97 / 450)
    assert found["float32"][0] > 0.95
    assert abs(found["float32"][0] - found[BOTH][0]) < error
    assert found["float32"][1] != found[BOTH][1]


@pytest.mark.parametrize(
    ("precision", "dtype", "error", "words"),
    [
        ("bfloat16_weights", "float32", ValueError, "networks that are done"),
        ("bfloat16", "float64", ValueError, "networks of float32"),
        ("float64", "float32", ValueError, "networks of float64"),
        ("bf16", "float32", ValueError, "'bfloat16'"),
        (16, "float32", TypeError, "must be a str"),
    ],
)
def test_other_precisions_are_refused(
    precision: Any, dtype: str, error: type[Exception], words: str
) -> None:
    net = ln.MLP.init([2, 1], seed=0, dtype=dtype)
    with pytest.raises(error, match=words):
        ln.Trainer(net, "squared_error", precision=precision)
    with pytest.raises(error, match=words):
        ln.fit(net, [[1.0, 2.0]], [[3.0]], precision=precision)


def test_a_weight_beyond_the_range_is_refused_by_its_layer() -> None:
    """As `with_precision` does; it would be infinite."""
    net = ln.MLP([ln.Dense(np.full((1, 2), 3.4e38, np.float32), None)])
    with pytest.raises(ValueError, match=r"layers\[0\].*beyond the range of bfloat16"):
        ln.Trainer(net, "squared_error", precision=BOTH)


def test_a_damaged_state_says_so() -> None:
    state = ln.Trainer(_network([3, 2]), seed=0).state()
    with pytest.raises(ValueError, match="damaged: 'precision'"):
        ln.Trainer.restore(state | {"precision": 3})


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenberg_marquardt"])
def test_solvers_of_all_samples_need_exact_gradients(optimizer: str) -> None:
    net = ln.MLP.init([2, 1], seed=0)
    with pytest.raises(ValueError, match="exact gradients"):
        ln.fit(net, [[1.0, 2.0]], [[3.0]], optimizer=optimizer, precision=BOTH)
