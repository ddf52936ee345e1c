"""Layers of any kind as JSON, and the names of their arrays: what format 4 has of a network.

A layer is an object of its kind and the arguments of its constructor, with layers within layers; an
array is the word "tensor", and the tensor has the name of its place: that of
``net.layers[2].branches[0][1].weight`` is ``layers.2.branches.0.1.weight``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.layer import Layer
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.core.precision import as_precision
from laminet.files.safetensors_files import activations
from laminet.files.safetensors_files.header import fail, is_count, quoted, shortened

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.core.name_types import PrecisionName
    from laminet.files.checkpoint import Stored

__all__ = ["Tree", "tensor_name"]

Array = NDArray[Any]
Read = Callable[[Any, str], Any]

#: What a tensor is called in files, by the network's dtype.
DTYPES = {"float32": "F32", "float64": "F64"}
_TENSOR = "tensor"
_NOT_IN_JSON = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

# Brackets in a place. Layers within layers are made by functions that call themselves.
_DEEPEST = 64
# Nothing in the file confirms the widths of layers without arrays: a network of these makes no
# memory of them, but what multiplies widths would soon have no number for them.
_WIDEST = 2**31 - 1
# Columns that slices select take memory when the network is made, 36 bytes each.
_MOST_COLUMNS = 2**22


@dataclass(frozen=True)
class Tree:
    """What a network of any layers is beside the numbers in its arrays.

    Attributes
    ----------
    rows : list of dict
        The layers in JSON.
    in_features : int
    dtype : str
    precision : str
        That of the dtype, "bfloat16_weights" or "bfloat16".
    """

    rows: list[dict[str, Any]]
    in_features: int
    dtype: str
    precision: PrecisionName

    @classmethod
    def of(cls, net: MLP) -> tuple[Tree, dict[str, Array]]:
        """Return what a network is, and its arrays by name.

        Raises
        ------
        ValueError
            If `made` would refuse it.
        """
        arrays: dict[str, Array] = {}
        rows = _to_json(net.layers, "layers", arrays)
        _require_limits(net.layers, net.in_features)
        return cls(rows, net.in_features, net.dtype.name, net.precision), arrays

    @classmethod
    def from_json(cls, description: Mapping[str, Any], where: str) -> Tree:
        """Check all that can be checked without the arrays; raise FormatError."""
        dtype, features = description["dtype"], description["in_features"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            fail(f"{where}: dtype is {quoted(dtype)}; a network has float32 or float64")
        if not is_count(features) or not 1 <= features <= _WIDEST:
            fail(f"{where}: in_features is {quoted(features)}, not between 1 and {_WIDEST}")
        _planned_layers(description["layers"], "layers")
        try:
            precision = as_precision(description.get("precision"), np.dtype(dtype))
        except (ValueError, TypeError):
            fail(f"{where}: {quoted(description['precision'])} is no precision of {dtype}")
        return cls(description["layers"], features, dtype, precision)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        narrow = {"precision": self.precision} if self.narrow else {}
        told = {"dtype": self.dtype, **narrow, "in_features": self.in_features}
        return {**told, "layers": self.rows}

    @property
    def narrow(self) -> bool:
        """Whether the weights of dense layers are numbers of bfloat16."""
        return self.precision != self.dtype

    def made(self, tensors: Mapping[str, Stored]) -> tuple[list[Layer], set[str]]:
        """Return the layers, and the names of the tensors that they took; raise FormatError."""
        planned, taken = _planned_layers(self.rows, "layers"), set[str]()

        def made(value: Any) -> Any:
            if isinstance(value, _Planned):
                arguments = {name: made(part) for name, part in value.arguments.items()}
                try:
                    return value.kind(**arguments)
                except (ValueError, TypeError) as error:
                    fail(f"{_short(value.place)}: {error}")
            if isinstance(value, tuple):
                return tuple(map(made, value))
            if isinstance(value, _Held):
                taken.add(value.name)
                full = DTYPES[self.dtype]
                # Within other files than safetensors they are float32.
                weights = ("BF16", full) if self.narrow and value.axes == 2 else (full,)
                return value.read(tensors, weights)
            return value

        layers = [made(layer) for layer in planned]
        try:
            _require_limits(layers, self.in_features)
        except ValueError as error:
            fail(str(error))
        return layers, taken

    def same_kinds(self, other: Tree) -> bool:
        """Whether layers of the same kinds, with the same functions, are in the same places."""
        return bool(_kinds(self.rows) == _kinds(other.rows))


@dataclass(frozen=True)
class _Held:
    """An array, that is a tensor of so many axes."""

    name: str
    axes: int

    def read(self, tensors: Mapping[str, Stored], dtypes: tuple[str, ...]) -> Array:
        name = quoted(self.name)
        if self.name not in tensors:
            fail(f"tensor {name} is missing; the metadata names it")
        tensor = tensors[self.name]
        if tensor.dtype not in dtypes:
            fail(f"tensor {name}: is {tensor.dtype}; the network is {dtypes[0]}")
        if len(tensor.shape) != self.axes or 0 in tensor.shape:
            expected = "(features,)" if self.axes == 1 else "(out_features, in_features)"
            fail(f"tensor {name}: shape {quoted(list(tensor.shape))} is not {expected}")
        return tensor.read()


@dataclass(frozen=True)
class _Planned:
    """A layer to be made, once its arrays are read."""

    kind: type[Layer]
    place: str
    arguments: dict[str, Any]


def tensor_name(place: str) -> str:
    """Return the name of the tensor for an array of a layer: of layers[0].weight, layers.0.weight.

    It is what a state dict of PyTorch would call it.
    """
    return place.replace("[", ".").replace("]", "")


# --- To JSON -----------------------------------------------------------------------------------


def _layer_to_json(layer: Layer, place: str, arrays: dict[str, Array]) -> dict[str, Any]:
    if place.count("[") > _DEEPEST:
        raise ValueError(f"{_short(place)}: layers within layers within layers, too deep for files")
    if isinstance(layer, Activation):
        return {"kind": "Activation", **_function_to_json(layer)}
    for kind in type(layer).__mro__:
        if kind.__name__ in _KINDS and kind is _KINDS[kind.__name__][0]:
            fields = {f: _to_json(getattr(layer, f), f"{place}.{f}", arrays) for f in layer._fields}
            return {"kind": kind.__name__, **fields}
    raise ValueError(f"{_short(place)} is a {type(layer).__name__}, which has no place in files")


def _to_json(value: Any, place: str, arrays: dict[str, Array]) -> Any:
    """Return an argument of a layer's constructor."""
    if isinstance(value, np.ndarray):
        arrays[tensor_name(place)] = value
        return _TENSOR
    if isinstance(value, Activation):
        return _function_to_json(value)
    if isinstance(value, tuple):
        return [
            (_layer_to_json if isinstance(part, Layer) else _to_json)(part, f"{place}[{i}]", arrays)
            for i, part in enumerate(value)
        ]
    if isinstance(value, slice):
        ends = {name: getattr(value, name) for name in ("start", "stop", "step")}
        if not all(end is None or is_count(abs(end)) for end in ends.values()):
            raise ValueError(f"{_short(place)}: the slice has an end too large for files")
        return ends
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _function_to_json(activation: Activation) -> dict[str, Any]:
    return {"name": activation.name, **activations.parameters_to_json(activation)}


# --- From JSON ---------------------------------------------------------------------------------


def _planned_layers(rows: Any, place: str, least: int = 1) -> tuple[_Planned, ...]:
    if not isinstance(rows, list) or len(rows) < least:
        fail(f"{_short(place)} must be a list" + (" of one or more" if least else ""))
    return tuple(_planned(row, f"{place}[{i}]") for i, row in enumerate(rows))


def _planned(row: Any, place: str) -> Any:
    where = _short(place)
    if place.count("[") > _DEEPEST:
        fail(f"{where}: layers within layers within layers, too deep")
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str):
        fail(f"{where}: names no kind of layer")
    kind, arguments = row["kind"], {k: v for k, v in row.items() if k != "kind"}
    if kind == "Activation":
        return _function(arguments, place)
    if kind not in _KINDS:
        fail(f"{where}: unknown kind of layer {quoted(kind)}")
    make, fields = _KINDS[kind]
    if set(arguments) != set(fields):
        fail(f"{where}: a {kind} has {sorted(fields)}, not {quoted(sorted(arguments))}")
    read = {name: fields[name](value, f"{place}.{name}") for name, value in arguments.items()}
    return _Planned(make, place, read)


def _function(value: Any, place: str) -> Activation:
    if not isinstance(value, dict):
        fail(f"{_short(place)}: names no activation")
    parameters = {k: v for k, v in value.items() if k != "name"}
    return activations.from_json(value.get("name"), parameters, _short(place))


def _number(value: Any, place: str) -> float:
    if isinstance(value, str) and value in _NOT_IN_JSON:
        return _NOT_IN_JSON[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        fail(f"{_short(place)} is {quoted(value)}, not a number")
    if not abs(value) <= sys.float_info.max:
        fail(f"{_short(place)} is {quoted(value)}, too large for a float")
    return float(value)


def _vector(value: Any, place: str) -> _Held:
    return _array(value, place, 1)


def _matrix(value: Any, place: str) -> _Held:
    return _array(value, place, 2)


def _array(value: Any, place: str, axes: int) -> _Held:
    if value != _TENSOR:
        fail(f"{_short(place)} is {quoted(value)}, not {_TENSOR!r}")
    return _Held(tensor_name(place), axes)


def _number_or_vector(value: Any, place: str) -> Any:
    return _vector(value, place) if value == _TENSOR else _number(value, place)


def _or_none(read: Read) -> Read:
    return lambda value, place: None if value is None else read(value, place)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        fail(f"{_short(place)} is {quoted(value)}, not a text")
    return value


def _columns(value: Any, place: str) -> Any:
    def integer(end: Any) -> int:
        if isinstance(end, bool) or not isinstance(end, int) or not is_count(abs(end)):
            fail(f"{_short(place)}: {quoted(end)} is no index")
        return end

    if isinstance(value, dict) and set(value) == {"start", "stop", "step"}:
        return slice(*(None if value[k] is None else integer(value[k]) for k in value))
    if not isinstance(value, list):
        fail(f"{_short(place)} is {quoted(value)}, neither a list nor a slice")
    return tuple(map(integer, value))


def _branches(value: Any, place: str) -> Any:
    if not isinstance(value, list):
        fail(f"{_short(place)} must be a list of lists")
    return tuple(_planned_layers(rows, f"{place}[{b}]", least=0) for b, rows in enumerate(value))


# The kinds of layers, and how each argument of their constructors is read.
_KINDS: dict[str, tuple[type[Layer], dict[str, Read]]] = {
    "Dense": (
        Dense,
        {"weight": _matrix, "bias": _or_none(_vector), "activation": _function},
    ),
    "Rescale": (
        Rescale,
        {
            "scale": _number_or_vector,
            "shift": _number_or_vector,
            "low": _or_none(_number_or_vector),
            "high": _or_none(_number_or_vector),
        },
    ),
    "LayerNorm": (
        LayerNorm,
        {"weight": _or_none(_vector), "bias": _or_none(_vector), "eps": _number},
    ),
    "RMSNorm": (RMSNorm, {"weight": _or_none(_vector), "eps": _number}),
    "Select": (Select, {"columns": _columns}),
    "Parallel": (Parallel, {"branches": _branches, "join": _text}),
    "Residual": (Residual, {"layers": _planned_layers}),
    "Dropout": (Dropout, {"rate": _number}),
}


# --- Both --------------------------------------------------------------------------------------


def _require_limits(layers: Sequence[Layer], in_features: int) -> None:
    """Raise a ValueError where a file asks for more than any file has reason to."""
    selected = 0

    def after(series: Sequence[Layer], features: int) -> int:
        nonlocal selected
        columns: Sequence[int] | slice
        for layer in series:
            if isinstance(layer, Dense):
                features = layer.out_features
            elif isinstance(layer, Select):
                columns = layer.columns
                if isinstance(columns, slice):  # not by the layer itself: it lists them
                    columns = range(*columns.indices(features))
                    selected += len(columns)
                features = len(columns)
            elif isinstance(layer, Residual):
                after(layer.layers, features)
            elif isinstance(layer, Parallel):
                widths = [after(branch, features) for branch in layer.branches]
                features = sum(widths) if layer.join == "concat" else widths[0]
            if features > _WIDEST:
                raise ValueError(
                    f"a layer has more features than files can have: at most {_WIDEST}"
                )
        return features

    after(layers, in_features)
    if selected > _MOST_COLUMNS:
        raise ValueError(f"slices select {selected} columns; files can have {_MOST_COLUMNS}")


def _kinds(value: Any) -> Any:
    """Return JSON of layers without all numbers."""
    if isinstance(value, dict):
        kept = ("kind", "name", "activation", "layers", "branches", "join")
        return {key: _kinds(value[key]) for key in kept if key in value}
    return [_kinds(part) for part in value] if isinstance(value, list) else value


def _short(place: str) -> str:
    """Return a place for a message."""
    return shortened(place, 80)
