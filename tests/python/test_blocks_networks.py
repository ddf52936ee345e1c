"""Networks of layers of every kind: what they say of themselves, traces, what outputs stand for."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from every_layer import F4, dense, every_kind, network
from variants import normal, same_bits

import laminet as ln
from laminet import reference
from laminet.core.layers.chain import dense_chain


def test_attributes():
    net = network()
    assert net.sizes == (3, 4, 4, 4, 4, 4, 4, 4, 6, 6, 6, 5)
    assert (net.in_features, net.out_features, net.dtype) == (3, 5, np.float32)
    assert net.num_parameters == (12 + 4) + 8 + 4 + (16 + 4) + (8 + 2) + 6 + (30 + 5)
    assert [type(layer) for layer in net.layers[1:-1]] == [type(x) for x in every_kind()]
    assert net.layers[1:-1] == tuple(every_kind())
    assert repr(net) == (
        "MLP(3 -> 4 tanh -> rescale, clip -> layer norm -> rms norm -> select [3, 0, -2, 0] -> "
        "select ::-1 -> residual(4 tanh -> dropout 0.25) -> concat(identity | 2 identity -> relu) "
        "-> dropout 0.5 -> leaky_relu(alpha by unit) -> 5 identity, float32, 99 parameters)"
    )
    assert "concat(identity | 2 identity -&gt; relu)" in net._repr_html_()
    assert "2 x (5 relu)" in repr(ln.MLP([ln.Parallel([[dense(2, 5, "relu")]] * 2)]))


def test_arrays_are_the_networks_own():
    weight, scale = np.ones((2, 2), F4), np.ones(2, F4)
    layers = [ln.Residual([ln.Dense(weight)]), ln.RMSNorm(scale), ln.Rescale(scale)]
    net = ln.MLP(layers)
    before = net([1.0, 2.0])
    weight[:] = scale[:] = 5
    assert same_bits(net([1.0, 2.0]), before)
    assert net.layers[0].layers[0].weight[0, 0] == net.layers[1].weight[0] == 1
    assert not net.layers[1].weight.flags.writeable
    assert np.shares_memory(net.layers[0].layers[0].weight, net._core.weight(0))


def test_copies_are_equal():
    net = network(outputs=ln.Quantities(), head=None)
    for again in (
        ln.MLP(net.layers, outputs=ln.Quantities()),
        pickle.loads(pickle.dumps(net)),
        copy.deepcopy(net),
    ):
        assert again == net
        assert hash(again) == hash(net)
    assert copy.copy(net) is net
    assert net != ln.MLP(net.layers)
    assert net != network(float)
    changed = [*net.layers[:-1], dense(6, 5, "relu")]
    assert net != ln.MLP(changed, outputs=ln.Quantities())
    unit = ln.MLP([ln.Dense([[1.0]], None, ln.Activation("elu", alpha=[2.0]))])
    assert "elu(alpha by unit)" in unit._repr_html_()
    assert pickle.loads(pickle.dumps(unit)) == unit
    bare = ln.MLP([ln.Select([1])], in_features=3, dtype="float64")
    assert pickle.loads(pickle.dumps(bare)) == bare != ln.MLP([ln.Select([1])], in_features=3)
    assert bare != ln.MLP([ln.Select([1])], in_features=4, dtype="float64")


class Named(ln.MLP):
    """A subclass with an attribute and arguments of its own."""

    def __init__(self, layers, name):
        super().__init__(layers)
        self.name = name


def test_subclasses():
    net = Named([ln.Residual([dense(2, 2)]), ln.Activation("relu")], "a")
    for again in (net.astype("float64"), net.with_outputs(ln.Quantities()), copy.copy(net)):
        assert (type(again), again.name) == (Named, "a")


def test_astype():
    net = network()
    wide = net.astype("float64")
    assert wide.dtype == wide.layers[2].dtype == wide.layers[6].layers[0].dtype == np.float64
    assert wide.astype("float32") == net
    assert net.astype("float32") is net
    bare = ln.MLP([ln.Activation("relu")], in_features=2)
    assert bare.astype("float64").dtype == bare.astype("float64")([1, 2]).dtype == np.float64
    with pytest.raises(ValueError, match="is too large for float32"):
        ln.MLP([ln.LayerNorm([1e300])]).astype("float32")


def test_prepare_counts_the_width_within_layers():
    net = ln.MLP([dense(1, 1), ln.Residual([dense(1, 5000), dense(5000, 1)])])
    with pytest.raises(ValueError, match="more than any memory holds"):
        net.prepare(2**53)
    x = normal((7, 1), F4)
    before = net(x)
    assert same_bits(net.prepare(7, derivatives=True)(x), before)


def test_dropout_and_empty_branches_are_the_identity():
    x = normal((5, 3), F4)
    for layers in (
        [ln.Dropout(0.5)],
        [ln.Parallel([[]])],
        [ln.Parallel([[ln.Dropout(0.1)]], "sum")],
    ):
        net = ln.MLP(layers, in_features=3)
        assert same_bits(net(x), x)
        assert same_bits(net.vjp(x, x), x)
        np.testing.assert_array_equal(net.jacobian(x), np.tile(np.eye(3), (5, 1, 1)))
    assert same_bits(ln.MLP([ln.Residual([ln.Dropout(0.5)])], in_features=3)(x), 2 * x)


def test_rescale_at_its_bounds():
    net = ln.MLP([ln.Rescale(2.0, 1.0, -1.0, [3.0, 3.0, np.inf])], dtype="float64")
    x = np.array([[-1.0, 1.0, 9.0], [-1.5, 1.5, np.nan]])
    np.testing.assert_array_equal(net(x), [[-1, 3, 19], [-1, 3, np.nan]])
    slopes = np.diagonal(net.jacobian(x), axis1=1, axis2=2)
    np.testing.assert_array_equal(slopes, [[2, 2, 2], [0, 0, np.nan]])
    np.testing.assert_array_equal(np.diagonal(reference.jacobian(net, x), axis1=1, axis2=2), slopes)


@pytest.mark.parametrize(
    "columns",
    [
        [2],
        [-1],
        [-4, 3, 0, 0],
        slice(None),
        slice(1, 3),
        slice(-1, None, -2),
        slice(-3, 99),
        range(3),
    ],
    ids=repr,
)
def test_select_takes_columns_as_numpy(columns, dtype):
    net = ln.MLP([ln.Select(columns)], in_features=4, dtype=dtype)
    x = normal((5, 4), dtype)
    expected = x[:, columns]
    assert same_bits(net(x), np.ascontiguousarray(expected))
    assert same_bits(net(x[0]), np.ascontiguousarray(expected[0]))
    np.testing.assert_array_equal(net.jacobian(x)[0], np.eye(4)[columns])
    np.testing.assert_array_equal(reference.forward(net, x), expected)
    assert ln.Select(columns).indices(4) == tuple(np.arange(4)[columns].tolist())


@pytest.mark.parametrize("batch", [None, 0, 1, 5])
def test_trace(batch, backend):
    net = network(head="softmax")
    x = normal(3 if batch is None else (batch, 3), F4)
    trace, exact = net.trace(x), reference.trace(net, x)
    assert same_bits(trace.output, net(x))
    assert same_bits(trace.activations[0], x)
    assert [a.shape[-1] for a in trace.activations] == list(net.sizes)
    # Dense layers: the first, of the residual, of the branch, the last.
    assert [z.shape[-1] for z in trace.pre_activations] == [4, 4, 2, 5]
    for got, want in zip(
        [*trace.activations, *trace.pre_activations],
        [*exact.activations, *exact.pre_activations],
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    arrays = [*trace.activations, *trace.pre_activations]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (*arrays[:i], x))


def test_trace_without_a_head(backend):
    net, x = network(), normal((70, 3), F4)
    trace = net.trace(x)
    assert trace.output is trace.activations[-1]
    assert same_bits(trace.output, net(x))


def test_trace_shows_layers():
    text = str(network(head="softmax").trace(np.zeros((2, 3), F4)))
    assert "Layer 1: A(2, 3) @ W(4, 3)^T + b(4,) -> Z(2, 4) -> A(2, 4)\n" in text
    assert "Layer 7: residual(4 tanh -> dropout 0.25) of A(2, 4) -> A(2, 4)\n" in text
    assert "Layer 11: A(2, 6) @ W(5, 6)^T + b(5,) -> Z(2, 5) -> A(2, 5)\n" in text
    assert text.endswith("Head: softmax of A(2, 5)")
    (table,) = network().trace(np.zeros((2, 3), F4)).tables()
    assert table.rows[7] == (
        "7",
        "-",
        "-",
        "(2, 4)",
        "-",
        "residual(4 tanh -> dropout 0.25)",
        "(2, 4)",
    )
    assert table.rows[11][:5] == ("11", "(5, 6)", "(5,)", "(2, 6)", "(2, 5)")


def test_layer_jacobians_are_of_dense_layers(backend):
    """Also where a function, or a sum, that is a layer of its own is the end of a product."""
    net = ln.MLP(
        [
            dense(3, 4, "tanh"),
            ln.Residual([dense(4, 5, "sigmoid"), dense(5, 4)]),
            ln.Activation("relu"),
            dense(4, 2),
            ln.Activation("tanh"),
        ]
    )
    x = normal((7, 3), F4)
    for points in (x, x[0]):
        got = net.layer_jacobians(points)
        for matrix, exact in zip(got, reference.layer_jacobians(net, points), strict=True):
            np.testing.assert_allclose(matrix, exact, rtol=2e-5, atol=1e-5)
            assert matrix.dtype == np.float32
    with pytest.raises(ValueError, match="x has 2 features, the network takes 3"):
        net.layer_jacobians([1.0, 2.0])


def test_gradients_say_where():
    net = network()
    found = net.gradients(np.ones((2, 3)), np.ones((2, 5)))
    inner = ("layers[6].layers[0]", "layers[7].branches[1][0]")
    assert found.layers == ("layers[0]", *inner, "layers[10]")
    assert found.norm_layers == ("layers[2]", "layers[3]")
    assert [w.shape for w in found.weights] == [(4, 3), (4, 4), (2, 4), (5, 6)]
    assert [[None if a is None else a.shape for a in pair] for pair in found.norms] == [
        [(4,), (4,)],
        [(4,), None],
    ]
    text = str(found)
    assert "layers[7].branches[1][0]" in text
    assert text.index("layers[2]") > text.index("layers[10]")


def test_reference_of_layers_alone():
    layers = every_kind(float)
    x = normal((3, 4), float)
    net = ln.MLP(layers)
    np.testing.assert_array_equal(reference.forward(layers, x), reference.forward(net, x))
    np.testing.assert_array_equal(reference.jacobian(layers, x), reference.jacobian(net, x))
    assert reference.forward([ln.Activation("relu")], [1.0, -2.0]).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="x has 5 features, the network takes 4"):
        reference.forward(net, np.zeros(5))
    with pytest.raises(ValueError, match=r"layers\[0\] selects column 3 of 2"):
        reference.forward([ln.Select([3])], np.zeros(2))


def test_reference_agrees_with_itself():
    """Component by component, and by differences: two other ways to the same numbers."""
    net = network(float, head="log_softmax")
    x = normal((4, 3), float)
    components = reference.forward_components(net, x)
    np.testing.assert_allclose(components, reference.forward(net, x), rtol=1e-12, atol=1e-12)
    numerical = reference.numerical_jacobian(net, x)
    np.testing.assert_allclose(reference.jacobian(net, x), numerical, rtol=1e-6, atol=1e-7)
    assert ln.check_jacobian(net, x).max_error < 1e-7


# --- What the outputs stand for ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ([ln.Activation("sigmoid")], "sigmoid"),
        ([ln.Activation("sigmoid"), ln.Dropout(0.5)], "sigmoid"),
        ([ln.Activation("sigmoid"), ln.Select([1, 0])], "sigmoid"),
        (
            [ln.Parallel([[dense(2, 1, "sigmoid")], [dense(2, 1), ln.Activation("sigmoid")]])],
            "sigmoid",
        ),
    ],
)
def test_sigmoids_of_any_layers_are_probabilities(end, name):
    net = ln.MLP([dense(3, 2), *end], outputs=ln.Labels(["a", "b"]))
    x = normal((9, 3), F4)
    assert same_bits(net.predict_proba(x), net(x))
    assert (net.predict(x) == (net(x) > 0.5)).all()
    np.testing.assert_allclose(np.exp(net.predict_log_proba(x)), net(x), rtol=1e-5)
    large = 1000 * x
    assert np.isfinite(net.predict_log_proba(large)).all()


@pytest.mark.parametrize(
    "end",
    [
        [ln.Residual([dense(2, 2, "sigmoid")])],
        [ln.Activation("tanh"), ln.LayerNorm()],
        [ln.Rescale(2.0)],
        [ln.Parallel([[dense(2, 2)], [dense(2, 2)]], "mean")],
        [ln.Activation("identity")],
    ],
)
def test_logits_of_any_layers(end):
    net = ln.MLP([dense(3, 2), *end])
    x = normal((9, 3), F4)
    assert (net.predict(x) == net(x).argmax(1)).all()
    np.testing.assert_allclose(net.predict_proba(x), reference.softmax(net(x)), rtol=1e-5)


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ([ln.Activation("tanh")], "tanh"),
        ([ln.Rescale(low=0.0)], "rescale"),
        ([ln.Activation("sigmoid"), ln.Rescale(2.0)], "rescale"),
        ([ln.Parallel([[], [dense(2, 2, "sigmoid")]])], "a concat of identity and sigmoid"),
        ([ln.Parallel([[dense(2, 2, "sigmoid")]] * 2, "mean")], "a mean of sigmoid"),
        ([ln.Activation("sigmoid"), ln.Parallel([[]])], "sigmoid before"),
    ],
)
def test_what_is_neither(end, name):
    net = ln.MLP([dense(3, 2), *end])
    with pytest.raises(ValueError, match=f"end in {name}"):
        net.predict_proba(np.zeros(3))


# --- Those who know chains alone -----------------------------------------------------------------


def test_layers_within_layers_have_an_end():
    layer = ln.Activation("relu")
    for _ in range(64):
        layer = ln.Residual([layer])
    net = ln.MLP([layer], in_features=2)
    assert net([1.0, -1.0]).tolist() == [65.0, -64.0]  # x + relu(x), and 63 times x more
    for deeper in (ln.Residual([layer]), ln.Parallel([[], [layer]])):
        with pytest.raises(ValueError, match="layers has layers within layers, more than 64 deep"):
            ln.MLP([deeper], in_features=2)


def test_chains_are_their_dense_layers():
    net = ln.MLP.init([3, 4, 2], seed=0)
    assert dense_chain(net, "this") == net.layers
