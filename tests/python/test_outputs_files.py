"""What outputs stand for, in files: every format that says it, and descriptions that are wrong."""

from __future__ import annotations

import json
import pickle
import re
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from named_outputs import layers

import laminet as ln


def test_labels_that_no_file_can_hold(tmp_path: Path):
    labels = np.empty(3, object)
    labels[:] = [Fraction(1, 2), 3, 4]
    net = ln.MLP(layers(), outputs=ln.Classes(labels))
    with pytest.raises(ValueError, match="object that holds Fraction cannot be saved"):
        net.save(tmp_path / "net")
    assert pickle.loads(pickle.dumps(net)) == net


def described(tmp_path, net, change):
    """Save a network, change its description, and return the changed file."""
    net.save(tmp_path / "net")
    data = (tmp_path / "net").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    description = {**json.loads(header["__metadata__"]["laminet"]), **change}
    kept = {key: value for key, value in description.items() if value != "drop"}
    header["__metadata__"]["laminet"] = json.dumps(kept)
    text = json.dumps(header).encode()
    (tmp_path / "changed").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return tmp_path / "changed"


@pytest.mark.parametrize(
    ("change", "last", "expected"),
    [
        ({"task": "regressor"}, "identity", ln.Quantities()),
        (
            {"task": "classifier", "classes": {"type": "str", "values": ["a", "b", "c"]}},
            "identity",
            ln.Classes(["a", "b", "c"]),
        ),
        (
            {"task": "multilabel", "classes": {"type": "int64", "values": [1, 2, 3]}},
            "sigmoid",
            ln.Labels([1, 2, 3]),
        ),
    ],
)
def test_files_of_format_2(change, last, expected, tmp_path):
    path = described(tmp_path, ln.MLP(layers(3, last)), {"format": 2, **change})
    assert ln.load(path) == ln.MLP(layers(3, last), outputs=expected)


def test_files_are_of_the_oldest_format_that_can_say_it(tmp_path):
    for net, version in (
        (ln.MLP(layers()), 1),
        (ln.MLP(layers(), head="softmax"), 2),
        (ln.MLP(layers(), outputs=ln.Quantities()), 3),
        (ln.MLP(layers(), feature_names=list("abcde")), 3),
        (ln.MLP(layers(), inputs=[("x", 5)]), 3),
    ):
        net.save(tmp_path / "net")
        assert f'\\"format\\": {version}'.encode() in (tmp_path / "net").read_bytes()


GOOD = {"type": "str", "values": ["a", "b", "c"]}


def outputs(**change):
    return {"outputs": {"kind": "classes", "labels": {**GOOD, **change}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": None}, "None is none of quantities, classes and labels"),
        ({"outputs": {"kind": "guesses"}}, "is none of quantities, classes and labels"),
        ({"outputs": {"kind": "classes"}}, "is none of quantities, classes and labels"),
        ({"outputs": {"kind": "quantities", "names": "abc"}}, "must be a list of texts"),
        ({"outputs": {"kind": "quantities", "names": ["a", 1]}}, "must be a list of texts"),
        ({"outputs": {"kind": "quantities", "names": ["a"]}}, "Quantities has 1 names"),
        ({"outputs": {"kind": "quantities", "names": ["a"] * 3}}, "'a' comes twice"),
        ({"outputs": {"kind": "classes", "labels": None}}, "must have a type and values"),
        (
            {"outputs": {"kind": "classes", "labels": {"type": "str"}}},
            "must have a type and values",
        ),
        (outputs(type="<U999999999"), "unknown type '<U999999999'"),
        (outputs(type=["str"]), "unknown type ['str']"),
        (outputs(values="abc"), "values must be a list"),
        (outputs(values=["a", "b", 3]), "3 is not of the type str"),
        (outputs(values=["a", "b"]), "Classes has 2 labels, the network has 3 outputs"),
        (outputs(values=["a", "b", "a"]), "labels must all be different"),
        (outputs(type="int8", values=[1, 2, 300]), "300 is not of the type int8"),
        (outputs(type="uint8", values=[1, 2, -1]), "-1 is not of the type uint8"),
        (outputs(type="float16", values=[1, 2, 1e6]), "1000000.0 is not of the type float16"),
        (outputs(type="float64", values=[1, 2, 10**400]), "is not of the type float64"),
        (outputs(type="float16", values=[1, 2, 2049]), "2049 is not of the type float16"),
        (outputs(type="float32", values=[1, 2, 16777217.0]), "is not of the type float32"),
        (outputs(type="float64", values=[1, 2, 2**53 + 1]), "is not of the type float64"),
        (outputs(type="int8", values=[1, 2, True]), "True is not of the type int8"),
        (outputs(values=["a"] * 9999 + ["a" * 9999]), "is too long"),
        (
            {"head": "softmax", "outputs": {"kind": "labels", "labels": GOOD}},
            "Labels takes sigmoid",
        ),
        ({"format": 1}, "not of the form that format 1 has"),
        ({"format": 2}, "not of the form that format 2 has"),
        ({"format": 2, "outputs": "drop", "task": "guess"}, "unknown task 'guess'"),
        ({"format": 2, "outputs": "drop", "task": None}, "unknown task None"),
        ({"format": 2, "outputs": "drop", "classes": GOOD}, "classes belong to a classifier"),
        (
            {"format": 2, "outputs": "drop", "task": "regressor", "classes": GOOD},
            "classes belong to a classifier and to nothing else",
        ),
        (
            {
                "format": 2,
                "outputs": "drop",
                "head": "softmax",
                "task": "multilabel",
                "classes": GOOD,
            },
            "Labels takes sigmoid",
        ),
        ({"feature_names": "abcde"}, "must be a list of texts"),
        ({"feature_names": ["a"]}, "feature_names has 1 names, the network takes 5 features"),
        ({"inputs": {"a": 5}}, "inputs: must be a list"),
        ({"inputs": [["a", 5]]}, "is no name with a width"),
        ({"inputs": [{"name": "a", "width": True}]}, "is no name with a width"),
        ({"inputs": [{"name": 3, "width": 5}]}, "is no name with a width"),
        ({"inputs": [{"name": "a", "width": 4}]}, "inputs have the widths [4]"),
    ],
)
def test_hostile_descriptions(tmp_path, change, message):
    net = ln.MLP(layers(), outputs=ln.Classes(["a", "b", "c"]))
    path = described(tmp_path, net, change)
    with pytest.raises(ln.FormatError, match=re.escape(message)):
        ln.load(path)
