"""A machine of round figures, and measurements that follow from them: tests that time nothing."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest

import laminet as ln
from laminet.analysis import prediction
from laminet.analysis.machine import Cache, Machine, Rate
from laminet.analysis.prediction import Prediction
from laminet.core import probes
from laminet.core.activation import ACTIVATIONS
from laminet.core.steps import program_of

KIB, MIB = 2**10, 2**20

roofline_module: Any = importlib.import_module("laminet.analysis.roofline")
measuring_module: Any = importlib.import_module("laminet.analysis.roofline_measuring")


def predict(net: ln.MLP, batch: int, machine: Machine) -> Prediction:
    """The prediction for a network as it would run a batch now."""
    return prediction.predict(ln.cost(net, batch), probes.plan(net, batch), machine, net.dtype)


def synthetic_machine(**changes: Any) -> Machine:
    """Two cores of 100 GFLOP/s in float32, whose levels read 400, 200, 100 and 20 GB/s each."""
    peaks = {"float32": Rate(100.0, 200.0), "float64": Rate(50.0, 100.0)}
    machine = Machine(
        cpu="Test CPU <2>",
        isa="generic",
        isas=("generic",),
        cores=2,
        caches=(Cache(1, 32 * KIB, 1), Cache(2, 512 * KIB, 1), Cache(3, 16 * MIB, 2)),
        peak_gflops=peaks,
        isa_peak_gflops={"generic": peaks},
        bandwidth_gb_s={
            "L1": Rate(400.0, 800.0),
            "L2": Rate(200.0, 400.0),
            "L3": Rate(100.0, 200.0),
            "DRAM": Rate(20.0, 30.0),
        },
        fma_latency_ns={"float32": 0.1, "float64": 0.1},
        activation_ns={d: dict.fromkeys(ACTIVATIONS, 2.0) for d in ("float32", "float64")},
        call_us=0.5,
        layer_us=0.05,
        handoff_us=1.0,
        measured="2026-01-02 03:04",
    )
    return dataclasses.replace(machine, **changes)


@pytest.fixture
def fake_times(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Let `roofline` find the synthetic machine, and take 1 us and a 10th of a us a sample.

    Of a network's layers each takes a tenth of that for a batch.
    """
    machine = synthetic_machine()

    def measure(net: Any, batch: int, _: float) -> tuple[float, list[float]]:
        whole = (1 + batch / 10) * 1e-6
        return whole, [whole / 10] * len(program_of(net).parts)

    monkeypatch.setattr(roofline_module, "machine", lambda refresh=False: machine)
    # The times have nothing to do with the machine's figures.
    monkeypatch.setattr(roofline_module, "measured_again", lambda _: None)
    monkeypatch.setattr(roofline_module, "measure", measure)
    return machine
