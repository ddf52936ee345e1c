"""What a notebook shows: a table of everything that has one in text, names in it escaped."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from variants import normal, random_net

import laminet as ln

NAME = "<b>&\"'</b>"


class Tables(HTMLParser):
    """The cells and captions of all tables; tags that do not close fail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.caption = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"table", "caption", "thead", "tbody", "tr", "th", "td"}, tag
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"th", "td"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "caption":
            self.caption += data
        elif self.open and self.open[-1] in {"th", "td"}:
            self.rows[-1][-1] += data


def net(**options: object) -> ln.MLP:
    layers = random_net([4, 8, 2], ln.Activation("leaky_relu", alpha=0.2)).layers
    return ln.MLP([layers[0], ln.Dense(layers[1].weight)], **options)  # type: ignore[arg-type]


def test_a_network() -> None:
    tables = Tables(net(head="softmax")._repr_html_())
    assert tables.caption == repr(net(head="softmax"))
    assert tables.rows == [
        ["layer", "weight", "bias", "activation", "parameters", "FLOPs"],
        ["1", "(8, 4)", "(8,)", "leaky_relu(alpha=0.2)", "40", "80"],
        ["2", "(2, 8)", "-", "identity", "16", "32"],
        ["head", "", "", "softmax", "", "2"],
        ["all", "", "", "float32", "56", "114"],
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"outputs": ln.Classes([NAME, "b"])},
        {"outputs": ln.Labels([NAME, "b"])},
        {"outputs": ln.Quantities([NAME, "b"])},
        {"feature_names": [NAME, "b", "c", "d"]},
        {"inputs": [(NAME, 3), ("b", 1)]},
    ],
    ids=lambda options: str(*options.items()),
)
def test_names_of_users_are_escaped(options: dict[str, object]) -> None:
    shown = net(**options)
    html = shown._repr_html_()
    assert "<b>" not in html
    assert Tables(html).caption == repr(shown)


def test_a_subclass_under_its_own_name() -> None:
    class Policy(ln.MLP):
        pass

    assert Tables(Policy(net().layers)._repr_html_()).caption.startswith("Policy(4 -> 8")


def test_a_layer() -> None:
    first, second = net().layers
    tables = Tables(first._repr_html_())
    assert tables.caption == repr(first)
    assert tables.rows == [
        ["weight", "bias", "activation", "dtype"],
        ["(8, 4)", "(8,)", "leaky_relu(alpha=0.2)", "float32"],
    ]
    assert Tables(second._repr_html_()).rows[1][1] == "-"


def test_a_trace() -> None:
    trace = net(head="softmax").trace(normal((5, 4), "float32"))
    assert Tables(trace._repr_html_()).rows == [
        ["layer", "weight", "bias", "A before", "Z", "activation", "A after"],
        ["1", "(8, 4)", "(8,)", "(5, 4)", "(5, 8)", "leaky_relu(alpha=0.2)", "(5, 8)"],
        ["2", "(2, 8)", "-", "(5, 8)", "(5, 2)", "identity", "(5, 2)"],
        ["head", "", "", "(5, 2)", "", "softmax", "(5, 2)"],
    ]
    single = net().trace(normal((4,), "float32"))
    assert Tables(single._repr_html_()).rows[0][3:5] == ["a before", "z"]
    values = json.loads(json.dumps(single.to_dict()))
    assert values.keys() == {"pre_activations", "activations", "output"}
    np.testing.assert_array_equal(np.float32(values["output"]), single.output)
    assert [len(a) for a in values["activations"]] == [4, 8, 2]


def test_a_summary() -> None:
    summary = net(head="softmax").summary()
    rows = Tables(summary._repr_html_()).rows
    layers = Tables(net(head="softmax")._repr_html_()).rows
    assert rows[: len(layers)] == layers
    assert rows[len(layers)] == ["weights", "now", "prepared", "with derivatives"]
    assert str(summary) == repr(summary) == f"{summary}"
    lines = str(summary).split("\n\n")[0].splitlines()
    assert lines[0] == "layer  weight  bias  activation             parameters  FLOPs"
    assert lines[-1] == "all                  float32                        56    114"
    assert (summary.parameters, summary.flops, summary.head) == (56, 114, "softmax")
    values = json.loads(json.dumps(summary.to_dict()))
    assert values["layers"][0]["weight_shape"] == [8, 4]
    assert (values["parameters"], values["flops"]) == (56, 114)
    assert summary == net(head="softmax").summary()


def test_gradients() -> None:
    x = normal((5, 4), "float32")
    rows = Tables(net().gradients(x, x[:, :2])._repr_html_()).rows
    assert [row[0] for row in rows] == ["layer", "1", "2", "input"]
