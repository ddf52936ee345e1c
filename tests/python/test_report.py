"""Numbers, sizes, times and names as reports write them, at the edges of each form."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest

import laminet as ln
from laminet.core.hooks import Hooks, hooks
from laminet.core.report import Report, TableData, plain
from laminet.core.wording import figure, short_name, size, times, us
from laminet.show.text import text_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (0.9994, "0.999"),
        (1, "1.00"),
        (9.994, "9.99"),
        (10, "10.0"),
        (99.94, "99.9"),
        (100, "100"),
        (12345.6, "12,346"),
        (-12345.6, "-12,346"),
        (-12.34, "-12.3"),
        (-1.234, "-1.23"),
    ],
)
def test_figure(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(1023, "1023 B"), (1024, "1 KiB"), (2**20, "1 MiB"), (2**30, "1 GiB"), (2**41, "2048 GiB")],
)
def test_size(nbytes: float, text: str) -> None:
    assert size(nbytes) == text


def test_time_never_rounds_to_a_thousand() -> None:
    """999.6 ns are a microsecond, not "1,000 ns"; so at every step."""
    amounts = [(0.9994, 999), (0.9996, 1), (999.4, 999), (999.6, 1), (999.4e3, 999), (999.6e3, 1)]
    for microseconds, amount in amounts:
        assert float(us(microseconds).split()[0]) == amount, microseconds
    units = [us(m).split()[1] for m, _ in amounts]
    assert units[0] == "ns"
    assert units[1] == units[2]
    assert units[3:] == ["ms", "ms", "s"]


def test_times() -> None:
    assert [times(r) for r in (1.04, 9.94, 10, 23.6)] == [
        "1.0 times",
        "9.9 times",
        "10 times",
        "24 times",
    ]


def test_short_name() -> None:
    assert short_name([784, 256, 10]) == "784-256-10"
    assert short_name(range(1, 9)) == "1-2-3-4-5-6-7-8"
    assert short_name(range(1, 10)) == "1-2-3-...-8-9 (8 layers)"


@dataclasses.dataclass(frozen=True, repr=False)
class Example(Report):
    values: np.ndarray
    names: dict[int, tuple[str, ...]]

    @property
    def total(self) -> float:
        return float(self.values.sum())

    def tables(self) -> list[TableData]:
        rows = [("name", "value"), ("[red]<i>", "1"), ("b", "23")]
        return [TableData(rows, 1, "[bold]T & U"), TableData(rows, 1)]


EXAMPLE = Example(np.array([1.0, 2.0]), {3: ("a",)})


def test_plain() -> None:
    expected = {"values": [1.0, 2.0], "names": {"3": ["a"]}, "total": 3.0}
    assert EXAMPLE.to_dict() == expected
    assert plain([EXAMPLE]) == [expected]
    assert plain(np.float32(0.5)) == 0.5


def test_text() -> None:
    table = "name      value\n[red]<i>      1\nb            23"
    assert str(EXAMPLE) == repr(EXAMPLE) == f"[bold]T & U\n{table}\n\n{table}"


def test_html() -> None:
    html = EXAMPLE._repr_html_()
    assert html.count("[red]&lt;i&gt;") == 2
    assert "<caption>[bold]T &amp; U</caption>" in html
    assert html.count("text-align:left") == html.count("text-align:right") == 2 * 3


def test_rich() -> None:
    """Square brackets are text there, not markup."""
    from rich.console import Console

    console = Console(width=60, record=True, file=io.StringIO())
    console.print(EXAMPLE)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines[:4] == ["[bold]T & U", "name      value", "[red]<i>      1", "b            23"]


def test_every_hook_is_handed_down() -> None:
    assert set(vars(hooks)) == set(Hooks.__annotations__)
    assert len(vars(hooks)) == 5


def test_lines_end_with_their_text() -> None:
    table = TableData([("name", "remark"), ("a", "long enough"), ("b", "")], 2)
    assert text_table(table.rows, table.text_columns) == "name  remark\na     long enough\nb"


def test_norms_of_gradients_are_taken_in_float64() -> None:
    """The square of 1e30 is infinite in float32."""
    large = np.full((1, 1), 1e30, np.float32)
    text = str(ln.Gradients([large], [large[0]], large[0]))
    assert text.count("1e+30") == 3
