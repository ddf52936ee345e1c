"""Optimisers and schedules: arguments, names, what they say of a network, and what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import laminet as ln
from laminet.optim import OPTIMIZERS, FirstOrder, Optimizer, as_optimizer, schedules
from laminet.optim.schedules import SCHEDULES, Schedule, as_schedule

INF, NAN = float("inf"), float("nan")
FIRST_ORDER = [kind for kind in OPTIMIZERS if issubclass(kind, FirstOrder)]
EVERY: list[Optimizer | Schedule] = [
    *(kind() for kind in OPTIMIZERS),
    *(kind() for kind in SCHEDULES),
    ln.optim.SGD(0.1, momentum=0.9, nesterov=True, clip_norm=1, schedule="one_cycle"),
    ln.optim.SGD(momentum=0.5, dampening=0.25, decay_biases=True),
    ln.optim.Adam(betas=[0.8, 0.95], eps=1e-6, average=0.99),
    ln.optim.AdamW(weight_decay=0, learning_rate_factors=[1, 0.5, 0]),
    ln.optim.AdamW(learning_rate_factors={"layers[0]": 0.1, "layers[1].branches[0]": 0}),
    ln.optim.Muon(0.02, steps=3, scale="match_rms_adamw", schedule=schedules.WarmUp(3, "cosine")),
    ln.optim.LBFGS(7, history=3, tolerance_gradient=0),
    ln.optim.LevenbergMarquardt(damping=0.1, max_damping=1e6, weight_decay=1e-3),
    schedules.WarmUp(0.1, schedules.WarmUp(2, "step")),
    schedules.Plateau(threshold_mode="abs", cooldown=2),
]


@pytest.mark.parametrize("one", EVERY, ids=repr)
def test_each_is_a_value(one: Optimizer | Schedule) -> None:
    described = json.loads(json.dumps(one.to_dict()))
    assert described["name"] == one.name
    as_one = as_optimizer if isinstance(one, Optimizer) else as_schedule
    names = {**vars(ln.optim), **vars(schedules)}
    for other in (
        as_one(one),
        as_one(described),
        copy.deepcopy(one),
        pickle.loads(pickle.dumps(one)),
        eval(repr(one), names),
    ):
        assert other == one
        assert hash(other) == hash(one)
        assert type(other) is type(one)
    expected = "laminet.optim" if isinstance(one, Optimizer) else "laminet.optim.schedules"
    assert type(one).__module__ == expected
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "x"


def test_names() -> None:
    names = ["sgd", "adam", "adamw", "muon", "lbfgs", "levenberg_marquardt"]
    assert [kind.name for kind in OPTIMIZERS] == names
    assert [as_optimizer(name) for name in names] == [kind() for kind in OPTIMIZERS]
    names = ["constant", "cosine", "one_cycle", "warm_up", "step", "inverse_scaling", "plateau"]
    assert [kind.name for kind in SCHEDULES] == names
    assert [as_schedule(name) for name in names] == [kind() for kind in SCHEDULES]


def test_what_is_not_said_is_not_shown() -> None:
    assert repr(ln.optim.AdamW(1e-3)) == "AdamW(learning_rate=0.001)"
    shown = repr(ln.optim.SGD(0.1, clip_norm=2, momentum=0.9))
    assert shown == "SGD(learning_rate=0.1, momentum=0.9, clip_norm=2.0)"


def test_the_learning_rate_comes_first() -> None:
    for kind in FIRST_ORDER:
        assert kind(0.5).learning_rate == 0.5
        with pytest.raises(TypeError):
            kind(0.5, 0.9)


def test_only_those_who_train_wait_for_optimisers() -> None:
    code = """
import sys, laminet
assert not {"laminet.optim", "laminet.losses"} & set(sys.modules)
assert {"optim", "losses"} <= set(dir(laminet))
laminet.optim.SGD, laminet.losses.Huber
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="module 'laminet' has no attribute 'optimizers'"):
        _ = ln.optimizers


@pytest.mark.parametrize(
    ("name", "meant"),
    [("AdamW", "adamw"), ("adm", "adam"), ("l-bfgs", "lbfgs"), ("LM", "levenberg_marquardt")],
)
def test_an_optimiser_by_another_name(name: str, meant: str) -> None:
    words = f"unknown optimizer {name!r}, did you mean {meant!r}? Expected one of sgd, adam, "
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        as_optimizer(name)


@pytest.mark.parametrize("name", ["RAdam", "adamax", "NAdam", "x"])
def test_another_optimiser_is_not_suggested(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown solver '{name}', expected one of sgd, adam"):
        as_optimizer(name, "solver")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("CosineAnnealingLR", "cosine"), ("adaptive", "plateau"), ("invscaling", "inverse_scaling")],
)
def test_a_schedule_by_another_name(name: str, meant: str) -> None:
    words = f"unknown schedule {name!r}, did you mean {meant!r}? Expected one of constant, "
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        ln.optim.SGD(schedule=name)


NUMBER = "must be a real number, got str"
BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: ln.optim.SGD(0), ValueError, "learning_rate must be above 0, got 0"),
    (lambda: ln.optim.SGD(INF), ValueError, "learning_rate must be finite, got inf"),
    (lambda: ln.optim.Adam("1e-3"), TypeError, f"learning_rate {NUMBER}"),
    (
        lambda: ln.optim.SGD(momentum=1),
        ValueError,
        "momentum must be at least 0 and below 1, got 1",
    ),
    (
        lambda: ln.optim.SGD(dampening=-1),
        ValueError,
        "dampening must be at least 0 and below 1, got -1",
    ),
    (lambda: ln.optim.SGD(nesterov=1), TypeError, "nesterov must be a bool, got int"),
    (lambda: ln.optim.SGD(nesterov=True), ValueError, "nesterov needs a momentum above 0 and no"),
    (
        lambda: ln.optim.SGD(momentum=0.9, nesterov=True, dampening=0.1),
        ValueError,
        "nesterov needs a momentum above 0 and no dampening",
    ),
    (lambda: ln.optim.Adam(betas=0.9), TypeError, "betas must be two numbers, got float"),
    (lambda: ln.optim.Adam(betas="ab"), TypeError, "betas must be two numbers, got str"),
    (lambda: ln.optim.Adam(betas=(0.9,)), ValueError, "betas must be two numbers, got 1"),
    (
        lambda: ln.optim.Adam(betas=(0.9, 1.0)),
        ValueError,
        "betas[1] must be at least 0 and below 1, got 1",
    ),
    (lambda: ln.optim.Adam(eps=0), ValueError, "eps must be above 0, got 0"),
    (
        lambda: ln.optim.AdamW(weight_decay=-1),
        ValueError,
        "weight_decay must be at least 0, got -1",
    ),
    (lambda: ln.optim.AdamW(decay_biases=None), TypeError, "decay_biases must be a bool, got None"),
    (lambda: ln.optim.AdamW(clip_norm=0), ValueError, "clip_norm must be above 0, got 0"),
    (lambda: ln.optim.AdamW(average=1), ValueError, "average must be above 0 and below 1, got 1"),
    (
        lambda: ln.optim.AdamW(schedule=3),
        TypeError,
        "schedule must be one such as ln.optim.schedules.Cosine(), or a name, got int",
    ),
    (
        lambda: ln.optim.AdamW(learning_rate_factors=2),
        TypeError,
        "learning_rate_factors must be a sequence of numbers, one for each layer, or a dict of ",
    ),
    (
        lambda: ln.optim.AdamW(learning_rate_factors=[1, -1]),
        ValueError,
        "learning_rate_factors[1] must be at least 0, got -1",
    ),
    (
        lambda: ln.optim.AdamW(learning_rate_factors={"layers[0]": "a"}),
        TypeError,
        f"learning_rate_factors['layers[0]'] {NUMBER}",
    ),
    (
        lambda: ln.optim.AdamW(learning_rate_factors={0: 1.0}),
        TypeError,
        "learning_rate_factors must have places such as 'layers[0]' as keys, got int",
    ),
    (
        lambda: ln.optim.AdamW(learning_rate_factors=[("layers[0]", 1.0), ("layers[0]", 2.0)]),
        ValueError,
        "learning_rate_factors has two numbers for 'layers[0]'",
    ),
    (lambda: ln.optim.Muon(steps=0), ValueError, "steps must be at least 1, got 0"),
    (lambda: ln.optim.Muon(steps=2.0), TypeError, "steps must be an integer, got 2.0"),
    (
        lambda: ln.optim.Muon(scale="orignal"),
        ValueError,
        "unknown scale 'orignal', did you mean 'original'? Expected one of original, match_rms_ad",
    ),
    (
        lambda: ln.optim.Muon(scale="x"),
        ValueError,
        "unknown scale 'x', expected one of original, match_rms_adamw",
    ),
    (lambda: ln.optim.Muon(scale=1), TypeError, "scale must be a str, got int"),
    (
        lambda: ln.optim.Muon(adamw_learning_rate=0),
        ValueError,
        "adamw_learning_rate must be above 0, got 0",
    ),
    (
        lambda: ln.optim.Muon(adamw_betas=(-1, 0)),
        ValueError,
        "adamw_betas[0] must be at least 0 and below 1, got -1",
    ),
    (lambda: ln.optim.Muon(adamw_eps=NAN), ValueError, "adamw_eps must be finite, got nan"),
    (lambda: ln.optim.LBFGS(0), ValueError, "max_iterations must be at least 1, got 0"),
    (lambda: ln.optim.LBFGS(history=0), ValueError, "history must be at least 1, got 0"),
    (
        lambda: ln.optim.LBFGS(tolerance_change=-1),
        ValueError,
        "tolerance_change must be at least 0, got -1",
    ),
    (
        lambda: ln.optim.LevenbergMarquardt(damping=0),
        ValueError,
        "damping must be above 0, got 0",
    ),
    (
        lambda: ln.optim.LevenbergMarquardt(damping=2, max_damping=1),
        ValueError,
        "max_damping must be above 2, got 1",
    ),
    (
        lambda: as_optimizer(ln.optim.Adam),
        TypeError,
        "optimizer must be one such as ln.optim.AdamW(1e-3), or a name, got Adam itself",
    ),
    (
        lambda: as_optimizer({"name": "adam", "lr": 1}),
        ValueError,
        "optimizer is a dict: Adam has no 'lr'",
    ),
    (lambda: schedules.Cosine(steps=0), ValueError, "steps must be at least 1, got 0"),
    (
        lambda: schedules.Cosine(steps=1.0),
        ValueError,
        "steps must be an integer, so many steps, or a part of all steps between 0 and 1, got 1.0",
    ),
    (lambda: schedules.Cosine(steps="a"), TypeError, "steps must be an integer, got 'a'"),
    (
        lambda: schedules.Cosine(final=2),
        ValueError,
        "final must be at least 0 and at most 1, got 2",
    ),
    (
        lambda: schedules.OneCycle(pct_start=-1),
        ValueError,
        "pct_start must be at least 0 and at most 1, got -1",
    ),
    (lambda: schedules.OneCycle(div_factor=0), ValueError, "div_factor must be at least 1, got 0"),
    (
        lambda: schedules.OneCycle(final_div_factor=0),
        ValueError,
        "final_div_factor must be at least 1, got 0",
    ),
    (lambda: schedules.WarmUp(True), TypeError, "steps must be an integer, got True"),
    (
        lambda: schedules.WarmUp(1, "cosin"),
        ValueError,
        "unknown then 'cosin', did you mean 'cosine'?",
    ),
    (lambda: schedules.Step(NAN), ValueError, "step_size must be an integer, so many steps, or"),
    (
        lambda: schedules.Step(gamma=0),
        ValueError,
        "gamma must be above 0 and at most 1, got 0",
    ),
    (lambda: schedules.InverseScaling(0), ValueError, "power must be above 0, got 0"),
    (
        lambda: schedules.Plateau(gamma=1),
        ValueError,
        "gamma must be above 0 and below 1, got 1",
    ),
    (lambda: schedules.Plateau(patience=-1), ValueError, "patience must be at least 0, got -1"),
    (lambda: schedules.Plateau(threshold=-1), ValueError, "threshold must be at least 0, got -1"),
    (
        lambda: schedules.Plateau(threshold_mode="x"),
        ValueError,
        "threshold_mode must be 'rel' or 'abs', got 'x'",
    ),
    (lambda: schedules.Plateau(cooldown=0.5), TypeError, "cooldown must be an integer, got 0.5"),
    (
        lambda: schedules.Plateau(minimum=2),
        ValueError,
        "minimum must be at least 0 and at most 1, got 2",
    ),
    (
        lambda: schedules.Cosine().factor(0),
        ValueError,
        "Cosine() needs to know how many steps there will be, and total_steps is None",
    ),
    (lambda: schedules.OneCycle().factor(0), ValueError, "OneCycle() needs to know how many steps"),
    (lambda: schedules.WarmUp(0.5).factor(0), ValueError, "WarmUp(steps=0.5, then=Constant()) nee"),
]


@pytest.mark.parametrize(("make", "kind", "words"), BAD, ids=[words for *_, words in BAD])
def test_bad_arguments(make: Callable[[], object], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match="^" + re.escape(words)):
        make()


def test_decay_is_for_matrices_unless_asked() -> None:
    decayed = [
        ln.optim.AdamW(decay_biases=both).decays(n) for both in (False, True) for n in (1, 2)
    ]
    assert decayed == [False, True, True, True]
    assert not ln.optim.AdamW(weight_decay=0, decay_biases=True).decays(2)


PLACES = ("layers[0]", "layers[0]", "layers[1].branches[0][1]", "layers[10]")


def test_factors_by_layer() -> None:
    def factors(given: object) -> tuple[float, ...]:
        return ln.optim.SGD(learning_rate_factors=given).layer_factors(PLACES, 11)

    assert factors(None) == (1.0,) * 4
    assert factors(np.arange(11)) == (0.0, 0.0, 1.0, 10.0)
    assert factors({"layers[1]": 0.5}) == (1.0, 1.0, 0.5, 1.0)
    nested = {"layers[1].branches[0]": 0.25, "layers[1]": 0.5, "layers[0]": 0}
    assert factors(nested) == (0.0, 0.0, 0.25, 1.0)
    with pytest.raises(ValueError, match="has 2 numbers, the network has 11 layers"):
        factors([1.0, 2.0])
    with pytest.raises(ValueError, match=re.escape("there are no parameters in 'layers[2]', exp")):
        factors({"layers[2]": 1.0})
    with pytest.raises(ValueError, match=re.escape("there are no parameters in 'layers[1'")):
        factors({"layers[1": 1.0})


@pytest.mark.parametrize("shape", [(3, 12), (12, 3), (4, 4)])
def test_scales_of_muon(shape: tuple[int, int]) -> None:
    ratio = max(1.0, shape[0] / shape[1])
    assert ln.optim.Muon().scale_of(shape) == ratio**0.5
    scaled = ln.optim.Muon(scale="match_rms_adamw").scale_of(shape)
    assert scaled == 0.2 * max(shape) ** 0.5


def test_schedules_by_hand() -> None:
    def factors(schedule: Schedule, *steps: int, total: int | None = None) -> list[float]:
        return [round(schedule.factor(step, total), 12) for step in steps]

    assert factors(schedules.Constant(), 0, 9) == [1, 1]
    assert factors(schedules.Cosine(steps=2, final=0.5), 0, 1, 2, 3) == [1, 0.75, 0.5, 0.5]
    assert factors(schedules.Cosine(steps=0.5), 0, 1, 2, 3, total=4) == [1, 0.5, 0, 0]
    assert factors(schedules.Step(0.5, gamma=0.25), 0, 1, 2, 3, 4, total=4) == [
        *(1, 1, 0.25, 0.25, 0.0625)
    ]
    assert 0.07 * 100 > 7  # in binary, and yet it is 7 steps
    assert factors(schedules.Step(0.07), 6, 7, total=100) == [1, 0.1]
    assert factors(schedules.InverseScaling(1.0), 0, 1, 3) == [1, 0.5, 0.25]
    warm = schedules.WarmUp(1, schedules.Step(2, gamma=0.5))
    assert factors(warm, 0, 1, 2, 3, 4) == [0.5, 1, 1, 0.5, 0.5]
    # As long as all: the schedule after it has a step at least.
    assert factors(schedules.WarmUp(2, "cosine"), 0, 1, 2, total=2)[2] == 1
    assert factors(schedules.OneCycle(), 0, total=1) == [0.04 / 1e4]


def test_optimisers_ask_their_schedule() -> None:
    assert ln.optim.SGD().rate_factor(5) == 1.0
    assert ln.optim.SGD(schedule="cosine").rate_factor(1, 2) == pytest.approx(0.5)
    plateau = ln.optim.SGD(schedule=schedules.Plateau(gamma=0.5, patience=0))
    assert plateau.rate_factor(9, 99, [1.0, 1.0]) == 0.5
    warm = schedules.WarmUp(1, schedules.Plateau(gamma=0.5, patience=0))
    assert warm.factor(1, None, [1.0, 1.0]) == 0.5


def test_plateau_goes_down_and_no_further() -> None:
    plateau = schedules.Plateau(gamma=0.5, patience=0, cooldown=1, minimum=0.2)
    losses = [1.0, 1.0, 1.0, 1.0, NAN, 1.0, 1.0, 0.5]
    found = [plateau.after(losses[:n]) for n in range(len(losses) + 1)]
    assert found == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
