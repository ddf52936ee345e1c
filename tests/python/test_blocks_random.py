"""Random networks of layers of every kind within derived bounds: values and all derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from compare import assert_close
from layer_kinds import KINDS
from tree_bounds import gradient_bounds, jacobian_bound, jvp_bound, value_bound, vjp_bound
from trees import Draw, kinds_of
from variants import BACKENDS, DTYPES, ISAS, instruction_set, same_bits

import laminet as ln
from laminet import reference
from laminet.core.layers.norms import Norm
from laminet.core.layers.tree import walk

HEADS = (None, "softmax", "log_softmax")
#: Back ends, types and instruction sets, of which a CPU may have any number.
PLACES = len(BACKENDS) * len(DTYPES) * len(ISAS)
COUNT = PLACES * len(KINDS)
GROUPS = 12


def draw(index: int) -> tuple[ln.MLP, np.random.Generator, str, str]:
    """Return network, generator, back end and instruction set number `index`.

    These rotate; in each place so do heads, and kinds of which the network has at least one.
    """
    rng = np.random.default_rng([2025, index])
    dtype = DTYPES[index // 2 % 2]
    isa = ISAS[index // 4 % len(ISAS)]
    turn = index // PLACES
    kind = sorted(KINDS)[turn]
    with instruction_set(isa):
        net = None
        while net is None or kind not in kinds_of(net):
            net = Draw(rng, dtype).network(HEADS[turn % len(HEADS)])
    return net, rng, BACKENDS[index % 2], isa


def laid_out(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the same numbers in rows, in columns, or with other strides."""
    kind = rng.integers(3)
    if kind == 0:
        return x
    if kind == 1:
        return np.asfortranarray(x)
    wide = np.zeros((2 * len(x), 3 * x.shape[1]), x.dtype)
    wide[::2, ::3] = x
    return wide[::2, ::3]


def check(index: int) -> bool:
    """Hold one network to its bounds; return whether they reject zeros."""
    net, rng, backend, isa = draw(index)
    rejects = False
    with ln.backend(backend), instruction_set(isa):
        for batch in (1, 2, 7, 40):
            x = rng.standard_normal((batch, net.in_features)).astype(net.dtype)
            v = rng.standard_normal((batch, net.out_features)).astype(net.dtype)
            u = rng.standard_normal((batch, net.in_features)).astype(net.dtype)
            given = laid_out(x, rng)
            exact, bound = reference.forward(net, x), value_bound(net, x)
            y = net(given)
            assert_close(y, exact, bound)
            # A norm of one feature is 0, and so may be what relu or bounds leave.
            rejects |= bool((np.abs(exact) > bound).any()) or not exact.any()
            out = np.empty((net.out_features, batch), net.dtype).T
            assert net(given, out=out) is out
            assert same_bits(np.ascontiguousarray(out), y)
            assert same_bits(net.trace(given).output, y)

            found = reference.gradients(net, x, v)
            backwards = vjp_bound(net, x, v)
            assert_close(net.vjp(given, v), found["input"], backwards)
            matrices, bounds = reference.jacobian(net, x), jacobian_bound(net, x)
            assert_close(net.jacobian(given), matrices, bounds)
            value, again = net.value_and_jacobian(given)
            assert_close(value, exact, bound)
            assert_close(again, matrices, bounds)
            along = np.einsum("bij,bj->bi", matrices, u.astype(np.float64))
            assert_close(net.jvp(given, u), along, jvp_bound(net, matrices, bounds, u))
            check_gradients(net, given, x, v, found, backwards)
    return rejects


def check_gradients(
    net: ln.MLP,
    given: np.ndarray,
    x: np.ndarray,
    v: np.ndarray,
    exact: dict[str, np.ndarray],
    backwards: np.ndarray,
) -> None:
    got, bounds = net.gradients(given, v), gradient_bounds(net, x, v)
    assert_close(got.input, exact["input"], backwards)
    leaves = list(walk(net.layers))
    functions = [getattr(leaf, "activation", leaf) for _, leaf in leaves]
    by_unit = [f for f in functions if isinstance(f, ln.Activation) and f.in_features is not None]
    for place, function, (alpha, beta) in zip(
        got.activation_layers, by_unit, got.activations, strict=True
    ):
        assert_close(alpha, exact[f"{place}.alpha"], bounds[id(function)][0])
        assert beta is None
    for kind, pairs, places in (
        (ln.Dense, list(zip(got.weights, got.biases, strict=True)), got.layers),
        (Norm, got.norms, got.norm_layers),
    ):
        own = [(place, leaf) for place, leaf in leaves if isinstance(leaf, kind)]
        assert places == tuple(place for place, _ in own)
        assert len(pairs) == len(own)
        for (place, leaf), pair in zip(own, pairs, strict=True):
            for name, array, bound in zip(("weight", "bias"), pair, bounds[id(leaf)], strict=True):
                assert (array is None) == (f"{place}.{name}" not in exact)
                if array is not None:
                    assert_close(array, exact[f"{place}.{name}"], bound)


@pytest.mark.parametrize("group", range(GROUPS))
def test_within_the_derived_bounds(group):
    rejecting = 0
    indices = range(group, COUNT, GROUPS)
    for index in indices:
        try:
            rejecting += check(index)
        except AssertionError as error:
            net, _, backend, isa = draw(index)
            raise AssertionError(f"network {index}: {net!r}, {backend}, {isa}: {error}") from error
    # A test that zeros would pass is none; carried through many norms a bound may say nothing.
    assert rejecting >= len(indices) - 1


def test_the_drawing_covers_what_it_should():
    found = set()
    for index in range(COUNT):
        net, _, backend, isa = draw(index)
        found |= {(backend, str(net.dtype), isa, kind) for kind in kinds_of(net)}
        found |= {(backend, str(net.dtype), isa, net.head)}
    places = {(b, str(d), i) for b in BACKENDS for d in DTYPES for i in ISAS}
    assert found == {(*place, kind) for place in places for kind in (*KINDS, *HEADS)}
