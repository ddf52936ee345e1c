"""What every kind of layer has; a test of a new one that fails says by its name what it lacks.

``python/README.md`` says where each part has its place.
"""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from layer_kinds import EXAMPLES, FEATURES, KINDS

import laminet as ln
from laminet import reference
from laminet.analysis.cost import LayerCost
from laminet.analysis.error_bound import error_bound
from laminet.core.layers.layer import Layer
from laminet.core.steps import Step, program_of
from laminet.files.safetensors_files import trees as files
from laminet.interop.onnx.writing import layers as onnx
from laminet.interop.pytorch import writer as torch

TOP = Path(__file__).resolve().parents[2]

#: Kept away from kinks: the samples have no zeros, and none of them is at a bound of a scale.
X = np.array([[0.25, -0.75, 1.25, -2.0], [1.75, 0.375, -0.3125, 0.875]])

each_kind = pytest.mark.parametrize("name", EXAMPLES)


def network(name: str) -> ln.MLP:
    return ln.MLP([EXAMPLES[name]], in_features=FEATURES, dtype="float64")


def test_every_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(KINDS), "layer_kinds.EXAMPLES"
    assert all(type(layer) is KINDS[name] for name, layer in EXAMPLES.items())


def test_every_kind_is_offered() -> None:
    def kinds_below(kind: type) -> set[str]:
        below = [one for sub in kind.__subclasses__() for one in kinds_below(sub)]
        return {*below, *([kind.__name__] if kind.__module__ == "laminet" else [])}

    assert set(KINDS) == kinds_below(Layer), "laminet/__init__.py"
    assert set(KINDS) <= set(ln.__all__), "laminet.__all__"


@each_kind
def test_it_is_a_value(name: str) -> None:
    layer, net = EXAMPLES[name], network(name)
    for again in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert again == layer
    assert hash(network(name)) == hash(net)
    assert repr(layer).startswith(f"{name}(")
    assert layer._brief() in repr(net)


@each_kind
def test_its_widths(name: str) -> None:
    """Networks find out by `_gives` and `_keeps_width` how many features they have."""
    layer = EXAMPLES[name]
    given = layer._gives(FEATURES, "", "")
    assert network(name).out_features == given
    assert reference.forward([layer], X).shape[1] == given
    takes = [layer.in_features] if layer.in_features else range(FEATURES, 4 * FEATURES, 2)
    same = all(layer._gives(n, "", "") == n for n in takes)
    assert same or not layer._keeps_width, "_keeps_width"


@each_kind
def test_its_ending(name: str) -> None:
    """What outputs end in decides what they may stand for: who lets it pass changes no number."""
    before = "sigmoid"
    if EXAMPLES[name]._ending(before) == before:
        x = 1 / (1 + np.exp(-X))
        assert np.isin(network(name)(x), x).all(), "_ending"


@each_kind
def test_the_reference(name: str) -> None:
    layer, net = EXAMPLES[name], network(name)
    bound = 64 * np.finfo(np.float64).eps
    y, slopes = reference.forward([layer], X), reference.jacobian([layer], X)
    assert np.abs(net(X) - y).max() <= bound * np.abs(y).max()
    assert np.abs(net.jacobian(X) - slopes).max() <= bound * max(1.0, np.abs(slopes).max())
    components = reference.forward_components([layer], X)
    assert np.abs(components - y).max() <= bound * np.abs(y).max(), "components"
    numerical = reference.numerical_jacobian([layer], X)
    # Central differences of steps of eps^(1/3) are off by as much squared, times third derivatives.
    assert np.abs(numerical - slopes).max() <= 1e-8


@each_kind
def test_files(name: str, tmp_path: Path) -> None:
    net = network(name)
    net.save(tmp_path / "net.safetensors")
    assert ln.load(tmp_path / "net.safetensors") == net
    # A chain of dense layers has a format of its own; within others each kind is written as such.
    within = ln.MLP([ln.Parallel([[EXAMPLES[name]]])], in_features=FEATURES, dtype="float64")
    within.save(tmp_path / "net.safetensors")
    assert ln.load(tmp_path / "net.safetensors") == within
    fields = files._KINDS[name][1] if name != "Activation" else KINDS[name]._fields
    assert set(fields) == set(KINDS[name]._fields), "trees._KINDS"


@each_kind
def test_widths_in_files(name: str, tmp_path: Path) -> None:
    """Files have limits, for which they count the features that layers without arrays give."""
    after = ln.Select(slice(None))
    net = ln.MLP([EXAMPLES[name], after], in_features=FEATURES, dtype="float64")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_MOST_COLUMNS", net.out_features)
        net.save(tmp_path / "net.safetensors")
        patch.setattr(files, "_MOST_COLUMNS", net.out_features - 1)
        with pytest.raises(ValueError, match=f"select {net.out_features} columns"):
            net.save(tmp_path / "net.safetensors")


@each_kind
def test_writers_know_it(name: str) -> None:
    """What they write is tested where the other libraries are: here only that nothing is left."""
    assert KINDS[name] in onnx._KINDS, "onnx/writing/layers.py"
    assert KINDS[name] in torch._KINDS, "pytorch/writer.py"


@each_kind
def test_it_is_shown(name: str) -> None:
    net = network(name)
    steps = [step for step in program_of(net).before_head if step.place != "output"]
    counts, summary, plan = ln.cost(net, 2), net.summary(), net.plan(2)
    assert summary.parameters == net.num_parameters
    assert {row.kind for row in plan.layers} == {row.kind for row in counts.layers}
    for step in steps:
        assert step.kind in {row.kind for row in summary.layers}
        for where, text in (("Step", Step.__doc__), ("LayerCost", LayerCost.__doc__)):
            assert f'``"{step.kind}"``' in re.sub(r"\s+", " ", text or ""), f"{where}: kind"
    for operation in ("forward", "vjp", "jacobian", "gradients"):
        assert ln.cost(net, 2, operation).flops >= counts.flops
    assert np.array_equal(net.trace(X).activations[-1], net(X))


@each_kind
def test_error_bound_bounds_or_refuses_it(name: str) -> None:
    net = network(name)
    try:
        shape = error_bound(net, X).shape
    except ValueError:  # in words; a kind that its table does not have is a KeyError
        shape = net(X).shape
    assert shape == net(X).shape


@each_kind
def test_dtypes(name: str) -> None:
    (layer,) = ln.MLP([EXAMPLES[name]], in_features=FEATURES, dtype="float32").layers
    assert layer.dtype == (None if EXAMPLES[name].dtype is None else np.float32), "_rounded"


@each_kind
def test_prose_names_it(name: str) -> None:
    assert f"`{name}`" in (ln.MLP.__doc__ or ""), "MLP's docstring"
    assert f"`{name}`" in (TOP / "CHANGELOG.md").read_text() or name == "Dense", "CHANGELOG.md"
    assert (KINDS[name].__doc__ or "").count(">>> ") >= 2, "an example"
