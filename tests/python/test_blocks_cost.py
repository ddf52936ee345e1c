"""What networks of any layers cost: counts against the formulas carried out, and what runs."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import trees
from every_layer import network
from test_blocks_models import ensemble, nerf, simba, twin_critics
from trees import Draw
from variants import normal

import laminet as ln
from laminet.core.layers.tree import walk

F4 = np.dtype(np.float32)
MODELS = {"simba": simba, "nerf": nerf, "twins": twin_critics, "ten": ensemble("mean")}


class Counted:
    """Counts the operations of layers of ``n`` features, by their formulas.

    An activation and its slope count as one operation an element.
    """

    def __init__(self) -> None:
        self.flops = 0

    def forward(self, layers, n: int) -> int:
        for layer in layers:
            own = self.value(layer, n)  # which adds up what is within
            self.flops += own
            n = layer._gives(n, "", "")
        return n

    def value(self, layer, n: int) -> int:
        if isinstance(layer, ln.Dense):
            m = layer.out_features
            return 2 * n * m + m * (layer.bias is not None) + self.value(layer.activation, m)
        if isinstance(layer, ln.Activation):
            return n * (layer.name != "identity")
        if isinstance(layer, ln.Rescale):
            return 2 * n + 2 * n * clips(layer)
        if isinstance(layer, (ln.LayerNorm, ln.RMSNorm)):
            bias = getattr(layer, "bias", None)
            parameters = n * (layer.weight is not None) + n * (bias is not None)
            mean = n + 1 + n if isinstance(layer, ln.LayerNorm) else 0  # and x - mean
            # The squares, their sum, its division, eps, root, and the division by it.
            return mean + n + n + 1 + 1 + 1 + n + parameters
        if isinstance(layer, ln.Residual):
            return self.forward(layer.layers, n)  # as many as are added
        if isinstance(layer, ln.Parallel):
            widths = [self.forward(branch, n) for branch in layer.branches]
            if layer.join == "concat" or len(widths) == 1:
                return 0
            return (len(widths) - 1) * widths[0] + (widths[0] if layer.join == "mean" else 0)
        assert isinstance(layer, (ln.Select, ln.Dropout)), layer
        return 0


def clips(layer: ln.Rescale) -> bool:
    return layer.low is not None or layer.high is not None


class Back(Counted):
    """Of the way back of one row of gradients, with the slopes, after a forward pass."""

    def __init__(self, *, parameters: bool) -> None:
        super().__init__()
        self.parameters = parameters

    def value(self, layer, n: int) -> int:
        if isinstance(layer, ln.Dense):
            m = layer.out_features
            own = 2 * n * m + m * (layer.bias is not None) if self.parameters else 0
            return 2 * n * m + own + self.value(layer.activation, m)
        if isinstance(layer, ln.Activation):
            return 2 * n * (layer.name != "identity")  # the slope, the product with it
        if isinstance(layer, ln.Rescale):
            return n + n * clips(layer)
        if isinstance(layer, (ln.LayerNorm, ln.RMSNorm)):
            weight, bias = layer.weight is not None, getattr(layer, "bias", None) is not None
            own = 2 * n * weight + n * bias if self.parameters else 0
            mean = n + 1 + n if isinstance(layer, ln.LayerNorm) else 0
            # g w; the mean of g y; y times that, the difference, the division.
            return own + n * weight + mean + 2 * n + 1 + 3 * n
        if isinstance(layer, ln.Residual):
            return self.forward(layer.layers, n)  # two gradients of as many are added
        if isinstance(layer, ln.Parallel):
            widths = [self.forward(branch, n) for branch in layer.branches]
            scaled = widths[0] if layer.join == "mean" and len(widths) > 1 else 0
            # Branches that run as one product add up their gradients within it.
            return scaled + (0 if alike(layer.branches) else (len(widths) - 1) * n)
        assert isinstance(layer, (ln.Select, ln.Dropout)), layer
        return 0


def shapes(layers) -> list:
    """What branches have equal that run as one."""
    found = []
    for layer in layers:
        if isinstance(layer, ln.Dense):
            found.append((layer.weight.shape, layer.bias is None, str(layer.activation)))
        elif isinstance(layer, (ln.LayerNorm, ln.RMSNorm)):
            bias = getattr(layer, "bias", None)
            found.append((type(layer), layer.eps, layer.weight is None, bias is None))
        elif isinstance(layer, ln.Residual):
            found.append(shapes(layer.layers))
        elif isinstance(layer, ln.Parallel):
            found.append(object())  # none is equal to another
        elif not isinstance(layer, ln.Dropout):
            found.append(layer._brief())
    return found


def alike(branches) -> bool:
    whole = [shapes(branch) for branch in branches]
    first = next((x for x in branches[0] if not isinstance(x, ln.Dropout)), None)
    return len(branches) > 1 and isinstance(first, ln.Dense) and all(w == whole[0] for w in whole)


def drawn(seed: int, monkeypatch: pytest.MonkeyPatch) -> ln.MLP:
    """A network whose layers read whole results: of parts, not all gradients meet others."""
    monkeypatch.setattr(trees, "KINDS", tuple(k for k in trees.KINDS if k != "select"))
    return Draw(np.random.default_rng(seed), F4).network()


@pytest.mark.parametrize("seed", range(60))
def test_forward_counts_are_those_of_the_formulas(seed: int) -> None:
    net = Draw(np.random.default_rng(seed), F4).network()
    counted = Counted()
    counted.forward(net.layers, net.in_features)
    counts = ln.cost(net, 3)
    assert counts.flops == 3 * counted.flops
    assert sum(row.matmul_flops for row in counts.layers) == 6 * sum(
        leaf.weight.size for _, leaf in walk(net.layers) if isinstance(leaf, ln.Dense)
    )
    assert [row.blas_level == 1 for row in counts.layers] == [
        row.matmul_flops == 0 for row in counts.layers
    ]


@pytest.mark.parametrize("operation", ["vjp", "gradients"])
@pytest.mark.parametrize("seed", range(60))
def test_derivatives_counts_are_those_of_the_formulas(
    seed: int, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = drawn(seed, monkeypatch)
    back = Back(parameters=operation == "gradients")
    back.forward(net.layers, net.in_features)
    forward = ln.cost(net, 5)
    assert ln.cost(net, 5, operation).flops - forward.flops == 5 * back.flops


def test_jacobians_count_each_row() -> None:
    """3 -> 4 -> (4 -> 6 -> 4) + x -> 2: two rows back, after a copy of the last weights."""
    block = [
        ln.LayerNorm(np.ones(4, F4), np.ones(4, F4)),
        ln.Dense(normal((6, 4), F4), None, "tanh"),
        ln.Dense(normal((4, 6), F4)),
    ]
    ends = ln.Dense(normal((4, 3), F4)), ln.Dense(normal((2, 4), F4), None, "tanh")
    net = ln.MLP([ends[0], ln.Residual(block), ends[1]])
    counts, forward = ln.cost(net, 5, "jacobian"), ln.cost(net, 5)
    assert (counts.mode, forward.mode) == ("reverse", None)
    extra = [
        (a.place, a.matmul_flops - b.matmul_flops, a.flops - b.flops, a.blas_level)
        for a, b in zip(counts.layers, forward.layers, strict=True)
    ]
    assert extra == [
        ("1", 5 * 2 * 24, 5 * 2 * 24, 3),
        ("2.1", 0, 5 * 2 * (8 * 4 + 2 + 4), 1),  # and the gradient of x beside the block's
        ("2.2", 5 * 2 * 48, 5 * (2 * 48 + 6 + 2 * 6), 3),
        ("2.3", 5 * 2 * 48, 5 * 2 * 48, 3),
        ("3", 0, 5 * (2 + 8), 3),
    ]


def test_a_jacobian_of_few_inputs_goes_forward() -> None:
    wide = [ln.Dense(normal((7, 2), F4), None, "tanh"), ln.RMSNorm()]
    net = ln.MLP([*wide, ln.Parallel([[], [ln.Dense(normal((7, 7), F4))]], "sum")])
    counts, forward = ln.cost(net, 1, "jacobian"), ln.cost(net, 1)
    assert counts.mode == "forward"
    extra = [a.flops - b.flops for a, b in zip(counts.layers, forward.layers, strict=True)]
    # The slopes and their product with the weights; two tangents each; the sum of two.
    assert extra == [7 + 14, 2 * (5 * 7 + 1), 0, 2 * 2 * 49, 2 * 7]


def test_bytes_of_each_kind_of_layer() -> None:
    """Numbers of a sample that are read and written; arrays that are read once."""
    ones = np.ones(4, F4)
    net = ln.MLP(
        [
            ln.Rescale(2.0, ones, -1.0, 1.0),
            ln.LayerNorm(ones, ones),
            ln.Activation("leaky_relu", alpha=ones),
            ln.Select([3, 0, 1, 1]),
            ln.Residual([ln.Dense(np.ones((4, 4), F4), ones)]),
            ln.Parallel([[], [ln.RMSNorm(ones)]], "mean"),
        ]
    )

    def moved(operation: str) -> list[tuple[int, ...]]:
        found = []
        for row in ln.cost(net, 1, operation).layers:
            arrays = row.input_bytes, row.output_bytes, row.weight_bytes, row.bias_bytes
            assert row.bytes == sum(arrays)
            found.append(tuple(n // 4 for n in arrays))
        return found

    kinds = [(row.kind, row.place) for row in ln.cost(net).layers]
    assert kinds == [
        ("rescale", "1"),
        ("layer norm", "2"),
        ("activation", "3"),
        ("select", "4"),
        ("dense", "5.1"),
        ("copy", "6.1"),
        ("rms norm", "6.2.1"),
        ("mean", "6"),
    ]
    assert moved("forward") == [
        (4, 4, 16, 0),
        (4, 4, 4, 4),
        (4, 4, 4, 0),
        (4, 4, 0, 0),
        (8, 4, 16, 4),
        (4, 4, 0, 0),
        (4, 4, 4, 0),
        (8, 4, 0, 0),
    ]
    assert moved("vjp") == [
        (4 + 4 + 4, 8, 16, 0),  # the slopes, the gradient
        (4 + 5 + 4, 8, 8, 4),  # what is normalized and 1 / deviation
        (4 + 4 + 4, 8, 4, 0),
        (4 + 4 + 1, 4 + 4, 0, 0),  # one column was taken twice
        (8 + 4 + 4, 4 + 8, 32, 4),  # x's gradient from the product, beside what is passed on
        (4 + 4 + 4, 8, 0, 0),
        (4 + 5 + 4, 8, 8, 0),
        (8 + 4, 4 + 8, 0, 0),
    ]
    pairs = zip(moved("gradients"), moved("vjp"), strict=True)
    extra = [tuple(np.subtract(a, b).tolist()) for a, b in pairs]
    nothing = (0, 0, 0, 0)
    assert extra == [
        *(nothing, (8, 8, 0, 0), nothing, nothing),
        *((8, 20, 0, 0), nothing, (8, 4, 0, 0), nothing),
    ]


@pytest.mark.parametrize("name", MODELS)
def test_results_add_up(name: str) -> None:
    net = MODELS[name](F4)
    summary = net.summary()
    assert summary.parameters == net.num_parameters
    assert summary.flops == ln.cost(net).flops
    for operation in ("forward", "vjp", "gradients", "jacobian"):
        counts = ln.cost(net, 3, operation)
        assert counts.flops == sum(row.flops for row in counts.layers)
        assert counts.bytes == sum(row.bytes for row in counts.layers)
        assert json.loads(json.dumps(counts.to_dict()))["flops"] == counts.flops
    for result in (summary, ln.cost(net), net.plan(3)):
        assert pickle.loads(pickle.dumps(result)) == result


def test_places_of_nested_layers() -> None:
    summary = nerf(F4).summary()
    trunk = [*(f"1.1.2.2.{i}" for i in range(1, 6)), "1.1.3", "1.1.4", "1.1.5", "1.1.6, 1.1.7"]
    assert [row.place for row in summary.layers] == [
        *("1.1.1", "1.1.2.1", *trunk, "1.2.1", "1.2"),
        *("2.1.1", "2.1.2", "2.2.1", "2.2.2"),
    ]
    assert [row.index for row in summary.layers] == list(range(1, 18))
    # Columns side by side are read where they are; the view stands beside what is made.
    assert [row.kind for row in summary.layers if row.kind != "dense"] == [
        *("select 0:63", "copy", "select 63:90", "copy", "select 0:64"),
    ]


def test_layers_that_are_nothing_are_shown_and_counted_over() -> None:
    """What the core is not told of has a number, too; copies may have it at other places."""
    dense = ln.Dense(np.ones((3, 3), F4))
    branches = [[ln.Dropout(0.1), dense, ln.LayerNorm()], [dense, ln.Dropout(0.2), ln.LayerNorm()]]
    net = ln.MLP([ln.Dropout(0.5), ln.Parallel(branches), ln.Residual([ln.Dropout(0.3)])])
    rows = [(row.place, row.kind, row.copies, row.flops > 0) for row in net.summary().layers]
    assert rows == [
        ("1", "dropout 0.5", 1, False),
        ("2.*.1", "dropout 0.1", 1, False),
        ("2.*.2", "dense", 2, True),
        ("2.*.3", "layer norm", 2, True),
        ("3.1", "dropout 0.3", 1, False),
        ("3", "sum", 1, True),
    ]
    only = ln.MLP([ln.Dropout(0.5)], in_features=3)
    assert [(row.place, row.kind, row.flops) for row in ln.cost(only).layers] == [
        ("output", "activation", 0)
    ]
    assert only.summary().layers[0].kind == "dropout 0.5"


def test_a_function_after_a_layer_is_part_of_it() -> None:
    dense, relu = ln.Dense(np.ones((3, 3), F4)), ln.Activation("relu")
    block = ln.Residual([dense])
    net = ln.MLP([dense, relu, block, relu, ln.Residual([ln.LayerNorm()]), relu])
    rows = [(row.place, row.kind, row.activation) for row in ln.cost(net).layers]
    assert rows == [
        ("1, 2", "dense", "relu"),
        ("3.1, 4", "dense", "relu"),
        ("5.1", "layer norm", ""),
        ("5", "sum", ""),
        ("6", "activation", "relu"),
    ]
    assert [row.place for row in net.summary().layers] == [place for place, *_ in rows]
    assert [row.place for row in net.plan().layers] == [place for place, *_ in rows]


def test_tables_of_any_layers() -> None:
    net = network(head="softmax")
    flops, traffic = ln.cost(net, 4).tables()
    assert flops.rows[0] == (
        *("layer", "kind", "shape", "activation"),
        *("matmul", "bias", "activation", "other", "FLOPs"),
    )
    assert flops.rows[3] == (*("3", "layer norm", "4 -> 4", "", "0", "16", "0", "112", "128"),)
    assert flops.rows[-2] == ("head", *[""] * 7, "20")
    assert traffic.rows[3][:3] == ("3", "layer norm", "1")
    assert [len(row) for row in (*flops.rows, *traffic.rows)] == [9] * 15 + [7] * 14
    table = net.summary().tables()[0]
    assert table.rows[1] == ("1", "dense", "(4, 3)", "(4,)", "tanh", "16", "32")
    assert table.rows[-2] == ("head", "", "", "", "softmax", "", "5")
    assert ">layer norm</td>" in net._repr_html_()
    assert ln.cost(net).head_flops == 5


def test_dense_layers_within_others_are_no_chain() -> None:
    dense = ln.Dense(np.ones((3, 3), F4))
    net = ln.MLP([dense, ln.Residual([dense])])
    for result in (net.summary(), ln.cost(net), net.plan()):
        rows = result.tables()[0].rows
        assert (rows[1][:2], rows[2][:2]) == (("1", "dense"), ("2.1", "dense"))


def test_a_chain_of_functions_by_unit_is_shown_as_one() -> None:
    unit = ln.Activation("leaky_relu", alpha=[0.5])
    net = ln.MLP([ln.Dense(np.ones((1, 3), F4), None, unit)])
    assert "kind" not in str(net.summary()) + str(ln.cost(net)) + str(net.plan())
    (row,) = ln.cost(net).layers
    assert (row.activation_flops, row.weight_bytes) == (1, 4 * (3 + 1))
