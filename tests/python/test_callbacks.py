"""What callbacks of `ln.fit` are given: an epoch, as long as it is the last one."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3)).astype(np.float32)
Y = X.sum(axis=1)
NET = ln.MLP.init([3, 8, 1], "tanh", seed=0)
METHODS = ["adam", "lbfgs", ln.optim.LevenbergMarquardt()]


def fit(**arguments: Any) -> Any:
    return ln.fit(NET, X, Y, **{"epochs": 4, "seed": 0, "progress": False, **arguments})


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_what_callbacks_write_changes_no_history(method: Any) -> None:
    """A metric that is there in one epoch alone ended the run with a KeyError."""

    def writes(epoch: Any) -> None:
        if epoch.number == 1:
            epoch.metrics["mine"] = 1.0
        else:
            epoch.metrics.clear()
        epoch.loss = epoch.validation_loss = epoch.learning_rate = epoch.seconds = "no number"

    plain = fit(optimizer=method, validation=0.3)
    found = fit(optimizer=method, validation=0.3, callbacks=writes)
    for part in ("loss", "validation_loss", "metrics", "learning_rate"):
        assert getattr(found.history, part) == getattr(plain.history, part)
    assert all(isinstance(seconds, float) for seconds in found.history.seconds)
    assert found.network == plain.network


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_an_epoch_that_is_over_has_no_network(method: Any) -> None:
    """It would be that of a later one."""
    epochs: list[Any] = []
    networks: list[ln.MLP] = []

    def keeps(epoch: Any) -> None:
        epochs.append(epoch)
        networks.append(epoch.network)
        if len(epochs) == 2:
            with pytest.raises(RuntimeError, match="epoch 1 is over, and its network with it"):
                print(epochs[0].network)
            with pytest.raises(RuntimeError, match="epoch 1 is over: a callback ends a run with"):
                epochs[0].stop()

    found = fit(optimizer=method, callbacks=keeps)
    assert len(set(networks)) == len(found.history) == 4
    assert found.network == networks[-1]
    with pytest.raises(RuntimeError, match="epoch 4 is over"):
        print(epochs[-1].network)
    assert found.history.loss == tuple(epoch.loss for epoch in epochs)


def test_an_epoch_is_over_after_an_error_too() -> None:
    epochs: list[Any] = []

    def fails(epoch: Any) -> None:
        epochs.append(epoch)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        fit(callbacks=fails)
    assert caught.value.fit.network != NET  # type: ignore[attr-defined]  # what fit adds to it
    with pytest.raises(RuntimeError, match="epoch 1 is over"):
        print(epochs[0].network)


@pytest.mark.parametrize("failure", [BrokenPipeError("gone"), OSError(5, "gone"), ValueError("x")])
def test_a_terminal_that_is_gone_ends_no_training(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rich leaves the program where a pipe is broken."""

    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise failure

        def isatty(self) -> bool:
            return True

    for stream, progress in ((Gone(), None), (Gone(), True), (None, True)):
        monkeypatch.setattr(sys, "stderr", stream)
        found = fit(progress=progress)
        assert (found.stopped, len(found.history)) == ("epochs", 4)
