"""The description of a model in a file: what is refused of it, and what Keras 3 gets to see."""

from __future__ import annotations

from typing import Any

from laminet.interop.keras.layers import LAYERS
from laminet.interop.keras.operations import OPERATIONS
from laminet.interop.keras.refusals import reason

__all__ = ["cleaned"]

_MODELS = ("Functional", "Model", "Sequential")
# Keras 2 has the class elsewhere; this one makes a functional model of its layers.
_FUNCTIONAL = {"module": "keras", "class_name": "Model", "registered_name": None}
# Settings of Keras 2 that Keras 3 does not know; none of them changes what a trained model gives.
_GONE = {
    "adjustment",
    "compile_config",
    "fused",
    "ragged",
    "shared_object_id",
    "virtual_batch_size",
}
_DEEPEST = 64  # Keras nests some 10 deep


def cleaned(configuration: Any, depth: int = 0) -> Any:
    """Return a description without what only training needs, in the terms of Keras 3.

    Raises
    ------
    ValueError
        If a class in it is none of Keras, or none that a network can be made of.
    """
    if depth > _DEEPEST:
        raise ValueError("nests its layers too deep")
    if isinstance(configuration, list):
        return [cleaned(part, depth + 1) for part in configuration]
    if not isinstance(configuration, dict):
        return configuration
    if isinstance(configuration.get("class_name"), str):
        _refuse_class(configuration)
    kind = configuration.get("class_name")
    if kind in ("Functional", "Model") and isinstance(configuration.get("config"), dict):
        configuration = {**configuration, "config": _renumbered(configuration["config"])}
    result: dict[str, Any] = {}
    for key, value in configuration.items():
        if key in _GONE:
            continue
        if key.endswith(("_regularizer", "_constraint")):
            result[key] = None
        elif key.endswith("_initializer"):
            result[key] = "zeros"
        elif key == "dtype":
            result[key] = _policy(value)
        elif key in ("activation", "recurrent_activation"):
            result[key] = _activation(value, configuration.get("name"), depth)
        elif key in _FUNCTIONAL and kind in ("Functional", "Model"):
            result[key] = _FUNCTIONAL[key] if "module" in configuration else value
        else:
            result[key] = cleaned(value, depth + 1)
    inner = result.get("config")
    if "module" in result and isinstance(inner, dict):
        # As archives of Keras 2 have it; in its .h5 files Keras 3 knows it.
        shape = inner.pop("batch_input_shape", None)
        if kind == "InputLayer" and shape is not None:
            inner["batch_shape"] = shape
        axis = inner.get("axis")
        if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
            inner["axis"] = axis[0]
    return result


def _renumbered(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a functional model's description with the calls of each layer counted from 0.

    Keras 2 counts the call that built a nested model too, and does not list it.
    """
    layers = configuration.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        return configuration
    if not all(isinstance(layer.get("name"), str) for layer in layers):
        return configuration
    calls = {
        layer.get("name"): len(layer["inbound_nodes"])
        for layer in layers
        if isinstance(layer.get("inbound_nodes"), list)
    }
    highest: dict[str, int] = {}
    for reference in _references(configuration):
        name, index = reference[0], reference[1]
        highest[name] = max(index, highest.get(name, 0))
    surplus = {
        name: max(0, index - max(calls.get(name, 0), 1) + 1) for name, index in highest.items()
    }
    for reference in _references(configuration):
        reference[1] -= surplus[reference[0]]
    return configuration


def _references(configuration: dict[str, Any]) -> list[list[Any]]:
    """Return the references to results of layers, as lists of a name, a call and a result."""
    found = []
    stack = [
        *(layer.get("inbound_nodes") for layer in configuration["layers"]),
        configuration.get("output_layers"),
        configuration.get("input_layers"),
    ]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            stack += list(part.values())
        elif isinstance(part, list):
            if (
                len(part) >= 3
                and isinstance(part[0], str)
                and all(type(i) is int for i in part[1:3])
            ):
                found.append(part)
            else:
                stack += part
    return found


def _refuse_class(configuration: dict[str, Any]) -> None:
    """Refuse an object of a class that is none of Keras's own, or none that can be read."""
    kind = configuration["class_name"]
    inner = configuration.get("config")
    if kind.startswith("__") and kind in _PLAIN:
        return
    name = configuration.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
    where = f"layer {name!r} ({kind})"
    module = configuration.get("module")
    if kind == "Lambda":
        raise ValueError(f"{where}: {reason(kind)}")
    foreign = "module" in configuration and module is None
    if foreign or str(module or "keras").split(".")[0] not in _MODULES:
        raise ValueError(
            f"{where}: is a class of its own, whose code is not in the file: make the model in "
            "Python, load its weights (model.load_weights), and give the model itself"
        )
    if kind not in LAYERS and kind not in _MODELS and kind not in OPERATIONS:
        raise ValueError(f"{where}: {reason(kind)}")


_MODULES = ("keras", "tf_keras", "builtins")
# How Keras writes values of Python and NumPy.
_PLAIN = {
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__slice__",
    "__ellipsis__",
    "__tuple__",
}


def _policy(value: Any) -> Any:
    """Return a dtype or a policy by its name, as all versions of Keras write it."""
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return value["config"].get("name", "float32")
    return value


def _activation(value: Any, layer: Any, depth: int) -> Any:
    """Return an activation: a name, or the description of a layer or a function."""
    from keras import activations

    if isinstance(value, dict) and value.get("class_name") == "__lambda__":
        raise ValueError(f"layer {layer!r}: its activation {reason('Lambda')}")
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if isinstance(value, str):
        if not callable(getattr(activations, value, None)) and value not in ("swish", "hard_swish"):
            raise ValueError(
                f"layer {layer!r}: the activation {value!r} is none of Keras, and its code is not "
                "in the file: make the model in Python, load its weights (model.load_weights), and "
                "give the model itself"
            )
        return value
    return cleaned(value, depth + 1)
