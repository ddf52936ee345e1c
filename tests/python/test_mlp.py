"""Dense and MLP as objects: attributes, init, astype, equality, pickle, copy, text."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from variants import BACKENDS, normal, random_net, same_bits

import laminet as ln

# --- MLP -----------------------------------------------------------------------------------------


def test_attributes(dtype):
    net = random_net([5, 7, 4, 2], dtype=dtype)
    assert net.sizes == (5, 7, 4, 2)
    assert (net.in_features, net.out_features) == (5, 2)
    assert net.dtype == dtype
    assert isinstance(net.layers, tuple)
    assert [layer.weight.shape for layer in net.layers] == [(7, 5), (4, 7), (2, 4)]
    assert net.num_parameters == 7 * 5 + 7 + 4 * 7 + 4 + 2 * 4 + 2
    assert random_net([5, 7, 4, 2], bias=False).num_parameters == 7 * 5 + 4 * 7 + 2 * 4
    for name in ("layers", "sizes", "dtype", "num_parameters", "something"):
        with pytest.raises(AttributeError):
            setattr(net, name, None)


def test_the_weights_are_copied(backend, dtype):
    """Changing the arrays that were given does not change the network, before or after a call."""
    weight, bias = normal((3, 5), dtype), normal(3, dtype)
    net, x = ln.MLP([ln.Dense(weight, bias)]), normal((4, 5), dtype)
    expected = x @ weight.T + bias
    weight[:], bias[:] = 0, 0
    first = net(x)
    np.testing.assert_allclose(first, expected, rtol=1e-4)
    weight[:], bias[:] = 7, 7
    assert same_bits(net(x), first)
    assert not np.shares_memory(net.layers[0].weight, weight)


def test_layers_are_read_only_views_of_the_network(dtype):
    net = random_net([5, 7, 2], dtype=dtype)
    for layer in net.layers:
        for array in (layer.weight, layer.bias):
            assert not array.flags.writeable
            assert array.flags.c_contiguous
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
    assert np.shares_memory(net.layers[0].weight, net.layers[0].weight)


def test_layers_outlive_the_network(dtype):
    """They keep its memory alive; a dangling view would read freed memory."""
    net = random_net([50, 70, 20], dtype=dtype)
    layer, expected = net.layers[1], net.layers[1].weight.copy()
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None
    normal((500, 500), dtype)  # something to write over freed memory
    assert same_bits(np.ascontiguousarray(layer.weight), expected)


def test_layers_build_the_same_network(dtype):
    net = random_net([5, 7, 2], "gelu", dtype=dtype)
    again = ln.MLP(net.layers)
    assert again == net
    first_half = ln.MLP(net.layers[:1])
    assert first_half.sizes == (5, 7)


def test_layers_in_any_iterable_and_layout():
    layers = [
        ln.Dense(np.asfortranarray(normal((4, 4), "f4"))),
        ln.Dense(normal((4, 8), "f4")[:, ::2]),
    ]
    x = normal((3, 4), "f4")
    expected = x @ layers[0].weight.T @ layers[1].weight.T
    for given in (layers, tuple(layers), iter(layers)):
        np.testing.assert_allclose(ln.MLP(given)(x), expected, rtol=1e-4, atol=1e-5)


def test_one_float64_layer_makes_the_network_float64():
    net = ln.MLP([ln.Dense(normal((4, 3), "f4")), ln.Dense(normal((2, 4), "f8"))])
    assert net.dtype == np.float64
    assert all(layer.dtype == np.float64 for layer in net.layers)


def test_one_layer_twice():
    dense = ln.Dense(normal((4, 4), "f8"), normal(4, "f8"), "tanh")
    x = normal((3, 4), "f8")
    np.testing.assert_allclose(ln.MLP([dense, dense])(x), ln.MLP([dense])(ln.MLP([dense])(x)))


# --- init ----------------------------------------------------------------------------------------


def test_init_is_he_normal(dtype):
    net = ln.MLP.init([400, 900, 300], seed=3, dtype=dtype)
    assert net.dtype == dtype
    for layer, n_in in zip(net.layers, (400, 900), strict=True):
        w = layer.weight.astype(float)
        n = w.size
        # Standard errors of mean and standard deviation of n normal numbers; 5 of them.
        sigma = np.sqrt(2 / n_in)
        assert abs(w.mean()) < 5 * sigma / np.sqrt(n)
        assert abs(w.std() - sigma) < 5 * sigma / np.sqrt(2 * n)
        # The kurtosis of a normal distribution is 3; of a uniform one 1.8.
        assert abs((w**4).mean() / w.var() ** 2 - 3) < 5 * np.sqrt(24 / n)
        assert not layer.bias.any()
    assert not np.array_equal(net.layers[0].weight[:300, :300], net.layers[1].weight[:300, :300])


def test_init_is_reproducible():
    first, second = (ln.MLP.init([8, 6, 4], seed=7) for _ in range(2))
    assert first == second
    assert first != ln.MLP.init([8, 6, 4], seed=8)
    assert ln.MLP.init([8, 6, 4]) != ln.MLP.init([8, 6, 4])
    assert ln.MLP.init([8, 6, 4], seed=np.random.default_rng(7)) == first
    global_state = np.random.get_state  # of NumPy's legacy generator, which must not move
    before = global_state()
    ln.MLP.init([8, 6, 4])
    after = global_state()
    # The words change only every 624 draws; the position among them changes with each.
    assert after[2:] == before[2:]
    assert (after[1] == before[1]).all()


def test_init_takes_no_dtype_for_none():
    """NumPy would take it for float64."""
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got None"):
        ln.MLP.init([3, 2], dtype=None)


def test_init_gives_both_dtypes_the_same_network():
    wide, narrow = (ln.MLP.init([8, 6, 4], seed=7, dtype=t) for t in ("float64", "float32"))
    assert wide.astype("float32") == narrow


def test_init_pinned():
    """The numbers of a seed are part of what users store: a change of them must be deliberate."""
    net = ln.MLP.init([4, 3, 2], seed=0, dtype="float64")
    expected = np.random.default_rng(0).standard_normal((3, 4)) * np.sqrt(2 / 4)
    assert same_bits(np.array(net.layers[0].weight), expected)
    assert float(net.layers[0].weight[0, 0]) == pytest.approx(0.12573022 / np.sqrt(2), rel=1e-7)


def test_init_activations():
    net = ln.MLP.init([4, 3, 3, 2])
    assert [str(layer.activation) for layer in net.layers] == ["relu", "relu", "identity"]
    net = ln.MLP.init([4, 3, 3, 2], "tanh", output_activation="sigmoid")
    assert [str(layer.activation) for layer in net.layers] == ["tanh", "tanh", "sigmoid"]
    net = ln.MLP.init([4, 3, 3, 2], ["elu", ln.Activation("leaky_relu", alpha=0.5)])
    assert [str(layer.activation) for layer in net.layers] == [
        "elu", "leaky_relu(alpha=0.5)", "identity",
    ]  # fmt: skip
    net = ln.MLP.init([4, 2], "tanh")
    assert [str(layer.activation) for layer in net.layers] == ["identity"]


def test_init_without_bias():
    net = ln.MLP.init([4, 3, 2], bias=False, seed=1)
    assert [layer.bias for layer in net.layers] == [None, None]
    assert net == ln.MLP(
        ln.Dense(layer.weight, None, layer.activation)
        for layer in ln.MLP.init([4, 3, 2], seed=1).layers
    )


def test_init_takes_integers_of_every_kind():
    sizes = (np.int64(4), np.uint8(3), 2)
    assert ln.MLP.init(sizes, seed=1) == ln.MLP.init(np.array([4, 3, 2]), seed=1)
    assert ln.MLP.init((n for n in (4, 3, 2)), seed=1).sizes == (4, 3, 2)


# --- astype --------------------------------------------------------------------------------------


def test_astype():
    net = random_net([5, 7, 2], ln.Activation("elu", alpha=0.3), dtype="float64")
    narrow = net.astype(np.float32)
    assert narrow.dtype == np.float32
    assert narrow.layers[0].activation == net.layers[0].activation
    assert same_bits(np.array(narrow.layers[1].weight), net.layers[1].weight.astype("f4"))
    assert same_bits(np.array(narrow.layers[1].bias), net.layers[1].bias.astype("f4"))
    assert net.dtype == np.float64
    assert narrow.astype("float64").astype("float32") == narrow
    assert net.astype("float64") is net
    assert narrow.astype(np.float32) is narrow


def test_astype_without_bias():
    net = random_net([5, 7, 2], bias=False)
    assert net.astype("float64").layers[0].bias is None


# --- Equality, copies, pickle --------------------------------------------------------------------


def test_equality(dtype):
    net = random_net([5, 7, 2], dtype=dtype)
    assert net == random_net([5, 7, 2], dtype=dtype)
    assert net != random_net([5, 7, 2], dtype=dtype, seed=1)
    assert net != random_net([5, 7, 2], "relu", dtype=dtype)
    assert net != random_net([5, 7, 2], dtype=dtype, bias=False)
    assert net != ln.MLP(net.layers[:1])
    assert net != net.astype("float64" if dtype == np.float32 else "float32")
    assert net != net.layers
    assert (net == 3) is False
    assert hash(net) == hash(random_net([5, 7, 2], dtype=dtype))
    others = [random_net([5, 7, 2], dtype=dtype, seed=seed) for seed in range(9)]
    assert len({*others, net.astype("float32"), net.astype("float64"), net}) == 10
    bias = net.layers[1].bias
    moved = ln.MLP([net.layers[0], ln.Dense(net.layers[1].weight, bias[::-1], "tanh")])
    assert len({net, moved}) == 2


def test_networks_with_nan_equal_themselves(dtype):
    """By bits: a copy of a broken network is a copy; 0.0 and -0.0 are two weights."""
    weight = np.array([[np.nan, 1.0, 0.0]], dtype)
    assert ln.MLP([ln.Dense(weight)]) == ln.MLP([ln.Dense(weight.copy())])
    assert ln.MLP([ln.Dense(weight)]) != ln.MLP([ln.Dense(np.copysign(weight, -1))])


def test_equality_does_not_depend_on_use(dtype):
    """Packed weights are no part of what a network is."""
    net, fresh = (random_net([5, 7, 2], dtype=dtype) for _ in range(2))
    for name in BACKENDS:
        with ln.backend(name):
            net(normal((9, 5), dtype))
    assert net == fresh


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol, dtype):
    net = random_net([5, 7, 2], ln.Activation("leaky_relu", alpha=0.3), dtype=dtype)
    net = ln.MLP([net.layers[0], ln.Dense(net.layers[1].weight)])
    x = normal((9, 5), dtype)
    again = pickle.loads(pickle.dumps(net, protocol))
    assert again == net
    assert same_bits(again(x), net(x))
    assert not again.layers[0].weight.flags.writeable
    dense = pickle.loads(pickle.dumps(net.layers[0], protocol))
    assert dense == net.layers[0]
    activation = pickle.loads(pickle.dumps(net.layers[0].activation, protocol))
    assert activation == net.layers[0].activation


def test_copy(dtype):
    net = random_net([5, 7, 2], dtype=dtype)
    x = normal((9, 5), dtype)
    for again in (copy.copy(net), copy.deepcopy(net)):
        assert again == net
        assert same_bits(again(x), net(x))
    assert copy.deepcopy(net.layers[0]) == net.layers[0]
    assert copy.copy(net.layers[0]) == net.layers[0]


# --- Text ----------------------------------------------------------------------------------------


def test_repr():
    assert repr(ln.MLP.init([784, 256, 128, 10], activation="relu", seed=0)) == (
        "MLP(784 -> 256 relu -> 128 relu -> 10 identity, float32, 235146 parameters)"
    )
    net = ln.MLP.init([4, 3, 2], ln.Activation("elu", alpha=0.5), bias=False, dtype="float64")
    assert repr(net) == "MLP(4 -> 3 elu(alpha=0.5) -> 2 identity, float64, 18 parameters)"


def test_summary():
    text = str(ln.MLP.init([784, 256, 10], seed=0).summary())
    assert not text.endswith("\n")
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    (first,) = [line for line in lines if "(256, 784)" in line]
    assert "relu" in first
    assert "200,960" in first  # 784 * 256 + 256
    (second,) = [line for line in lines if "(10, 256)" in line]
    assert "identity" in second
    last = lines[lines.index("") - 1]
    assert "203,530" in last
    assert "float32" in last


def test_weak_references():
    net = random_net([5, 7, 2])
    reference = weakref.ref(net)
    assert reference() is net
    del net
    gc.collect()
    assert reference() is None


def test_a_network_frees_its_memory(script):
    """200 networks of 8 MB each, packed and not, within 100 MB."""
    result = script(
        """
import resource
import numpy as np, laminet as ln
w = np.ones((1000, 2000), np.float32)
x = np.ones((2, 2000), np.float32)
for i in range(200):
    net = ln.MLP([ln.Dense(w)])
    net(x); net.trace(x); net.layers[0].weight[0]
    if i == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 100_000


def test_a_weight_that_another_dtype_cannot_hold():
    """It would be infinite without a word; infinity itself may be meant."""
    for layer in (ln.Dense([[1e300]]), ln.Dense([[1.0]], [-1e39])):
        with pytest.raises(ValueError, match="is too large for float32"):
            ln.MLP([layer]).astype("float32")
    assert ln.MLP([ln.Dense([[np.inf]])]).astype("float32").layers[0].weight[0, 0] == np.inf
