"""The pictures and the page: what they say, and that they stand alone."""

from __future__ import annotations

import base64
import builtins
import html
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from synthetic import fake_times

import laminet as ln
from laminet.analysis.roofline import Roofline
from laminet.analysis.roofline_plot import plot_batches

__all__ = ["fake_times"]  # a fixture


@pytest.fixture
def result(fake_times: object) -> Roofline:
    ln.set_num_threads(2)
    net = ln.MLP.init([784, 512, 256, 10], "relu", seed=0)
    return ln.roofline(net, (1, 8, 64, 70))


def texts(figure: Figure) -> list[str]:
    """All that is written in a figure, as drawn."""
    figure.canvas.draw()
    found = figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_visible())
    return [artist.get_text() for artist in found if artist.get_text()]


def test_the_roofline_names_roofs_batches_and_layers(result: Roofline) -> None:
    written = texts(result.plot())
    assert "generic peak 200 GFLOP/s" in written
    for level in ("L1 800 GB/s", "L2 400 GB/s", "L3 200 GB/s", "DRAM 30.0 GB/s"):
        assert level in written
    for batch in ("batch 1", "8", "64", "70"):
        assert batch in written
    assert "layer 1: 784 -> 512 relu" in written
    assert "784-512-256-10, float32, 2 threads of Test CPU <2>" in written


def test_points_are_where_the_figures_say(result: Roofline) -> None:
    axes = result.plot().axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn = [list(zip(*line.get_data(), strict=True)) for line in axes.lines]
    assert [(r.intensity, r.measured_gflops) for r in result.rows] in drawn
    assert [(r.intensity, r.predicted_gflops) for r in result.rows] in drawn
    for row in result.rows:
        for layer in row.layers:
            assert [(layer.intensity, layer.measured_gflops)] in drawn
    # A roof ends at the ridge: peak / bandwidth.
    assert any(points[-1] == (200 / 30, 200) for points in drawn)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for points in drawn:
        assert all(left <= x <= right and bottom <= y * 1.0001 for x, y in points)
    assert top > 200


def test_axes_of_the_user(result: Roofline) -> None:
    figure = Figure()
    axes = figure.subplots(1, 2)[1]
    assert result.plot(axes) is figure
    assert len(axes.lines) > 10


def test_times_by_batch(result: Roofline) -> None:
    throughput, latency = plot_batches(result).axes
    assert [list(line.get_ydata()) for line in latency.lines] == [
        [r.predicted_us for r in result.rows],
        [r.measured_us for r in result.rows],
    ]
    assert list(throughput.lines[1].get_ydata()) == [r.samples_per_second for r in result.rows]


def test_one_batch_alone_can_be_drawn(fake_times: object) -> None:
    single = ln.roofline(ln.MLP.init([3, 2], seed=0), [1])
    assert "batch 1" in texts(single.plot())
    plot_batches(single).canvas.draw()


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.pdf", b"%PDF")]
)
def test_files(result: Roofline, tmp_path: Path, name: str, start: bytes) -> None:
    result.plot(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_wrong_targets(result: Roofline, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a name in \.png, \.svg, \.pdf"):
        result.plot("a.gif")
    with pytest.raises(TypeError, match="target must be a path or Axes, got int"):
        result.plot(3)
    with pytest.raises(FileNotFoundError, match="missing"):
        result.plot(tmp_path / "missing" / "a.png")


def test_without_matplotlib(
    result: Roofline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    for draw in (result.plot, result.to_html):
        with pytest.raises(ImportError, match=r"pip install 'laminet\[plot\]'"):
            draw(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
    assert "At batch 1" in result.advice()[0]


class Outline(HTMLParser):
    """Tags that are opened and closed in order, and their attributes."""

    VOID = frozenset({"meta", "img", "source", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def outline(result: Roofline, tmp_path: Path) -> Outline:
    path = result.to_html(tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    parser = Outline()
    parser.feed(path.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def test_the_page_stands_alone(outline: Outline) -> None:
    names = {tag for tag, _ in outline.tags}
    assert not names & {"script", "link", "iframe", "object"}
    for _, attributes in outline.tags:
        for name in ("src", "srcset", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    style = "".join(outline.text)
    assert "url(" not in style
    assert "@import" not in style
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        outline.tags
    )


def test_the_pictures_of_the_page(outline: Outline) -> None:
    images = [a for tag, a in outline.tags if tag == "img"]
    narrow = [a for tag, a in outline.tags if tag == "source"]
    assert len(images) == len(narrow) == 2
    assert "batch 64 reaches" in images[0]["alt"]
    for address in [*(a["src"] for a in images), *(a["srcset"] for a in narrow)]:
        kind, _, data = address.partition(";base64,")
        assert kind == "data:image/svg+xml"
        svg = ElementTree.fromstring(base64.b64decode(data))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_page_has_the_advice_and_the_figures(result: Roofline, outline: Outline) -> None:
    text = " ".join(" ".join(outline.text).split())
    for sentence in result.advice():
        assert sentence.replace(" us", " µs") in text
    assert not re.search(r"\bus\b", text)
    assert result.network in text
    assert text.count(f"{result.measured} UTC") == 2
    assert "Test CPU <2>" in text  # escaped in the source, so still there
    assert "1,071,626" in text  # FLOPs of a sample
    for row in result.rows:
        assert f"Batch {row.batch:,}" in text


def test_the_page_has_a_dark_side_too(outline: Outline) -> None:
    style = "".join(outline.text)
    assert "color-scheme: light dark" in style
    assert "prefers-color-scheme: dark" in style
    named = set(re.findall(r"var\((--\w+)\)", style))
    light, dark = (re.findall(r"(--\w+):", part) for part in style.split("@media screen and"))
    assert named == {*light} == {*dark}
    # By keys, tables are scrolled as well.
    wide = [a for tag, a in outline.tags if a.get("class") == "wide"]
    assert wide
    assert all(a["tabindex"] == "0" for a in wide)
    assert all(a["role"] == "region" and a["aria-label"] for a in wide)


def test_a_roofline_knows_when_it_was_measured(result: Roofline) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", result.measured)
    assert result.to_dict()["measured"] == result.measured


def test_what_is_written_is_escaped(result: Roofline, tmp_path: Path) -> None:
    source = result.to_html(tmp_path / "a.html").read_text()
    assert "<2>" not in source
    assert html.escape("Test CPU <2>") in source
    assert not re.search(r"\bnan\b|\binf\b", source)


def test_a_page_that_cannot_be_written(result: Roofline, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        result.to_html(tmp_path / "missing" / "a.html")
    with pytest.raises(TypeError, match="path must be a str or path-like"):
        result.to_html(3)
