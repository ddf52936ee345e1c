"""``laminet roofline``, ``bench``, and the costs in ``info``."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import main, refused
from synthetic import fake_times

import laminet as ln
from laminet.analysis.roofline import Roofline
from laminet.cli import bench, usual_speed
from laminet.cli import roofline as roofline_command
from laminet.cli.common import CommandError, require_memory
from laminet.core.layers.layer import Layer

__all__ = ["fake_times"]  # a fixture

pytestmark = pytest.mark.usefixtures("fake_times", "_net")


@pytest.fixture
def _net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ln.MLP.init([64, 512, 10], "relu", seed=7).save("net")


@pytest.mark.parametrize("name", ["report.html", "report.png", "report.SVG", "report.pdf"])
def test_roofline_writes_what_the_name_says(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["roofline", "net", "-o", name, "--batches", "1", "16"]) == 0
    out = capsys.readouterr().out
    result = ln.roofline(ln.load("net"), (1, 16))
    assert str(result) in out
    assert all(sentence in out for sentence in result.advice())
    start = {"html": b"<!DOCTYPE html>", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert Path(name).read_bytes().startswith(start[name.rpartition(".")[2].lower()])


def test_roofline_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roofline", "net"]) == 0
    assert [p.name for p in Path().iterdir()] == ["net"]
    assert "At batch 512" in capsys.readouterr().out


def test_what_roofline_refuses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a.txt: expected a name in .html, .png" in refused(
        capsys, "roofline", "net", "-o", "a.txt"
    )
    assert "missing: No such file" in refused(capsys, "roofline", "missing")

    def busy(*_: object, **__: object) -> None:
        raise RuntimeError("the threads of laminet are busy with other calls")

    monkeypatch.setattr(roofline_command, "roofline", busy)
    assert "threads of laminet are busy" in refused(capsys, "roofline", "net")

    def missing() -> None:
        raise ImportError("drawing needs matplotlib")

    monkeypatch.setattr(roofline_command, "require_matplotlib", missing)
    assert "drawing needs matplotlib" in refused(capsys, "roofline", "net", "-o", "a.png")


@pytest.mark.parametrize("batches", [["0"], ["-1"], ["1.5"], ["x"], []])
@pytest.mark.parametrize("command", ["roofline", "bench"])
def test_wrong_batches(
    capsys: pytest.CaptureFixture[str], command: str, batches: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "net", "--batches", *batches])
    assert caught.value.code == 2
    assert "argument --batches: expected" in capsys.readouterr().err


def test_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample takes 2 us alone and 0.5 us in a batch, which takes 1 us besides."""

    def seconds(call: object, _: float) -> float:
        if not isinstance(call, functools.partial):
            call()
            return 2e-6 * 8
        assert call.func == ln.load("net")
        return (1 + len(call.args[0]) / 2) * 1e-6

    monkeypatch.setattr(bench, "call_seconds", seconds)
    assert main(["bench", "net", "--batches", "2", "8"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    # 2 x 512 x (64 + 10) + 2 x 512 + 10 = 76,810 FLOPs a sample
    assert ["one", "by", "one", "2", "2.00", "2.00", "500,000", "38.4", "1.0", "x"] in lines
    assert ["2", "3", "2.00", "1.00", "1,000,000", "76.8", "2.0", "x"] in lines
    assert ["8", "3", "5.00", "0.625", "1,600,000", "123", "3.2", "x"] in lines
    assert lines[0][0] == "64-512-10"


def test_bench_measures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_SECONDS", 1e-3)
    assert main(["bench", "net", "--batches", "1", "3"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:6]
    assert [row.split()[0] for row in rows] == ["batch", "one", "1", "3"]


def test_info_counts_for_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "net", "--batch", "32", "--operation", "jacobian"]) == 0
    assert str(ln.cost(ln.load("net"), 32, "jacobian")) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["info", "net", "--operation", "nonsense"])
    with pytest.raises(SystemExit):
        main(["info", "net", "--batch", "0"])


@pytest.mark.parametrize("command", ["roofline", "bench"])
def test_sentences_break_between_words_on_a_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "call_seconds", lambda *_: 1e-6)
    assert main([command, "net"]) == 0
    whole = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main([command, "net"]) == 0
    wrapped = capsys.readouterr().out.splitlines()
    last = whole[-1]
    assert len(last) > 80
    end = wrapped[len(wrapped) - next(i for i in range(1, 20) if _joined(wrapped, i) == last) :]
    assert max(map(len, end)) <= 40
    assert wrapped[2] == whole[2]  # of a table, however wide


def _joined(lines: list[str], count: int) -> str:
    return " ".join(lines[-count:])


@pytest.mark.parametrize("text", ["99999999999999999999999", "9223372036854775808", "9" * 5000])
def test_a_batch_that_no_array_can_have(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["info", "net", "--batch", text], ["bench", "net", "--batches", text]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        err = capsys.readouterr().err
        assert "expected 9223372036854775807 or less, got 9" in err
        assert len(err) < 1000


def test_counts_of_a_large_batch_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    batch = 2**63 - 1
    assert main(["info", "net", "--batch", str(batch)]) == 0
    out = capsys.readouterr().out
    # 2 x 512 x (64 + 10) + 2 x 512 + 10 FLOPs a sample; 64 numbers read and 512 written
    assert f"{batch * 76_810:,} FLOPs" in out
    assert f"{4 * (batch * 64 + 512 * 64 + 512):,}" in out
    assert f"{4 * batch * 512:,}" in out


def wide(features: int, width: int) -> list[Layer]:
    return [ln.Dense(np.zeros((width, features))), ln.Dense(np.zeros((features, width)))]


@pytest.mark.parametrize(
    ("layers", "widest"),
    [
        (wide(3, 50), 50),
        ([ln.Residual(wide(3, 50))], 3 + 50),
        ([ln.Residual([ln.Residual(wide(3, 50))])], 3 + 3 + 50),
        ([ln.Parallel([[], wide(3, 50)])], 3 + 6 + 50),
        ([ln.Parallel([wide(3, 20), wide(3, 50)], "sum")], 3 + 3 + 50),
        ([ln.Parallel([[]] * 40)], 120 + 3 + 3),
        ([ln.Parallel([[]] * 40), ln.Residual([ln.Activation("relu")])], 240),
    ],
)
def test_memory_of_layers_within_layers(
    layers: list[Layer], widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample takes its 3 features in float64, and three times the widest place in it."""
    net = ln.MLP(layers, in_features=3, dtype="float32")
    monkeypatch.setattr("laminet.cli.common.available_memory", lambda: 10 * (24 + 12 * widest))
    require_memory(net, [10, 1])
    with pytest.raises(CommandError, match="a batch of 11 takes some"):
        require_memory(net, [1, 11])


@pytest.mark.parametrize("command", ["bench", "roofline"])
def test_a_batch_that_memory_cannot_hold(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laminet.cli.common.available_memory", lambda: 10**6)
    message = refused(capsys, command, "net", "--batches", "1000")
    assert "a batch of 1000 takes some" in message
    assert "976.6 KiB are free" in message
    assert main([command, "net", "--batches", "10"]) == 0


@pytest.mark.parametrize(
    ("ratio", "isa", "disturbed", "said"),
    [
        (1.2, "avx2", (), "In the median a call takes 1.20 times what follows from"),
        (1.2, "avx2", (), "That is normal speed."),
        (1.6, "avx2", (), "That is slow: another program at work"),
        (1.2, "generic", (), "a CPU with AVX2 is several times as fast"),
        (1.6, "avx2", ("a program",), "while the machine was measured: again later"),
    ],
)
def test_bench_without_a_file_says_whether_speed_is_usual(
    ratio: float,
    isa: str,
    disturbed: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measured(net: ln.MLP, batches: tuple[int, ...]) -> Roofline:
        found = ln.roofline(net, batches)
        rows = tuple(replace(r, measured_us=ratio * r.predicted_us) for r in found.rows)
        return replace(found, rows=rows, machine=replace(found.machine, disturbed=disturbed))

    info = {**ln.build_info(), "isa": isa}
    monkeypatch.setattr(usual_speed, "roofline", measured)
    monkeypatch.setattr("laminet.core.runtime.build_info", lambda: info)
    assert main(["bench"]) == 0
    out = capsys.readouterr().out
    assert said in out
    table = [line.split() for line in out.splitlines()[3:12]]
    assert [row[2] for row in table] == 3 * ["1", "64", "1,024"]
    assert {row[5] for row in table} == {f"{ratio:.2f}"}


def test_bench_without_a_file_where_nothing_can_be_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise RuntimeError("the threads of laminet are busy with other calls")

    monkeypatch.setattr(usual_speed, "roofline", busy)
    assert "threads of laminet are busy" in refused(capsys, "bench")
