"""The prediction and the roofline of networks of any layers, from figures that are known."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from every_layer import network
from matplotlib.figure import Figure
from synthetic import (
    KIB,
    fake_times,
    measuring_module,
    predict,
    roofline_module,
    synthetic_machine,
)
from test_blocks_models import ensemble, nerf, simba, twin_critics
from variants import normal

import laminet as ln
from laminet.analysis import prediction
from laminet.cli import main
from laminet.core import probes
from laminet.core.probes import LayerPlan, Panels, Plan
from laminet.core.steps import program_of

__all__ = ["fake_times"]  # a fixture

F4 = np.dtype(np.float32)
MODELS = {
    "simba": simba,
    "nerf": nerf,
    "twins": twin_critics,
    "ten": ensemble("mean"),
    "every": network,
}


def dense(n: int, m: int, activation: str = "identity") -> ln.Dense:
    return ln.Dense(normal((m, n), F4), None, activation)


def use(monkeypatch: pytest.MonkeyPatch, *layers: LayerPlan, **changes: object) -> None:
    fields = {"backend": "tiled", "shared": False, "threads": 1, "block_rows": 64, **changes}
    monkeypatch.setattr(probes, "plan", lambda *_: Plan(layers=layers, **fields))


def one_panel(copies: int = 1, rows: int = 1, columns: int = 1) -> LayerPlan:
    return LayerPlan(rows, columns, 16 * copies * columns, (Panels(copies, 6, 16),))


# In synthetic_machine one thread does 100 operations a ns, reads 400, 200, 100 and 20 bytes a ns.


def test_layers_that_are_no_products_pass_through_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 rows of 16 numbers, 5 KiB for the widest step: all in L1."""
    use(monkeypatch, one_panel(), one_panel())
    layers = [dense(16, 16), ln.LayerNorm(), ln.Activation("tanh"), dense(16, 16)]
    norm, function = predict(ln.MLP(layers), 20, synthetic_machine()).layers[1:3]
    moved = 2 * 20 * 16 * 4
    assert norm.level == function.level == "L1"
    assert norm.caches_us == pytest.approx(moved / 400e3)
    assert norm.compute_us == pytest.approx(20 * (5 * 16 + 4) / 100e3)
    assert (norm.dram_us, norm.activation_us, norm.lanes_used) == (0, 0, 1)
    assert norm.us == max(norm.caches_us, norm.compute_us)
    assert function.activation_us == pytest.approx(20 * 16 * 2.0 / 1e3)
    assert function.caches_us == pytest.approx(moved / 400e3)


def test_weights_do_not_displace_what_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 MiB of them, from L2 and L3; a block of 4 rows between two layers is still in L1."""
    use(monkeypatch, one_panel(32), one_panel(32))
    net = ln.MLP([dense(512, 512), ln.RMSNorm(), dense(512, 512)])
    assert [part.level for part in predict(net, 4, MACHINE).layers] == ["L3", "L1", "L3"]


def test_the_first_reads_the_input_and_the_last_writes_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """48 KiB of them beside a block of 2 KiB: input and output stay in L2, the block in L1."""
    use(monkeypatch, block_rows=8)
    net = ln.MLP([ln.RMSNorm(), ln.RMSNorm(), ln.RMSNorm()], in_features=32)
    n = 192
    first, second, third = predict(net, n, synthetic_machine()).layers
    in_l1, in_l2 = n * 32 * 4 / 400e3, n * 32 * 4 / 200e3
    assert second.caches_us == pytest.approx(2 * in_l1)
    assert first.caches_us == third.caches_us == pytest.approx(in_l1 + in_l2)
    assert (first.level, second.level) == ("L2", "L1")


def test_what_a_product_is_added_to_is_moved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, one_panel(), one_panel(), one_panel(), one_panel())
    ends = dense(16, 16), dense(16, 16)
    plain = predict(ln.MLP([ends[0], dense(16, 16), dense(16, 16), ends[1]]), 20, MACHINE)
    inside = [dense(16, 16), dense(16, 16)]
    added = predict(ln.MLP([ends[0], ln.Residual(inside), ends[1]]), 20, MACHINE)
    pairs = list(zip(added.layers, plain.layers, strict=True))
    assert [a == b for a, b in pairs] == [True, True, False, True]
    assert pairs[2][0].caches_us - pairs[2][1].caches_us == pytest.approx(2 * 20 * 16 * 4 / 400e3)


MACHINE = synthetic_machine()


def test_equal_branches_are_one_product_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of 16 -> 16: the first reads one input, the second's groups each their own."""
    use(monkeypatch, one_panel(4), one_panel(4))
    branches = [[dense(16, 16, "tanh"), dense(16, 16)] for _ in range(4)]
    first, second = predict(ln.MLP([ln.Parallel(branches)]), 6, MACHINE).layers
    for part in (first, second):
        assert part.compute_us == pytest.approx(4 * 16 * 6 * 16 * 2 / 100e3)
        assert part.lanes_used == 1
    assert first.activation_us == pytest.approx(6 * 64 * 2.0 / 1e3)
    assert second.activation_us == 0


def test_threads_share_rows_of_what_is_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """As each has its own cache, half of the rows take half of the time."""
    net = ln.MLP([ln.RMSNorm(), ln.RMSNorm(), ln.RMSNorm()], in_features=16)
    alone = two = None
    for shared in (False, True):
        use(monkeypatch, shared=shared)
        alone = predict(net, 20, MACHINE).layers[1]
        use(monkeypatch, threads=2, shared=shared)
        two = predict(net, 20, MACHINE).layers[1]
        assert two.us == pytest.approx(alone.us / 2)
    use(monkeypatch, threads=2, shared=True)
    predicted = predict(net, 1, MACHINE)
    assert predicted.layers[1].us == pytest.approx(alone.us / 20)
    assert predicted.overhead_us == pytest.approx(0.5 + 2 * 0.05 + 3 * 1.0)


@pytest.mark.parametrize("name", MODELS)
def test_roofs_are_below_every_prediction(name: str) -> None:
    """Step by step, but for relu and what is added to products, between other operations."""
    net = MODELS[name](F4)
    for threads in (1, 2):
        ln.set_num_threads(threads)
        for batch in (1, 2, 7, 64, 1000):
            counts, plan = ln.cost(net, batch), probes.plan(net, batch)
            least = prediction.roofs(counts, plan, MACHINE, net.dtype, threads)
            predicted = prediction.predict(counts, plan, MACHINE, net.dtype)
            for roof, layer, count in zip(least, predicted.layers, counts.layers, strict=True):
                inside = count.flops - count.matmul_flops if count.matmul_flops else 0
                inside = inside or count.activation_flops
                free = inside / MACHINE.peak("float32", threads) / 1e3
                assert roof.compute_us - free <= layer.us * (1 + 1e-9)
                assert roof.memory_us <= (layer.caches_us + layer.dram_us) * (1 + 1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("fake_times")
def test_a_roofline_adds_up_what_layers_do(name: str) -> None:
    ln.set_num_threads(2)
    net = MODELS[name](F4)
    result = ln.roofline(net, [1, 64])
    parts = program_of(net).parts
    assert [i for part in parts for i in part] == list(range(len(net.layers)))
    for row in result.rows:
        counts = ln.cost(net, row.batch)
        predicted = predict(net, row.batch, MACHINE)
        assert row.measured_gflops == pytest.approx(counts.flops / row.measured_us / 1e3)
        assert row.predicted_us == pytest.approx(predicted.us)
        assert [layer.index for layer in row.layers] == [part[0] + 1 for part in parts]
        whole = sum(layer.predicted_us for layer in row.layers) + row.overhead_us
        assert whole == pytest.approx(row.predicted_us)
        flops = sum(layer.measured_gflops * layer.measured_us for layer in row.layers) * 1e3
        assert flops == pytest.approx(counts.flops - counts.head_flops)
        spent = sum(layer.activation_us for layer in row.layers)
        assert spent == pytest.approx(sum(layer.activation_us for layer in predicted.layers))
    assert json.loads(json.dumps(result.to_dict()))["cost"]["flops"] == ln.cost(net).flops
    assert all(sentence.endswith(".") for sentence in result.advice())
    assert isinstance(result.plot(), Figure)


@pytest.mark.usefixtures("fake_times")
def test_rows_of_a_roofline_are_the_networks_layers() -> None:
    """What has no steps is with the layer before, at the beginning with the one after."""
    relu = ln.Activation("relu")
    block = ln.Residual([ln.LayerNorm(), dense(4, 9, "tanh"), dense(9, 4)])
    head = ln.Select(slice(0, 2))
    layers = [ln.Dropout(0.1), dense(3, 4), relu, ln.Dropout(0.2), block, ln.RMSNorm(), head]
    (row,) = ln.roofline(ln.MLP(layers), [8]).rows
    assert [(layer.index, layer.shape) for layer in row.layers] == [
        (1, "dropout 0.1 -> 4 identity -> relu -> ..."),
        (5, "residual(layer norm -> 9 tanh -> 4 id..."),
        (6, "rms norm -> select 0:2"),
    ]
    assert [layer.activation for layer in row.layers] == ["relu", "tanh", ""]
    (row,) = ln.roofline(ln.MLP([dense(3, 4, "relu"), ln.RMSNorm(), dense(4, 2)]), [8]).rows
    shapes = [layer.shape for layer in row.layers]
    assert shapes == ["3 -> 4 relu", "rms norm", "4 -> 2 identity"]


def test_layers_are_measured_as_networks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real measuring, cut short: of what the layers take in the network."""
    monkeypatch.setattr(measuring_module, "_SECONDS", 1e-3)
    calls = set()
    call = ln.MLP.__call__

    def spy(self: ln.MLP, x: np.ndarray, **options: object) -> np.ndarray:
        calls.add((self.sizes, x.shape, x.dtype, len(self.layers)))
        return call(self, x, **options)

    monkeypatch.setattr(ln.MLP, "__call__", spy)
    layers = [
        ln.Select(slice(1, 4)),
        dense(3, 4),
        ln.Activation("relu"),
        ln.Residual([ln.RMSNorm()]),
    ]
    for dtype in ("float32", "float64"):
        net = ln.MLP(layers, in_features=5, dtype=dtype)
        calls.clear()
        whole, parts = measuring_module.measure(net, 6, 0.1)
        assert len(parts) == 2
        assert min(whole, *parts) > 0
        kind = np.dtype(dtype)
        assert calls == {
            ((5, 3, 4, 4, 4), (6, 5), kind, 4),
            ((5, 3, 4, 4), (6, 5), kind, 3),
            ((4, 4), (6, 4), kind, 1),
        }


@pytest.mark.usefixtures("fake_times")
def test_advice_names_what_is_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ln.MLP([dense(2048, 2048), ln.RMSNorm()])
    text = ln.roofline(wide, [1]).advice()[0]
    assert "bound by memory, by what its layers and the weights move between" in text
    assert "layer 1 (2048 -> 2048 identity) takes" in text
    slow = functools.partial(lambda net, batch, _: (1e-3, [1e-3] * len(program_of(net).parts)))
    monkeypatch.setattr(roofline_module, "measure", slow)
    curved = ln.MLP([ln.Residual([ln.Dense(np.eye(64, dtype=F4)), ln.Activation("mish")])])
    text = "\n".join(ln.roofline(curved, [1000]).advice())
    assert "activation functions (mish above all)" in text


@pytest.mark.usefixtures("fake_times")
def test_a_layer_made_of_others_is_as_its_slowest() -> None:
    block = ln.Residual([ln.RMSNorm(), dense(515, 515, "relu"), dense(515, 515)])
    net = ln.MLP([ln.RMSNorm(), block, ln.RMSNorm()])
    (row,) = ln.roofline(net, [2]).rows
    norm, product = predict(net, 2, MACHINE).layers[1:3]
    assert (norm.level, norm.lanes_used, product.level) == ("L1", 1.0, "L3")
    assert (row.layers[1].level, row.layers[1].lanes_used) == ("L3", product.lanes_used)
    assert product.lanes_used < 1
    layers = [ln.Select(slice(None, None, -1)), ln.Activation("mish")]
    (row,) = ln.roofline(ln.MLP(layers, in_features=64), [2]).rows
    assert [layer.bound for layer in row.layers] == ["memory", "compute"]


@pytest.mark.usefixtures("fake_times")
def test_what_does_no_arithmetic(tmp_path) -> None:
    net = ln.MLP([ln.Select([1, 0, 0])], in_features=2)
    result = ln.roofline(net, [1, 8])
    assert [(row.share, row.intensity) for row in result.rows] == [(0, 0), (0, 0)]
    lines = str(result).splitlines()
    assert lines[3].split()[:7] == ["1", "the", "call", "0", "0", "0", "-"]
    result.plot(tmp_path / "roof.png")
    assert "1: select [1, 0, 0]" in result.to_html(tmp_path / "roof.html").read_text()


def test_the_weights_that_a_block_passes_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of norms, too, from the level that all weights come from."""
    use(monkeypatch, block_rows=10)
    norm = ln.RMSNorm(np.ones(KIB, F4))
    net = ln.MLP([norm] * 16)  # 64 KiB of weights, in L2; blocks of 80 KiB beside
    once, twice = (predict(net, n, MACHINE).layers[5] for n in (10, 20))
    assert twice.caches_us == pytest.approx(2 * once.caches_us)
    assert once.level == "L2"
    moved = 2 * 10 * KIB * 4
    assert once.caches_us == pytest.approx((moved + 4 * KIB) / 200e3)


@pytest.mark.usefixtures("fake_times")
def test_commands_show_any_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    """Files of such networks are another matter: the commands get one."""
    net, name = ln.MLP(simba(F4).layers, head="softmax"), str(tmp_path / "file")
    (tmp_path / "file").touch()
    for command in ("info", "bench", "roofline"):
        monkeypatch.setattr(f"laminet.cli.{command}.network_of", lambda _: net)
    monkeypatch.setattr("laminet.cli.info._checkpoint", lambda _: None)
    monkeypatch.setattr("laminet.cli.bench._SECONDS", 1e-4)
    assert main(["info", name, "--operation", "gradients"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["3.3", "dense", "(32,", "128)", "(32,)", "identity", "4,128", "8,256"] in lines
    assert main(["roofline", name, "--batches", "1", "64"]) == 0
    assert "layer norm -> 128 relu" in capsys.readouterr().out
    assert main(["bench", name, "--batches", "2"]) == 0
    one_by_one = capsys.readouterr().out.splitlines()[3].split()
    assert one_by_one[:4] == ["one", "by", "one", "2"]
