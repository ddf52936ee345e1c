"""What `ln.fit` makes of its arguments: factors, labels, metrics, and how a run ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

import laminet as ln
from laminet.sklearn import MLPRegressor


@pytest.mark.parametrize("wanted", [False, "inputs", "both"])
def test_factors_are_by_layers_of_the_network_that_is_given(wanted: Any) -> None:
    """Where data is standardised, a layer comes before them."""
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    block = ln.Residual([ln.MLP.init([3, 3], "tanh", seed=1).layers[0]])
    net = ln.MLP([block, *ln.MLP.init([3, 8, 1], "tanh", seed=0).layers])

    def same(factors: Any) -> list[bool]:
        """Which layers a run leaves as they are."""
        optimizer = ln.optim.SGD(0.1, learning_rate_factors=factors)
        options = {"epochs": 2, "seed": 0, "progress": False, "standardize": wanted}
        made = ln.fit(net, x, x.sum(axis=1), optimizer=optimizer, **options).network
        layers = made.layers[1:] if wanted else made.layers
        return [a == b for a, b in zip(net.layers, layers, strict=False)]

    assert same([0.0, 1.0, 0.0]) == [True, False, True]
    assert same({"layers[0]": 0.0}) == [True, False, False]
    assert same({"layers[0].layers[0]": 0.0, "layers[2]": 0.0}) == [True, False, True]
    assert same({"layers[1]": 0.0}) == [False, True, False]
    with pytest.raises(ValueError, match="has 4 numbers, the network has 3 layers"):
        same([1.0] * 4)
    with pytest.raises(ValueError, match=r"no parameters in 'layers\[3\]', expected layers\[0\]"):
        same({"layers[3]": 1.0})


def test_labels_come_as_whatever_holds_text() -> None:
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    labels = np.where(x[:, 0] > 0, "yes", "no")
    net = ln.MLP.init([3, 2], seed=0, outputs=ln.Classes(["no", "yes"]))
    texts: list[Any] = labels.tolist()
    arrow = pyarrow.array(texts)
    options: dict[str, Any] = {"epochs": 1, "seed": 0, "progress": False}
    expected = ln.fit(net, x, labels, **options).network
    for y in (
        *(texts, tuple(texts), [[text] for text in texts], labels.astype(object)),
        *(pandas.Series(texts, index=range(40, 80)), pandas.Series(texts, dtype="category")),
        *(polars.Series(texts), polars.DataFrame({"y": texts}), pandas.DataFrame({"y": texts})),
        *(arrow, pyarrow.chunked_array([texts[:9], texts[9:]]), arrow.dictionary_encode()),
        *(pyarrow.table({"y": texts}), pyarrow.record_batch({"y": texts})),
    ):
        assert ln.fit(net, x, y, **options).network == expected, type(y)
    with pytest.raises(ValueError, match=r"must hold the network's labels.*row 7 holds None"):
        ln.fit(net, x, pyarrow.array([*texts[:7], None, *texts[8:]]), **options)
    with pytest.raises(ValueError, match="row 3 holds 'maybe'"):
        ln.fit(net, x, [[text] for text in [*texts[:3], "maybe", *texts[4:]]], **options)
    quantities = ln.MLP.init([3, 1], seed=0, outputs=ln.Quantities())
    with pytest.raises(TypeError, match="y must hold real numbers, got Arrow's type string"):
        ln.fit(quantities, x, arrow, **options)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "levenberg_marquardt", "quantiles"])
def test_metrics_are_in_the_units_of_the_targets_given(optimizer: str) -> None:
    """Where fit standardises them, too: a metric of one's own cannot know by what."""
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    y = np.column_stack([100 + 10 * x.sum(axis=1), 5 - x[:, 0]]).astype(np.float32)
    loss = ln.losses.Quantile([0.2, 0.5, 0.8]) if optimizer == "quantiles" else "squared_error"
    levels = 3 if optimizer == "quantiles" else 1
    net = ln.MLP.init([3, 8, 2 * levels], "tanh", seed=0)

    def error(outputs: Any, targets: Any) -> float:
        assert np.array_equal(targets, y[:20])
        return float(np.abs(outputs - np.repeat(targets, levels, axis=1)).mean())

    method = "adam" if optimizer == "quantiles" else optimizer
    options: dict[str, Any] = {"optimizer": method, "epochs": 3, "seed": 0, "progress": False}
    held_out = x[:20], y[:20]
    options |= {"loss": loss, "validation": held_out, "metrics": {"error": error}}
    for wanted in (False, "inputs", "both"):
        seen: list[float] = []

        def note(epoch: ln.training.Epoch, seen: list[float] = seen) -> None:
            seen.append(error(epoch.network(x[:20]), y[:20]))

        found = ln.fit(net, x, y, standardize=wanted, callbacks=note, **options)
        np.testing.assert_allclose(found.history.metrics["error"], seen, rtol=1e-5)
    if levels == 1:
        options["metrics"] = "mean_absolute_error"
        found = ln.fit(net, x, y, standardize="both", **options)
        np.testing.assert_allclose(found.history.metrics["mean_absolute_error"], seen, rtol=1e-5)


def test_a_line_along_which_nothing_is_smaller_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    minimize = scipy.optimize.minimize

    def stalls(*arguments: Any, **options: Any) -> Any:
        result = minimize(*arguments, **options)
        result.success, result.status = False, 2  # abnormal termination in the line search
        return result

    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    net, settings = ln.MLP.init([3, 1], seed=0), {"optimizer": "lbfgs", "progress": False}
    assert ln.fit(net, x, x[:, 0], epochs=1, **settings).stopped == "iterations"
    assert ln.fit(net, x, x[:, 0], epochs=99, **settings).stopped == "converged"
    monkeypatch.setattr(scipy.optimize, "minimize", stalls)
    found = ln.fit(net, x, x[:, 0], epochs=99, **settings)
    assert found.stopped == "stalled"
    assert "no further step made the loss smaller" in str(found)
    model = MLPRegressor(solver=ln.optim.LBFGS(), hidden_layer_sizes=(), max_iter=99)
    with pytest.warns(ConvergenceWarning, match="before its tolerances were met"):
        model.fit(x, x[:, 0])
