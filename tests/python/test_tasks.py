"""Classifier and Regressor: labels instead of indices, quantities instead of logits."""

from __future__ import annotations

import copy
import json
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from variants import normal, random_net, same_bits

import laminet as ln
from laminet import reference

X = normal((50, 5), "float64")


def layers(n=3, last="identity", dtype="float64"):
    first, second = random_net([5, 7, n], "tanh", dtype=dtype).layers
    return [first, ln.Dense(second.weight, second.bias, last)]


LABELS = {
    "none": None,
    "text": ["b", "a", "longer"],
    "fixed width": np.array(["b", "a", "c"], dtype="U10"),
    "objects": np.array(["b", "a", "c"], dtype=object),
    "int": [7, -1, 3],
    "uint8": np.array([7, 1, 255], np.uint8),
    "float": [0.5, 1.5, -2.0],
}


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_classifier(labels, head, tmp_path):
    net = ln.Classifier(layers(), labels, head=head)
    plain = ln.MLP(layers(), head=head)
    assert isinstance(net, ln.MLP)
    assert same_bits(net(X), plain(X))
    expected = np.arange(3) if labels is None else np.asarray(labels)
    assert net.classes.tolist() == expected.tolist()
    assert net.classes.dtype.kind == expected.dtype.kind
    assert net.predict(X).tolist() == expected[plain.predict(X)].tolist()
    assert len(set(net.predict(X).tolist())) == 3
    assert net.predict(X[0]) == expected[plain.predict(X[0])]
    assert net.predict(X[:0]).shape == (0,)
    assert same_bits(net.predict_proba(X), plain.predict_proba(X))
    assert same_bits(net.predict_log_proba(X), plain.predict_log_proba(X))
    net.save(tmp_path / "net")
    for again in (
        pickle.loads(pickle.dumps(net)),
        copy.copy(net),
        copy.deepcopy(net),
        ln.load(tmp_path / "net"),
        net.astype("float32").astype("float64").__class__(layers(), labels, head=head),
    ):
        assert type(again) is ln.Classifier
        assert again == net
        assert again.classes.dtype == net.classes.dtype
        assert again.predict(X).tolist() == net.predict(X).tolist()
    narrow = net.astype("float32")
    assert type(narrow) is ln.Classifier
    assert narrow.classes.tolist() == net.classes.tolist()
    assert narrow.head == head


def test_multilabel(tmp_path):
    net = ln.Classifier(layers(4, "sigmoid"), ["a", "b", "c", "d"], multilabel=True)
    y = net(X)
    assert same_bits(net.predict_proba(X), y)
    predicted = net.predict(X)
    assert predicted.dtype == np.int64
    assert predicted.tolist() == (y > 0.5).astype(int).tolist()
    assert 0 < predicted.mean() < 1
    assert net.predict(X[0]).tolist() == predicted[0].tolist()
    np.testing.assert_allclose(net.predict_log_proba(X), np.log(y), rtol=1e-13)
    steep = ln.Classifier([ln.Dense([[1000.0], [1.0]], activation="sigmoid")], multilabel=True)
    assert steep.predict_log_proba([[-1.0], [1.0]])[:, 0].tolist() == [-1000, 0]
    net.save(tmp_path / "net")
    assert ln.load(tmp_path / "net") == net == pickle.loads(pickle.dumps(net))
    assert ln.load(tmp_path / "net").multilabel
    assert net != ln.Classifier(layers(4, "sigmoid"), ["a", "b", "c", "d"])


def test_regressor(tmp_path):
    one, two = ln.Regressor(layers(1)), ln.Regressor(layers(2))
    assert same_bits(one.predict(X), np.ascontiguousarray(one(X)[:, 0]))
    assert one.predict(X[0]) == one(X[0])[0]
    assert np.ndim(one.predict(X[0])) == 0
    assert same_bits(two.predict(X), two(X))
    with pytest.raises(TypeError, match="a Regressor has no probabilities"):
        one.predict_proba(X)
    with pytest.raises(TypeError, match="a Regressor has no probabilities"):
        one.predict_log_proba(X)
    one.save(tmp_path / "net")
    for again in (ln.load(tmp_path / "net"), pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert type(again) is ln.Regressor
        assert again == one
    assert type(one.astype("float32")) is ln.Regressor


def test_equality_and_text():
    plain, regressor = ln.MLP(layers()), ln.Regressor(layers())
    net = ln.Classifier(layers(), ["a", "b", "c"])
    assert plain != net
    assert net != plain
    assert net != regressor
    assert plain != regressor
    assert net != ln.Classifier(layers(), ["a", "b", "d"])
    assert ln.Classifier(layers(), [0, 1, 2]) != ln.Classifier(layers(), [0.0, 1.0, 2.0])
    assert net != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(net)
    chain = "5 -> 7 tanh -> 3 identity, float64, 66 parameters"
    assert repr(net) == f"Classifier({chain}, classes: 'a', 'b', 'c')"
    assert repr(regressor) == f"Regressor({chain})"
    many = ln.Classifier([ln.Dense(np.eye(9))])
    assert repr(many).endswith("classes: 0, 1, 2, ... 8)")
    with pytest.raises(ValueError, match="read-only"):
        net.classes[0] = "z"


def test_the_reference_takes_them():
    net = ln.Classifier(layers(), head="softmax")
    np.testing.assert_allclose(reference.forward(net, X), net(X), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["a", "b"]}, "classes must have shape (3,), one label for each output, got"),
        ({"classes": "abc"}, "classes must have shape (3,)"),
        ({"classes": ["a", "b", "a"]}, "classes must all be different"),
        ({"classes": [1j, 2j, 3j]}, "classes must be numbers or text, got dtype complex128"),
        ({"head": "max"}, "unknown head 'max'"),
        ({"multilabel": True}, "multilabel takes sigmoid as the last activation, got identity"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.Classifier(layers(), **arguments)


def test_labels_that_no_file_can_hold(tmp_path: Path):
    net = ln.Classifier(layers(), np.array([(1, 2), 3, 4], dtype=object))
    with pytest.raises(ValueError, match="object that holds tuple cannot be saved"):
        net.save(tmp_path / "net")
    assert pickle.loads(pickle.dumps(net)) == net


GOOD = {"type": "str", "values": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "guess"}, "unknown task 'guess'"),
        ({"task": None}, "unknown task None"),
        ({"classes": None}, "must have a type and values"),
        ({"classes": {"type": "str"}}, "must have a type and values"),
        ({"classes": {**GOOD, "type": "<U999999999"}}, "unknown type '<U999999999'"),
        ({"classes": {**GOOD, "type": ["str"]}}, "unknown type ['str']"),
        ({"classes": {**GOOD, "values": "abc"}}, "values must be a list"),
        ({"classes": {**GOOD, "values": ["a", "b", 3]}}, "3 is not of the type str"),
        ({"classes": {**GOOD, "values": ["a", "b"]}}, "classes must have shape (3,)"),
        ({"classes": {**GOOD, "values": ["a", "b", "a"]}}, "classes must all be different"),
        ({"classes": {"type": "int8", "values": [1, 2, 300]}}, "300"),
        ({"classes": {"type": "int8", "values": [1, 2, True]}}, "True is not of the type int8"),
        ({"classes": {**GOOD, "values": ["a"] * 9999 + ["a" * 9999]}}, "is too long"),
        ({"task": "multilabel"}, "multilabel takes sigmoid"),
        ({"task": "regressor"}, "classes belong to a classifier and to nothing else"),
        ({"format": 1}, "not of the form that format 1 has"),
    ],
)
def test_hostile_descriptions(tmp_path, change, message):
    ln.Classifier(layers(), ["a", "b", "c"]).save(tmp_path / "net")
    data = (tmp_path / "net").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    description = {**json.loads(header["__metadata__"]["laminet"]), **change}
    header["__metadata__"]["laminet"] = json.dumps(description)
    text = json.dumps(header).encode()
    (tmp_path / "bad").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(ln.FormatError, match=re.escape(message)):
        ln.load(tmp_path / "bad")


def test_without_the_package_onnx(script):
    """The extra is asked for in words, by the functions and by the command."""
    result = script(
        """
import sys
sys.modules["onnx"] = None
import laminet as ln
from laminet.cli import main
for call in (lambda: ln.from_onnx(b""), lambda: ln.to_onnx(ln.MLP.init([2, 2]), "net.onnx")):
    try:
        call()
    except ImportError as error:
        print(error)
print(main(["info", "net.onnx"]))
"""
    )
    assert result.stdout.count("pip install 'laminet[onnx]'") == 2
    assert result.stdout.endswith("\n2\n")
    assert "net.onnx: reading it takes: pip install 'laminet[onnx]'" in result.stderr
