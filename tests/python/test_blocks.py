"""Layers beside Dense: what they are, how they fit together, and what is refused in which words."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from variants import normal, same_bits

import laminet as ln
from laminet import reference
from laminet.core.layers.chain import dense_chain

F4 = np.float32


def dense(n: int, m: int, activation: str = "identity", dtype: type = F4) -> ln.Dense:
    return ln.Dense(normal((m, n), dtype), normal(m, dtype), activation)


def every_kind(dtype: type = F4) -> list:
    ones = np.ones(4, dtype)
    return [
        ln.Rescale(2.0, ones, -1.0, None),
        ln.LayerNorm(ones, 2 * ones),
        ln.RMSNorm(ones, eps=0.5),
        ln.Select([3, 0, -2, 0]),
        ln.Select(slice(None, None, -1)),
        ln.Residual([dense(4, 4, "tanh", dtype), ln.Dropout(0.25)]),
        ln.Parallel([[], [dense(4, 2, dtype=dtype), ln.Activation("relu")]]),
        ln.Dropout(0.5),
        ln.Activation("leaky_relu", alpha=np.arange(6.0)),
    ]


def network(dtype: type = F4, **named) -> ln.MLP:
    return ln.MLP(
        [dense(3, 4, "tanh", dtype), *every_kind(dtype), dense(6, 5, dtype=dtype)], **named
    )


# --- Layers as values ----------------------------------------------------------------------------


@pytest.mark.parametrize("layer", every_kind(), ids=lambda layer: type(layer).__name__)
def test_copies_and_pickles_are_equal(layer):
    for again in (pickle.loads(pickle.dumps(layer)), copy.copy(layer), copy.deepcopy(layer)):
        assert again == layer
        assert type(again) is type(layer)
    assert layer != dense(4, 4)
    assert layer != "a"
    assert f"{type(layer).__name__}(" in repr(layer)


@pytest.mark.parametrize(
    "layer", [x for x in every_kind() if not isinstance(x, ln.Activation)], ids=repr
)
def test_layers_never_change_and_have_no_hash(layer):
    with pytest.raises(AttributeError, match="never changes"):
        setattr(layer, layer._fields[0], None)
    with pytest.raises(AttributeError, match="never changes"):
        delattr(layer, layer._fields[0])
    with pytest.raises(TypeError, match="unhashable"):
        hash(layer)
    assert "<table>" in layer._repr_html_()


def test_equality_is_of_bits():
    assert ln.Rescale(shift=0.0) != ln.Rescale(shift=-0.0)
    assert ln.LayerNorm(np.zeros(2, F4)) != ln.LayerNorm(-np.zeros(2, F4))
    assert ln.LayerNorm(np.zeros(2, F4)) != ln.LayerNorm(np.zeros(2))
    nan = np.array([np.nan], F4)
    assert ln.RMSNorm(nan) == ln.RMSNorm(nan.copy())
    assert ln.Rescale([1.0, 2.0]) != ln.Rescale(1.0)
    assert ln.Select(slice(0, 2)) != ln.Select([0, 1])
    layers = [dense(2, 2)]
    assert ln.Residual(layers) == ln.Residual(layers) != ln.Residual([dense(2, 2, "relu")])
    assert ln.Parallel([layers], "sum") != ln.Parallel([layers], "mean")


class OwnDropout(ln.Dropout):
    """Of another class, and so another layer."""


def test_layers_of_other_classes_are_others():
    assert OwnDropout(0.5) == OwnDropout(0.5) != ln.Dropout(0.5)
    assert isinstance(pickle.loads(pickle.dumps(OwnDropout(0.5))), OwnDropout)


def test_arrays_are_referred_to_and_read_only():
    weight = np.ones(3, F4)
    for layer in (ln.LayerNorm(weight), ln.RMSNorm(weight), ln.Rescale(weight)):
        array = layer._arrays()[0]
        assert np.shares_memory(array, weight)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 2


def test_dtypes():
    assert ln.LayerNorm(np.ones(2, np.float16)).dtype == np.float32
    assert ln.LayerNorm(np.ones(2, F4), [1.0, 2.0]).dtype == np.float64
    assert ln.LayerNorm().dtype is ln.Rescale(2.0).dtype is ln.Select([0]).dtype is None
    assert ln.Residual([ln.Dropout(0.1)]).dtype is None
    assert ln.Parallel([[dense(2, 2)], [dense(2, 2, dtype=float)]]).dtype == np.float64
    assert ln.MLP([dense(2, 2), ln.RMSNorm([1.0, 1.0])]).dtype == np.float64
    assert ln.MLP([ln.Dropout(0.1)], in_features=2).dtype == np.float32
    assert ln.MLP([ln.Dropout(0.1)], in_features=2, dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match=r"a weight of 1e\+300 is too large for float32"):
        ln.MLP([ln.RMSNorm([1e300])], dtype="float32")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ln.Rescale([[1.0]]), ValueError, r"scale must have shape \(features,\)"),
        (lambda: ln.Rescale([]), ValueError, r"scale must have shape \(features,\)"),
        (lambda: ln.Rescale([1, 2], [1, 2, 3]), ValueError, "shift has 3 numbers, scale has 2"),
        (lambda: ln.Rescale(low=1.0, high=0.0), ValueError, "low must not be above high"),
        (lambda: ln.Rescale(low=np.nan), ValueError, "low must be a number or infinity, got NaN"),
        (lambda: ln.Rescale("a"), TypeError, "scale"),
        (lambda: ln.Rescale(True), TypeError, "scale must be a real number, got bool"),
        (lambda: ln.Rescale(None), TypeError, "scale must be a number, got None"),
        (lambda: ln.LayerNorm(np.ones((2, 2))), ValueError, r"weight must have shape \(features,"),
        (lambda: ln.LayerNorm([1, 2], [1]), ValueError, "bias has 1 numbers, weight has 2"),
        (lambda: ln.LayerNorm(eps=-1.0), ValueError, "eps must be a finite number of at least 0"),
        (lambda: ln.RMSNorm(eps=np.inf), ValueError, "eps must be a finite number of at least 0"),
        (lambda: ln.RMSNorm(eps="a"), TypeError, "eps must be a real number, got str"),
        (lambda: ln.Select([]), ValueError, "columns is empty"),
        (lambda: ln.Select(3), TypeError, "columns must be a slice or a sequence of integers"),
        (lambda: ln.Select([True, False]), TypeError, "got one of bool"),
        (lambda: ln.Select([1.0]), TypeError, "got one of float"),
        (lambda: ln.Select("ab"), TypeError, "got str"),
        (lambda: ln.Select(slice(0.5)), TypeError, "stop of the slice must be an integer"),
        (lambda: ln.Select(slice(0, 1, 0)), ValueError, "the step of the slice is 0"),
        (lambda: ln.Residual([]), ValueError, "needs at least one layer"),
        (lambda: ln.Residual(ln.Dropout(0)), TypeError, "layers must be a list of layers"),
        (lambda: ln.Residual([5]), TypeError, r"layers\[0\] must be a layer, .* got int"),
        (lambda: ln.Residual(["relu"]), TypeError, r"ln.Activation\('relu'\)\?"),
        (lambda: ln.Parallel([]), ValueError, "branches is empty"),
        (lambda: ln.Parallel([dense(2, 2)]), TypeError, r"branches\[0\] must be a list of layers"),
        (lambda: ln.Parallel([[], [1]]), TypeError, r"branches\[1\]\[0\] must be a layer"),
        (lambda: ln.Parallel([[]], "add"), ValueError, "unknown join 'add', did you mean 'sum'"),
        (lambda: ln.Parallel([[]], "x"), ValueError, "expected one of concat, sum, mean"),
        (lambda: ln.Parallel([[]], 1), TypeError, "join must be a str"),
        (lambda: ln.Dropout(1.0), ValueError, "rate must be at least 0 and less than 1, got 1.0"),
        (lambda: ln.Dropout(np.nan), ValueError, "rate must be at least 0"),
        (lambda: ln.Dropout(False), TypeError, "rate must be a real number, got bool"),
    ],
)
def test_what_layers_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- Activations as layers and with parameters by unit -------------------------------------------


def test_activation_by_unit():
    alpha = np.array([0.5, 0.25, 2.0])
    prelu = ln.Activation("leaky_relu", alpha=alpha)
    alpha[:] = 0
    assert prelu == ln.Activation("leaky_relu", alpha=[0.5, 0.25, 2])
    assert prelu != ln.Activation("leaky_relu", alpha=0.5)
    assert len({prelu, ln.Activation("leaky_relu", alpha=[0.5, 0.25, 2])}) == 1
    assert prelu.in_features == 3
    assert ln.Activation("leaky_relu").in_features is None
    assert str(prelu) == "leaky_relu(alpha by unit)"
    assert repr(prelu) == "Activation('leaky_relu', alpha=[0.5, 0.25, 2.0])"
    for again in (prelu, pickle.loads(pickle.dumps(prelu)), copy.deepcopy(prelu)):
        assert again == prelu
        with pytest.raises(ValueError, match="read-only"):
            again.alpha[0] = 1
    x = np.array([[-2.0, 4.0, -1.0]], F4)
    layer = ln.Dense(np.eye(3, dtype=F4), None, prelu)
    for net in (ln.MLP([layer]), ln.MLP([prelu])):
        assert same_bits(net(x), np.array([[-1.0, 4.0, -2.0]], F4))
        np.testing.assert_array_equal(net.jacobian(x)[0], np.diag([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ln.Activation("elu", alpha=[[1.0]]), ValueError, r"got shape \(1, 1\)"),
        (lambda: ln.Activation("elu", alpha=[]), ValueError, r"got shape \(0,\)"),
        (lambda: ln.Activation("elu", alpha=[1.0, np.inf]), ValueError, "alpha must be finite"),
        (lambda: ln.Activation("elu", alpha=[True]), TypeError, "alpha must hold real numbers"),
        (lambda: ln.Activation("elu", alpha=["a"]), TypeError, "alpha"),
        (
            lambda: ln.Activation("hard_sigmoid", alpha=[1.0], beta=[1.0, 2.0]),
            ValueError,
            "alpha has 1 numbers, beta 2",
        ),
        (
            lambda: ln.Dense(np.ones((2, 2)), None, ln.Activation("elu", alpha=[1.0])),
            ValueError,
            "activation has parameters for 1 units, the layer has 2",
        ),
        (
            lambda: ln.linear([1.0], [[1.0]], None, ln.Activation("elu", alpha=[1.0])),
            ValueError,
            "linear takes parameters of elu that are numbers",
        ),
    ],
)
def test_what_activations_by_unit_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- How layers fit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [dense(3, 4), ln.LayerNorm(np.ones(5))],
            r"layers\[1\] takes 5 features, layers\[0\] gives 4",
        ),
        (
            [ln.LayerNorm(np.ones(5)), ln.Rescale(np.ones(6))],
            r"layers\[1\] takes 6 features, layers\[0\] gives 5",
        ),
        (
            [dense(3, 4), ln.Dropout(0), ln.Parallel([[], [dense(5, 1)]])],
            r"layers\[2\].branches\[1\]\[0\] takes 5 features, layers\[1\] gives 4",
        ),
        (
            [ln.Residual([dense(3, 4), ln.Residual([dense(4, 3), dense(2, 4)])])],
            r"layers\[0\].layers\[1\].layers\[1\] takes 2 features, "
            r"layers\[0\].layers\[1\].layers\[0\] gives 3",
        ),
        ([ln.Residual([dense(3, 4)])], r"layers\[0\] makes 4 features of 3, and cannot add them"),
        (
            [ln.Parallel([[dense(3, 4)], [dense(3, 5)]], "sum")],
            r"layers\[0\].branches\[1\] gives 5 features, layers\[0\].branches\[0\] gives 4: "
            "join='sum'",
        ),
        (
            [ln.Parallel([[dense(3, 4)], [dense(2, 5)]])],
            r"layers\[0\].branches\[1\]\[0\] takes 2 features, the input has 3",
        ),
        ([dense(3, 4), ln.Select([0, 4])], r"layers\[1\] selects column 4 of 4"),
        ([dense(3, 4), ln.Select([-5])], r"layers\[1\] selects column -5 of 4"),
        ([dense(3, 4), ln.Select(slice(4, 9))], r"layers\[1\] selects no columns of 4"),
        (
            [dense(3, 2), ln.Activation("elu", alpha=[1.0])],
            r"layers\[1\] takes 1 features, layers\[0\] gives 2",
        ),
    ],
)
def test_what_does_not_fit(layers, message):
    with pytest.raises(ValueError, match=message):
        ln.MLP(layers)
    with pytest.raises(ValueError, match=message):
        reference.forward(layers, np.zeros(3))


def test_who_says_the_width():
    assert ln.MLP([ln.Activation("relu"), ln.Residual([ln.RMSNorm(np.ones(3))])]).in_features == 3
    assert ln.MLP([ln.Parallel([[], [dense(3, 4)]])]).sizes == (3, 7)
    assert ln.MLP([ln.Select([1])], in_features=4).sizes == (4, 1)
    for layers in ([ln.Select([1]), dense(1, 2)], [ln.Activation("relu")], [ln.Parallel([[]])]):
        with pytest.raises(ValueError, match=r"do not say how many features .* in_features="):
            ln.MLP(layers)
    with pytest.raises(ValueError, match=r"layers\[0\] takes 3 features, in_features is 4"):
        ln.MLP([dense(3, 4)], in_features=4)
    with pytest.raises(ValueError, match="in_features must be at least 1"):
        ln.MLP([ln.Select([0])], in_features=0)
    with pytest.raises(TypeError, match="in_features must be an integer"):
        ln.MLP([ln.Select([0])], in_features="3")
    assert ln.MLP([ln.Select([1])], in_features=2, feature_names=["a", "b"])([1, 2]) == 2
    with pytest.raises(ValueError, match="feature_names has 1 names, the network takes 2"):
        ln.MLP([ln.Select([1])], in_features=2, feature_names=["a"])


# --- Networks of them ----------------------------------------------------------------------------


def test_attributes():
    net = network()
    assert net.sizes == (3, 4, 4, 4, 4, 4, 4, 4, 6, 6, 6, 5)
    assert (net.in_features, net.out_features, net.dtype) == (3, 5, np.float32)
    assert net.num_parameters == (12 + 4) + 8 + 4 + (16 + 4) + (8 + 2) + (30 + 5)
    assert [type(layer) for layer in net.layers[1:-1]] == [type(x) for x in every_kind()]
    assert net.layers[1:-1] == tuple(every_kind())
    assert repr(net) == (
        "MLP(3 -> 4 tanh -> rescale, clip -> layer norm -> rms norm -> select [3, 0, -2, 0] -> "
        "select ::-1 -> residual(4 tanh -> dropout 0.25) -> concat(identity | 2 identity -> relu) "
        "-> dropout 0.5 -> leaky_relu(alpha by unit) -> 5 identity, float32, 93 parameters)"
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
