"""What functions of training's reference, losses, optimisers and schedules refuse, in our words."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import laminet as ln
from laminet import reference
from laminet.losses import as_loss
from laminet.optim import SGD, Adam, LevenbergMarquardt, Optimizer, as_optimizer, schedules
from laminet.optim.optimizer import FirstOrder, FullBatch
from laminet.optim.schedules import SCHEDULES, Plateau, Schedule, as_schedule

NET = ln.MLP.init([3, 4, 2], seed=0)
LAYERS = list(NET.layers)
X, Y = np.ones((2, 3)), np.ones((2, 2))
ONE = [np.ones(3)]
NAN, INF = float("nan"), float("inf")
ENORMOUS = 10**5000  # beyond what Python writes

State, Damping = reference.OptimizerState, reference.DampingState


def refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}") as caught:
        call()
    assert caught.type is kind
    assert len(str(caught.value)) < 300


# --- What is no network ---------------------------------------------------------------------------

OF_NETWORKS: dict[str, Callable[[Any], Any]] = {
    "parameters": reference.parameters,
    "with_parameters": lambda net: reference.with_parameters(net, {}),
    "gradients": lambda net: reference.gradients(net, X, Y),
    "training_step": lambda net: reference.training_step(net, X, Y, "squared_error", "sgd"),
}


@pytest.mark.parametrize(
    ("net", "got"), [(3, "int"), (None, "NoneType"), (LAYERS, "list"), (ln.MLP, "MLP itself")]
)
@pytest.mark.parametrize("name", OF_NETWORKS)
def test_no_network(name: str, net: Any, got: str) -> None:
    refused(lambda: OF_NETWORKS[name](net), TypeError, f"net must be an MLP, got {got}")


@pytest.mark.parametrize("values", [3, [1], "layers[0].weight", None])
def test_parameters_by_name_are_a_dict(values: Any) -> None:
    message = f"values must be a dict of arrays by name, got {type(values).__name__}"
    refused(lambda: reference.with_parameters(NET, values), TypeError, message)


def test_a_network_without_parameters() -> None:
    net = ln.MLP([ln.Rescale(2.0), ln.Activation("relu")], in_features=3)
    message = "the network has no parameters"
    refused(lambda: reference.with_parameters(net, {"a": 1.0}), ValueError, message)
    for optimizer in (LevenbergMarquardt(), LevenbergMarquardt(weight_decay=0.1), SGD(0.1)):
        step = reference.training_step(net, X, np.zeros((2, 3)), "squared_error", optimizer)
        assert step.network == net.astype("float64")
        assert step.loss == 4.0
        assert step.state.step == 1
        if optimizer.name == "levenberg_marquardt":
            assert step.state.optimizer == Damping(stopped="gradient")
        again = reference.training_step(
            step.network, X, np.zeros((2, 3)), "squared_error", optimizer
        )
        assert again.network == step.network
    factors = SGD(learning_rate_factors={"layers[0]": 1.0})
    message = "learning_rate_factors: there are no parameters in 'layers[0]', nor anywhere"
    refused(lambda: factors.layer_factors([], 2), ValueError, message)


# --- States ---------------------------------------------------------------------------------------


def training_step(state: Any) -> Any:
    return reference.training_step(NET, X, Y, "squared_error", Adam(), state)


def optimizer_step(optimizer: Any = "sgd", parameters: Any = ONE, grads: Any = ONE, **more: Any):
    return reference.optimizer_step(optimizer, parameters, grads, **more)


STATES = [
    (lambda: training_step(3), TypeError, "state must be of the class TrainingState, got int"),
    (
        lambda: training_step(State()),
        TypeError,
        "state must be of the class TrainingState, got",
    ),
    (
        lambda: training_step((0, None)),
        TypeError,
        "state must be of the class TrainingState, got",
    ),
    (
        lambda: training_step(reference.TrainingState("a")),  # type: ignore[arg-type]  # so refused
        TypeError,
        "state.step must be an integer, got 'a'",
    ),
    (
        lambda: training_step(reference.TrainingState(-1)),
        ValueError,
        "state.step must be at least 0, got -1",
    ),
    (
        lambda: training_step(reference.TrainingState(1, State((np.ones(3),)))),
        ValueError,
        "state.first has 1 arrays, parameters has 4",
    ),
    (
        lambda: optimizer_step(state=3),
        TypeError,
        "state must be of the class OptimizerState, got",
    ),
    (
        lambda: optimizer_step(state=Damping()),
        TypeError,
        "state must be of the class OptimizerState, got DampingState",
    ),
    (
        lambda: optimizer_step(SGD(momentum=0.5), state=State((np.ones(2),))),
        ValueError,
        "state.first[0] must have shape (3,), got shape (2,)",
    ),
    (
        lambda: optimizer_step("adam", ONE * 2, ONE * 2, state=State((ONE * 2), ONE)),
        ValueError,
        "state.second has 1 arrays, parameters has 2",
    ),
    (
        lambda: optimizer_step(SGD(average=0.5), state=State(average=(np.ones(3),) * 2)),
        ValueError,
        "state.average has 2 arrays, parameters has 1",
    ),
    (
        lambda: optimizer_step(state=State(3)),  # type: ignore[arg-type]  # so it must be refused
        TypeError,
        "state.first must be a sequence of arrays, got int",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), STATES)
def test_states_of_another_kind(call: Any, kind: Any, message: str) -> None:
    refused(call, kind, message)


# --- Steps of optimisers --------------------------------------------------------------------------

STEPS = [
    ({"factors": [-1]}, ValueError, "factors[0] must be at least 0, got -1"),
    ({"factors": [NAN]}, ValueError, "factors[0] must be finite, got nan"),
    ({"factors": [INF]}, ValueError, "factors[0] must be finite, got inf"),
    ({"factors": [10**400]}, ValueError, "factors[0] is too large for a float"),
    ({"factors": ["a"]}, TypeError, "factors[0] must be a real number, got str"),
    ({"factors": [True]}, TypeError, "factors[0] must be a real number, got bool"),
    ({"factors": 3}, TypeError, "factors must be a sequence of numbers, got int"),
    ({"factors": "1"}, TypeError, "factors must be a sequence of numbers, got str"),
    ({"factors": [1.0, 2.0]}, ValueError, "factors has 2 elements, parameters has 1"),
    ({"decayed": [1]}, TypeError, "decayed[0] must be a bool, got int"),
    ({"decayed": 3}, TypeError, "decayed must be a sequence of bool, got int"),
    ({"decayed": [True] * 2}, ValueError, "decayed has 2 elements, parameters has 1"),
    ({"step_number": 1.5}, TypeError, "step_number must be an integer, got 1.5"),
    ({"step_number": True}, TypeError, "step_number must be an integer, got True"),
    ({"step_number": -1}, ValueError, "step_number must be at least 0, got -1"),
    (
        {"step_number": ENORMOUS},
        ValueError,
        "step_number must be at most 922337203685477580",
    ),
    ({"total_steps": -3}, ValueError, "total_steps must be at least 1, got -3"),
    ({"total_steps": 0}, ValueError, "total_steps must be at least 1, got 0"),
    ({"total_steps": 1.5}, TypeError, "total_steps must be an integer, got 1.5"),
    ({"parameters": 3}, TypeError, "parameters must be a sequence of arrays, got int"),
    ({"parameters": {"a": 1.0}}, TypeError, "parameters must be a sequence of arrays, got dict"),
    ({"grads": 3}, TypeError, "gradients must be a sequence of arrays, got int"),
]


@pytest.mark.parametrize("name", ["sgd", "adam", "muon"])
@pytest.mark.parametrize(("arguments", "kind", "message"), STEPS, ids=lambda a: str(type(a)))
def test_steps_of_optimizers(name: str, arguments: Any, kind: Any, message: str) -> None:
    refused(lambda: optimizer_step(name, **arguments), kind, message)


def test_arrays_for_lists() -> None:
    """What is iterated over may be an array: its rows are the parameters."""
    got, _ = optimizer_step(parameters=np.ones((2, 3)), grads=np.ones((2, 3)))
    expected, _ = optimizer_step(parameters=ONE * 2, grads=ONE * 2)
    assert np.array_equal(got, expected)
    got, _ = optimizer_step("adam", factors=np.array([0.5]), decayed=np.array([True]))
    expected, _ = optimizer_step("adam", factors=(0.5,), decayed=(True,))
    assert np.array_equal(got, expected)


def test_training_step_hands_on() -> None:
    def step(optimizer: Any, **more: Any) -> Any:
        return reference.training_step(NET, X, Y, "squared_error", optimizer, **more)

    message = "total_steps must be at least 1, got -3"
    refused(lambda: step("sgd", total_steps=-3), ValueError, message)
    cosine = SGD(schedule="cosine")
    refused(
        lambda: step(cosine, total_steps=0), ValueError, "total_steps must be at least 1, got 0"
    )
    plateau = SGD(schedule="plateau")
    refused(lambda: step(plateau, losses=["a"]), TypeError, "losses must hold real numbers")
    refused(lambda: step(plateau, losses=3), ValueError, "losses must have shape (epochs,)")


LEAST_SQUARES = [
    (lambda f: f(3), TypeError, "optimizer must be of the class LevenbergMarquardt, got int"),
    (lambda f: f(SGD()), TypeError, "optimizer must be of the class LevenbergMarquardt, got SGD"),
    (lambda f: f(p="a"), TypeError, "parameters must be an array of real numbers, got str"),
    (
        lambda f: f(p=np.ones((2, 2))),
        ValueError,
        "parameters must have shape (P,), got",
    ),
    (lambda f: f(r=3), TypeError, "residuals must be a function, got int"),
    (lambda f: f(r=lambda p: p), TypeError, "residuals must return a tuple of two arrays"),
    (
        lambda f: f(r=lambda p: (p, np.eye(3))),
        ValueError,
        "residuals must return arrays of shapes (N,) and (N, 2), got (2,) and (3, 3)",
    ),
    (lambda f: f(state=3), TypeError, "state must be of the class DampingState, got int"),
    (
        lambda f: f(decayed=[True]),
        ValueError,
        "decayed must be a bool or have shape (2,), got shape (1,)",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), LEAST_SQUARES)
def test_least_squares(call: Any, kind: Any, message: str) -> None:
    def step(
        optimizer: Any = LevenbergMarquardt(),  # noqa: B008  # it never changes
        p: Any = (1.0, 2.0),
        r: Any = lambda p: (p, np.eye(2)),
        **more: Any,
    ) -> Any:
        return reference.levenberg_marquardt_step(optimizer, p, r, **more)

    assert step()[0].shape == (2,)
    assert step(decayed=[True, False])[0].shape == (2,)
    refused(lambda: call(step), kind, message)


# --- Schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SCHEDULES)
def test_steps_of_schedules(kind: type[Schedule]) -> None:
    schedule = kind()
    for step, error, message in (
        (-1, ValueError, "step must be at least 0, got -1"),
        (1.5, TypeError, "step must be an integer, got 1.5"),
        ("a", TypeError, "step must be an integer, got 'a'"),
        (True, TypeError, "step must be an integer, got True"),
        (ENORMOUS, ValueError, "step must be at most 9223372036854775807, got an integer"),
    ):
        refused(lambda step=step: schedule.factor(step, 10), error, message)
        refused(lambda step=step: SGD(schedule=schedule).rate_factor(step, 10), error, message)
        refused(lambda step=step: SGD().rate_factor(step, 10), error, message)
    for total, error, message in (
        (0, ValueError, "total_steps must be at least 1, got 0"),
        (-10, ValueError, "total_steps must be at least 1, got -10"),
        (1.5, TypeError, "total_steps must be an integer, got 1.5"),
        (ENORMOUS, ValueError, "total_steps must be at most 9223372036854775807, got an"),
    ):
        refused(lambda total=total: schedule.factor(1, total), error, message)
    assert 0 <= schedule.factor(np.int64(2**62), np.int32(10)) <= 1
    assert 0 <= schedule.factor(2**63 - 1, 2**63 - 1) <= 1


def test_counts_that_nothing_reaches() -> None:
    for make in (
        lambda n: schedules.Step(n),
        lambda n: schedules.Cosine(steps=n),
        lambda n: schedules.WarmUp(n),
        lambda n: schedules.InverseScaling(steps=n),
        lambda n: Plateau(patience=n),
        lambda n: Plateau(cooldown=n),
        lambda n: ln.optim.LBFGS(n),
        lambda n: ln.optim.LBFGS(history=n),
        lambda n: LevenbergMarquardt(n),
        lambda n: ln.optim.Muon(steps=n),
    ):
        with pytest.raises(
            ValueError, match=r"must be at most 9223372036854775807, got an integer"
        ):
            make(ENORMOUS)
        assert repr(make(2**62))


def test_losses_that_a_plateau_looks_at() -> None:
    for losses, error, message in (
        (["a"], TypeError, "losses must hold real numbers, got dtype <U1"),
        ("ab", TypeError, "losses must be an array of real numbers, got str"),
        ([None], TypeError, "losses must hold real numbers, got dtype object; losses[0] is None"),
        (3.0, ValueError, "losses must have shape (epochs,), got shape ()"),
        ([[1.0]], ValueError, "losses must have shape (epochs,), got shape (1, 1)"),
    ):
        refused(lambda losses=losses: Plateau().after(losses), error, message)
        refused(lambda losses=losses: Plateau().factor(0, losses=losses), error, message)
    assert Plateau(gamma=0.5, patience=0).after(np.array([1.0, NAN])) == 0.5


def test_a_schedule_of_ones_own() -> None:
    @dataclass(frozen=True, repr=False)
    class Halves(Schedule):
        name = "halves"

        def _factor(self, step: int, total_steps: int | None, losses: Any) -> float:
            return 0.5**step

    halves = as_schedule(Halves())
    assert SGD(schedule=halves).rate_factor(2) == 0.25
    refused(lambda: halves.factor(-1), ValueError, "step must be at least 0, got -1")


# --- Factors by layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [[], (), {}, np.zeros(0)], ids=repr)
def test_factors_of_no_layer(factors: Any) -> None:
    message = "learning_rate_factors is empty: leave it out where all layers learn alike"
    refused(lambda: SGD(learning_rate_factors=factors), ValueError, message)


def test_factors_that_nobody_gave() -> None:
    assert SGD().learning_rate_factors is None
    assert SGD(learning_rate_factors=None) == SGD() == as_optimizer(SGD().to_dict())
    assert SGD().layer_factors(["layers[0]"], 1) == (1.0,)


def test_places_that_are_none() -> None:
    by_layer = SGD(learning_rate_factors=[0.5])
    for place in ("layers[5]", "x"):
        message = f"{place!r} is no place in a network of 1 layers"
        refused(lambda place=place: by_layer.layer_factors([place], 1), ValueError, message)
    for shape in ((2, 2), ()):
        message = f"learning_rate_factors must have shape (layers,), got shape {shape}"
        refused(lambda s=shape: SGD(learning_rate_factors=np.ones(s)), ValueError, message)


# --- What several have in common ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "example"),
    [
        (ln.losses.Loss, "ln.losses.SquaredError()"),
        (Schedule, "ln.optim.schedules.Cosine()"),
        (Optimizer, "ln.optim.AdamW(1e-3)"),
        (FirstOrder, "ln.optim.AdamW(1e-3)"),
        (FullBatch, "ln.optim.AdamW(1e-3)"),
    ],
)
def test_bases_are_none_themselves(base: Any, example: str) -> None:
    message = f"{base.__name__} is what several have in common, and none itself: take one such as "
    refused(base, TypeError, message + example)
    unnamed = type("Mine", (base,), {})
    refused(unnamed, TypeError, "Mine is what several have in common")


def test_a_class_of_ones_own() -> None:
    named: Any = dataclass(frozen=True, repr=False)(type("Mine", (SGD,), {"name": "sgd"}))
    globals()["Mine"], named.__module__, named.__qualname__ = named, __name__, "Mine"
    mine = named(0.5, momentum=0.25)
    for again in (as_optimizer(mine), copy.deepcopy(mine), pickle.loads(pickle.dumps(mine))):
        assert type(again) is named
        assert again == mine
    got, _ = optimizer_step(mine)
    expected, _ = optimizer_step(SGD(0.5, momentum=0.25))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("huber_loss", "huber"),
        ("mean_squared", "squared_error"),
        ("MeanAbsolute", "absolute_error"),
        ("poisson_loss", "poisson"),
        ("mae_loss", "absolute_error"),
        ("hubr", "huber"),
    ],
)
def test_names_of_losses_that_others_use(name: str, meant: str) -> None:
    message = f"unknown loss {name!r}, did you mean {meant!r}? Expected one of"
    refused(lambda: as_loss(name), ValueError, message)
    message = f"loss is a dict with the name {name!r}, did you mean {meant!r}? Expected one of squ"
    refused(lambda: as_loss({"name": name}), ValueError, message)


def test_dicts_without_a_name() -> None:
    for name in (None, [], 3):
        message = f"loss is a dict with the name {name!r}, expected one of squared_error"
        refused(lambda name=name: as_loss({"name": name}), ValueError, message)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_how_many_outputs(loss: str) -> None:
    for count, kind, message in (
        ("a", TypeError, "out_features must be an integer, got 'a'"),
        (0, ValueError, "out_features must be at least 1, got 0"),
        (ENORMOUS, ValueError, "out_features must be at most 922337203685477580"),
    ):
        refused(lambda n=count: as_loss(loss).as_targets([[1.0]], n), kind, message)
        refused(lambda n=count: as_loss(loss).as_targets([0], n), kind, message)
    for dtype in (3, "int32", "x", np.float16):
        message = "dtype must be float32 or float64, got "
        refused(lambda d=dtype: as_loss(loss).as_targets(Y, 2, dtype=d), ValueError, message)


# --- Functions of units ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        reference.activation,
        reference.activation_derivative,
        reference.activation_parameter_derivatives,
    ],
)
def test_parameters_of_other_units(function: Any) -> None:
    prelu = ln.Activation("leaky_relu", alpha=[0.1, 0.2])
    for z in (np.ones((4, 3)), np.ones((2, 1)), 1.0):
        message = f"leaky_relu has parameters for 2 units, z has shape {np.shape(z)}"
        refused(lambda z=z: function(prelu, z), ValueError, message)
    function(prelu, np.ones((3, 2)))
    function("relu", 1.0)
    refused(lambda: function("relu", "a"), TypeError, "z must be an array of real numbers")
