"""Pickles outlive the files that their classes are written in."""

from __future__ import annotations

import base64
import importlib
import pickle
from typing import Any

import numpy as np
import pytest

import laminet as ln
from laminet.core.plan import Plan

# What version 0.1.0 wrote, when each class lay in a module of its own beside ``__init__``:
# a network, labels, quantities, an error and a plan.
OF_FORMER_MODULES = """
gAJdcQAoY2xhbWluZXQubWxwCl9yZXN0b3JlZApxAWNsYW1pbmV0Lm1scApNTFAKcQJjbGFtaW5ldC5kZW5zZQpE
ZW5zZQpxA2NudW1weS5jb3JlLm11bHRpYXJyYXkKX3JlY29uc3RydWN0CnEEY251bXB5Cm5kYXJyYXkKcQVLAIVx
BmNfY29kZWNzCmVuY29kZQpxB1gBAAAAYnEIWAYAAABsYXRpbjFxCYZxClJxC4dxDFJxDShLAUsBSwOGcQ5jbnVt
cHkKZHR5cGUKcQ9YAgAAAGY0cRCJiIdxEVJxEihLA1gBAAAAPHETTk5OSv////9K/////0sAdHEUYoloB1gOAAAA
AADCgD8AAADDgAAAAD9xFWgJhnEWUnEXdHEYYmgEaAVLAIVxGWgLh3EaUnEbKEsBSwGFcRxoEoloB1gFAAAAAADC
gD5xHWgJhnEeUnEfdHEgYmNsYW1pbmV0LmFjdGl2YXRpb24KQWN0aXZhdGlvbgpxISmBcSJ9cSMoWAQAAABuYW1l
cSRYAwAAAGVsdXElWAUAAABhbHBoYXEmRz/gAAAAAAAAWAQAAABiZXRhcSdOdWKHcShScSloA2gEaAVLAIVxKmgL
h3ErUnEsKEsBSwFLAYZxLWgSiWgHWAQAAAAAAABAcS5oCYZxL1JxMHRxMWJOaCEpgXEyfXEzKGgkWAcAAABzaWdt
b2lkcTRoJk5oJ051YodxNVJxNoZxN31xOChYBAAAAGhlYWRxOU5YBwAAAG91dHB1dHNxOmNsYW1pbmV0Lm91dHB1
dHMKQ2xhc3NlcwpxO2gEaAVLAIVxPGgLh3E9UnE+KEsBSwKFcT9oD1gCAAAAVTNxQImIh3FBUnFCKEsDaBNOTk5L
DEsESwh0cUNiiWgHWBgAAABuAAAAbwAAAAAAAAB5AAAAZQAAAHMAAABxRGgJhnFFUnFGdHFHYoVxSFJxSVgNAAAA
ZmVhdHVyZV9uYW1lc3FKWAEAAABhcUtYAQAAAGJxTFgBAAAAY3FNh3FOWAYAAABpbnB1dHNxT051h3FQUnFRY2xh
bWluZXQub3V0cHV0cwpMYWJlbHMKcVJoBGgFSwCFcVNoC4dxVFJxVShLAUsBhXFWaA9YAgAAAFUxcVeJiIdxWFJx
WShLA2gTTk5OSwRLBEsIdHFaYoloB1gEAAAAdwAAAHFbaAmGcVxScV10cV5ihXFfUnFgY2xhbWluZXQub3V0cHV0
cwpRdWFudGl0aWVzCnFhWAEAAABwcWKFcWOFcWRScWVjbGFtaW5ldC5lcnJvcnMKRm9ybWF0RXJyb3IKcWZYBwAA
AGRhbWFnZWRxZ4VxaFJxaWNsYW1pbmV0LmFuYWx5c2lzLnBsYW4KUGxhbgpxaimBcWt9cWwoWAYAAABsYXllcnNx
bWNsYW1pbmV0LmFuYWx5c2lzLnBsYW4KTGF5ZXJQbGFuCnFuKYFxb31xcChYBQAAAGluZGV4cXFLAVgLAAAAaW5f
ZmVhdHVyZXNxcksDWAwAAABvdXRfZmVhdHVyZXNxc0sBWAcAAABiYWNrZW5kcXRYBQAAAHRpbGVkcXVYBAAAAHRp
bGVxdksQSxCGcXdYCQAAAHRhaWxfdGlsZXF4TlgKAAAAYmxvY2tfcm93c3F5SwRYDQAAAGJsb2NrX2NvbHVtbnNx
eksBWAsAAABibG9ja19kZXB0aHF7SwNYDAAAAHRhaWxfY29sdW1uc3F8SwBYCgAAAHRhaWxfZGVwdGhxfUsAWAkA
AAByb3dfcGFydHNxfksBWAwAAABjb2x1bW5fcGFydHNxf0sBdWJobimBcYB9cYEoaHFLAmhySwFoc0sBaHRodWh2
SxBLEIZxgmh4Tmh5SwRoeksBaHtLAWh8SwBofUsAaH5LAWh/SwF1YoZxg1gFAAAAYmF0Y2hxhEsEaHRodVgDAAAA
aXNhcYVYBgAAAGF2eDUxMnGGWAUAAABzcGxpdHGHWAQAAABub25lcYhYBwAAAHRocmVhZHNxiUsBdWJlLg==
"""


def test_pickles_of_former_modules_are_read() -> None:
    net, labels, quantities, error, plan = pickle.loads(base64.b64decode(OF_FORMER_MODULES))
    elu = ln.Activation("elu", alpha=0.5)
    weight, bias = np.array([[1, -2, 0.5]], np.float32), np.array([0.25], np.float32)
    layers = [ln.Dense(weight, bias, elu), ln.Dense(np.array([[2]], np.float32), None, "sigmoid")]
    outputs = ln.Classes(["no", "yes"])
    assert net == ln.MLP(layers, outputs=outputs, feature_names=["a", "b", "c"])
    assert (labels, quantities) == (ln.Labels(["w"]), ln.Quantities(["p"]))
    assert isinstance(error, ln.FormatError)
    assert str(error) == "damaged"
    assert isinstance(plan, Plan)
    assert (plan.batch, len(plan.layers)) == (4, 2)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("activation", "Activation"),
        ("dense", "Dense"),
        ("dense", "linear"),
        ("errors", "FormatError"),
        ("gradients", "Gradients"),
        ("mlp", "MLP"),
        ("outputs", "Classes"),
        ("runtime", "set_num_threads"),
        ("trace", "Trace"),
        ("analysis.cost", "cost"),
        ("analysis.gradient_flow", "gradient_flow"),
        ("analysis.machine", "machine"),
        ("analysis.roofline", "roofline"),
        ("interop.files", "load"),
    ],
)
def test_former_names_are_those_of_today(module: str, name: str) -> None:
    assert pickle.loads(f"claminet.{module}\n{name}\n.".encode()) is getattr(ln, name)


def test_public_classes_are_of_the_package() -> None:
    classes = [kind for name in ln.__all__ if isinstance(kind := getattr(ln, name), type)]
    assert len(classes) >= 9
    assert {kind.__module__ for kind in classes} == {"laminet"}


def results() -> list[Any]:
    net = ln.MLP.init([3, 4, 2], "tanh", seed=0)
    x = np.ones((2, 3), np.float32)
    made = [net.plan(2), net.summary(), ln.cost(net), ln.gradient_flow(net, x)]
    made += [ln.check_jacobian(net, x), ln.check_gradients(net, x, [0, 1], entries=2)]
    fit = ln.fit(net, x, [0, 1], epochs=2, seed=0)
    return [*made, net.trace(x), net.gradients(x, np.ones((2, 2))), fit, fit.history]


@pytest.mark.parametrize("result", results(), ids=lambda r: type(r).__name__)
def test_results_go_by_names_that_hold_them(result: Any) -> None:
    """So that a pickle of today is read tomorrow: a room, or the package, and no file of core."""
    for kind in (type(result), type(getattr(result, "layers", (result,))[0])):
        assert not kind.__module__.startswith("laminet.core")
        assert getattr(importlib.import_module(kind.__module__), kind.__name__) is kind
    assert str(pickle.loads(pickle.dumps(result))) == str(result)
