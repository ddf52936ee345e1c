"""Names of columns: held against the network's, by tables of every package."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tables import EXPECTED, FLOAT32, NAMES, pandas_frame
from variants import same_bits

import laminet as ln
from laminet.core.conversion import as_real_array

FRAMES = {
    "pandas": (pd.DataFrame, "x[list(net.feature_names)]"),
    "polars": (pl.DataFrame, "x.select(net.feature_names)"),
    "Arrow": (pa.table, "x.select(list(net.feature_names))"),
}


def refusal(make, columns, names=NAMES) -> str:
    table = make({name: [1.0, 2.0] for name in columns})
    with pytest.raises(ValueError, match=r"^x has ") as caught:
        as_real_array(table, FLOAT32, "x", names)
    return str(caught.value)


@pytest.mark.parametrize(("make", "select"), FRAMES.values(), ids=FRAMES.keys())
def test_names_that_differ(make, select):
    assert refusal(make, "bac") == (
        "x has the columns in another order: expected a, b, c, got b, a, c; "
        f"{select} puts them right"
    )
    assert refusal(make, "abcd") == (
        "x has other columns than the network's features (unexpected: 'd'); "
        f"{select} takes those that the network knows"
    )
    assert "(missing: 'c'); to go by position alone, give" in refusal(make, "ab")
    assert "(missing: 'c'; unexpected: 'C')" in refusal(make, "abC")
    assert "(missing: 'a', 'b', 'c'; unexpected: 'd')" in refusal(make, "d")


def test_the_remedies_do_what_they_say():
    class Net:
        feature_names = NAMES

    for make, select in FRAMES.values():
        x = make({name: [value] for value, name in enumerate("cdba")})
        picked = eval(select, {"x": x, "net": Net})
        assert as_real_array(picked, FLOAT32, "x", NAMES).tolist() == [[3, 2, 0]]
        message = refusal(make, "ab")
        plain = eval(message.rpartition("give ")[2], {"x": picked, "numpy": np})
        assert plain.tolist() == [[3, 2, 0]]


def test_names_of_many_columns_are_cut():
    many = tuple(f"column {i}" for i in range(50))
    message = refusal(pd.DataFrame, [*many[:20], many[21], many[20], *many[22:]], many)
    assert "expected 'column 20' at position 20, got 'column 21'" in message
    assert len(message) < 250
    message = refusal(pl.DataFrame, [name.upper() for name in many], many)
    assert message.count("column ") == message.count("COLUMN ") == 8
    assert message.count("... (50 in all)") == 2


def test_a_name_that_comes_twice():
    frame = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], columns=["a", "b", "b", "c"])
    with pytest.raises(ValueError, match=r"\(more than once: 'b'\)"):
        as_real_array(frame, FLOAT32, "x", NAMES)
    assert as_real_array(frame, FLOAT32, "x").shape == (1, 4)
    assert as_real_array(frame, FLOAT32, "x", ("a", "b", "b", "c")).shape == (1, 4)


def test_labels_that_are_numbers_are_no_names():
    for columns in (None, [2, 0, 1], [0.5, 1.5, 2.5]):
        frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=columns)
        assert as_real_array(frame, FLOAT32, "x", NAMES).tolist() == [[1, 2, 3]]


def test_labels_of_several_levels_and_mixed_ones_are_names():
    levels = pd.DataFrame([[1.0, 2.0, 3.0]], columns=pd.MultiIndex.from_product([["a"], NAMES]))
    with pytest.raises(ValueError, match=r"unexpected: \('a', 'a'\), \('a', 'b'\)"):
        as_real_array(levels, FLOAT32, "x", NAMES)
    assert as_real_array(levels, FLOAT32, "x").tolist() == [[1, 2, 3]]
    mixed = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", 2])
    with pytest.raises(ValueError, match="missing: 'c'; unexpected: 2"):
        as_real_array(mixed, FLOAT32, "x", NAMES)


def test_names_are_not_asked_of_arrays_and_not_of_networks_without():
    frame = pandas_frame()[["c", "a", "b"]]
    assert as_real_array(frame, FLOAT32, "x").shape == (5, 3)
    for plain in (EXPECTED, EXPECTED.tolist(), EXPECTED[0], [1, 2, 3]):
        assert as_real_array(plain, FLOAT32, "x", NAMES).shape[-1] == 3


def test_frames_of_packages_that_work_like_pandas():
    class Frame:
        """Modin, Dask: names and an array."""

        columns = pd.Index(["b", "a", "c"])
        iloc = None

        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3))

    with pytest.raises(ValueError, match="in another order: expected a, b, c, got b, a, c"):
        as_real_array(Frame(), FLOAT32, "x", NAMES)
    assert as_real_array(Frame(), FLOAT32, "x", ("b", "a", "c")).tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize("make", [make for make, _ in FRAMES.values()], ids=FRAMES.keys())
def test_networks_check_the_names_of_their_features(make, dtype):
    layers = ln.MLP.init([3, 2], dtype=dtype, seed=0).layers
    net = ln.MLP(layers, feature_names=NAMES)
    right, wrong = (make({n: np.ones(2, dtype) for n in names}) for names in ("abc", "bac"))
    assert same_bits(net(right), net(np.ones((2, 3), dtype)))
    assert same_bits(ln.MLP(layers)(wrong), net(right))
    calls = [
        net,
        net.predict,
        net.predict_proba,
        net.trace,
        net.jacobian,
        net.layer_jacobians,
        net.value_and_jacobian,
        lambda x: net.vjp(x, np.ones((2, 2))),
        lambda x: net.jvp(x, np.ones((2, 3))),
        lambda x: net.jvp(np.ones((2, 3)), x),
        lambda x: net.gradients(x, np.ones((2, 2))),
        lambda x: net.astype("float32")(x),
        lambda x: ln.gradient_flow(net, x),
        lambda x: ln.check_jacobian(net, x),
        lambda x: ln.reference.forward(net, x),
        lambda x: ln.reference.forward_components(net, x),
        lambda x: ln.reference.jacobian(net, x),
        lambda x: ln.reference.layer_jacobians(net, x),
        lambda x: ln.reference.numerical_jacobian(net, x),
    ]
    for call in calls:
        call(right)
        with pytest.raises(ValueError, match="has the columns in another order: expected a, b, c"):
            call(wrong)


def test_the_reference_of_training_holds_columns_against_the_names() -> None:
    net = ln.MLP([ln.Dense([[1.0, 2.0]])], feature_names=["a", "b"])
    swapped = pd.DataFrame({"b": [1.0], "a": [2.0]})
    for call in (
        lambda: ln.reference.gradients(net, swapped, [[1.0]]),
        lambda: ln.reference.training_step(net, swapped, [1.0], "squared_error", "sgd"),
    ):
        with pytest.raises(ValueError, match="columns"):
            call()
