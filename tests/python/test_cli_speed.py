"""``laminet roofline``, ``bench``, and the costs in ``info``."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from command import main, refused
from synthetic import fake_times

import laminet as ln
from laminet.cli import bench
from laminet.cli import roofline as roofline_command

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

    def busy(*_: object) -> None:
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
