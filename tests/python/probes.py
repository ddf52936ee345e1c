"""Probes that measure nothing: a quiet machine of two cores, and neighbours at will."""

from __future__ import annotations

import importlib
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from laminet.core import probes as probe
from laminet.core.probes import Reading

machine_module: Any = importlib.import_module("laminet.analysis.machine")
measuring: Any = importlib.import_module("laminet.analysis.machine_measuring")

ROUNDS = measuring._ROUNDS
ALL_ROUNDS = measuring._ROUNDS + measuring._MORE_ROUNDS

KIB, MIB = 2**10, 2**20

#: What a probe is asked for, and the figure of a quiet machine, to the figure that is found.
Neighbour = Callable[[str, tuple[Any, ...], float], Reading]


def nobody(kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
    return Reading(quiet)


def one_cpu_for_two(kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
    """Both threads of every peak are on one CPU: each has it for half of the time."""
    if kind == "fma" and about[2] == 2:
        return Reading(quiet / 2, 0.52)
    return Reading(quiet)


def two_threads_of_one_core(kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
    """Each has its CPU, and nothing is stolen; the two gain 1.04, and share the nearest cache."""
    if kind == "fma" or (kind, about[0]) in [("read", "L1"), ("read", "L2")]:
        return Reading(quiet * 1.04 / about[-1] if about[-1] == 2 else quiet)
    return Reading(quiet)


class Probes:
    """What is measured, and how often; `neighbour` changes what is found."""

    def __init__(self) -> None:
        self.neighbour: Neighbour = nobody
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def rounds(self, kind: str, *about: Any) -> int:
        """So often a figure was measured."""
        return self.calls.count((kind, about))

    def find(self, kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
        self.calls.append((kind, about))
        return self.neighbour(kind, about, quiet)

    # At 4 GHz, with two units that take four cycles: 8 multiply-adds are under way. AVX2 has 8 GHz
    # instead, and so the peak of AVX-512: what bounds a network is the same wherever the tests run.
    def fma_rate(self, dtype: str, isa: str, threads: int, _: float) -> Reading:
        lanes, _chains = probe.fma_shape("float32" if dtype == "bfloat16" else dtype, isa)
        hertz = 8e9 if isa == "avx2" or dtype == "bfloat16" else 4e9
        return self.find("fma", (dtype, isa, threads), threads * 2 * lanes * 2 * hertz)

    def fma_latency(self, dtype: str, isa: str, _: float) -> Reading:
        return self.find("latency", (dtype,), 0.5e-9 if isa == "avx2" else 1e-9)

    def activation_time(self, name: str, dtype: str, isa: str, _: float) -> Reading:
        return self.find("activation", (name, dtype), 1e-9)

    # 400, 200 and 100 GB/s a core from caches; 20 from DRAM and 30 by two
    def read_rate(self, isa: str, nbytes: int, threads: int, _: float) -> Reading:
        for level, size, rate in (
            ("L1", 32 * KIB, 4e11),
            ("L2", MIB, 2e11),
            ("L3", 32 * MIB, 1e11),
        ):
            if nbytes <= size:
                # So that two rows, of which AVX2 has fewer sums under way, are bound by it, too.
                if isa == "avx2" and level == "L3":
                    rate *= 0.5
                return self.find("read", (level, threads), threads * rate)
        return self.find("read", ("DRAM", threads), 2e10 if threads == 1 else 3e10)

    def handoff_time(self, threads: int, _: float) -> Reading:
        return self.find("handoff", (threads,), 0.25e-6)

    def call_time(self, depth: int, _: float) -> Reading:
        return self.find("call", (depth,), (0.25 + 0.05 * depth) * 1e-6)


@pytest.fixture
def probes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Probes:
    """Let all probes find a quiet machine of two cores, in no time, that is not known yet."""
    fake = Probes()
    for name in ("fma_rate", "fma_latency", "activation_time", "read_rate", "handoff_time"):
        monkeypatch.setattr(probe, name, getattr(fake, name))
    monkeypatch.setattr(measuring, "_call_time", fake.call_time)
    monkeypatch.setattr(measuring, "stolen_seconds", lambda: 0.0)
    monkeypatch.setattr(measuring, "_PAUSE", 0.0)
    monkeypatch.setattr(probe, "available_memory", lambda: 0)
    monkeypatch.setattr(probe, "max_threads", lambda: 2)
    caches = [(1, 32 * KIB, 1), (2, MIB, 1), (3, 32 * MIB, 2)]
    monkeypatch.setattr(probe, "cache_levels", lambda: caches)
    return fake


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `machine` know nothing, and keep its figures in a folder of the test."""
    path = tmp_path / "cache" / "laminet"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(path))
    know_nothing(monkeypatch)
    return path


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget what this process knows, as a new one would."""
    return lambda: know_nothing(monkeypatch)


def change(folder: Path, **figures: Any) -> Path:
    """Write other figures into the file."""
    (file,) = folder.iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), **figures}))
    return file


def know_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, empty in (("_known", {}), ("_stood", {}), ("_unusual", set())):
        monkeypatch.setattr(machine_module, name, empty)


def wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass for what is kept."""
    now = machine_module.time.time() + seconds
    monkeypatch.setattr(machine_module, "time", types.SimpleNamespace(time=lambda: now))
