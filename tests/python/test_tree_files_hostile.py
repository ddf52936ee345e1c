"""Files that describe a network of any layers wrongly: each is refused in words."""

from __future__ import annotations

import copy
import json
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tree_files import again, every_kind, parts, within

import laminet as ln

DENSE = {"kind": "Dense", "weight": "tensor", "bias": None, "activation": {"name": "relu"}}
WEIGHT = np.ones((3, 3), "float32")
SOUND = {
    "format": 4,
    "dtype": "float32",
    "in_features": 3,
    "layers": [
        {"kind": "Residual", "layers": [DENSE]},
        {"kind": "LayerNorm", "weight": "tensor", "bias": None, "eps": 0.5},
    ],
}
TENSORS = {"layers.0.layers.0.weight": WEIGHT, "layers.1.weight": WEIGHT[0]}

DOUBLES = {name: array.astype("f8") for name, array in TENSORS.items()}


def written(tmp_path, description: Any, tensors: Any = TENSORS):
    text = description if isinstance(description, str) else json.dumps(description)
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, {"laminet": text}))
    return path


def refused(tmp_path, description: Any, tensors: Any = TENSORS) -> str:
    path = written(tmp_path, description, tensors)
    with pytest.raises(ln.FormatError) as caught:
        ln.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert len(text) < len(str(path)) + 300
    return text


def changed(**values: Any) -> dict[str, Any]:
    return {**SOUND, **values}


def one(row: Any) -> dict[str, Any]:
    return changed(layers=[*SOUND["layers"], row])


def test_large_integers_are_numbers(tmp_path):
    for alpha in ([1, 2**64, 10**300], [-(2**70), 0, 1]):
        net = ln.load(written(tmp_path, gate(alpha=alpha) | {"dtype": "float64"}, DOUBLES))
        assert net.layers[2].alpha.tolist() == [float(a) for a in alpha]
        assert again(net, tmp_path) == net


def test_the_sound_file_is_read(tmp_path):
    net = ln.load(written(tmp_path, SOUND))
    residual = ln.Residual([ln.Dense(WEIGHT, activation="relu")])
    assert net == ln.MLP([residual, ln.LayerNorm(WEIGHT[0], eps=0.5)])


def dropped(key: str) -> dict[str, Any]:
    return {k: v for k, v in SOUND.items() if k != key}


def gate(**parameters: Any) -> dict[str, Any]:
    return one({"kind": "Activation", "name": "leaky_relu", **parameters})


def norm(**values: Any) -> dict[str, Any]:
    return one({"kind": "RMSNorm", "weight": None, "eps": 1.0, **values})


def scale(**values: Any) -> dict[str, Any]:
    row = {"kind": "Rescale", "scale": 1.0, "shift": 0.0, "low": None, "high": None}
    return one({**row, **values})


def select(columns: Any) -> dict[str, Any]:
    return one({"kind": "Select", "columns": columns})


def side_by_side(branches: Any, join: Any = "concat") -> dict[str, Any]:
    return one({"kind": "Parallel", "branches": branches, "join": join})


def nested(depth: int) -> dict[str, Any]:
    row: Any = {"kind": "Dropout", "rate": 0.0}
    for _ in range(depth):
        row = {"kind": "Residual", "layers": [row]}
    return one(row)


SLICE = {"start": None, "stop": None, "step": None}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (dropped("dtype"), "is not of the form that format 4 has"),
        (dropped("in_features"), "is not of the form that format 4 has"),
        (changed(task="regressor"), "is not of the form that format 4 has"),
        (changed(format=3), "is not of the form that format 3 has"),
        (changed(format=5), "is not of the form that format 5 has"),
        (changed(format=6), "format 6 is of a later laminet; this one reads up to 5"),
        (changed(dtype="float16"), "dtype is 'float16'; a network has float32 or float64"),
        (changed(dtype=["float32"]), "dtype is ['float32']"),
        (changed(in_features=0), "in_features is 0, not between 1 and"),
        (changed(in_features=True), "in_features is True"),
        (changed(in_features=3.0), "in_features is 3.0"),
        (changed(in_features=2**31), "in_features is 2147483648"),
        (changed(in_features=10**400), "in_features is 1000"),
        (changed(in_features=4), "layers[0].layers[0] takes 3 features, in_features is 4"),
        (changed(head="tanh"), "unknown head 'tanh'"),
        (changed(feature_names=["a"]), "feature_names has 1 names, the network takes 3"),
        (changed(layers=[]), "layers must be a list of one or more"),
        (changed(layers={}), "layers must be a list of one or more"),
        (changed(layers=["relu"]), "layers[0]: names no kind of layer"),
        (one({"name": "relu"}), "layers[2]: names no kind of layer"),
        (one({"kind": ["Dense"]}), "layers[2]: names no kind of layer"),
        (one({"kind": "Layer"}), "layers[2]: unknown kind of layer 'Layer'"),
        (one({"kind": "x" * 10_000}), "layers[2]: unknown kind of layer 'xxx"),
        (one({"kind": "\x1b[31m"}), r"unknown kind of layer '\x1b[31m'"),
        (one({"kind": "Dropout"}), "layers[2]: a Dropout has ['rate'], not []"),
        (one({"kind": "Dropout", "rate": 0, "p": 1}), "has ['rate'], not ['p', 'rate']"),
        (one({"kind": "Dropout", "rate": 1}), "layers[2]: rate must be at least 0 and less than 1"),
        (one({"kind": "Dropout", "rate": "nan"}), "layers[2]: rate must be at least 0"),
        (one({"kind": "Dropout", "rate": None}), "layers[2].rate is None, not a number"),
        (one({"kind": "Dropout", "rate": True}), "layers[2].rate is True, not a number"),
        (one({"kind": "Dropout", "rate": "tensor"}), "layers[2].rate is 'tensor', not a number"),
        (one({"kind": "Dropout", "rate": 10**400}), "layers[2].rate is 1000"),
        (one({"kind": "Activation"}), "layers[2]: names no activation"),
        (one({"kind": "Activation", "name": ["relu"]}), "layers[2]: names no activation"),
        (one({"kind": "Activation", "name": "swoosh"}), "layers[2]: unknown activation 'swoosh'"),
        (gate(), "'leaky_relu' has the parameters ['alpha'], not []"),
        (gate(alpha=0.1, beta=1.0), "has the parameters ['alpha'], not ['alpha', 'beta']"),
        (gate(alpha="tensor"), "'alpha' is 'tensor', not a number"),
        (gate(alpha=[]), "layers[2]: alpha must be a number or have shape (units,)"),
        (gate(alpha=[0.1, True, 0.2]), "'alpha' is True, not a number"),
        (gate(alpha=[[0.1], 0.1, 0.2]), "'alpha' is [0.1], not a number"),
        (gate(alpha=[0.1, 10**400, 0.2]), "not a finite number"),
        (gate(alpha=[0.1, 0.2]), "layers[2] takes 2 features, layers[1] gives 3"),
        (one({**DENSE, "weight": None}), "layers[2].weight is None, not 'tensor'"),
        (one({**DENSE, "weight": [[1.0]]}), "layers[2].weight is [[1.0]], not 'tensor'"),
        (one({**DENSE, "bias": 1.0}), "layers[2].bias is 1.0, not 'tensor'"),
        (one({**DENSE, "activation": "relu"}), "layers[2].activation: names no activation"),
        (one({**DENSE, "activation": None}), "layers[2].activation: names no activation"),
        (one(DENSE), "tensor 'layers.2.weight' is missing; the metadata names it"),
        (norm(eps=-1.0), "layers[2]: eps must be a finite number of at least 0, got -1.0"),
        (norm(eps="nan"), "layers[2]: eps must be a finite number"),
        (norm(eps="inf"), "layers[2]: eps must be a finite number"),
        (norm(eps="tensor"), "layers[2].eps is 'tensor', not a number"),
        (norm(weight=1.0), "layers[2].weight is 1.0, not 'tensor'"),
        (scale(scale=None), "layers[2].scale is None, not a number"),
        (scale(scale=[1.0, 2.0, 3.0]), "layers[2].scale is [1.0, 2.0, 3.0], not a number"),
        (scale(low="nan"), "layers[2]: low must be a number or infinity, got NaN"),
        (scale(low=1.0, high=0.0), "layers[2]: low must not be above high"),
        (scale(high="Infinity"), "layers[2].high is 'Infinity', not a number"),
        (scale(shift="tensor"), "tensor 'layers.2.shift' is missing"),
        (select([]), "layers[2]: columns is empty"),
        (select([3]), "layers[2] selects column 3 of 3"),
        (select([0.0]), "layers[2].columns: 0.0 is no index"),
        (select([False]), "layers[2].columns: False is no index"),
        (select([2**63]), "layers[2].columns: 9223372036854775808 is no index"),
        (select("tensor"), "layers[2].columns is 'tensor', neither a list nor a slice"),
        (select({"start": 0}), "neither a list nor a slice"),
        (select({**SLICE, "step": 0}), "layers[2]: the step of the slice is 0"),
        (select({**SLICE, "stop": "3"}), "layers[2].columns: '3' is no index"),
        (select({**SLICE, "start": 3}), "layers[2] selects no columns of 3"),
        (side_by_side([]), "layers[2]: branches is empty"),
        (side_by_side({}), "layers[2].branches must be a list of lists"),
        (side_by_side([{}]), "layers[2].branches[0] must be a list"),
        (side_by_side([[]], "stack"), "layers[2]: unknown join 'stack'"),
        (side_by_side([[]], None), "layers[2].join is None, not a text"),
        (side_by_side([[], [DENSE]]), "tensor 'layers.2.branches.1.0.weight' is missing"),
        (
            side_by_side([[], [{"kind": "Select", "columns": [0]}]], "sum"),
            "layers[2].branches[1] gives 1 features, layers[2].branches[0] gives 3",
        ),
        (one({"kind": "Residual", "layers": []}), "layers[2].layers must be a list of one or more"),
        (
            one({"kind": "Residual", "layers": [{"kind": "Select", "columns": [0]}]}),
            "layers[2] makes 1 features of 3",
        ),
        (nested(64), "layers within layers within layers, too deep"),
        (nested(150), "layers within layers within layers, too deep"),
        (
            changed(layers=[{"kind": "Parallel", "branches": [[], []], "join": "concat"}] * 31),
            "a layer has more features than files can have: at most 2147483647",
        ),
        (
            changed(in_features=2**31 - 1, layers=[{"kind": "Select", "columns": SLICE}]),
            "slices select 2147483647 columns; files can have 4194304",
        ),
        (json.dumps(SOUND).replace("0.5", "NaN"), "NaN is not a JSON number"),
        (json.dumps(SOUND).replace("0.5", "1e999"), "layers[1].eps is inf, too large for a float"),
        (json.dumps(SOUND).replace("0.5", "9" * 5000), "not JSON"),
        (
            json.dumps(SOUND).replace('"eps"', '"eps": 1.0, "eps"'),
            "the key 'eps' appears twice",
        ),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(SOUND) + " " * 2**24, "at most 16777216 are accepted"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) and len(value) < 1000 else "",
)
def test_a_wrong_description(tmp_path, description, message):
    assert message in refused(tmp_path, description)


def test_a_place_deep_within_is_named_by_its_ends(tmp_path):
    text = refused(tmp_path, json.loads(json.dumps(nested(50)).replace('"rate"', '"p"')))
    place = text.split(": ")[1]
    assert place.startswith("layers[2].layers[0].")
    assert place.endswith(".layers[0].layers[0]")
    assert "..." in place
    assert len(place) <= 80
    misfit = json.dumps(nested(50)).replace('"Dropout", "rate": 0.0', '"Select", "columns": [0]')
    assert "makes 1 features of 3" in refused(tmp_path, misfit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.1.weight": None}, "tensor 'layers.1.weight' is missing; the metadata names it"),
        ({"layers.1.bias": WEIGHT[0]}, "tensor 'layers.1.bias' belongs to none of the 2 layers"),
        ({"more": WEIGHT}, "tensor 'more' belongs to none of the 2 layers"),
        ({"layers.1.weight": WEIGHT}, "shape [3, 3] is not (features,)"),
        ({"layers.1.weight": WEIGHT[0, 0][...]}, "shape [] is not (features,)"),
        ({"layers.1.weight": WEIGHT[0, :2]}, "layers[1] takes 2 features, layers[0] gives 3"),
        ({"layers.1.weight": WEIGHT[0, :0]}, "shape [0] is not (features,)"),
        ({"layers.0.layers.0.weight": WEIGHT[0]}, "shape [3] is not (out_features, in_features)"),
        ({"layers.0.layers.0.weight": WEIGHT[:2]}, "layers[0] makes 2 features of 3"),
        ({"layers.0.layers.0.weight": WEIGHT[:0]}, "shape [0, 3] is not (out_features"),
        ({"layers.1.weight": WEIGHT[0].astype("f8")}, "is F64; the network is F32"),
        ({"layers.1.weight": WEIGHT[0].astype("f2")}, "is F16; the network is F32"),
        ({k: v.astype("f8") for k, v in TENSORS.items()}, "is F64; the network is F32"),
        ({"layers.1.weight": WEIGHT[0].astype("i8")}, "dtype is 'I64'"),
    ],
)
def test_wrong_tensors(tmp_path, change, message):
    tensors = {k: v for k, v in {**TENSORS, **change}.items() if v is not None}
    assert message in refused(tmp_path, SOUND, tensors)


def test_a_small_file_takes_little_memory(tmp_path):
    """Whatever it claims: columns of slices, features of layers without arrays, layers."""
    wide = changed(in_features=2**31 - 1, layers=[{"kind": "Select", "columns": SLICE}] * 9)
    doubled = changed(layers=[{"kind": "Parallel", "branches": [[]] * 99, "join": "concat"}] * 99)
    for description in (wide, doubled):
        refused(tmp_path, description, {})
        tracemalloc.start()
        try:
            refused(tmp_path, description, {})
            assert tracemalloc.get_traced_memory()[1] < 4 * 10**6
        finally:
            tracemalloc.stop()


def test_from_deep_within_a_program(tmp_path):
    """Where Python's own limit is near, a file is refused in words, or it ends as any call does."""
    within(63).save(tmp_path / "net.safetensors")

    def outcome(depth):
        if depth > 0:
            return outcome(depth - 1)
        try:
            return ln.load(tmp_path / "net.safetensors") == within(63)
        except ln.FormatError as error:
            return str(error)
        except RecursionError:
            return "no room"

    found = {outcome(depth) for depth in range(0, sys.getrecursionlimit() - 150, 5)}
    refusals = [text for text in found - {True, "no room"} if isinstance(text, str)]
    assert True in found
    assert any("too deep for where this is called" in text for text in refusals)
    assert all("too deep" in text for text in refusals)


def values_in(part: Any) -> list[tuple[Any, Any]]:
    """Every container in JSON, with each of its keys."""
    keys = part.keys() if isinstance(part, dict) else range(len(part))
    found = [(part, key) for key in keys]
    for key in keys:
        if isinstance(part[key], (dict, list)):
            found += values_in(part[key])
    return found


def test_changes_give_a_format_error_or_a_network(tmp_path):
    net = every_kind()
    net.save(tmp_path / "net.safetensors")
    description, tensors = parts(tmp_path / "net.safetensors")
    replacements = [None, True, 0, 1, -3, 2.5, "", "tensor", "inf", "nan", [], {}, [1], [[]], 2**40]
    outcomes = {"read": 0, "refused": 0}
    for index in range(len(values_in(description))):
        for replacement in [*replacements, "gone"]:
            copied = copy.deepcopy(description)
            container, key = values_in(copied)[index]
            if replacement == "gone":
                del container[key]
            else:
                container[key] = replacement
            try:
                other = ln.load(written(tmp_path, copied, tensors))
            except ln.FormatError:
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1
                with np.errstate(all="ignore"):
                    assert other(np.ones(other.in_features, "f4")).shape == (other.out_features,)
    assert outcomes["refused"] > 1000
    assert outcomes["read"] > 50
