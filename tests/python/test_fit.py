"""`ln.fit`, from data to a network."""

from __future__ import annotations

import pickle
import signal
import threading
import tracemalloc

import numpy as np
import pytest

import laminet as ln

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(-1, 1, (400, 2))
WAVE = np.sin(3 * X[:, 0]) * X[:, 1]
SIDES = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")


def net(count=1, **options):
    return ln.MLP.init([2, 24, 24, count], "tanh", seed=0, **options)


ADAM = ln.optim.Adam(0.01)


@pytest.mark.parametrize("method", [ADAM, ln.optim.Muon(0.02)], ids=repr)
def test_a_surface(method):
    fit = ln.fit(net(), X, WAVE, optimizer=method, validation=0.2, seed=0, epochs=80)
    assert fit.history.metrics["r2"][fit.best_epoch - 1] > 0.95
    assert len(fit.history) == len(fit.history.validation_loss) == 80
    assert fit.stopped == "epochs"
    assert min(fit.history.validation_loss) == fit.history.validation_loss[fit.best_epoch - 1]
    assert "best" in str(fit)
    assert fit.to_dict()["best_epoch"] == fit.best_epoch


@pytest.mark.parametrize("count", [1, 2])
def test_labels(count):
    start = net(count, outputs=ln.Classes(["other", "same"]))
    fit = ln.fit(start, X, SIDES, optimizer=ADAM, epochs=60, seed=0, class_weight="balanced")
    assert (fit.network.predict(X) == SIDES).mean() > 0.95
    assert fit.network.outputs == start.outputs
    with pytest.raises(ValueError, match="row 0 holds 'neither'"):
        ln.fit(start, X[:1], ["neither"])


def test_the_same_seed_gives_the_same_network():
    runs = [ln.fit(net(), X, WAVE, epochs=3, validation=0.1, seed=s).network for s in (4, 4, 5)]
    assert runs[0] == runs[1] != runs[2]


def test_patience_gives_the_best_network():
    noise = np.random.default_rng(1).standard_normal(400)
    fit = ln.fit(net(), X, noise, optimizer=ln.optim.Adam(0.03), validation=0.3, patience=5, seed=0)
    assert fit.stopped == "patience"
    assert len(fit.history) == fit.best_epoch + 5
    again = ln.fit(
        *(net(), X, noise),
        optimizer=ln.optim.Adam(0.03),
        validation=0.3,
        epochs=fit.best_epoch,
        seed=0,
    )
    assert again.network == fit.network


def test_without_anything_held_out_the_last_network_is_given():
    seen = []
    fit = ln.fit(
        net(), X, WAVE, epochs=4, seed=0, callbacks=lambda epoch: seen.append(epoch.network)
    )
    assert fit.network == seen[-1]
    assert fit.history.validation_loss == ()


def test_callbacks_may_stop():
    numbers = []

    def call(epoch):
        numbers.append(epoch.number)
        if epoch.number == 3:
            epoch.stop()

    fit = ln.fit(net(), X, WAVE, callbacks=[call], seed=0)
    assert (fit.stopped, numbers) == ("callback", [1, 2, 3])

    def fail(epoch):
        raise LookupError("of the callback's own")

    with pytest.raises(LookupError, match="of the callback's own"):
        ln.fit(net(), X, WAVE, callbacks=fail)


def test_standardized_data_becomes_layers():
    far, large = 1000 + 50 * X, 7 + 300 * WAVE
    fit = ln.fit(
        net(), far, large, optimizer=ADAM, standardize="both", validation=0.2, seed=0, epochs=80
    )
    assert isinstance(fit.network.layers[0], ln.Rescale)
    assert isinstance(fit.network.layers[-1], ln.Rescale)
    error = fit.network(far)[:, 0] - large
    assert 1 - (error**2).sum() / ((large - large.mean()) ** 2).sum() > 0.95
    only = ln.fit(net(), far, WAVE, standardize=True, epochs=1, seed=0).network
    inputs = ln.MLP([only.layers[0]], dtype="float64")(far)
    # The shift, some 35, and the scale are rounded to float32.
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=35 * 2**-22)
    np.testing.assert_allclose(inputs.std(axis=0), 1, rtol=2**-22)
    with pytest.raises(ValueError, match="standardize='both' is for targets that are quantities"):
        ln.fit(net(2), X, (X[:, 0] > 0).astype(int), standardize="both")


@pytest.mark.parametrize(
    ("data", "dtype", "message"),
    [
        (
            (X * [1, 1e-40], WAVE),
            "float32",
            r"X cannot .* float32: .* of column 'b' is [345]\.\d+e-41",
        ),
        ((X * [1e200, 1], WAVE), "float64", "X cannot .* float64: .* of column 'a' is inf"),
        ((X, WAVE * 1e200), "float64", "y cannot .* float64: .* of column 0 is inf"),
    ],
)
def test_what_no_scale_standardizes(data, dtype, message):
    start = net(dtype=dtype, feature_names=["a", "b"])
    with pytest.raises(ValueError, match=message):
        ln.fit(start, *data, standardize="both", epochs=1)


@pytest.mark.parametrize("method", [ln.optim.LBFGS(60), ln.optim.LevenbergMarquardt(60)], ids=repr)
def test_full_batch(method):
    start = ln.MLP.init([2, 10, 1], "tanh", seed=0, dtype="float64")
    fit = ln.fit(start, X, WAVE, optimizer=method, validation=0.2, seed=0)
    assert fit.history.metrics["r2"][fit.best_epoch - 1] > 0.9
    assert len(fit.history) <= 60
    assert all(a >= b for a, b in zip(fit.history.loss, fit.history.loss[1:], strict=False))


@pytest.mark.parametrize("view", [lambda x: x, np.asarray, lambda x: x[:]])
def test_a_file_is_read_where_it_lies(tmp_path, view):
    """Of 32 MB a tenth is held out, and so copied; nothing else."""
    rows = np.random.default_rng(0).standard_normal((100_000, 80), dtype=np.float32)
    np.save(tmp_path / "x.npy", rows)
    samples = view(np.load(tmp_path / "x.npy", mmap_mode="r"))
    y = rows[:, 0] - rows[:, 1]
    tracemalloc.start()
    try:
        fit = ln.fit(
            ln.MLP.init([80, 1], seed=0), samples, y, validation=0.1, epochs=2, seed=0, metrics=()
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < samples.nbytes / 2
    assert fit.history.validation_loss[-1] < fit.history.loss[0]
    again = ln.fit(
        ln.MLP.init([80, 1], seed=0), rows, y, validation=0.1, epochs=2, seed=0, metrics=()
    )
    assert again.history.validation_loss[0] == pytest.approx(
        fit.history.validation_loss[0], rel=0.05
    )


def test_what_is_held_out_is_not_learnt():
    """Targets of the held-out part change nothing but the validation loss."""
    half = np.arange(400) < 200
    kept = ln.fit(net(), X[half], WAVE[half], epochs=2, seed=0, validation=(X[~half], WAVE[~half]))
    other = ln.fit(
        net(), X[half], WAVE[half], epochs=2, seed=0, validation=(X[~half], 1 + WAVE[~half])
    )
    assert kept.history.loss == other.history.loss
    assert kept.history.validation_loss != other.history.validation_loss


def test_a_part_of_each_class_is_held_out():
    few = np.array(["many"] * 380 + ["few"] * 20)
    held = []

    def count(outputs, targets):
        held.append(np.bincount(targets).tolist())
        return 0.0

    start = net(2, outputs=ln.Classes(["few", "many"]))
    ln.fit(start, X, few, validation=0.2, epochs=1, seed=0, metrics={"count": count})
    assert held == [[4, 76]]


def test_divergence_keeps_what_was_made():
    start = ln.MLP.init([2, 8, 1], "relu", seed=0)
    with pytest.raises(ln.TrainingError, match=r"the loss is (NaN|infinite) in epoch") as error:
        ln.fit(start, X, 1e3 * WAVE, optimizer=ln.optim.SGD(1e4), seed=0)
    assert isinstance(error.value.network, ln.MLP)
    assert len(error.value.history) == error.value.epoch - 1
    again = pickle.loads(pickle.dumps(error.value))
    assert (again.network, again.epoch) == (error.value.network, error.value.epoch)


def test_ctrl_c_gives_what_was_made():
    main = threading.main_thread().ident
    epochs = []

    def interrupt(epoch):
        epochs.append(epoch.number)
        if epoch.number == 2:
            threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()

    rows = np.random.default_rng(0).standard_normal((20000, 2))
    with pytest.warns(UserWarning, match="training was interrupted"):
        fit = ln.fit(net(), rows, rows[:, 0], epochs=10**6, seed=0, callbacks=interrupt)
    assert fit.stopped == "interrupted"
    assert len(fit.history) == epochs[-1] >= 2


@pytest.mark.parametrize("method", [ADAM, ln.optim.LevenbergMarquardt(), ln.optim.LBFGS()])
@pytest.mark.parametrize("where", ["callback", "metric"])
def test_ctrl_c_at_any_time_gives_what_was_made(method, where):
    seen = []

    def interrupt(*_):
        seen.append(None)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return 0.0

    start = net(dtype="float64")
    options = {"callbacks": interrupt} if where == "callback" else {"metrics": {"own": interrupt}}
    with pytest.warns(UserWarning, match="training was interrupted"):
        fit = ln.fit(start, X, WAVE, optimizer=method, validation=0.2, seed=0, **options)
    assert fit.stopped == "interrupted"
    assert len(fit.history) == (3 if where == "callback" else 2)
    assert fit.network != start


def test_an_error_of_a_callback_carries_what_was_made():
    def fail(epoch):
        if epoch.number == 3:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as error:
        ln.fit(net(), X, WAVE, validation=0.2, seed=0, callbacks=fail)
    made = error.value.fit
    assert (len(made.history), made.stopped) == (3, "error")
    assert made.network == ln.fit(net(), X, WAVE, validation=0.2, seed=0, epochs=3).network


def test_a_validation_loss_that_is_never_finite_is_an_error():
    """Of samples so far away that the squares of their outputs are infinite in float32."""
    start = ln.MLP.init([2, 1], seed=0)
    far = np.full((4, 2), 1e30)
    with pytest.raises(ln.TrainingError, match="the validation loss was finite after no") as error:
        ln.fit(start, X, WAVE, epochs=2, validation=(far, [0.0] * 4), seed=0)
    assert error.value.network != start
    assert len(error.value.history) == 2


def test_least_squares_of_derivatives_that_are_too_large_did_not_converge():
    """Where the square of a derivative is infinite and the loss is not."""
    tiny = ln.Dense(np.full((1, 1), 1e-200), None, "identity")
    start = ln.MLP([tiny, ln.Dense(np.ones((1, 1)), None, "identity")])
    far = np.full((4, 1), 1e200)
    with pytest.raises(ln.TrainingError, match="a derivative or its square is too") as error:
        ln.fit(start, far, np.ones((4, 1)) * 2, optimizer=ln.optim.LevenbergMarquardt())
    assert error.value.network == start
    assert len(error.value.history) == 0
    assert error.value.epoch == 1


def test_labels_are_each_by_themselves():
    """Of one label in each row, too."""
    index = np.random.default_rng(0).integers(0, 3, 400)
    one = np.eye(3)[index]
    start = ln.MLP.init([2, 3], seed=0, outputs=ln.Labels(["a", "b", "c"]))
    fit = ln.fit(start, X, one, epochs=1, validation=(X, one), seed=0)
    expected = (fit.network.predict(X) == one).all(axis=1).mean()
    assert fit.history.metrics["accuracy"] == (pytest.approx(expected),)
    assert expected < (fit.network(X).argmax(axis=1) == index).mean()


@pytest.mark.parametrize(
    ("loss", "metric"),
    [("squared_error", "r2"), ("huber", "mean_absolute_error"), ("cross_entropy", "accuracy")],
)
def test_metrics_are_by_the_weights(loss, metric):
    """A weight of 2 is as two samples, and 0 as none."""
    start = net(2)
    y = (X[:, 0] > 0).astype(int) if loss == "cross_entropy" else np.stack([WAVE, -WAVE], axis=1)
    weights = np.random.default_rng(0).integers(0, 3, 400)
    repeated = np.repeat(np.arange(400), weights)
    found = [
        ln.fit(start, X, y, loss=loss, epochs=1, validation=held_out, metrics=metric, seed=0)
        for held_out in ((X, y, weights), (X[repeated], y[repeated]))
    ]
    values = [fit.history.metrics[metric][0] for fit in found]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert values[0] != pytest.approx(
        ln.fit(
            start, X, y, loss=loss, epochs=1, validation=(X, y), metrics=metric, seed=0
        ).history.metrics[metric][0],
        rel=1e-4,
    )


def test_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="an extra")
    fit = ln.fit(net(), X, WAVE, epochs=3, validation=0.2, seed=0)
    fit.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": 1.5}, "validation must be a fraction between 0 and 1"),
        ({"validation": 1e-6}, "of 400 samples holds out 0"),
        ({"validation": (X,)}, "got a tuple of 1"),
        ({"validation": (X, WAVE[:3])}, "validation y has 3 rows, and validation X has 400"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"standardize": "all"}, "standardize must be True, False"),
        ({"metrics": "accuracy", "validation": 0.2}, "is not for the loss squared_error"),
        ({"metrics": "r2"}, "metrics are of validation data"),
        ({"loss": "huberr"}, "huber"),
        ({"class_weight": "balanced"}, "needs targets that are classes"),
        ({"sample_weight": np.zeros(400)}, "is 0 for all samples"),
        ({"optimizer": ln.optim.LevenbergMarquardt(), "loss": "huber"}, "for squared_error alone"),
    ],
)
def test_what_fit_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ln.fit(net(), X, WAVE, **{"seed": 0, **arguments})


def test_what_the_data_must_be():
    bad = X.copy()
    bad[7, 1] = np.nan
    with pytest.raises(ValueError, match="X must be finite: row 7 holds NaN"):
        ln.fit(net(), bad, WAVE)
    with pytest.raises(ValueError, match="nothing tells what the network's outputs stand for"):
        ln.fit(net(), X, np.arange(400))
    with pytest.raises(TypeError, match=r"net must be an ln\.MLP"):
        ln.fit("net", X, WAVE)
