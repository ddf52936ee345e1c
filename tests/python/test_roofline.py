"""What `roofline` reports, and the sentences, from figures that are known."""

from __future__ import annotations

import dataclasses
import itertools
import json
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from synthetic import (
    fake_times,
    measuring_module,
    predict,
    roofline_module,
    synthetic_machine,
)

import laminet as ln
from laminet.analysis.machine import Machine
from laminet.analysis.roofline_check import contradictions
from laminet.core import probes

__all__ = ["fake_times"]  # a fixture

pytestmark = pytest.mark.usefixtures("fake_times")


@pytest.fixture
def net() -> ln.MLP:
    return ln.MLP.init([784, 512, 256, 10], "relu", seed=0)


def test_fields(net: ln.MLP, fake_times: Machine) -> None:
    ln.set_num_threads(2)
    result = ln.roofline(net, [64, 1, 64])
    assert result.machine is fake_times
    assert result.network == repr(net)
    assert result.sizes == (784, 512, 256, 10)
    assert (result.dtype, result.threads) == ("float32", 2)
    assert result.backend == ln.get_backend()
    assert result.cost == ln.cost(net)
    assert [row.batch for row in result.rows] == [1, 64]
    for row in result.rows:
        counts = ln.cost(net, row.batch)
        taken = 1 + row.batch / 10
        assert row.measured_us == pytest.approx(taken)
        assert row.measured_gflops == pytest.approx(counts.flops / taken / 1e3)
        assert row.predicted_gflops == pytest.approx(counts.flops / row.predicted_us / 1e3)
        assert row.samples_per_second == pytest.approx(row.batch / taken * 1e6)
        assert row.intensity == counts.intensity
        assert row.share == pytest.approx(row.measured_gflops / row.attainable_gflops)
        assert [layer.index for layer in row.layers] == [1, 2, 3]
        for layer, count in zip(row.layers, counts.layers, strict=True):
            assert layer.intensity == count.intensity
            assert layer.measured_us == pytest.approx(taken / 10)
            assert layer.measured_gflops == pytest.approx(count.flops / taken / 1e2)
            assert layer.share == pytest.approx(layer.measured_gflops / layer.attainable_gflops)


def test_the_plan_described_is_the_one_that_ran(
    net: ln.MLP, fake_times: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is measured the plan may change, as it does once the cost of handing over is known.

    Here it is the number of threads that may work.
    """
    ln.set_num_threads(2)
    assert net.plan(64).threads == 2
    measure = roofline_module.measure

    def changing(*arguments: object) -> object:
        ln.set_num_threads(1)
        return measure(*arguments)

    monkeypatch.setattr(roofline_module, "measure", changing)
    (row,) = ln.roofline(net, [64]).rows
    assert row.threads == 1
    predicted = predict(net, 64, fake_times)
    assert (row.predicted_us, row.overhead_us) == (predicted.us, predicted.overhead_us)


def test_costs_and_plans_are_made_once_a_batch(
    net: ln.MLP, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def counting(name: str, function: Callable[[ln.MLP, int], Any]) -> Callable[..., Any]:
        def call(net: ln.MLP, batch: int) -> Any:
            asked.append((name, batch))
            return function(net, batch)

        return call

    monkeypatch.setattr(roofline_module, "cost", counting("cost", ln.cost))
    monkeypatch.setattr(probes, "plan", counting("plan", probes.plan))
    ln.roofline(net, [1, 8, 8, 64])
    expected = [(name, batch) for name in ("cost", "plan") for batch in (1, 8, 64)]
    assert sorted(asked) == expected


@pytest.mark.parametrize(
    ("cores", "threads", "told"), [(64, 2, False), (64, 64, True), (2, 2, True), (1, 1, False)]
)
def test_what_fewer_threads_take_to_meet_was_not_measured(
    net: ln.MLP, cores: int, threads: int, told: bool
) -> None:
    """6 us are what all of 64 take; a call of 2.6 us on two says nothing of it."""
    (row,) = ln.roofline(net, [1]).rows
    row = dataclasses.replace(row, threads=threads, measured_us=2.6)
    figures = synthetic_machine(cores=cores, handoff_us=6.0)
    found = contradictions([row], figures, 1e9)
    least = ["batch 1 takes 2.60 us, and 6.60 us for a network with nothing in it"]
    assert found == (least if told else [])


def test_roofs_of_one_sample_are_those_of_memory(net: ln.MLP) -> None:
    """2.1 MB of weights and a little come from L3, 200 GB/s; each layer reads its own."""
    ln.set_num_threads(2)
    (row,) = ln.roofline(net, [1]).rows
    reads = [layer.weight.nbytes + layer.bias.nbytes for layer in net.layers]
    reads[0] += 784 * 4
    reads[2] += 10 * 4
    assert [layer.level for layer in row.layers] == ["L3"] * 3
    flops = [layer.flops for layer in ln.cost(net).layers]
    assert [layer.attainable_gflops for layer in row.layers] == pytest.approx(
        [f / (r / 200e9) / 1e9 for f, r in zip(flops, reads, strict=True)]
    )
    assert row.attainable_gflops == pytest.approx(sum(flops) / (sum(reads) / 200e9) / 1e9)
    assert row.level == "L3"


def test_roofs_of_a_large_batch_are_those_of_arithmetic(net: ln.MLP) -> None:
    for threads, peak in ((1, 100), (2, 200)):
        ln.set_num_threads(threads)
        (row,) = ln.roofline(net, [1000]).rows
        assert row.bound == "compute"
        assert row.bound_by == "arithmetic"
        assert row.attainable_gflops == pytest.approx(peak)
        assert [layer.attainable_gflops for layer in row.layers] == pytest.approx([peak] * 3)


def test_the_call_bounds_the_smallest_networks() -> None:
    (row,) = ln.roofline(ln.MLP.init([4, 4, 2], seed=0), [1]).rows
    assert row.bound == "overhead"
    assert row.bound_by == "the call"
    assert row.overhead_us == pytest.approx(0.55)


def test_the_layers_are_measured_in_turn(monkeypatch: pytest.MonkeyPatch, net: ln.MLP) -> None:
    """The real measuring, cut short: of the arrays that the layers take in the network."""
    monkeypatch.undo()
    monkeypatch.setattr(measuring_module, "_SECONDS", 1e-3)
    monkeypatch.setattr(roofline_module, "machine", lambda refresh: synthetic_machine())
    monkeypatch.setattr(roofline_module, "measured_again", lambda _: None)
    calls = []
    call = ln.MLP.__call__

    def spy(self: ln.MLP, x: np.ndarray, **options: object) -> np.ndarray:
        calls.append((self.sizes, x.shape, x.dtype))
        return call(self, x, **options)

    monkeypatch.setattr(ln.MLP, "__call__", spy)
    for dtype in ("float32", "float64"):
        result = ln.roofline(net.astype(dtype), [1, 5])
        assert all(row.measured_us > 0 for row in result.rows)
        assert all(layer.measured_us > 0 for row in result.rows for layer in row.layers)
        kinds = {k for k, _ in itertools.groupby(calls)}
        expected = set()
        for batch in ((), (5,)):
            expected.add(((784, 512, 256, 10), (*batch, 784), np.dtype(dtype)))
            for n, m in itertools.pairwise((784, 512, 256, 10)):
                expected.add(((n, m), (*batch, n), np.dtype(dtype)))
        assert kinds == expected
        calls.clear()
    single = ln.roofline(ln.MLP.init([3, 2], seed=0), [1])
    assert len(single.rows[0].layers) == 1


def test_the_time_of_a_call_is_taken_from_each_layer(
    monkeypatch: pytest.MonkeyPatch, net: ln.MLP
) -> None:
    """The real measuring, by a clock that only calls of networks move: 0.5 us are the call's."""
    monkeypatch.undo()
    monkeypatch.setattr(measuring_module, "_SECONDS", 1e-4)
    now = 0.0
    taken = {(784, 512): 9.5, (512, 256): 2.5, (256, 10): 0.52, (784, 512, 256, 10): 12.0}

    def call(self: ln.MLP, x: np.ndarray) -> np.ndarray:
        nonlocal now
        now += taken[self.sizes] * 1e-6
        return np.zeros(self.out_features, self.dtype)

    monkeypatch.setattr(ln.MLP, "__call__", call)
    monkeypatch.setattr(measuring_module, "time", types.SimpleNamespace(perf_counter=lambda: now))
    figures = synthetic_machine()
    whole, layers = measuring_module.measure(net, 1, figures.call_us)
    assert whole == pytest.approx(12e-6)
    # Where the call is nearly all, a tenth is left, not 4 %.
    assert layers == pytest.approx([9e-6, 2e-6, 0.052e-6])
    single = ln.MLP(net.layers[:1])
    whole, layers = measuring_module.measure(single, 1, figures.call_us)
    assert [whole, *layers] == pytest.approx([9.5e-6, 9e-6])


@pytest.mark.parametrize(
    ("batches", "error", "match"),
    [
        ([], ValueError, "batches is empty"),
        ([0], ValueError, "batches holds 0, expected 1 or more"),
        ([1, -3], ValueError, "batches holds -3"),
        ([1.5], TypeError, "float"),
        (["8"], TypeError, "str"),
        ([True], TypeError, "batches holds a bool"),
        (8, TypeError, "int"),
    ],
)
def test_wrong_batches(net: ln.MLP, batches: object, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        ln.roofline(net, batches)


def test_what_is_no_network() -> None:
    with pytest.raises(TypeError, match="net must be an MLP, got list"):
        ln.roofline([1, 2])


def test_batches_of_numpy(net: ln.MLP) -> None:
    assert [row.batch for row in ln.roofline(net, np.array([4, 2])).rows] == [2, 4]


def test_best_batch(net: ln.MLP) -> None:
    result = ln.roofline(net, (1, 10, 100, 10_000))  # 1.1, 2, 11, 1001 us
    assert result.best_batch() == 10_000
    assert result.best_batch(latency_us=1001) == 10_000
    assert result.best_batch(latency_us=1000) == 100
    assert result.best_batch(11) == 100
    assert result.best_batch(5) == 10
    assert result.best_batch(1.1) == 1
    with pytest.raises(ValueError, match=r"latency_us is 1, but the fastest batch, 1, takes 1\.10"):
        result.best_batch(1)
    # 10^7 / (1 + 10/n): 1 % apart, so the smaller.
    assert ln.roofline(net, (1000, 10_000)).best_batch() == 1000


@pytest.mark.parametrize("latency", [0, -1.0, float("nan"), "10", True])
def test_a_latency_is_a_positive_number(net: ln.MLP, latency: object) -> None:
    with pytest.raises((ValueError, TypeError), match="latency_us"):
        ln.roofline(net, [1]).best_batch(latency)


def test_plain_data(net: ln.MLP) -> None:
    result = ln.roofline(net, (1, 8))
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["rows"][1]["bound_by"] == result.rows[1].bound_by
    assert plain["rows"][1]["layers"][2]["share"] == result.rows[1].layers[2].share
    assert plain["machine"]["cpu"] == "Test CPU <2>"
    assert plain["cost"]["flops"] == ln.cost(net).flops


def test_it_prints_as_tables(net: ln.MLP) -> None:
    ln.set_num_threads(2)
    result = ln.roofline(net, (1, 1000))
    lines = [line.split() for line in str(result).splitlines()]
    assert str(result).startswith(repr(net))
    assert "2 threads" in str(result)
    # 101 us for 1000 samples of 1,071,626 FLOPs
    (row,) = [line for line in lines if line[:2] == ["1000", "arithmetic"]]
    assert row[2:] == ["93.5", "10,610", "200", "5305", "%", "101", *row[-1:]]
    assert sum(line[:1] == ["1"] for line in lines) == 4
    assert repr(result) == str(result)
    assert result._repr_html_().count("<table>") == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.rows = ()


def test_advice_names_what_bounds_and_what_to_choose(net: ln.MLP) -> None:
    ln.set_num_threads(2)
    text = "\n".join(ln.roofline(net, (1, 5, 1000)).advice())
    assert "At batch 1 the network is bound by reading its weights from L3" in text
    assert "each serves for 2 operations only" in text
    assert "layer 1 (784 -> 512 relu) takes 33 % of the time" in text
    assert (
        "At batch 1000 the network is bound by arithmetic: it reaches 10,610 of the 200 GFLOP/s"
        in text
    )
    # 1.5 us for 1.1, and 5 samples for one
    assert (
        "Batch 5 is 3.7 times the throughput of batch 1 at 1.4 times the latency "
        "(1.50 us instead of 1.10 us)." in text
    )
    assert "Batch 1000 is 11 times the throughput of batch 1 at 92 times the latency" in text
    assert "That is the highest throughput measured: 9,900,990 samples a second." in text
    assert "float32" not in text
    assert text.count("The model") == 1


def test_advice_of_the_smallest_network() -> None:
    text = "\n".join(ln.roofline(ln.MLP.init([4, 4, 2], seed=0), [1]).advice())
    assert "At batch 1 the call is the cost: about 550 ns of the 1.10 us" in text
    assert "throughput" not in text


def test_advice_on_activations_and_types() -> None:
    net = ln.MLP.init([16, 64, 64], "tanh", output_activation="gelu", dtype="float64", seed=0)
    ln.set_num_threads(1)
    text = "\n".join(ln.roofline(net, [1, 512]).advice())
    # 512 samples: 2 layers of 64 outputs at 2 ns each, 131 us; 512 x 5120 products at 25 a ns, 105
    assert "goes to activation functions (tanh above all)" in text
    assert "In float32 this machine computes 2.0 times as fast" in text
    assert "This was with 1 of 2 threads" in text


def test_advice_where_batches_gain_nothing(monkeypatch: pytest.MonkeyPatch, net: ln.MLP) -> None:
    monkeypatch.setattr(
        roofline_module, "measure", lambda net, batch, _: (batch * 1e-6, [1e-7] * len(net.layers))
    )
    text = "\n".join(ln.roofline(net, [1, 8]).advice())
    assert "Larger batches than 1 bring no more throughput (1,000,000 samples a second)" in text


def test_advice_says_when_it_does_not_explain(net: ln.MLP) -> None:
    ln.set_num_threads(2)
    text = ln.roofline(net, [1, 1000]).advice()[-1]
    assert "in the median over these batches, by" in text
    assert "at batch 1000" in text


def test_advice_on_an_instruction_set_that_is_not_used(
    monkeypatch: pytest.MonkeyPatch, net: ln.MLP
) -> None:
    machine = synthetic_machine(isas=("generic", "avx2"))
    monkeypatch.setattr(roofline_module, "machine", lambda refresh: machine)
    text = "\n".join(ln.roofline(net, [1]).advice())
    assert "This CPU also has avx2, which was not used (LAMINET_ISA)." in text


@pytest.mark.parametrize(
    ("batch", "times", "told"), [(1, 2.0, True), (1, 0.5, False), (8, 2.0, False)]
)
def test_shares_above_one_are_explained(net: ln.MLP, batch: int, times: float, told: bool) -> None:
    """Of one sample the engine leaves zeros out, which the roof counts."""
    result = ln.roofline(net, [batch])
    (row,) = result.rows
    layers = tuple(
        dataclasses.replace(layer, measured_gflops=times * layer.attainable_gflops)
        for layer in row.layers
    )
    shown = dataclasses.replace(result, rows=(dataclasses.replace(row, layers=layers),))
    assert ("zeros" in str(shown)) is told
