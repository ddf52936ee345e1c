"""The model of `laminet.analysis.prediction`, term by term, and the plans that it starts from."""

from __future__ import annotations

import math

import pytest
from synthetic import KIB, MIB, predict, synthetic_machine

import laminet as ln
from laminet.analysis import prediction
from laminet.analysis.machine import Machine
from laminet.analysis.prediction import LayerRoof, served
from laminet.core import probes as probe
from laminet.core.probes import LayerPlan, Panels, Plan

# In synthetic_machine one thread does 100 operations a ns, reads 400, 200, 100 and 20 bytes a ns.


def roofs(net: ln.MLP, batch: int, machine: Machine, threads: int) -> tuple[LayerRoof, ...]:
    plan = probe.plan(net, batch)
    return prediction.roofs(ln.cost(net, batch), plan, machine, net.dtype, threads)


def use(monkeypatch: pytest.MonkeyPatch, *layers: LayerPlan, **changes: object) -> None:
    fields = {"backend": "tiled", "shared": False, "threads": 1, "block_rows": 64, **changes}
    monkeypatch.setattr(probe, "plan", lambda *_: Plan(layers=layers, **fields))


def layer(*panels: Panels, rows: int = 1, columns: int = 1) -> LayerPlan:
    padded = sum(p.count * p.columns for p in panels) * columns
    return LayerPlan(rows, columns, padded, panels)


def test_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 rows of a 6 x 16 tile: three whole ones and one of 2 rows, for 3 and a narrow panel."""
    use(monkeypatch, layer(Panels(3, 6, 16), Panels(1, 12, 4)))
    net = ln.MLP.init([50, 52], seed=0)
    predicted = predict(net, 20, synthetic_machine())
    (part,) = predicted.layers
    # A step of a whole tile is 6 x 16 x 2 / 100 = 1.92 ns, of 2 rows 0.64; of 12 rows by 4 0.96,
    # of 8 rows 0.64.
    assert part.compute_us == pytest.approx(50 * (3 * (3 * 1.92 + 0.64) + 0.96 + 0.64) / 1e3)
    assert part.activation_us == 0
    assert part.lanes_used == 1
    assert part.bound == predicted.bound == "compute"
    assert predicted.overhead_us == 0.5
    assert predicted.us == pytest.approx(0.5 + part.compute_us)


def test_few_rows_wait_for_their_own_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, layer(Panels(2, 6, 16)))
    net = ln.MLP.init([50, 32], seed=0)
    machine = synthetic_machine(fma_latency_ns={"float32": 1.0, "float64": 1.0})
    # one row would take 0.32 ns a step, 4 rows 1.28
    assert predict(net, 1, machine).layers[0].compute_us == pytest.approx(50 * 2 * 1.0 / 1e3)
    assert predict(net, 4, machine).layers[0].compute_us == pytest.approx(50 * 2 * 1.28 / 1e3)


def test_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, layer(Panels(1, 6, 16)), threads=2)
    for name, each in (("tanh", 2.0), ("relu", 0.0), ("identity", 0.0)):
        net = ln.MLP.init([50, 16], output_activation=name, seed=0)
        use(monkeypatch, layer(Panels(1, 6, 16), rows=2), threads=2)
        (part,) = predict(net, 9, synthetic_machine()).layers
        assert part.activation_us == pytest.approx(5 * 16 * each / 1e3)
        use(monkeypatch, layer(Panels(1, 6, 8), columns=2), threads=2, shared=True)
        (part,) = predict(net, 9, synthetic_machine()).layers
        assert part.activation_us == pytest.approx(9 * 8 * each / 1e3)


def test_memory_overlaps_with_arithmetic_in_caches_but_not_in_dram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, layer(Panels(64, 6, 16)))
    net = ln.MLP.init([1024, 1024], bias=False, seed=0)  # 4 MiB: beyond L2
    (part,) = predict(net, 1, synthetic_machine()).layers
    moved = 4 * MIB + 2 * 4 * KIB  # and input and output
    assert (part.caches_us, part.dram_us) == (pytest.approx(moved / 100e3), 0)
    assert part.level == "L3"
    # 64 panels, 1024 steps of 0.32 ns; the caches take longer
    assert part.compute_us == pytest.approx(20.97, abs=0.01)
    assert part.us == part.caches_us
    assert part.bound == "memory"

    big = ln.MLP.init([4096, 4096], bias=False, seed=0)  # 64 MiB: four times L3
    use(monkeypatch, layer(Panels(256, 6, 16)))
    (part,) = predict(big, 1, synthetic_machine()).layers
    assert part.level == "DRAM"
    assert part.dram_us == pytest.approx(64 * MIB / 20e3, rel=1e-3)
    assert part.us == pytest.approx(part.compute_us + part.dram_us)


def test_blocks_read_the_weights_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net = ln.MLP.init([1024, 1024], bias=False, seed=0)
    use(monkeypatch, layer(Panels(64, 6, 16)), block_rows=10)
    (one,) = predict(net, 10, synthetic_machine()).layers
    (three,) = predict(net, 21, synthetic_machine()).layers
    assert three.caches_us - one.caches_us == pytest.approx((2 * 4 * MIB + 11 * 8 * KIB) / 100e3)


def test_threads_share_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each does half of the rows, reads all weights, at half of the bandwidth of both."""
    net = ln.MLP.init([1024, 1024], bias=False, seed=0)
    use(monkeypatch, layer(Panels(64, 6, 16), rows=2), threads=2)
    predicted = predict(net, 24, synthetic_machine())
    (part,) = predicted.layers
    assert part.compute_us == pytest.approx(64 * 1024 * 2 * 1.92 / 1e3)
    assert part.caches_us == pytest.approx((4 * MIB + 12 * 8 * KIB) / 100e3)
    assert predicted.overhead_us == pytest.approx(0.5 + 1.0)
    assert predicted.threads == 2


@pytest.mark.parametrize(
    ("cores", "threads", "handoff"),
    [(5, 1, 0.0), (5, 2, 1.0), (5, 4, 3.0), (5, 5, 4.0), (2, 3, 4.0), (1, 2, 4.0)],
)
def test_fewer_threads_take_less_to_meet(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, handoff: float
) -> None:
    """4 us are those of all; more threads than CPUs are not measured, and count as all."""
    use(monkeypatch, layer(Panels(1, 6, 16), rows=threads), threads=threads)
    net = ln.MLP.init([50, 16], seed=0)
    predicted = predict(net, 60, synthetic_machine(cores=cores, handoff_us=4.0))
    assert predicted.overhead_us == pytest.approx(0.5 + handoff)


def test_threads_share_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each does half of the columns, reads half of the weights; they meet after each layer."""
    net = ln.MLP.init([768, 768, 768], bias=False, seed=0)
    half = layer(Panels(24, 6, 16), columns=2)
    use(monkeypatch, half, half, threads=2, shared=True)
    predicted = predict(net, 12, synthetic_machine())
    for part in predicted.layers:
        assert part.compute_us == pytest.approx(24 * 768 * 2 * 1.92 / 1e3)
        assert part.caches_us == pytest.approx((9 * MIB / 8 + 12 * 3 * KIB) / 100e3)
        assert part.lanes_used == 1
    assert predicted.overhead_us == pytest.approx(0.5 + 0.05 + 2 * 1.0)


def test_what_bounds_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, layer(Panels(1, 6, 4)))
    assert predict(ln.MLP.init([4, 4], seed=0), 1, synthetic_machine()).bound == "overhead"


@pytest.mark.parametrize(
    ("footprint", "parts"),
    [
        (16 * KIB, (1, 0, 0, 0)),
        (32 * KIB, (0.5, 0.5, 0, 0)),
        (48 * KIB, (0, 1, 0, 0)),
        (256 * KIB, (0, 1, 0, 0)),
        (384 * KIB, (0, 0.75, 0.25, 0)),
        (8 * MIB, (0, 0, 1, 0)),
        (20 * MIB, (0, 0, 0.25, 0.75)),
        (24 * MIB, (0, 0, 0, 1)),
        (1e12, (0, 0, 0, 1)),
    ],
)
def test_what_caches_serve(footprint: float, parts: tuple[float, ...]) -> None:
    machine = synthetic_machine()
    found = served(dict.fromkeys(("L1", "L2", "L3"), footprint), machine)
    assert tuple(found.values()) == pytest.approx(parts)
    assert list(found) == ["L1", "L2", "L3", "DRAM"]


def test_without_known_caches_all_comes_from_dram() -> None:
    machine = synthetic_machine(caches=(), bandwidth_gb_s={"DRAM": prediction_rate()})
    net = ln.MLP.init([16, 16], seed=0)
    assert predict(net, 1, machine).layers[0].level == "DRAM"
    assert roofs(net, 1, machine, 1)[0].level == "DRAM"


def prediction_rate():
    return synthetic_machine().bandwidth_gb_s["DRAM"]


def test_roofs_are_below_every_prediction() -> None:
    """A roof is the least time: no plan, batch or network is predicted faster."""
    machine = synthetic_machine()
    for sizes in ((3, 2), (17, 64, 64, 6), (784, 256, 10), (1024, 2048, 1)):
        net = ln.MLP.init(sizes, "relu", bias=False, seed=0)
        for threads in (1, 2):
            ln.set_num_threads(threads)
            for batch in (1, 2, 7, 64, 1000):
                least = sum(max(roof.compute_us, 0) for roof in roofs(net, batch, machine, threads))
                activations = sum(c.activation_flops for c in ln.cost(net, batch).layers)
                # the roof counts the operations of relu; the engine does them between others
                least -= activations / machine.peak("float32", threads) / 1e3
                assert least <= predict(net, batch, machine).us * (1 + 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(3, 2), (17, 64, 64, 6), (784, 512, 256, 10), (1024, 1100, 1)])
@pytest.mark.usefixtures("isa")
def test_plans(sizes: tuple[int, ...], dtype: str) -> None:
    net = ln.MLP.init(sizes, dtype=dtype, seed=0)
    for threads in (1, 2, 3):
        ln.set_num_threads(threads)
        for backend in ("auto", "tiled"):
            with ln.backend(backend):
                for batch in (1, 2, 8, 100, 5000):
                    plan = probe.plan(net, batch)
                    assert plan.backend in ("tiled", "blas")
                    assert 1 <= plan.threads <= threads
                    assert 1 <= plan.block_rows <= batch
                    assert len(plan.layers) == len(sizes) - 1
                    for n, part in zip(sizes[1:], plan.layers, strict=True):
                        assert part.row_parts * part.column_parts <= plan.threads
                        assert part.column_parts == 1 or plan.shared
                        share = sum(p.count * p.columns for p in part.panels)
                        assert n <= part.padded_columns
                        # the largest of the shares, and none has nothing
                        assert math.ceil(part.padded_columns / part.column_parts) <= share
                        assert share <= part.padded_columns
                        if part.column_parts == 1:
                            assert share == part.padded_columns


def test_a_plan_is_of_a_batch() -> None:
    net = ln.MLP.init([3, 2], seed=0)
    with pytest.raises(ValueError, match="batch is 0"):
        probe.plan(net, 0)


def test_the_formula_names_its_terms() -> None:
    for term in ("t_compute", "t_caches", "t_dram", "t_activation", "nothing fitted"):
        assert term in (prediction.__doc__ or "")
