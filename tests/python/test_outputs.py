"""What outputs stand for: labels, quantities, and no answer without a meaning."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from named_outputs import X, layers
from variants import same_bits

import laminet as ln
from laminet import reference

LABELS = {
    "text": ["b", "a", "longer"],
    "fixed width": np.array(["b", "a", "c"], dtype="U10"),
    "objects": np.array(["b", "a", "c"], dtype=object),
    "int": [7, -1, 3],
    "uint8": np.array([7, 1, 255], np.uint8),
    "float": [0.5, 1.5, -2.0],
}


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_classes(labels, head, tmp_path):
    net = ln.MLP(layers(), head=head, outputs=ln.Classes(labels))
    plain = ln.MLP(layers(), head=head)
    assert same_bits(net(X), plain(X))
    expected = np.asarray(labels)
    assert net.outputs.labels.tolist() == expected.tolist()
    assert net.outputs.labels.dtype.kind == expected.dtype.kind
    assert net.predict(X).tolist() == expected[plain(X).argmax(axis=1)].tolist()
    assert len(set(net.predict(X).tolist())) == 3
    assert net.predict(X[0]) == net.predict(X)[0]
    assert net.predict(X[:0]).shape == (0,)
    assert same_bits(net.predict_proba(X), plain.predict_proba(X))
    assert same_bits(net.predict_log_proba(X), plain.predict_log_proba(X))
    net.save(tmp_path / "net")
    for again in (
        pickle.loads(pickle.dumps(net)),
        copy.copy(net),
        copy.deepcopy(net),
        ln.load(tmp_path / "net"),
        ln.MLP(layers(), head=head).with_outputs(ln.Classes(labels)),
    ):
        assert again == net
        assert hash(again) == hash(net)
        assert again.outputs.labels.dtype == net.outputs.labels.dtype
        assert again.predict(X).tolist() == net.predict(X).tolist()
    narrow = net.astype("float32")
    assert narrow.outputs == net.outputs
    assert narrow.head == head


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", ["sigmoid", "identity"])
def test_one_output_for_two_classes(last, dtype, tmp_path):
    net = ln.MLP(layers(1, last, dtype), outputs=ln.Classes(["no", "yes"]))
    z = ln.MLP(layers(1, "identity", dtype))(X)[:, 0].astype(float)
    p = sigmoid(z)
    proba = net.predict_proba(X)
    assert proba.shape == (50, 2)
    assert proba.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(proba, np.stack([1 - p, p], axis=1), rtol=0, atol=4 * eps)
    assert net.predict(X).tolist() == np.where(p > 0.5, "yes", "no").tolist()
    assert 0 < (p > 0.5).mean() < 1
    assert net.predict(X[0]) == net.predict(X)[0]
    assert same_bits(net.predict_proba(X[0]), proba[0])
    log = np.stack([-np.logaddexp(0, z), -np.logaddexp(0, -z)], axis=1)
    # The logits of both differ by what another activation in the batch's layer rounds to.
    np.testing.assert_allclose(net.predict_log_proba(X), log, rtol=16 * eps)
    net.save(tmp_path / "net")
    assert ln.load(tmp_path / "net") == net
    steep = ln.MLP([ln.Dense([[1000.0]], activation=last)], outputs=ln.Classes([-1, 1]))
    assert steep.predict_log_proba([[-1.0], [1.0]]).tolist() == [[0, -1000], [-1000, 0]]
    assert steep.predict([[-1.0], [0.0], [1.0]]).tolist() == [-1, -1, 1]


def test_a_logit_keeps_the_small_probability_of_the_first_class():
    net = ln.MLP([ln.Dense([[1.0]])], outputs=ln.Classes(["no", "yes"]))
    no, yes = net.predict_proba([100.0])
    assert no == pytest.approx(np.exp(-100), rel=1e-14, abs=0)
    assert yes == 1


@pytest.mark.parametrize("last", ["sigmoid", "identity"])
def test_labels(last, tmp_path):
    net = ln.MLP(layers(4, last), outputs=ln.Labels(["a", "b", "c", "d"]))
    p = ln.MLP(layers(4, "sigmoid"))(X)
    assert same_bits(net.predict_proba(X), p)
    predicted = net.predict(X)
    assert predicted.dtype == np.int64
    assert predicted.tolist() == (p > 0.5).astype(int).tolist()
    assert 0 < predicted.mean() < 1
    assert net.predict(X[0]).tolist() == predicted[0].tolist()
    np.testing.assert_allclose(net.predict_log_proba(X), np.log(p), rtol=1e-13)
    net.save(tmp_path / "net")
    assert ln.load(tmp_path / "net") == net == pickle.loads(pickle.dumps(net))
    assert net != net.with_outputs(None)
    # An infinite logit is no NaN of its neighbour.
    wide = ln.MLP([ln.Dense(np.eye(2), activation=last)], outputs=ln.Labels(["a", "b"]))
    assert wide.predict_proba([[-800.0, 1.0]]).tolist()[0][0] == 0
    steep = ln.MLP([ln.Dense([[1000.0], [1.0]], activation=last)], outputs=ln.Labels([0, 1]))
    assert steep.predict_log_proba([[-1.0], [1.0]])[:, 0].tolist() == [-1000, 0]


def test_quantities(tmp_path):
    one = ln.MLP(layers(1), outputs=ln.Quantities(["price"]))
    two = ln.MLP(layers(2), outputs=ln.Quantities())
    assert same_bits(one.predict(X), np.ascontiguousarray(one(X)[:, 0]))
    assert one.predict(X[0]) == one(X[0])[0]
    assert np.ndim(one.predict(X[0])) == 0
    assert same_bits(two.predict(X), two(X))
    for ask in (one.predict_proba, one.predict_log_proba):
        with pytest.raises(ValueError, match="Quantities: they have no probabilities"):
            ask(X)
    for net in (one, two):
        net.save(tmp_path / "net")
        again = ln.load(tmp_path / "net")
        assert again == net == pickle.loads(pickle.dumps(net)) == copy.deepcopy(net)
        assert again.outputs.names == net.outputs.names
        assert net.astype("float32").outputs == net.outputs
    assert one != ln.MLP(layers(1), outputs=ln.Quantities(["cost"]))
    nan = [float("nan")] * 5
    assert np.isnan(one.predict(nan))


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "predict_log_proba"])
@pytest.mark.parametrize(
    ("net", "message"),
    [
        (ln.MLP(layers(1, "sigmoid")), "the network has one output"),
        (ln.MLP(layers(1)), "the network has one output"),
        (ln.MLP(layers(1), head="softmax"), "the network has one output"),
        (ln.MLP(layers(3, "sigmoid")), "outputs end in sigmoid"),
        (ln.MLP(layers(3, "tanh")), "outputs end in tanh"),
        (ln.MLP(layers(3, "relu")), "outputs end in relu"),
    ],
)
def test_outputs_without_a_meaning_are_no_answer(net, message, ask):
    with pytest.raises(ValueError, match=message) as error:
        getattr(net, ask)(X)
    for remedy in ("ln.Classes([...])", "ln.Labels([...])", "ln.Quantities()"):
        assert remedy in str(error.value)


def test_scores_that_are_no_logits_have_a_largest_and_no_probabilities():
    net = ln.MLP(layers(3, "sigmoid"), outputs=ln.Classes(["a", "b", "c"]))
    assert net.predict(X).tolist() == np.array(["a", "b", "c"])[net(X).argmax(axis=1)].tolist()
    for ask in (net.predict_proba, net.predict_log_proba):
        with pytest.raises(ValueError, match="end in sigmoid: they are no logits"):
            ask(X)


EVERY_KIND = {
    "unstated": ln.MLP(layers(3)),
    "head": ln.MLP(layers(3), head="softmax"),
    "classes": ln.MLP(layers(3), outputs=ln.Classes(["x", "y", "z"])),
    "one logit": ln.MLP(layers(1), outputs=ln.Classes(["no", "yes"])),
    "one probability": ln.MLP(layers(1, "sigmoid"), outputs=ln.Classes(["no", "yes"])),
    "labels": ln.MLP(layers(3), outputs=ln.Labels([1, 2, 3])),
}


@pytest.mark.parametrize("net", EVERY_KIND.values(), ids=EVERY_KIND)
def test_a_nan_has_no_label(net):
    x = X[:9].copy()
    x[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"^sample 4 has a NaN among its outputs, and so no label"):
        net.predict(x)
    with pytest.raises(ValueError, match=r"^the sample has a NaN"):
        net.predict(x[4])
    x[6:, 0] = np.nan
    with pytest.raises(ValueError, match=r"^samples 4, 6, 7, 8 \(4 of 9\) have a NaN"):
        net.predict(x)
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"^samples 0, 4, 6, 7, \.\.\. \(5 of 9\) have a NaN"):
        net.predict(x)
    assert np.isnan(net.predict_proba(x)[0]).all()


def test_a_nan_beside_a_larger_output_has_no_label():
    net = ln.MLP([ln.Dense([[1.0], [np.nan]])])
    with pytest.raises(ValueError, match="the sample has a NaN"):
        net.predict([1.0])


def test_equality_and_text():
    plain = ln.MLP(layers())
    net = plain.with_outputs(ln.Classes(["a", "b", "c"]))
    quantities = plain.with_outputs(ln.Quantities())
    assert len({plain, net, quantities, plain.with_outputs(ln.Labels(["a", "b", "c"]))}) == 4
    assert plain != net != quantities != plain
    assert net != plain.with_outputs(ln.Classes(["a", "b", "d"]))
    assert net == net.with_outputs(ln.Quantities()).with_outputs(ln.Classes(["a", "b", "c"]))
    assert ln.Classes([0, 1]) != ln.Classes([0.0, 1.0])
    assert ln.Classes([0, 1]) != ln.Classes(np.array([0, 1], np.int8))
    assert ln.Classes([0, 1]) != ln.Labels([0, 1])
    assert ln.Classes([0, 1]) != 3
    assert net != 3
    chain = "5 -> 7 tanh -> 3 identity, float64, 66 parameters"
    assert repr(net) == f"MLP({chain}, classes: 'a', 'b', 'c')"
    assert repr(quantities) == f"MLP({chain}, quantities)"
    named = plain.with_outputs(ln.Quantities(["u", "v", "w"]))
    assert repr(named) == f"MLP({chain}, quantities: 'u', 'v', 'w')"
    many = ln.MLP([ln.Dense(np.eye(9))], outputs=ln.Labels(range(9)))
    assert repr(many).endswith("labels: 0, 1, 2, ... 8)")
    assert repr(ln.Classes(["a", "b"])) == "Classes(['a', 'b'])"
    assert repr(ln.Quantities(["a"])) == "Quantities(['a'])"
    with pytest.raises(ValueError, match="read-only"):
        net.outputs.labels[0] = "z"
    with pytest.raises(AttributeError, match="Classes never changes"):
        net.outputs.labels = np.arange(3)


def test_the_reference_takes_them():
    net = ln.MLP(layers(), head="softmax", outputs=ln.Classes([0, 1, 2]))
    np.testing.assert_allclose(reference.forward(net, X), net(X), rtol=1e-12)


@pytest.mark.parametrize(
    ("outputs", "count", "last", "message"),
    [
        (ln.Classes(["a", "b"]), 3, "identity", "Classes has 2 labels, the network has 3 outputs"),
        (ln.Classes([1, 2, 3]), 1, "sigmoid", "Classes has 3 labels, and one output can stand for"),
        (ln.Classes([1, 2]), 1, "tanh", "one output that ends in tanh is neither the probability"),
        (ln.Labels(["a"]), 3, "sigmoid", "Labels has 1 label, the network has 3 outputs"),
        (ln.Labels([1, 2, 3]), 3, "tanh", "Labels takes sigmoid (probabilities) or identity"),
        (ln.Quantities(["a"]), 3, "tanh", "Quantities has 1 names, the network has 3 outputs"),
    ],
)
def test_outputs_that_do_not_fit(outputs, count, last, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.MLP(layers(count, last), outputs=outputs)
    with pytest.raises(ValueError, match=re.escape(message)):
        ln.MLP(layers(count, last)).with_outputs(outputs)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ln.Classes("abc"), TypeError, "takes labels in a sequence, got a str"),
        (lambda: ln.Classes({"a", "b"}), TypeError, "takes labels in a sequence, got a set"),
        (lambda: ln.Classes(["a"]), ValueError, "Classes takes two labels or more, got 1"),
        (lambda: ln.Classes([]), ValueError, "labels of shape (n,), got shape (0,)"),
        (lambda: ln.Classes([[1, 2]]), ValueError, "labels of shape (n,), got shape (1, 2)"),
        (lambda: ln.Labels(["a", "b", "a"]), ValueError, "labels must all be different"),
        (lambda: ln.Classes([1j, 2j]), TypeError, "takes numbers or text as labels, got dtype"),
        (lambda: ln.Classes([1.0, np.nan]), ValueError, "nan is no label"),
        (lambda: ln.Classes([None, 1]), ValueError, "None is no label"),
        (lambda: ln.Classes([np.inf, 1]), ValueError, "inf is no label"),
        (lambda: ln.Classes(["a\0", "b"]), ValueError, "a label ends in a null character"),
        (lambda: ln.Classes([[1, 2], [3]]), ValueError, "labels of shape (n,), got rows of them"),
        (lambda: ln.Classes(5), TypeError, "takes labels in a sequence, got a int"),
        (lambda: ln.Classes(None), TypeError, "takes labels in a sequence, got a NoneType"),
        (
            lambda: ln.Classes(np.ma.array([1, 2, 3], mask=[0, 1, 0])),
            TypeError,
            "takes labels in a sequence, got a MaskedArray",
        ),
        (
            lambda: ln.Quantities({"a", "b"}),
            TypeError,
            "names must be a sequence of str, got a set",
        ),
        (lambda: ln.Quantities(3), TypeError, "names must be a sequence of str, got a int"),
        (lambda: ln.Quantities(["a", "a"]), ValueError, "'a' comes twice"),
        (lambda: ln.Quantities("ab"), TypeError, "names must be a sequence of str, got a str"),
        (lambda: ln.Quantities(["a", ""]), ValueError, "names[1] is empty"),
        (lambda: ln.Quantities([3]), TypeError, "names[0] must be a str, got int"),
        (lambda: ln.MLP(layers(), outputs=["a"]), TypeError, "outputs must be ln.Quantities(), ln"),
        (lambda: ln.MLP(layers(), outputs=ln.Quantities), TypeError, "got Quantities itself"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_labels_keep_their_kinds():
    """NumPy makes text of the 1 in [1, "one"], 1 of True, and a float of a large integer."""
    assert ln.Classes([1, "one"]).labels.tolist() == [1, "one"]
    assert [type(v) for v in ln.Classes([True, 2]).labels.tolist()] == [bool, int]
    assert ln.Classes([2**63, -1]).labels.tolist() == [2**63, -1]


def test_without_the_package_onnx(script, tmp_path, monkeypatch):
    """The extra is asked for in words, by the functions and by the command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08" + bytes(20))
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
