"""Chains of dense layers: what formats 1 to 3 have of them beside the numbers in their arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from laminet.core.layers.dense import Dense
from laminet.files.safetensors_files import activations
from laminet.files.safetensors_files.header import fail, quoted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.activation import Activation
    from laminet.core.layers.dense_like import DenseLike
    from laminet.files.checkpoint import Stored

__all__ = ["arrays", "from_json", "made", "to_json"]


def arrays(layers: Iterable[DenseLike]) -> dict[str, NDArray[Any]]:
    """Return weights and biases by the names of their tensors."""
    found = {}
    for index, layer in enumerate(layers):
        found[f"{index}.weight"] = layer.weight
        if layer.bias is not None:
            found[f"{index}.bias"] = layer.bias
    return found


def to_json(functions: Iterable[Activation]) -> list[dict[str, Any]]:
    """Return what `from_json` reads."""
    return [{"activation": f.name, **activations.parameters_to_json(f)} for f in functions]


def from_json(rows: Any, where: str) -> tuple[Activation, ...]:
    """Return the activations; raise FormatError."""
    if not isinstance(rows, list) or not rows:
        fail(f"{where}: layers must be a list of one or more")
    return tuple(_activation(row, f"{where}: layer {i}") for i, row in enumerate(rows))


def _activation(row: Any, where: str) -> Activation:
    if not isinstance(row, dict):
        fail(f"{where}: names no activation")
    parameters = {key: value for key, value in row.items() if key != "activation"}
    for key, value in parameters.items():
        if isinstance(value, list):
            fail(f"{where}: {quoted(key)} is {quoted(value)}, not a number")
    return activations.from_json(row.get("activation"), parameters, where)


def made(
    functions: tuple[Activation, ...], tensors: Mapping[str, Stored]
) -> tuple[list[Dense], set[str]]:
    """Return the layers, and the names of the tensors that they took; raise FormatError."""
    names = _checked(len(functions), tensors)
    layers = []
    for index, (weight, bias) in enumerate(names):
        try:
            layer = Dense(
                tensors[weight].read(), tensors[bias].read() if bias else None, functions[index]
            )
        except ValueError as error:
            fail(f"layer {index}: {error}")
        layers.append(layer)
    return layers, {name for pair in names for name in pair if name}


def _checked(count: int, tensors: Mapping[str, Stored]) -> list[tuple[str, str | None]]:
    """Check names, types and shapes of the layers; return each one's weight and bias names."""
    names: list[tuple[str, str | None]] = []
    dtype: str | None = None
    inputs: int | None = None
    for index in range(count):
        weight, bias = f"{index}.weight", f"{index}.bias"
        if weight not in tensors:
            fail(f"tensor {weight!r} is missing; the metadata names {count} layers")
        shape = list(tensors[weight].shape)
        if len(shape) != 2 or 0 in shape:
            fail(f"tensor {weight!r}: shape {quoted(shape)} is not (outputs, inputs)")
        if inputs is not None and shape[1] != inputs:
            fail(
                f"tensor {weight!r}: takes {shape[1]} inputs, and layer {index - 1} has "
                f"{inputs} outputs"
            )
        inputs = shape[0]
        if bias in tensors and tensors[bias].shape != (inputs,):
            fail(
                f"tensor {bias!r}: shape {quoted(list(tensors[bias].shape))} does not fit "
                f"the {inputs} outputs of {weight!r}"
            )
        names.append((weight, bias if bias in tensors else None))
        for name in filter(None, names[-1]):
            dtype = dtype or tensors[name].dtype
            if tensors[name].dtype != dtype:
                fail(f"tensor {name!r}: is {tensors[name].dtype}, and {names[0][0]!r} {dtype}")
    return names
