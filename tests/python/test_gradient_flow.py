"""gradient_flow and check_jacobian: the figures of matrices that are known, and what is refused."""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pytest
from every_layer import network
from variants import normal, random_net

import laminet as ln
from laminet import reference


def scaled_rotations(scales, n=4):
    """Linear layers, each a rotation times a number: every singular value is that number."""
    rng = np.random.default_rng(0)
    return ln.MLP(ln.Dense(s * np.linalg.qr(rng.standard_normal((n, n)))[0]) for s in scales)


def test_spectra_of_known_matrices():
    flow = ln.gradient_flow(scaled_rotations([2.0, 3.0, 0.5]), np.ones(4))
    assert [s.norm for s in flow.layers] == pytest.approx([2, 3, 0.5])
    assert [s.norm for s in flow.products] == pytest.approx([3, 1.5, 0.5])
    assert [s.name for s in flow.layers] == ["J1", "J2", "J3"]
    assert [s.name for s in flow.products] == ["J3...J1", "J3...J2", "J3"]
    assert flow.network is flow.products[0]
    assert flow.network.condition_number == pytest.approx(1)
    assert flow.network.rank == 4
    assert flow.network.shape == (4, 4)
    np.testing.assert_allclose(flow.network.singular_values, [3.0] * 4)


def test_rank_of_a_bottleneck_and_of_dead_units():
    net = random_net([6, 2, 5], "tanh", dtype="float64")
    flow = ln.gradient_flow(net, normal(6, "float64"))
    assert [s.rank for s in flow.layers] == [2, 2]
    assert [s.condition_number < np.inf for s in flow.layers] == [True, True]
    assert flow.network.rank == 2
    assert flow.network.shape == (5, 6)
    assert flow.network.condition_number == np.inf
    dead = ln.MLP([ln.Dense(np.eye(3), [0, -9, 0], "relu"), ln.Dense(np.eye(3))])
    flow = ln.gradient_flow(dead, [1.0, 1.0, 1.0])
    assert [s.rank for s in flow.layers] == [2, 3]
    np.testing.assert_allclose(flow.network.singular_values, [1, 1, 0], atol=1e-15)


def test_a_singular_value_of_zero_is_shown_as_zero():
    """What is computed for it is a rounding error, of the first layer and still of the product."""
    net = random_net([6, 2, 5, 5], "tanh", dtype="float64")
    flow = ln.gradient_flow(net, normal((3, 6), "float64"))
    spectrum = flow.network
    assert 0 < spectrum.singular_values[-1] < spectrum.floor < spectrum.singular_values[1]
    assert spectrum.floor == pytest.approx(6 * 2**-52 * spectrum.norm)
    median = np.median(spectrum.singular_values)
    assert spectrum.cells()[2:] == ("2", f"{spectrum.norm:.3g}", "0", "0", "inf")
    assert 0 < median < spectrum.floor
    first, second = str(flow).split("\n\n")[1].splitlines()[2:4]
    assert first.split()[-3:] == ["0", "0", "inf"]
    assert second.split()[-2] == f"{flow.products[1].singular_values[-1]:.3g}"


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
def test_a_batch_is_the_mean_of_its_samples(head):
    net = ln.MLP(random_net([5, 8, 7, 4], "gelu", dtype="float32").layers, head=head)
    x = normal((9, 5), "float32")
    flow, singles = ln.gradient_flow(net, x), [ln.gradient_flow(net, row) for row in x]
    assert flow.samples == 9
    for i in range(3):
        mean = np.mean([s.products[i].singular_values for s in singles], axis=0)
        np.testing.assert_allclose(flow.products[i].singular_values, mean, rtol=1e-9)
        assert flow.layers[i].rank == pytest.approx(np.mean([s.layers[i].rank for s in singles]))
    exact = reference.jacobian(net, x[0])
    values = np.linalg.svd(exact, compute_uv=False)
    np.testing.assert_allclose(
        singles[0].network.singular_values, values, rtol=1e-9, atol=1e-12 * values[0]
    )
    assert singles[0].network.name == ("J3...J1" if head is None else f"{head} J3...J1")


def test_flow_shows_itself():
    flow = ln.gradient_flow(scaled_rotations([2.0, 3.0]), np.ones((5, 4)))
    text = str(flow)
    assert "mean of 5 samples" in text
    assert "J2...J1" in text
    assert text.count("4 x 4") == 4
    assert json.dumps(flow.to_dict())
    with pytest.raises(AttributeError):
        flow.samples = 3  # type: ignore[misc]  # frozen: it must refuse


def test_flow_refuses():
    net = random_net([5, 4], "relu")
    with pytest.raises(ValueError, match="x has no samples"):
        ln.gradient_flow(net, np.empty((0, 5)))
    with pytest.raises(ValueError, match="x has 3 features"):
        ln.gradient_flow(net, np.empty((2, 3)))
    with pytest.raises(ValueError, match="not finite"):
        ln.gradient_flow(net, [np.nan] * 5)


def test_plot(tmp_path):
    from matplotlib.figure import Figure

    flow = ln.gradient_flow(random_net([6, 20, 20, 3], "tanh"), normal((4, 6), "float32"))
    for name in ("flow.png", "flow.svg", "flow.pdf"):
        figure = flow.plot(tmp_path / name)
        assert isinstance(figure, Figure)
        assert (tmp_path / name).stat().st_size > 1000
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert axes.get_title("left").startswith("Singular values of Jacobians by layer")
    figure.canvas.draw()
    assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1
    own = Figure().add_subplot()
    assert flow.plot(own) is own.figure
    norms = [line.get_ydata() for line in own.lines if line.get_label() == "each layer's Jacobian"]
    np.testing.assert_allclose(norms[0], [s.norm for s in flow.layers])
    with pytest.raises(ValueError, match="expected a name in"):
        flow.plot("flow.txt")


def test_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    flow = ln.gradient_flow(scaled_rotations([2.0]), np.ones(4))
    with pytest.raises(ImportError, match=r"pip install 'laminet\[plot\]'"):
        flow.plot()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("head", [None, "softmax"])
def test_check_of_a_right_jacobian(dtype, head):
    net = ln.MLP(random_net([5, 9, 3], "silu", dtype=dtype).layers, head=head)
    for shape in ((5,), (4, 5)):
        check = ln.check_jacobian(net, normal(shape, dtype))
        assert check.max_error < check.scale * (1e-5 if dtype == "float32" else 1e-8)
        assert len(check.index) == len(shape) + 1
        assert str(check.index) in str(check)


def test_check_finds_the_worst_entry(monkeypatch):
    net = random_net([5, 9, 3], "silu", dtype="float64")
    x = normal((4, 5), "float64")
    right = net.jacobian(x)
    wrong = right.copy()
    wrong[2, 1, 3] += 0.25
    monkeypatch.setattr(ln.MLP, "jacobian", lambda *_: wrong)
    check = ln.check_jacobian(net, x)
    assert check.index == (2, 1, 3)
    assert check.max_error == pytest.approx(0.25, rel=1e-6)
    assert check.analytic == wrong[2, 1, 3]
    assert check.numerical == pytest.approx(right[2, 1, 3], abs=1e-8)
    wrong[1, 0, 0] = np.nan
    check = ln.check_jacobian(net, x)
    assert check.index == (1, 0, 0)
    assert np.isnan(check.max_error)


def test_check_refuses():
    net = random_net([5, 4], "relu")
    with pytest.raises(ValueError, match="x has no samples"):
        ln.check_jacobian(net, np.empty((0, 5)))
    with pytest.raises(ValueError, match="step must be a positive number"):
        ln.check_jacobian(net, np.ones(5), step=0.0)


def test_what_counts_as_zero_grows_with_the_matrix():
    """10 eps of the largest in a matrix of 10 rows, as numpy.linalg.matrix_rank has it."""
    values = np.array([1.0] * 8 + [1e-15, 1e-14])
    (spectrum,) = ln.gradient_flow(ln.MLP([ln.Dense(np.diag(values))]), np.ones(10)).layers
    assert spectrum.rank == np.linalg.matrix_rank(np.diag(values)) == 9


@pytest.mark.parametrize("head", [None, "softmax"])
def test_samples_in_parts_are_the_same_samples(monkeypatch, head):
    net = ln.MLP(random_net([5, 8, 4], "gelu", dtype="float64").layers, head=head)
    x = normal((7, 5), "float64")
    whole = ln.gradient_flow(net, x)
    module = importlib.import_module("laminet.analysis.gradient_flow")
    monkeypatch.setattr(module, "_CHUNK", 3 * 40)  # three samples at once
    parts = ln.gradient_flow(net, x)
    for got, want in zip(parts.layers + parts.products, whole.layers + whole.products, strict=True):
        np.testing.assert_allclose(got.singular_values, want.singular_values, rtol=1e-12)
        assert got.rank == want.rank


@pytest.mark.parametrize("layer", [0, 1])
def test_a_jacobian_that_is_not_finite_in_any_layer(layer):
    first, second = random_net([5, 4, 3], "identity", dtype="float64").layers
    broken = [first, second]
    weight = broken[layer].weight.copy()
    weight[1, 2] = np.inf
    broken[layer] = ln.Dense(weight)
    with pytest.raises(ValueError, match="not finite"):
        ln.gradient_flow(ln.MLP(broken), np.ones(5))


def test_the_picture_leaves_out_what_is_zero():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    flow = ln.gradient_flow(random_net([6, 2, 5], "tanh", dtype="float64"), normal(6, "float64"))
    flow.plot(axes)
    shown = [line.get_ydata() for line in axes.lines if line.get_marker() == "_"]
    assert sorted(len(values) for values in shown) == [2, 2, 2, 2]
    assert min(np.min(values) for values in shown) > 1e-6


def test_check_jacobian_takes_the_sample_that_the_network_sees():
    """2^24 + 1 is 2^24 in float32, where the kink is: half of the slope is on one side."""
    net = ln.MLP([ln.Dense(np.float32([[1]]), np.float32([-(2.0**24)]), "relu")])
    check = ln.check_jacobian(net, [2.0**24 + 1], step=0.25)
    assert (check.analytic, check.numerical, check.max_error) == (0, 0.5, 0.5)


# --- Networks of any layers -------------------------------------------------------------------


def test_layers_of_any_kind_multiply_to_the_networks_jacobian():
    net = network("float32", head="softmax")
    x = normal((6, 3), "float32")
    flow = ln.gradient_flow(net, x)
    exact = np.linalg.svd(reference.jacobian(net, x), compute_uv=False).mean(0)
    np.testing.assert_allclose(flow.network.singular_values, exact, rtol=1e-9, atol=1e-12)
    # The ninth is Dropout: nothing.
    numbers = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert [s.name for s in flow.layers] == [f"J{i}" for i in numbers]
    first = [f"softmax J11...J{i}" for i in numbers[:-1]]
    assert [s.name for s in flow.products] == [*first, "softmax J11"]
    assert [s.shape for s in flow.layers[:2]] == [(4, 3), (4, 4)]
    a = reference.trace(net, x).activations
    for i, spectrum in zip(numbers, flow.layers, strict=True):
        own = reference.jacobian([net.layers[i - 1]], a[i - 1])
        values = np.linalg.svd(own, compute_uv=False).mean(0)
        np.testing.assert_allclose(spectrum.singular_values, values, rtol=1e-6, atol=1e-6)


def test_a_residual_block_keeps_the_gradient():
    block = ln.Residual([ln.Dense(0.5 * np.eye(3))])
    flow = ln.gradient_flow(ln.MLP([block, ln.Dropout(0.5), block]), np.ones(3))
    assert [s.norm for s in flow.layers] == pytest.approx([1.5, 1.5])
    assert [s.name for s in flow.products] == ["J3...J1", "J3"]
    assert flow.network.norm == pytest.approx(2.25)


def test_the_picture_names_the_layers():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    block = ln.Residual([ln.Dense(0.5 * np.eye(3))])
    ln.gradient_flow(ln.MLP([block, ln.Dropout(0.5), block]), np.ones(3)).plot(axes)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3"]


def test_flow_of_nothing():
    with pytest.raises(ValueError, match="no layer but Dropout"):
        ln.gradient_flow(ln.MLP([ln.Dropout(0.5)], in_features=3), np.ones(3))
