"""Weights of samples and classes in `ln.fit`: what is 0 is not there, whatever follows from it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 3)).astype(np.float32)
Y = X.sum(axis=1)
INDICES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
CLASSES = np.array(["a", "b", "c"])[INDICES]
SIDES = np.where(INDICES > 0, "yes", "no")
NET = ln.MLP.init([3, 8, 1], "tanh", seed=0)
CLASSIFIER = ln.MLP.init([3, 8, 3], "tanh", seed=0, outputs=ln.Classes(["a", "b", "c"]))
BINARY = ln.MLP.init([3, 8, 1], "tanh", seed=0, outputs=ln.Classes(["no", "yes"]))
THERE = RNG.random(90) < 0.4
COSINE = ln.optim.SGD(0.1, schedule="cosine")


def fit(net: ln.MLP = NET, x: Any = X, y: Any = Y, **arguments: Any) -> Any:
    settings = {"epochs": 3, "seed": 0, "progress": False, "batch_size": 10, "optimizer": COSINE}
    return ln.fit(net, x, y, **{**settings, **arguments})


def ways_to_leave_out(kind: str) -> tuple[dict[str, Any], Any, ln.MLP, Any]:
    """Arguments by which samples do not weigh, which do, and the network and targets."""
    if kind == "samples":
        return {"sample_weight": THERE.astype(float)}, THERE, NET, Y
    if kind == "classes":
        return {"class_weight": {"a": 0.0}}, CLASSES != "a", CLASSIFIER, CLASSES
    if kind == "a side":
        return {"class_weight": {"no": 0.0}}, SIDES != "no", BINARY, SIDES
    weights = {"sample_weight": THERE.astype(float), "class_weight": {"no": 0.0}}
    return weights, THERE & (SIDES != "no"), BINARY, SIDES


@pytest.mark.parametrize("size", [10, None])
@pytest.mark.parametrize("kind", ["samples", "classes", "a side", "both"])
def test_schedules_count_steps_of_samples_that_weigh(kind: str, size: int | None) -> None:
    """Learning rates are those of a run over these samples alone, to the last one."""
    arguments, there, net, y = ways_to_leave_out(kind)
    found = fit(net, y=y, batch_size=size, **arguments)
    alone = fit(net, X[there], y[there], batch_size=size)
    assert found.history.learning_rate == alone.history.learning_rate
    steps = 3 * (1 if size is None else -(-int(there.sum()) // size))
    cosine = ln.optim.schedules.Cosine()
    assert found.history.learning_rate[-1] == 0.1 * cosine.factor(steps - 1, steps)


def test_nothing_to_learn_from_or_to_validate_with() -> None:
    """It is said before the first epoch, not after it."""
    of_a = CLASSES == "a"

    def never(_: Any) -> None:
        pytest.fail("the run has begun")

    zero = {"class_weight": {"a": 0.0}, "callbacks": never}
    held_out = X[of_a], CLASSES[of_a]
    for optimizer in ("sgd", "lbfgs"):
        with pytest.raises(ValueError, match="is 0 for all samples: there is nothing to learn"):
            fit(CLASSIFIER, X[of_a], CLASSES[of_a], optimizer=optimizer, **zero)
        with pytest.raises(ValueError, match="is 0 for all samples: there is nothing to validate"):
            fit(CLASSIFIER, y=CLASSES, validation=held_out, optimizer=optimizer, **zero)
    no = SIDES == "no"
    with pytest.raises(ValueError, match="is 0 for all samples: there is nothing to validate with"):
        fit(BINARY, y=SIDES, validation=(X[no], SIDES[no]), class_weight={"no": 0.0})
    with pytest.raises(ValueError, match="is 0 for all samples: there is nothing to learn from"):
        fit(BINARY, y=SIDES, sample_weight=no.astype(float), class_weight={"no": 0.0})
    with pytest.raises(ValueError, match=r"validation sample_weight is 0 for all.*validate with"):
        fit(validation=(X, Y, np.zeros(90)))


@pytest.mark.parametrize("size", [2.0**-1050, 2.0**1000, 2.0**1023])
@pytest.mark.parametrize(
    "arguments",
    [
        {"standardize": "both"},
        {"optimizer": "lbfgs"},
        {"optimizer": "levenberg_marquardt"},
        {"class_weight": "balanced"},
        {"class_weight": {"yes": 1.5}},
        {"class_weight": {"yes": 2.0**800, "no": 2.0**801}},
    ],
)
def test_the_size_of_all_weights_means_nothing(arguments: dict[str, Any], size: float) -> None:
    """Sums and products of them would be no numbers: those by ratios are."""
    net, y = (BINARY, SIDES) if "class_weight" in arguments else (NET, Y)
    weights = RNG.integers(1, 5, 90) / 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = fit(net, y=y, sample_weight=weights, validation=(X, y, weights), **arguments)
        other = weights * size
        found = fit(net, y=y, sample_weight=other, validation=(X, y, other), **arguments)
    assert found.network == one.network
    assert found.history.validation_loss == one.history.validation_loss
    assert found.history.metrics == one.history.metrics


def test_metrics_of_ones_own_see_samples_that_weigh_and_change_none() -> None:
    seen = []

    def spoils(outputs: Any, targets: Any) -> float:
        seen.append((len(outputs), len(targets)))
        for array in (outputs, targets):
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0
        return 1.0

    y = Y.copy()
    plain = fit(validation=(X, Y, THERE.astype(float)))
    metrics = {"first": spoils, "second": spoils}
    found = fit(validation=(X, y, THERE.astype(float)), metrics=metrics)
    assert set(seen) == {(int(THERE.sum()),) * 2}
    assert found.history.validation_loss == plain.history.validation_loss
    assert np.array_equal(y, Y)
