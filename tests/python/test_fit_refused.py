"""What `ln.fit` is given and cannot use: refused in words, before anything is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3)).astype(np.float32)
Y = X.sum(axis=1)
CLASSES = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
NET = ln.MLP.init([3, 8, 1], "tanh", seed=0)
CLASSIFIER = ln.MLP.init([3, 8, 3], "tanh", seed=0, outputs=ln.Classes(["a", "b", "c"]))


def fit(net: ln.MLP = NET, y: Any = Y, **arguments: Any) -> Any:
    return ln.fit(net, X, y, **{"epochs": 2, "seed": 0, "progress": False, **arguments})


def never(*_: Any) -> None:
    """A callback of a run that must not begin."""
    pytest.fail("the run has begun")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"callbacks": None}, "callbacks must be a callable or a sequence of them, got NoneType"),
        ({"callbacks": 5}, "callbacks must be a callable or a sequence of them, got int"),
        ({"callbacks": "stop"}, "callbacks must be a callable or a sequence of them, got str"),
        ({"callbacks": {"a": never}}, "callbacks must be a callable or a sequence of them, got d"),
        ({"callbacks": [never, 5]}, r"callbacks\[1\] must be callable, got int"),
        ({"standardize": None}, "standardize must be True, False, 'inputs' or 'both', got None"),
        ({"standardize": b"both"}, "standardize must be True, False, 'inputs' or 'both', got byt"),
        ({"standardize": 1}, "standardize must be True, False, 'inputs' or 'both', got 1"),
        ({"standardize": X}, "standardize must be True, False, 'inputs' or 'both', got ndarray"),
        ({"progress": "no"}, "progress must be a bool, got str"),
        ({"batch_size": "all", "optimizer": "lbfgs"}, "batch_size must be an integer, got 'all'"),
        ({"validation": "0.2"}, r"fraction between 0 and 1, or a tuple \(X, y\), got '0.2'"),
        ({"validation": X}, r"fraction between 0 and 1, or a tuple \(X, y\), got ndarray"),
        ({"validation": 0.2, "metrics": {5: never}}, "metrics must have names as keys, got 5"),
        ({"validation": 0.2, "metrics": never}, "names or a dict of callables, got function"),
    ],
)
def test_types_that_mean_nothing(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        fit(**{"callbacks": never, **arguments})


def test_words_that_mean_nothing() -> None:
    for word in ("none", "targets", ""):
        with pytest.raises(ValueError, match=f"False, 'inputs' or 'both', got '{word}'"):
            fit(standardize=word)
    with pytest.raises(ValueError, match="unknown metric 'R2', did you mean 'r2'"):
        fit(validation=0.2, metrics="R2")
    with pytest.raises(TypeError, match="shuffle must be a bool, got str"):
        ln.Trainer(NET, "squared_error").epoch(X, Y, shuffle="no")  # type: ignore[arg-type]


def test_weights_of_classes_in_a_series_go_by_its_labels() -> None:
    """`1 / y.value_counts()` comes with the most frequent class first."""
    of_classes = 1 / pandas.Series(CLASSES).value_counts().sort_values()
    assert list(of_classes.index) != ["a", "b", "c"]
    expected = fit(CLASSIFIER, CLASSES, class_weight=dict(of_classes)).network
    assert fit(CLASSIFIER, CLASSES, class_weight=of_classes).network == expected
    # One that only counts its numbers is a sequence of them, unless the classes are such numbers.
    counted = pandas.Series([1.0, 2.0, 3.0])
    expected = fit(CLASSIFIER, CLASSES, class_weight=[1.0, 2.0, 3.0]).network
    assert fit(CLASSIFIER, CLASSES, class_weight=counted).network == expected
    numbers = ln.MLP(CLASSIFIER.layers, outputs=ln.Classes([2, 1, 0]))
    y = np.searchsorted(["a", "b", "c"], CLASSES)
    expected = fit(numbers, y, class_weight={0: 1.0, 1: 2.0, 2: 3.0}).network
    assert fit(numbers, y, class_weight=counted).network == expected
    with pytest.raises(ValueError, match="class_weight has 'd', which is no class of the network"):
        fit(CLASSIFIER, CLASSES, class_weight=pandas.Series([1.0], index=["d"]))
